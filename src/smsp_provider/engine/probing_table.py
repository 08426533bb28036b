"""A bounded memory of what was counted, in the bytes of a buffer: rows that expire, found by their key in buckets.

A full bucket gives the row up that has counted least, and of those the oldest: many new callers, numbers or searches
push out what has been seen once, and not what is on its way to an alert.
"""

from struct import Struct
from typing import Final

from smsp_provider.engine.probing_traces import ROW_KEY_BYTES

__all__ = ["BITMAP_BITS", "IDENTITY_BYTES", "SUBJECT_BYTES", "TABLE_BYTES", "ProbingTable", "Rows"]

_HEAD: Final = Struct(f"<{ROW_KEY_BYTES}sIHxx")
"""Key, when the row began in seconds since 1970 (0 for a free row), and its weight."""
_WEIGHT: Final = Struct("<H")
_WEIGHT_BEFORE_BODY: Final = 4
_MOST_WEIGHT: Final = 65_535
_PLACES: Final = 8

SUBJECT_BYTES: Final = 32
BITMAP_BITS: Final = 8192
IDENTITY_BYTES: Final = 32 + BITMAP_BITS // 8
_SUBJECT_BUCKETS: Final = 8192
_IDENTITY_BUCKETS: Final = 512
_SUBJECTS_BYTES: Final = _SUBJECT_BUCKETS * _PLACES * (_HEAD.size + SUBJECT_BYTES)
TABLE_BYTES: Final = _SUBJECTS_BYTES + _IDENTITY_BUCKETS * _PLACES * (_HEAD.size + IDENTITY_BYTES)
"""7.5 MB: room for 65,536 clients, numbers, blocks and searches, and for 4,096 identities."""


class Rows:
    """Rows of one size from ``start`` on, each with a body of ``body_bytes`` that is all zero at first."""

    __slots__ = ("_buckets", "_row_bytes", "_start", "_view")

    def __init__(self, view: memoryview, start: int, buckets: int, body_bytes: int) -> None:
        self._view: Final = view
        self._start: Final = start
        self._buckets: Final = buckets
        self._row_bytes: Final = _HEAD.size + body_bytes

    def body(self, key: bytes, now: int, window: int) -> int:
        """Where the body of a row is; the row begins anew where ``window`` seconds have passed since it began."""
        view, size = self._view, self._row_bytes
        start = self._start + int.from_bytes(key) % self._buckets * _PLACES * size
        chosen, least = start, (_MOST_WEIGHT + 1, 0)
        for at in range(start, start + _PLACES * size, size):
            found, began, weight = _HEAD.unpack_from(view, at)
            # Either way: a clock that was set back must not keep rows for ever.
            is_live = began and -window < now - began < window
            if found == key:
                if is_live:
                    return at + _HEAD.size
                chosen = at
                break
            rank = (weight, began) if is_live else (-1, 0)
            if rank < least:
                chosen, least = at, rank
        # The beginning comes last: who is killed in between leaves a free row.
        _HEAD.pack_into(view, chosen, key, 0, 0)
        view[chosen + _HEAD.size : chosen + size] = bytes(size - _HEAD.size)
        _HEAD.pack_into(view, chosen, key, now, 0)
        return chosen + _HEAD.size

    def weigh(self, body: int, weight: int) -> None:
        """Set how much a row has counted."""
        _WEIGHT.pack_into(self._view, body - _WEIGHT_BEFORE_BODY, min(weight, _MOST_WEIGHT))


class ProbingTable:
    """The rows in a buffer of ``TABLE_BYTES``, for as long as nobody else uses it."""

    __slots__ = ("identities", "subjects", "view")

    def __init__(self, view: memoryview) -> None:
        self.view: Final = view
        self.subjects: Final = Rows(view, 0, _SUBJECT_BUCKETS, SUBJECT_BYTES)
        self.identities: Final = Rows(view, _SUBJECTS_BYTES, _IDENTITY_BUCKETS, IDENTITY_BYTES)
