"""The report on throughput: for each day its total and its busiest hour, of each service and client.

Days and hours are UTC. Nothing of a patient is in it (:mod:`smsp_provider.audit.traffic`).

Source: SMSP-PERF-002.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from smsp_provider.audit.traffic import NOBODY, OutcomeClass, Traffic, hour_of

__all__ = ["Busiest", "DayTraffic", "Grouping", "hours_of", "report", "within"]


class Grouping(Enum):
    """What has rows of its own beside the day's total; the value is the word of the command line."""

    SERVICE_AND_CLIENT = "both"
    SERVICE = "service"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Busiest:
    """The busiest hour of a day, by its number from 0 to 23, and its requests; of several the first."""

    hour: int
    requests: int


@dataclass(frozen=True, slots=True)
class DayTraffic:
    """One row: a day (UTC), and the requests of a service and a client; None is all of them together."""

    day: date
    service: str | None
    client: str | None
    outcomes: Mapping[OutcomeClass, int]
    busiest: Busiest

    @property
    def requests(self) -> int:
        """All requests of the row."""
        return sum(self.outcomes.values())


def hours_of(since: date, until: date) -> tuple[int, int]:
    """The first and the last hour (since 1970) of these days, both included."""
    first = datetime(since.year, since.month, since.day, tzinfo=UTC)
    last = datetime(until.year, until.month, until.day, 23, tzinfo=UTC)
    return hour_of(first), hour_of(last)


def within(counts: Mapping[Traffic, int], clients: frozenset[str] | None) -> Mapping[Traffic, int]:
    """What somebody may see who acts for these clients; None is everybody's.

    What nobody's client sent is everybody's business alone.
    """
    if clients is None:
        return counts
    return {traffic: count for traffic, count in counts.items() if traffic.client in clients - {NOBODY}}


def report(counts: Mapping[Traffic, int], grouping: Grouping) -> list[DayTraffic]:
    """The rows by day, each day's total first, then by the names of what the rows are of."""
    grouped: defaultdict[tuple[date, str | None, str | None], Counter[tuple[int, str]]] = defaultdict(Counter)
    for traffic, count in counts.items():
        moment = datetime.fromtimestamp(0, UTC) + timedelta(hours=traffic.hour)
        service = traffic.service if grouping is not Grouping.CLIENT else None
        client = traffic.client if grouping is not Grouping.SERVICE else None
        for key in ((moment.date(), None, None), (moment.date(), service, client)):
            grouped[key][moment.hour, traffic.outcome] += count
    in_order = sorted(grouped, key=lambda key: (key[0], key[1] or "", key[2] or ""))
    return [_row(*key, grouped[key]) for key in in_order]


def _row(day: date, service: str | None, client: str | None, counts: Mapping[tuple[int, str], int]) -> DayTraffic:
    outcomes: Counter[OutcomeClass] = Counter()
    hours: Counter[int] = Counter()
    for (hour, outcome), count in counts.items():
        outcomes[OutcomeClass(outcome)] += count
        hours[hour] += count
    return DayTraffic(day, service, client, outcomes, _busiest(hours.items()))


def _busiest(hours: Iterable[tuple[int, int]]) -> Busiest:
    hour, requests = min(hours, key=lambda item: (-item[1], item[0]))
    return Busiest(hour, requests)
