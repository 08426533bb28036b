"""A bounded memory of what was counted, in the bytes of a buffer: rows that expire, found by their key in buckets.

A full bucket gives the row up that has counted least, and of those the oldest: many new callers, numbers or searches
push out what has been seen once, and not what is on its way to an alert.
"""

from struct import Struct
from typing import Final

from smsp_provider.engine.probing_traces import KEY_BYTES, ROW_KEY_BYTES

__all__ = ["BITMAP_BITS", "IDENTITIES", "KEY", "SUBJECTS", "TABLE_BYTES", "Rows", "weigh"]

_ROW: Final = f"{ROW_KEY_BYTES}sIHxx"
"""Key, when the row began in seconds since 1970 (0 for a free row), and its weight."""
_HEAD: Final = Struct("<" + _ROW)
_WEIGHT: Final = Struct("<H")
_WEIGHT_BEFORE_BODY: Final = 4
_MOST_WEIGHT: Final = 65_535
_PLACES: Final = 8


class Rows:
    """Rows of one size from ``start`` on, each with a body of ``body_bytes`` that is all zero at first."""

    __slots__ = ("_bucket", "_buckets", "_keys", "_no_body", "_row_bytes", "_start", "end")

    def __init__(self, start: int, buckets: int, body_bytes: int) -> None:
        self._start: Final = start
        self._buckets: Final = buckets
        self._row_bytes: Final = _HEAD.size + body_bytes
        self._bucket: Final = Struct("<" + f"{_ROW}{body_bytes}x" * _PLACES)
        self._keys: Final = Struct(f"{ROW_KEY_BYTES}s{self._row_bytes - ROW_KEY_BYTES}x" * _PLACES)
        self._no_body: Final = bytes(body_bytes)
        self.end: Final = start + buckets * self._bucket.size

    def body(self, view: memoryview, key: bytes, now: int, window: int, weight: int = 0) -> int:
        """Where the body of a row is; the row begins anew where ``window`` seconds have passed since it began.

        ``weight`` is how much a row that begins counts for.
        """
        start = self._start + int.from_bytes(key) % self._buckets * self._bucket.size
        keys = self._keys.unpack_from(view, start)
        if key in keys:
            row = start + keys.index(key) * self._row_bytes
            _, began, _ = _HEAD.unpack_from(view, row)
            # Either way: a clock that was set back must not keep rows for ever.
            if began and abs(now - began) < window:
                return row + _HEAD.size
        else:
            row = start + self._least_worth(view, start, now, window) * self._row_bytes
        # The beginning comes last: who is killed in between leaves a free row.
        _HEAD.pack_into(view, row, key, 0, 0)
        view[row + _HEAD.size : row + self._row_bytes] = self._no_body
        _HEAD.pack_into(view, row, key, now, weight)
        return row + _HEAD.size

    def _least_worth(self, view: memoryview, start: int, now: int, window: int) -> int:
        bucket = self._bucket.unpack_from(view, start)
        return min(range(_PLACES), key=lambda one: _worth(bucket[one * 3 + 1], bucket[one * 3 + 2], now, window))


def weigh(view: memoryview, body: int, weight: int) -> None:
    """Set how much the row of a body has counted."""
    _WEIGHT.pack_into(view, body - _WEIGHT_BEFORE_BODY, min(weight, _MOST_WEIGHT))


def _worth(began: int, weight: int, now: int, window: int) -> tuple[int, int]:
    """What is lost with a row, nothing with one that is free or whose time is over."""
    return (weight, began) if began and abs(now - began) < window else (-1, 0)


BITMAP_BITS: Final = 8192

KEY: Final = slice(0, KEY_BYTES)
"""Where the host's key is: all zero until there is one."""
SUBJECTS: Final = Rows(KEY_BYTES, 8192, 32)
"""Clients, numbers, blocks and searches: 65,536."""
IDENTITIES: Final = Rows(SUBJECTS.end, 512, 32 + BITMAP_BITS // 8)
"""Identities: 4,096, each with a bitmap of the numbers that it asked for."""
TABLE_BYTES: Final = IDENTITIES.end
"""7.5 MB."""
