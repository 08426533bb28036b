"""Which MessageIDs were used lately, shared by all workers of a host: a table of fixed size in a mapped file.

Unlike the audit trail it may be lost in a power cut (the window is minutes), so it never waits for the disk. Only a
digest of caller and MessageID is kept, with the moment of its use. A digest belongs to one bucket; there its place is
free again when its moment has left the window.
"""

import struct
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Final

from smsp_provider.domain.identifiers import bare_uuid
from smsp_provider.engine.ports import ReplayUnavailable
from smsp_provider.storage.shared_region import SharedRegion

__all__ = ["MappedReplayMemory"]

_KIND: Final = b"replay"
_VERSION: Final = 1
_DIGEST_BYTES: Final = 8
"""Of the twelve of a digest, after those that choose its bucket: two of one bucket agree once in 10^19."""
_BUCKET_CHOICE_BYTES: Final = 4
_PLACES: Final = 64
"""In a bucket: enough for the buckets to fill evenly, and few enough to look for a digest in all of them."""
_DIGESTS_BYTES: Final = _PLACES * _DIGEST_BYTES
_MOMENT: Final = struct.Struct("d")
_BUCKET_BYTES: Final = _DIGESTS_BYTES + _PLACES * _MOMENT.size
"""All digests of a bucket, then their moments, in seconds since 1970; 0 for a place that was never used."""
_NEVER: Final = 0.0

_PER_SECOND: Final = 400
"""Requests a second, all through the window, that there is room for; each takes 16 bytes."""
_SPARE: Final = 1.75
"""Buckets do not fill evenly: with so much more room none is full before its time."""
_FEWEST, _MOST = 2**10, 2**16
"""Buckets: 1 MB, and 67 MB, which is the bound for windows of more than an hour and a half."""


class MappedReplayMemory:
    """Keeps digests at ``path`` for ``window``; safe for threads, processes and forks, kept over restarts.

    ``buckets`` is how many; by default what the window needs. A bucket that is full of what has not
    left the window takes nothing more: that is :class:`ReplayUnavailable`, and never a wrong "repeat". A file made for
    another number of buckets is replaced by an empty one.
    """

    def __init__(self, path: Path, window: timedelta, *, buckets: int | None = None, wait_s: float = 1.0) -> None:
        self._window: Final = window.total_seconds()
        self._buckets: Final = buckets or _buckets_for(self._window)
        self._region: Final = SharedRegion(
            path, kind=_KIND, version=_VERSION, size=self._buckets * _BUCKET_BYTES, wait_s=wait_s
        )

    def is_repeat(self, caller: str, message_id: str, at: datetime) -> bool:
        """See :meth:`smsp_provider.engine.ports.ReplayMemory.is_repeat`."""
        start, digest = self._bucket_and_digest(caller, message_id)
        moment = at.timestamp()
        gone_before = moment - self._window
        try:
            with self._region.locked() as table:
                place = _place_of(digest, table, start)
                if place is None:
                    place = _free_place(digest, table, start, gone_before)
                    # The moment comes last: who is killed in between leaves a place that counts as free.
                    table[start + place * _DIGEST_BYTES : start + (place + 1) * _DIGEST_BYTES] = digest
                elif _moment_in(table, start, place) >= gone_before:
                    return True
                _MOMENT.pack_into(table, _moment_at(start, place), moment)
                return False
        except OSError as error:
            raise ReplayUnavailable(type(error).__name__) from None

    def forget(self, caller: str, message_id: str) -> None:
        """See :meth:`smsp_provider.engine.ports.ReplayMemory.forget`."""
        start, digest = self._bucket_and_digest(caller, message_id)
        try:
            with self._region.locked() as table:
                place = _place_of(digest, table, start)
                if place is not None:
                    _MOMENT.pack_into(table, _moment_at(start, place), _NEVER)
        except OSError as error:
            raise ReplayUnavailable(type(error).__name__) from None

    def _bucket_and_digest(self, caller: str, message_id: str) -> tuple[int, bytes]:
        """Where the bucket begins, in bytes, and what would stand in it."""
        digest = _digest(caller, message_id)
        choice = int.from_bytes(digest[:_BUCKET_CHOICE_BYTES])
        return choice % self._buckets * _BUCKET_BYTES, digest[_BUCKET_CHOICE_BYTES:]


def _buckets_for(window: float) -> int:
    return min(max(int(window * _PER_SECOND * _SPARE / _PLACES), _FEWEST), _MOST)


def _digest(caller: str, message_id: str) -> bytes:
    return blake2b(
        f"{caller}\n{bare_uuid(message_id)}".encode(), digest_size=_BUCKET_CHOICE_BYTES + _DIGEST_BYTES
    ).digest()


def _place_of(digest: bytes, table: memoryview, start: int) -> int | None:
    """Where in its bucket a digest stands, whether or not its moment has left the window."""
    digests = bytes(table[start : start + _DIGESTS_BYTES])
    found = digests.find(digest)
    while found % _DIGEST_BYTES and found != -1:  # the end of one and the beginning of the next
        found = digests.find(digest, found + 1)
    return None if found == -1 else found // _DIGEST_BYTES


def _free_place(digest: bytes, table: memoryview, start: int, gone_before: float) -> int:
    """A place whose moment has left the window, or that was never used.

    Each digest begins to look at another one: few have to be looked at.
    """
    for step in range(_PLACES):
        place = (digest[0] + step) % _PLACES
        if _moment_in(table, start, place) < gone_before:
            return place
    raise ReplayUnavailable("full")


def _moment_in(table: memoryview, start: int, place: int) -> float:
    (moment,) = _MOMENT.unpack_from(table, _moment_at(start, place))
    return float(moment)


def _moment_at(start: int, place: int) -> int:
    return start + _DIGESTS_BYTES + place * _MOMENT.size
