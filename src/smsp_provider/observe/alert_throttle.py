"""Identical alerts, gathered: the first is passed on at once, those that follow within a while are counted."""

from dataclasses import dataclass
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind

__all__ = ["AlertThrottle", "Gathered"]

_MOST: Final = 512
"""So many different alerts are remembered at once; the oldest gives way."""

_Key = tuple[AlertKind, str, str | None]


@dataclass(frozen=True, slots=True)
class Gathered:
    """The newest of several identical alerts, and how many there were since the last one that was passed on."""

    alert: Alert
    repeated: int


@dataclass(slots=True)
class _Held:
    alert: Alert
    until: float
    repeated: int = 0


class AlertThrottle:
    """Alerts are identical in kind, reason and client. Moments are seconds on a clock that never goes back.

    Not safe for threads: the caller sees to it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        # In the order of their moments, because all wait for as long.
        self._held: dict[_Key, _Held] = {}
        self._pushed_out: list[Gathered] = []

    def admit(self, alert: Alert, now: float) -> bool:
        """Whether to pass an alert on at once; if not, it counts."""
        key = (alert.kind, alert.reason, alert.client)
        held = self._held.get(key)
        if held is not None and (now < held.until or held.repeated):
            held.alert, held.repeated = alert, held.repeated + 1
            return False
        self._hold(key, alert, now)
        return True

    def due(self, now: float) -> list[Gathered]:
        """What was gathered and is to be passed on by now."""
        found, self._pushed_out = self._pushed_out, []
        for key, held in list(self._held.items()):
            if now < held.until:
                break
            del self._held[key]
            if held.repeated:
                found.append(Gathered(held.alert, held.repeated))
                self._hold(key, held.alert, now)
        return found

    def take_all(self) -> list[Gathered]:
        """All that was gathered, whether it is due or not; nothing is remembered after that."""
        found = self._pushed_out + [
            Gathered(held.alert, held.repeated) for held in self._held.values() if held.repeated
        ]
        self._held, self._pushed_out = {}, []
        return found

    def next_due(self) -> float | None:
        """When there will be something to pass on; None while nothing is gathered."""
        if self._pushed_out:
            return 0.0
        return min((held.until for held in self._held.values() if held.repeated), default=None)

    def _hold(self, key: _Key, alert: Alert, now: float) -> None:
        self._held.pop(key, None)
        if len(self._held) >= _MOST:
            oldest = self._held.pop(next(iter(self._held)))
            if oldest.repeated:
                self._pushed_out.append(Gathered(oldest.alert, oldest.repeated))
        self._held[key] = _Held(alert, now + self._seconds)
