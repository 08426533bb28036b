"""The real clock and the real ids; tests bring their own."""

import os
import time
import weakref
from datetime import UTC, datetime
from typing import Final

__all__ = ["RandomIds", "SystemClock"]


_VARIANTS: Final = "89AB"
_BYTES: Final = 16
_DIGITS: Final = 2 * _BYTES
_AT_ONCE: Final = 32


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()


class RandomIds:
    """Random UUIDs (RFC 9562, version 4), written without the detour over a UUID object: a request takes six.

    Several are drawn at once. What is left over is never shared: taking one out of a list is a single
    step for threads, and a forked child begins without its parent's.
    """

    def __init__(self) -> None:
        self._drawn: list[str] = []
        _sources.add(self)

    def new_uuid(self) -> str:
        """A random UUID, bare and in upper case."""
        while True:
            try:
                return self._drawn.pop()
            except IndexError:
                drawn = os.urandom(_BYTES * _AT_ONCE).hex().upper()
                self._drawn += [_written(drawn[at : at + _DIGITS]) for at in range(0, len(drawn), _DIGITS)]

    def begin_anew(self) -> None:
        """After a fork, in the child: these are the parent's to use."""
        self._drawn = []


def _written(digits: str) -> str:
    """A UUID of these 32 random digits but two, which tell version and variant."""
    variant = _VARIANTS[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


_sources: "weakref.WeakSet[RandomIds]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for source in list(_sources):
        source.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
