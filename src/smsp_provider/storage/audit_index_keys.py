"""The keys of the search index, one for each day, wrapped with the key ring of the audit trail."""

import secrets
from typing import Final

from smsp_provider.audit.chain import SealBroken
from smsp_provider.audit.search_index import KEY_BYTES, IndexUnusable
from smsp_provider.storage.audit_keys import KeyRing

__all__ = ["IndexKeys"]

_NAME: Final = "audit-index"


class IndexKeys:
    """Makes keys of days and wraps them, each bound to its day (``YYYY-MM-DD``)."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring: Final = ring

    @property
    def current(self) -> str:
        """The id of the key that wraps what is new."""
        return self._ring.current

    def make(self) -> bytes:
        """A new key."""
        return secrets.token_bytes(KEY_BYTES)

    def wrap(self, key: bytes, day: str) -> tuple[str, bytes]:
        """A key as it is kept: the id of the key that wraps it, and itself wrapped."""
        return self._ring.current, self._ring.wrap(key, f"{_NAME}|{day}")

    def unwrap(self, key_id: str, wrapped: bytes, day: str) -> bytes:
        """The key of a day.

        Raises:
            IndexUnusable: the key ring does not open it.
        """
        try:
            return self._ring.unwrap(key_id, wrapped, f"{_NAME}|{day}")
        except SealBroken:
            raise IndexUnusable(
                f"the key ring does not open the search index of {day}: run `smsp audit reindex --day {day}`"
            ) from None
