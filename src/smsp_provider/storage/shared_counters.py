"""Counters by name that all processes of a host add to, and how many requests there were in each hour.

For metrics: what cannot be counted is not counted, and nothing else fails for it. Names are few and fixed texts; what
comes when there is no room for another name is left out.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final

from smsp_provider.storage.shared_region import SharedRegion

__all__ = ["SharedCounters"]

_KIND: Final = b"counters"
_VERSION: Final = 1
_NAMES: Final = 1024
_NAME_BYTES: Final = 88
_VALUE: Final = Struct("<d")
_ENTRY_BYTES: Final = _NAME_BYTES + _VALUE.size
_HOURS: Final = 24 * 32
_HOUR: Final = Struct("<2q")
_HOURS_AT: Final = _NAMES * _ENTRY_BYTES
_SIZE: Final = _HOURS_AT + _HOURS * _HOUR.size


class SharedCounters:
    """Keeps the counters at ``path``, over restarts; safe for threads, processes and forks."""

    def __init__(self, path: Path, *, wait_s: float = 0.2) -> None:
        self._region: Final = SharedRegion(path, kind=_KIND, version=_VERSION, size=_SIZE, wait_s=wait_s)
        self._known: memoryview | None = None
        self._places: dict[str, int] = {}

    def add(self, amounts: Iterable[tuple[str, float]], *, hour: int | None = None) -> None:
        """Add to counters; with ``hour`` (since 1970) count a request in it, too."""
        self.add_all(amounts, {} if hour is None else {hour: 1})

    def add_all(self, amounts: Iterable[tuple[str, float]], hours: Mapping[int, int]) -> None:
        """Add to counters, and requests to ``hours`` (since 1970)."""
        with suppress(OSError), self._region.locked() as table:
            if table is not self._known:
                # Another mapping: after a fork there may be another file behind it.
                self._known, self._places = table, {}
            for name, amount in amounts:
                at = self._places.get(name) or self._place(table, name)
                if at is not None:
                    (value,) = _VALUE.unpack_from(table, at)
                    _VALUE.pack_into(table, at, value + amount)
            for hour, more in hours.items():
                at = _HOURS_AT + hour % _HOURS * _HOUR.size
                counted, requests = _HOUR.unpack_from(table, at)
                _HOUR.pack_into(table, at, hour, requests + more if counted == hour else more)

    def read(self) -> dict[str, float]:
        """Every counter by its name.

        Raises:
            OSError: the table cannot be used.
        """
        found: dict[str, float] = {}
        with self._region.locked() as table:
            for number in range(_NAMES):
                name = _name_at(table, number)
                if not name:
                    break
                (found[name],) = _VALUE.unpack_from(table, number * _ENTRY_BYTES + _NAME_BYTES)
        return found

    def hours(self) -> dict[int, int]:
        """How many requests there were in each of the last hours that had any, by the hour since 1970.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked() as table:
            rows = [_HOUR.unpack_from(table, _HOURS_AT + place * _HOUR.size) for place in range(_HOURS)]
        return {hour: requests for hour, requests in sorted(rows) if requests}

    def _place(self, table: memoryview, name: str) -> int | None:
        """Where the value of a counter is; made where there is none, None without room for it."""
        padded = _padded(name)
        for number in range(_NAMES):
            start = number * _ENTRY_BYTES
            entry = table[start : start + _NAME_BYTES]
            if entry == padded:
                break
            if entry[0] == 0:
                # The value first: who is killed in between leaves no name without one.
                _VALUE.pack_into(table, start + _NAME_BYTES, 0.0)
                entry[:] = padded
                break
        else:
            return None
        self._places[name] = start + _NAME_BYTES
        return start + _NAME_BYTES


def _padded(name: str) -> bytes:
    return name.encode()[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")


def _name_at(table: memoryview, number: int) -> str:
    start = number * _ENTRY_BYTES
    return bytes(table[start : start + _NAME_BYTES]).rstrip(b"\0").decode(errors="replace")
