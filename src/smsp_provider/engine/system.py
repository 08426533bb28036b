"""The real clock and the real ids; tests bring their own."""

import os
import re
import time
import weakref
from datetime import UTC, datetime
from typing import Final

__all__ = ["RandomIds", "SystemClock"]


_BYTES: Final = 16
_AT_ONCE: Final = 32
_GROUPS: Final = re.compile("(.{8})(.{4})(.{4})(.{4})(.{12})")
_RANDOM: Final = int("FFFFFFFFFFFF0FFF3FFFFFFFFFFFFFFF" * _AT_ONCE, 16)
_VERSION_AND_VARIANT: Final = int("00000000000040008000000000000000" * _AT_ONCE, 16)


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
                self._drawn += _draw()

    def begin_anew(self) -> None:
        """After a fork, in the child: these are the parent's to use."""
        self._drawn = []


def _draw() -> list[str]:
    """New UUIDs: all but six bits of each are random, and these tell version and variant."""
    number = int.from_bytes(os.urandom(_BYTES * _AT_ONCE), "big") & _RANDOM | _VERSION_AND_VARIANT
    return list(map("-".join, _GROUPS.findall(f"{number:0{2 * _BYTES * _AT_ONCE}X}")))


_sources: "weakref.WeakSet[RandomIds]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for source in list(_sources):
        source.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
