"""The keys of the search index, one for each day, wrapped with the key ring of the audit trail."""

import secrets
from datetime import date
from typing import Final, NamedTuple

from smsp_provider.audit.chain import SealBroken
from smsp_provider.audit.search_index import KEY_BYTES, IndexUnusable
from smsp_provider.storage.audit_keys import KeyRing

__all__ = ["IndexKeys", "KeptKey"]

_NAME: Final = "audit-index"


class KeptKey(NamedTuple):
    """The key of a day as an index keeps it: the id of the key of the ring that wraps it, and itself wrapped."""

    day: date
    key_id: str
    wrapped: bytes


class IndexKeys:
    """Makes keys of days, wraps them, each bound to its day, and opens them. Usable from any thread."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring: Final = ring
        self._opened: Final[dict[date, tuple[KeptKey, bytes]]] = {}
        """The keys of the days with what they were unwrapped from: another one is there after a day was made anew."""

    @property
    def current(self) -> str:
        """The id of the key that wraps what is new."""
        return self._ring.current

    def wrap(self, day: date, key: bytes | None = None) -> KeptKey:
        """This key, or a new one, as it is to be kept."""
        wrapped = self._ring.wrap(key or secrets.token_bytes(KEY_BYTES), _name(day))
        return KeptKey(day, self._ring.current, wrapped)

    def wrap_anew(self, kept: KeptKey) -> KeptKey:
        """The same key, wrapped with the current key of the ring.

        Raises:
            IndexUnusable: see :meth:`unwrap`.
        """
        return self.wrap(kept.day, self.unwrap(kept))

    def unwrap(self, kept: KeptKey) -> bytes:
        """The key of a day.

        Raises:
            IndexUnusable: the key ring does not open it.
        """
        opened = self._opened.get(kept.day)
        if opened is None or opened[0] != kept:
            opened = self._opened[kept.day] = (kept, self._unwrapped(kept))
        return opened[1]

    def _unwrapped(self, kept: KeptKey) -> bytes:
        try:
            return self._ring.unwrap(kept.key_id, kept.wrapped, _name(kept.day))
        except SealBroken:
            raise IndexUnusable(
                f"the key ring does not open the search index of {kept.day}: run `smsp audit reindex --day {kept.day}`"
            ) from None


def _name(day: date) -> str:
    """What the wrapped key of a day is bound to."""
    return f"{_NAME}|{day.isoformat()}"
