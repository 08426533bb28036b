"""Compares what all workers of a host count with thresholds: throughput, sizes, errors and backlog (IFC-ALT-01)."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from smsp_provider.audit.operator_events import AlertKind, Observer
from smsp_provider.engine.ports import Clock
from smsp_provider.observe.metrics import request_totals
from smsp_provider.observe.standing import StandingAlerts

__all__ = ["TrafficThresholds", "TrafficWatch"]

_PARTS_OF_A_WINDOW: Final = 30
"""So often within a window the counts are looked at."""


@dataclass(frozen=True, slots=True)
class TrafficThresholds:
    """What is worth an alert within ``window_seconds``; 0 is no threshold.

    Errors count from ``most_errors`` on if they are at least ``errors_part`` of the requests. ``most_bytes`` is about
    the mean body of a request, ``most_waiting`` about the requests that wait for Spine at one moment.
    """

    window_seconds: float
    most_requests: int = 0
    least_requests: int = 0
    most_errors: int = 0
    errors_part: float = 0.1
    most_bytes: int = 0
    most_waiting: int = 0

    def any(self) -> bool:
        """Whether there is any threshold at all."""
        most = (self.most_requests, self.least_requests, self.most_errors, self.most_bytes, self.most_waiting)
        return any(most)


class _Counted(NamedTuple):
    at: float
    requests: float
    errors: float
    size: float


class TrafficWatch:
    """Looks at the counts; to be run about once a second. ``errors`` are the codes that count as errors."""

    def __init__(
        self,
        thresholds: TrafficThresholds,
        errors: Collection[str],
        counts: Callable[[], Mapping[str, float]],
        waiting: Callable[[], int],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._thresholds: Final = thresholds
        self._errors: Final = frozenset(errors)
        self._counts: Final = counts
        self._waiting: Final = waiting
        self._clock: Final = clock
        self._seen: deque[_Counted] = deque()
        self._standing: Final = {
            kind: StandingAlerts(kind, observer, clock)
            for kind in (AlertKind.THROUGHPUT, AlertKind.MESSAGE_SIZES, AlertKind.ERRORS, AlertKind.BACKLOG)
        }

    def run(self) -> None:
        """Look once, if it is time to.

        Raises:
            OSError: the counters or the table of limits cannot be used.
        """
        now, window = self._clock.monotonic(), self._thresholds.window_seconds
        if not self._thresholds.any() or (self._seen and now < self._seen[-1].at + window / _PARTS_OF_A_WINDOW):
            return
        self._seen.append(_Counted(now, *request_totals(self._counts(), self._errors)))
        while len(self._seen) > 1 and self._seen[1].at <= now - window:
            self._seen.popleft()
        first, last = self._seen[0], self._seen[-1]
        within = _Counted(
            last.at - first.at, *(later - before for later, before in zip(last[1:], first[1:], strict=True))
        )
        for kind, standing in self._standing.items():
            standing.found(dict(self._found(kind, within)))

    def _found(self, kind: AlertKind, within: _Counted) -> Iterator[tuple[str, str]]:
        limits, seconds, requests = self._thresholds, round(self._thresholds.window_seconds), round(within.requests)
        match kind:
            case AlertKind.THROUGHPUT:
                if limits.most_requests and requests > limits.most_requests:
                    yield (
                        "many requests",
                        f"more than {limits.most_requests} requests within {seconds} seconds: {requests}",
                    )
                # Of too few there is nothing to say before a whole window was seen.
                if requests < limits.least_requests and within.at >= limits.window_seconds:
                    yield (
                        "few requests",
                        f"fewer than {limits.least_requests} requests within {seconds} seconds: {requests}",
                    )
            case AlertKind.ERRORS:
                errors = round(within.errors)
                if limits.most_errors and errors > limits.most_errors and errors >= limits.errors_part * requests:
                    yield "many errors", f"{errors} errors in {requests} requests within {seconds} seconds"
            case AlertKind.MESSAGE_SIZES:
                mean = round(within.size / requests) if requests else 0
                if limits.most_bytes and mean > limits.most_bytes:
                    yield "large requests", f"a mean of {mean} bytes in {requests} requests within {seconds} seconds"
            case _:
                waiting = self._waiting() if limits.most_waiting else 0
                if waiting > limits.most_waiting:
                    yield "many that wait for Spine", f"{waiting} requests wait for a turn at Spine"
