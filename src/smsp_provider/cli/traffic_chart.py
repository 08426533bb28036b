"""Throughput as a picture: an SVG that needs nothing else, to be looked at in light and dark, and to be printed.

Two panels over the same days: the requests of each day, by service or client, and those of its busiest hour.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from itertools import pairwise
from math import ceil, floor, log10
from typing import Final, NamedTuple

from smsp_provider.audit.traffic import NOBODY
from smsp_provider.audit.traffic_report import Busiest, DayTraffic, Grouping

__all__ = ["chart"]

_WIDTH: Final = 960
_LEFT, _RIGHT = 84, 24
_UPPER: Final = (92, 300)
"""Where a panel begins, and how high it is."""
_LOWER: Final = (452, 120)
_DATES: Final = 24
_LEGEND_LINE: Final = 22
_LEGEND_COLUMNS: Final = 2
_SERIES: Final = 6
_OTHERS: Final = "others"
_TICKS: Final = 5
_MOST_DATES: Final = 12
_MOST_HOURS: Final = 16
"""Bars that have room for the hour above them."""
_LONGEST_NAME: Final = 44
_WIDEST_BAR: Final = 72
_ROOM_FOR_HOURS: Final = 1.15

# Colours that people with any kind of colour vision tell apart, on white as on black.
_STYLE: Final = """
svg { font-family: "Liberation Sans", Arial, Helvetica, sans-serif; font-size: 13px; }
.paper { fill: #ffffff; } text { fill: #1c1e21; } text.soft { fill: #53585f; }
.grid { stroke: #d9dce0; } .axis { stroke: #53585f; }
.s0 { fill: #0072b2; } .s1 { fill: #e69f00; } .s2 { fill: #009e73; } .s3 { fill: #cc79a7; } .s4 { fill: #56b4e9; }
.s5 { fill: #d55e00; } .s6 { fill: #8a8f98; } .peak { fill: #4b5a7a; }
@media screen and (prefers-color-scheme: dark) {
 .paper { fill: #15171a; } text { fill: #eceef0; } text.soft { fill: #aab0b8; }
 .grid { stroke: #33373d; } .axis { stroke: #aab0b8; } .peak { fill: #93a4c8; }
}
@media print { .paper { fill: none; } }
"""


class _Panel(NamedTuple):
    """A panel on the page: its upper edge, its height, the highest value that it has room for."""

    top: float
    height: float
    highest: float

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - value / self.highest)


class _Days(NamedTuple):
    """The days from left to right."""

    first: date
    number: int

    @property
    def step(self) -> float:
        return (_WIDTH - _LEFT - _RIGHT) / self.number

    def left(self, number: int) -> float:
        return _LEFT + number * self.step

    def dates(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range(self.number)]


def chart(rows: Sequence[DayTraffic], since: date, until: date, grouping: Grouping) -> str:
    """The rows of a report from ``since`` to ``until``, both included, drawn; days without a row had no requests."""
    days = _Days(since, (until - since).days + 1)
    totals = {row.day: row for row in rows if row.service is None and row.client is None}
    shares = _shares([row for row in rows if row.service is not None or row.client is not None], grouping)
    names = _names(shares.values())
    stacks = {day: _gathered(share, names) for day, share in shares.items()}
    peaks = {day: row.busiest for day, row in totals.items()}
    upper = _Panel(*_UPPER, _round_up(max((row.requests for row in totals.values()), default=0)))
    lower = _Panel(*_LOWER, _round_up(_ROOM_FOR_HOURS * max((peak.requests for peak in peaks.values()), default=0)))
    sums = _sum(stacks.values())
    legend_top = _LOWER[0] + _LOWER[1] + 56
    height = legend_top + ceil(max(len(names), 1) / _LEGEND_COLUMNS) * _LEGEND_LINE + 12
    requests = sum(row.requests for row in totals.values())
    period = f"{since.isoformat()} to {until.isoformat()}, days and hours in UTC; {requests:,} requests"
    parts = [
        _opening(height),
        f'<title id="title">Throughput</title><desc id="what">{escape(period)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        _text(_LEFT, 34, "Throughput", size=20),
        _text(_LEFT, 56, period, kind="soft"),
        _text(_LEFT, upper.top - 12, f"Requests a day, by {'client' if grouping is Grouping.CLIENT else 'service'}"),
        *_scale(upper),
        *_bars(upper, days, stacks, names),
        *_dates(upper, days),
        _text(_LEFT, lower.top - 12, "Requests in the busiest hour of the day"),
        *_scale(lower),
        *_peaks(lower, days, peaks),
        *_dates(lower, days),
        *_legend(legend_top, names, sums),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _opening(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title what">'
    )


def _shares(rows: Iterable[DayTraffic], grouping: Grouping) -> Mapping[date, Counter[str]]:
    found: dict[date, Counter[str]] = {}
    for row in rows:
        name = row.client if grouping is Grouping.CLIENT else row.service
        found.setdefault(row.day, Counter())[_shown(name or NOBODY)] += row.requests
    return found


def _shown(name: str) -> str:
    if name == NOBODY:
        return "not known"
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _sum(counts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def _names(shares: Iterable[Counter[str]]) -> list[str]:
    """The names with colours of their own, the busiest first; the others share one."""
    in_order = [name for name, _ in sorted(_sum(shares).items(), key=lambda item: (-item[1], item[0]))]
    return in_order if len(in_order) <= _SERIES else [*in_order[:_SERIES], _OTHERS]


def _gathered(share: Counter[str], names: Sequence[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, count in share.items():
        found[name if name in names else _OTHERS] += count
    return found


def _bars(panel: _Panel, days: _Days, stacks: Mapping[date, Counter[str]], names: Sequence[str]) -> Iterator[str]:
    for number, day in enumerate(days.dates()):
        stack = stacks.get(day, Counter())
        edges = [0]
        for name in names:
            edges.append(edges[-1] + stack[name])
        for place, (low, high) in enumerate(pairwise(edges)):
            if high > low:
                told = f"{day.isoformat()}, {names[place]}: {high - low:,}"
                yield _bar(panel, days, number, low, high, f"s{place}", told)


def _peaks(panel: _Panel, days: _Days, peaks: Mapping[date, Busiest]) -> Iterator[str]:
    for number, day in enumerate(days.dates()):
        peak = peaks.get(day)
        if peak is not None and peak.requests:
            hours = f"{peak.hour:02}:00 to {peak.hour + 1:02}:00"
            yield _bar(panel, days, number, 0, peak.requests, "peak", f"{day.isoformat()}, {hours}: {peak.requests:,}")
            if days.number <= _MOST_HOURS:
                middle = days.left(number) + days.step / 2
                yield _text(middle, panel.y(peak.requests) - 4, f"{peak.hour:02}:00", kind="soft", anchor="middle")


def _bar(panel: _Panel, days: _Days, number: int, low: float, high: float, kind: str, told: str) -> str:
    width = min(days.step * 0.8, _WIDEST_BAR)
    left, top = days.left(number) + (days.step - width) / 2, panel.y(high)
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}"'
        f' height="{max(panel.y(low) - top, 0.5):.1f}"><title>{escape(told)}</title></rect>'
    )


def _scale(panel: _Panel) -> Iterator[str]:
    right = _WIDTH - _RIGHT
    for number in range(_TICKS + 1):
        value = panel.highest * number / _TICKS
        if value != int(value):
            continue
        y = panel.y(value)
        yield f'<line class="{"grid" if number else "axis"}" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 8, y + 4, f"{int(value):,}", kind="soft", anchor="end")


def _dates(panel: _Panel, days: _Days) -> Iterator[str]:
    every = ceil(days.number / _MOST_DATES)
    for number, day in enumerate(days.dates()):
        if number % every == 0:
            middle = days.left(number) + days.step / 2
            yield _text(middle, panel.top + panel.height + _DATES - 6, f"{day:%d %b}", kind="soft", anchor="middle")


def _legend(top: float, names: Sequence[str], sums: Mapping[str, int]) -> Iterator[str]:
    width = (_WIDTH - _LEFT - _RIGHT) / _LEGEND_COLUMNS
    for number, name in enumerate(names):
        x = _LEFT + number % _LEGEND_COLUMNS * width
        y = top + number // _LEGEND_COLUMNS * _LEGEND_LINE
        yield f'<rect class="s{number}" x="{x:.1f}" y="{y - 11:.1f}" width="13" height="13"/>'
        yield _text(x + 21, y, f"{name}: {sums[name]:,}")


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start", size: int = 0) -> str:
    style = (f' class="{kind}"' if kind else "") + (f' font-size="{size}"' if size else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _round_up(value: float) -> int:
    """The end of a scale with five steps: a round number that is not less."""
    if value <= _TICKS:
        return _TICKS
    unit = 10 ** floor(log10(value))
    return next(int(unit * factor) for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if unit * factor >= value)
