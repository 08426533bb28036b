"""Tells when the table of limits that all workers of a host share is lost or cannot be used."""

from collections.abc import Callable
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind, Observer

__all__ = ["LimitsWatch"]


class LimitsWatch:
    """To be run about once a second; ``look`` looks at the table and tells how often it was lost since the start."""

    def __init__(self, look: Callable[[], int], observer: Observer) -> None:
        self._look: Final = look
        self._observer: Final = observer
        self._lost = 0
        self._is_unusable = False

    def run(self) -> None:
        """Look once."""
        try:
            lost = self._look()
        except OSError as error:
            if not self._is_unusable:
                self._is_unusable = True
                why = error.strerror or type(error).__name__
                self._tell(f"the table of limits cannot be used, and nothing passes without it: {why}")
            return
        if self._is_unusable:
            self._is_unusable = False
            self._tell("over: the table of limits can be used again")
        if lost > self._lost:
            self._tell("the table of limits was deleted or replaced while in use: all is counted anew from here")
        self._lost = lost

    def _tell(self, reason: str) -> None:
        self._observer.notify(Alert(AlertKind.LIMITS_UNAVAILABLE, None, reason))
