"""Whether the clock of this host can be relied on, as far as anybody can tell (IFC-TIM-01, SMSP-AUDIT-010)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from smsp_provider.audit.operator_events import AlertKind, Observer
from smsp_provider.engine.ports import Clock
from smsp_provider.observe.clock_state import ClockSource, KernelClock
from smsp_provider.observe.standing import StandingAlerts

__all__ = ["LEAST_STRATUM", "ClockReading", "ClockWatch", "offset_from", "problems"]

LEAST_STRATUM: Final = 3
_MILLISECONDS: Final = 1000
_GRACE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What is known about the clock; None for what nobody tells.

    ``database_ms`` is how far the clock of the audit database's host is ahead of this one, by at least so much.
    """

    kernel: KernelClock | None = None
    source: ClockSource | None = None
    database_ms: float | None = None


def offset_from(clock: Clock, ask: Callable[[], datetime]) -> float:
    """How many milliseconds another clock is ahead of this one (negative: behind), less what the asking may explain."""
    before, began = clock.now(), clock.monotonic()
    there = ask()
    took = (clock.monotonic() - began) * _MILLISECONDS
    ahead = (there - before).total_seconds() * _MILLISECONDS
    # It was read at some moment of the asking: anything from 0 to ``took`` would be right.
    return ahead if ahead < 0 else max(0.0, ahead - took)


def problems(reading: ClockReading, most_ms: float) -> Iterator[tuple[str, str]]:
    """What is wrong with the clock, each by a name and in words."""
    kernel, source = reading.kernel, reading.source
    if kernel is not None:
        if not kernel.synchronised:
            yield "not synchronised", "the system says that its clock is not synchronised"
        elif max(abs(kernel.offset_ms), kernel.estimated_error_ms) > most_ms:
            off = max(abs(kernel.offset_ms), kernel.estimated_error_ms)
            yield "drift", f"the clock is about {off:.0f} ms off, and may be {most_ms:g}"
    if reading.database_ms is not None and abs(reading.database_ms) > most_ms:
        which = "ahead of" if reading.database_ms > 0 else "behind"
        off = abs(reading.database_ms)
        yield "database", f"the clock of the audit database is at least {off:.0f} ms {which} this one"
    if source is not None and source.stratum > LEAST_STRATUM:
        yield "stratum", f"the clock follows a source of stratum {source.stratum}, and {LEAST_STRATUM} is the least"


class ClockWatch:
    """Looks at the clock; to be run about once a minute."""

    def __init__(self, read: Callable[[], ClockReading], most_ms: float, observer: Observer, clock: Clock) -> None:
        self._read: Final = read
        self._most_ms: Final = most_ms
        self._alerts: Final = StandingAlerts(AlertKind.CLOCK_DRIFT, observer, clock)
        self._monotonic: Final = clock.monotonic
        self._first_look = clock.monotonic() + _GRACE_SECONDS

    def run(self) -> None:
        """Look once, but for the first minute: after a start of the machine the time daemon takes its time."""
        if self._monotonic() >= self._first_look:
            self._alerts.found(dict(problems(self._read(), self._most_ms)))
