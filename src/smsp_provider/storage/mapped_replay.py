"""Which MessageIDs were used lately, shared by all workers of a host: a table of fixed size in a mapped file.

Unlike the audit trail it may be lost in a power cut (the window is minutes), so it never waits for the disk. Only a
digest of caller and MessageID is kept, with the moment of its use. A digest belongs to one bucket; there its place is
free again when its moment has left the window.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
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
_DIGEST_BYTES: Final = 16
_PLACES: Final = 64
"""In a bucket: enough for the buckets to fill evenly, and few enough to look at all of them."""
_DIGESTS_BYTES: Final = _PLACES * _DIGEST_BYTES
_MOMENT: Final = struct.Struct("d")
_MOMENTS: Final = struct.Struct(f"{_PLACES}d")
_BUCKET_BYTES: Final = _DIGESTS_BYTES + _MOMENTS.size
"""All digests of a bucket, then their moments, in seconds since 1970; 0 for a place that was never used."""
_NEVER: Final = 0.0

_PER_SECOND: Final = 1000
"""Requests a second, all through the window, that there is room for; each takes 24 bytes."""
_FEWEST, _MOST = 2**10, 2**16
"""Buckets: 1.5 MB, and 100 MB, which is the bound for windows of more than an hour."""


class MappedReplayMemory:
    """Keeps digests at ``path`` for ``window``; safe for threads, processes and forks, kept over restarts.

    ``buckets`` is how many, a power of two; by default what the window needs. A bucket that is full of what has not
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
        digest, moment = _digest(caller, message_id), at.timestamp()
        gone_before = moment - self._window
        with self._bucket_of(digest) as bucket:
            moments = _MOMENTS.unpack_from(bucket, _DIGESTS_BYTES)
            place = _place_of(digest, bucket)
            if place is None:
                place = moments.index(min(moments))
                if moments[place] >= gone_before:
                    raise ReplayUnavailable("full")
                # The moment comes last: who is killed in between leaves a place that counts as free.
                bucket[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES] = digest
            elif moments[place] >= gone_before:
                return True
            _set_moment(bucket, place, moment)
            return False

    def forget(self, caller: str, message_id: str) -> None:
        """See :meth:`smsp_provider.engine.ports.ReplayMemory.forget`."""
        digest = _digest(caller, message_id)
        with self._bucket_of(digest) as bucket:
            place = _place_of(digest, bucket)
            if place is not None:
                _set_moment(bucket, place, _NEVER)

    @contextmanager
    def _bucket_of(self, digest: bytes) -> Iterator[memoryview]:
        """The bucket of a digest, with nobody else at the table.

        Raises:
            ReplayUnavailable: the table cannot be opened, or was held for too long.
        """
        start = int.from_bytes(digest[:4]) % self._buckets * _BUCKET_BYTES
        try:
            with self._region.locked() as table:
                yield table[start : start + _BUCKET_BYTES]
        except OSError as error:
            raise ReplayUnavailable(type(error).__name__) from None


def _buckets_for(window: float) -> int:
    needed = int(window * _PER_SECOND) // _PLACES
    return min(max(1 << needed.bit_length(), _FEWEST), _MOST)


def _digest(caller: str, message_id: str) -> bytes:
    return blake2b(f"{caller}\n{bare_uuid(message_id)}".encode(), digest_size=_DIGEST_BYTES).digest()


def _place_of(digest: bytes, bucket: memoryview) -> int | None:
    """Where in its bucket a digest stands, whether or not its moment has left the window."""
    digests = bytes(bucket[:_DIGESTS_BYTES])
    found = digests.find(digest)
    while found % _DIGEST_BYTES and found != -1:  # the end of one and the beginning of the next
        found = digests.find(digest, found + 1)
    return None if found == -1 else found // _DIGEST_BYTES


def _set_moment(bucket: memoryview, place: int, moment: float) -> None:
    _MOMENT.pack_into(bucket, _DIGESTS_BYTES + place * _MOMENT.size, moment)
