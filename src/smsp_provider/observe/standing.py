"""Alerts about states: one when a state begins, one a day while it lasts, and one when it is over."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.engine.ports import Clock

__all__ = ["StandingAlerts"]

_BETWEEN_ALERTS: Final = timedelta(hours=24)


class StandingAlerts:
    """Remembers which states were told; a state is a short name, and what is told of it may change meanwhile."""

    def __init__(self, kind: AlertKind, observer: Observer, clock: Clock) -> None:
        self._kind: Final = kind
        self._observer: Final = observer
        self._clock: Final = clock
        self._told: dict[str, datetime] = {}

    def found(self, states: Mapping[str, str]) -> None:
        """Tell of the states that there are now, by name, as far as they are due."""
        now = self._clock.now()
        for name, text in states.items():
            told = self._told.get(name)
            if told is None or now - told >= _BETWEEN_ALERTS:
                self._told[name] = now
                self._observer.notify(Alert(self._kind, None, text))
        for name in [*self._told.keys() - states.keys()]:
            del self._told[name]
            self._observer.notify(Alert(self._kind, None, f"over: {name}"))
