"""The key ring of the audit trail: the keys that the keys of lanes are wrapped with.

The contents of a lane are encrypted with a random key of the lane; that key is kept beside them, wrapped with a key of
this ring. So a new current key costs a new wrapping of each lane, and no content is touched.

A ring is text, one key a line: its id, a space, and 64 hexadecimal digits. The last one is current: it wraps what is
new, the others open what they have wrapped. Lines that begin with ``#`` are comments.

Source: SMSP-AUDIT-001; NIST SP 800-38D (AES-GCM).
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smsp_provider.audit.chain import SealBroken
from smsp_provider.storage.private_file import PrivateFileUnusable, begin_private, place_private, read_private

__all__ = [
    "AuditKeysUnusable",
    "KeyRing",
    "begin_key_ring",
    "key_ring_from_environment",
    "new_key_ring",
    "read_key_ring",
    "rotate_key_ring",
]

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADER: Final = "# Keys of the audit trail: without them nobody can read it. The last one is current.\n"


class AuditKeysUnusable(Exception):
    """There are no keys, others can read them, or they are none; the text is for an operator and holds none of them."""


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """Wraps and unwraps keys. ``keys`` are by id, each of 32 bytes; ``current`` is the id of one of them."""

    keys: Mapping[str, bytes]
    current: str
    _ciphers: dict[str, AESGCM] = field(default_factory=dict, compare=False)

    def wrap(self, key: bytes, name: str) -> bytes:
        """A key, wrapped with the current one and bound to the ``name`` of what it opens."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(self.current).encrypt(nonce, key, name.encode("utf-8"))

    def unwrap(self, key_id: str, wrapped: bytes, name: str) -> bytes:
        """The key that was wrapped with the key ``key_id``.

        Raises:
            SealBroken: that key is not in the ring, or it was not this one, or not for this name.
        """
        if key_id not in self.keys:
            raise SealBroken(key_id)
        try:
            return self._cipher(key_id).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], name.encode("utf-8"))
        except (InvalidTag, ValueError):
            raise SealBroken from None

    def text(self) -> str:
        """The ring as it stands in its file."""
        others = [key_id for key_id in self.keys if key_id != self.current]
        return _HEADER + "".join(f"{key_id} {self.keys[key_id].hex()}\n" for key_id in (*others, self.current))

    def _cipher(self, key_id: str) -> AESGCM:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            cipher = self._ciphers[key_id] = AESGCM(self.keys[key_id])
        return cipher


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the ring of a provider is: in ``variable`` of the environment where one is named, else in ``file``.

    ``may_begin``: a file that is not there is made, with a new trail only.
    """

    file: Path
    variable: str | None = None
    may_begin: bool = False

    def load(self, now: datetime, *, is_new: bool) -> KeyRing:
        """The ring; ``is_new`` tells that nothing was ever written with it.

        Raises:
            AuditKeysUnusable: there is none.
        """
        if self.variable is not None:
            return key_ring_from_environment(self.variable)
        return begin_key_ring(self.file, now) if self.may_begin and is_new else read_key_ring(self.file)


def read_key_ring(file: Path) -> KeyRing:
    """The ring in a file.

    Raises:
        AuditKeysUnusable: it is not there, open to other users, or no ring.
    """
    try:
        return _parsed(read_private(file).decode("ascii"), str(file))
    except PrivateFileUnusable as error:
        raise AuditKeysUnusable(str(error)) from None
    except UnicodeDecodeError:
        raise AuditKeysUnusable(f"{file}: holds no keys") from None


def key_ring_from_environment(variable: str) -> KeyRing:
    """The ring in a variable of the environment.

    Raises:
        AuditKeysUnusable: it is not set, or holds no ring.
    """
    text = os.environ.get(variable)
    if text is None:
        raise AuditKeysUnusable(f"{variable} is not set")
    return _parsed(text, variable)


def begin_key_ring(file: Path, now: datetime) -> KeyRing:
    """The ring in a file, with one random key where there is no file. Several processes may do so at once.

    Raises:
        AuditKeysUnusable: it can be neither read nor made.
    """
    try:
        begin_private(file, new_key_ring(now).text().encode("ascii"))
    except PrivateFileUnusable as error:
        raise AuditKeysUnusable(str(error)) from None
    return read_key_ring(file)


def new_key_ring(now: datetime) -> KeyRing:
    """A ring of one random key, in no file."""
    return _with_new_key({}, now)


def rotate_key_ring(file: Path, now: datetime, record: Callable[[str, str], None]) -> KeyRing:
    """Add a random key to the ring in a file and make it current; the others stay.

    ``record`` is called with the ids of the current key and of the one that will be, before that one is there.

    Raises:
        AuditKeysUnusable: it cannot be read or written.
    """
    present = read_key_ring(file)
    ring = _with_new_key(present.keys, now)
    record(present.current, ring.current)
    try:
        place_private(file, ring.text().encode("ascii"), new=False)
    except OSError as error:
        raise AuditKeysUnusable(f"{file}: {error.strerror}") from None
    return ring


def _with_new_key(keys: Mapping[str, bytes], now: datetime) -> KeyRing:
    day = f"{now:%Y-%m-%d}"
    number = 1
    while (key_id := f"{day}.{number}") in keys:
        number += 1
    return KeyRing({**keys, key_id: os.urandom(_KEY_BYTES)}, key_id)


def _parsed(text: str, place: str) -> KeyRing:
    keys: dict[str, bytes] = {}
    current = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        current, _, digits = line.strip().partition(" ")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES or _ID.fullmatch(current) is None or current in keys:
            raise AuditKeysUnusable(f"{place}: a line that is no key, or a key that is there twice")
        keys[current] = key
    if not keys:
        raise AuditKeysUnusable(f"{place}: holds no keys")
    return KeyRing(keys, current)
