"""The key that the seeds of second factors are sealed with: a file beside the provider, not in the database.

AES-256-GCM with a random nonce; the name of the account is bound in, so that nobody can give one account the seed of
another.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smsp_provider.storage.private_file import PrivateFileUnusable, begin_private, read_private

__all__ = ["KeyUnusable", "SeedKey", "make_key", "read_key"]

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class KeyUnusable(Exception):
    """The key is not there, open to others, no key, or not the one; the text is for an operator."""


class SeedKey:
    """Seals and opens seeds."""

    def __init__(self, key: bytes) -> None:
        self._cipher: Final = AESGCM(key)

    def seal(self, account: str, seed: bytes) -> bytes:
        """The sealed seed of an account."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, seed, account.encode("utf-8"))

    def open(self, account: str, sealed: bytes) -> bytes:
        """The seed of an account.

        Raises:
            KeyUnusable: it was sealed with another key, for another account, or was changed.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], account.encode("utf-8"))
        except (InvalidTag, ValueError):
            raise KeyUnusable(f"it is not the key that the second factor of {account} was sealed with") from None


def make_key(file: Path) -> None:
    """Make a key where there is none.

    Raises:
        KeyUnusable: the file cannot be written.
    """
    try:
        begin_private(file, f"{os.urandom(_KEY_BYTES).hex()}\n".encode("ascii"))
    except PrivateFileUnusable as error:
        raise KeyUnusable(str(error)) from None


def read_key(file: Path) -> SeedKey:
    """The key in a file.

    Raises:
        KeyUnusable: it is not there, open to other users, or no key.
    """
    try:
        key = bytes.fromhex(read_private(file).decode("ascii"))
    except PrivateFileUnusable as error:
        raise KeyUnusable(str(error)) from None
    except ValueError:
        raise KeyUnusable(f"{file}: holds no key") from None
    if len(key) != _KEY_BYTES:
        raise KeyUnusable(f"{file}: holds no key")
    return SeedKey(key)
