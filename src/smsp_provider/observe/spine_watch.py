"""Tells when Spine is out of order for this host, and when it is back: one alert for each outage.

All workers of a host share one breaker (:mod:`smsp_provider.engine.breaker`); one process watches it for all of them.
"""

from collections.abc import Callable
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.engine.breaker import BreakerState, Phase
from smsp_provider.engine.ports import Clock

__all__ = ["SpineWatch"]


class SpineWatch:
    """Looks at the breaker; to be run about once a second. An outage lasts until the breaker is closed again."""

    def __init__(self, breaker: Callable[[], BreakerState], observer: Observer, clock: Clock) -> None:
        self._breaker: Final = breaker
        self._observer: Final = observer
        self._clock: Final = clock
        self._opened: int | None = None
        self._since: float | None = None

    def run(self) -> None:
        """Look once.

        Raises:
            OSError: the table of limits cannot be used.
        """
        state, now = self._breaker(), self._clock.monotonic()
        is_closed = state.phase == Phase.CLOSED
        # The table may have been made anew meanwhile, and its count with it.
        has_opened = self._opened is not None and state.opened > self._opened
        self._opened = state.opened
        if self._since is None and (has_opened or not is_closed):
            self._since = now
            self._tell(AlertKind.SPINE_OUTAGE, "the circuit breaker is open: Spine is not asked but for probes")
        if self._since is not None and is_closed:
            seconds, self._since = round(now - self._since), None
            self._tell(AlertKind.SPINE_OUTAGE_OVER, f"Spine is asked again, after about {max(1, seconds)} seconds")

    def _tell(self, kind: AlertKind, reason: str) -> None:
        self._observer.notify(Alert(kind, None, reason))
