"""Contents of the audit trail, sealed with the key of their lane and opened again.

``sealed`` is a random nonce and AES-256-GCM of salt and content; what is authenticated besides is the lane's token and
the record's number, so that no content can stand in another's place. The nonce is random, not n: a batch whose fate
was unknown may be written again with other records under the same numbers.

Source: SMSP-AUDIT-001; NIST SP 800-38D (AES-GCM: up to 2**32 random nonces for one key).
"""

import os
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smsp_provider.audit.chain import DIGEST_BYTES, SALT_BYTES, Lane, SealBroken, SealedContent
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_keys import KeyRing

__all__ = ["KeyRingUnsealer", "LaneSealer", "rewrap_lanes"]

_NONCE_BYTES: Final = 12
_RANDOM_BYTES: Final = _NONCE_BYTES + SALT_BYTES
_KEPT_LANES: Final = 256


class LaneSealer:
    """Seals the contents of one lane with a random key of its own."""

    def __init__(self, ring: KeyRing, token: str) -> None:
        key = AESGCM.generate_key(8 * DIGEST_BYTES)
        self.key_id: Final = ring.current
        self.wrapped_key: Final = ring.wrap(key, token)
        self._encrypt: Final = AESGCM(key).encrypt
        self._place: Final = f"{token}|"

    def seal(self, n: int, content: bytes) -> tuple[bytes, bytes]:
        """The commitment to a content (:func:`smsp_provider.audit.chain.commitment_of`), and the sealed content."""
        # Twice a request: one call for all that is random, and the digest without a function in between.
        random = os.urandom(_RANDOM_BYTES)
        nonce, salted = random[:_NONCE_BYTES], random[_NONCE_BYTES:] + content
        return sha256(salted).digest(), nonce + self._encrypt(nonce, salted, f"{self._place}{n}".encode())


class KeyRingUnsealer:
    """Implements :class:`smsp_provider.audit.chain.Unsealer` for whoever has the keys.

    ``read_again`` is asked once for each lane whose key is not in the ring: while a process runs, keys may change.
    """

    def __init__(self, ring: KeyRing, read_again: Callable[[], KeyRing] | None = None) -> None:
        self._ring = ring
        self._read_again = read_again
        self._ciphers: dict[tuple[str, bytes], AESGCM] = {}

    def unseal(self, lane: Lane, content: SealedContent) -> tuple[bytes, bytes]:
        """See :meth:`Unsealer.unseal`."""
        sealed = content.sealed
        place = f"{lane.token}|{content.n}".encode()
        try:
            salted = self._cipher(lane).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place)
        except (InvalidTag, ValueError):
            raise SealBroken from None
        return salted[:SALT_BYTES], salted[SALT_BYTES:]

    def _cipher(self, lane: Lane) -> AESGCM:
        name = (lane.token, lane.wrapped_key)
        cipher = self._ciphers.get(name)
        if cipher is None:
            if len(self._ciphers) >= _KEPT_LANES:
                self._ciphers.clear()
            if self._read_again is not None and lane.key_id not in self._ring.keys:
                self._ring = self._read_again()
            key = self._ring.unwrap(lane.key_id, lane.wrapped_key, lane.token)
            cipher = self._ciphers[name] = AESGCM(key)
        return cipher


def rewrap_lanes(database: AuditDatabase, ring: KeyRing) -> int:
    """Wrap the key of every lane with the current key of the ring; returns how many were not. It can be done again.

    Raises:
        SealBroken: the ring does not open the key of a lane; those before it are wrapped anew.
        AuditUnavailable: the database does not do its part.
    """
    stale = [lane for lane in database.lanes() if lane.key_id != ring.current]
    for lane in stale:
        key = ring.unwrap(lane.key_id, lane.wrapped_key, lane.token)
        database.rewrap(lane, ring.current, ring.wrap(key, lane.token))
    return len(stale)
