"""Alerts about certificates and revocation lists that end, while the provider runs."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.engine.ports import Clock

__all__ = ["CertificateWatch"]

_BETWEEN_LOOKS: Final = timedelta(minutes=10)
_BETWEEN_ALERTS: Final = timedelta(hours=24)


class CertificateWatch:
    """Looks now and then; alerts of each thing when it is found first, and once a day while it lasts.

    ``attention`` gives a line for each thing at a moment. What was there when the watch was made was told at the start,
    and comes again a day later.
    """

    def __init__(self, attention: Callable[[datetime], Iterable[str]], observer: Observer, clock: Clock) -> None:
        self._attention: Final = attention
        self._observer: Final = observer
        self._clock: Final = clock
        now = clock.now()
        self._told = dict.fromkeys(self._found(now), now)
        self._next_look = now + _BETWEEN_LOOKS

    def look(self) -> None:
        """Look, if it is time to."""
        now = self._clock.now()
        if now < self._next_look:
            return
        self._next_look = now + _BETWEEN_LOOKS
        found = self._found(now)
        self._told = {text: at for text, at in self._told.items() if text in found}
        for text in found:
            if text not in self._told or now - self._told[text] >= _BETWEEN_ALERTS:
                self._told[text] = now
                self._observer.notify(Alert(AlertKind.CERTIFICATE_ENDING, None, text))

    def _found(self, now: datetime) -> list[str]:
        try:
            return list(self._attention(now))
        except Exception as error:  # noqa: BLE001 - whose end would be the end of the provider, and its workers serve
            return [f"the certificate files cannot be looked at: unexpected {type(error).__name__}"]
