"""The key that roots of the audit trail are signed with: an Ed25519 key in a PEM file, and the one that follows it.

The file is PKCS #8 without a password, readable by its owner alone; ``openssl pkey`` knows it. The key that will follow
stands beside it under the same name with ``.next``: whoever signs names it in a root signed by the key before, and
then puts it in its place.
"""

from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from smsp_provider.storage.private_file import PrivateFileUnusable, begin_private, read_private

__all__ = [
    "SigningKey",
    "SigningKeyFile",
    "SigningKeyUnusable",
    "make_signing_key",
    "new_signing_key",
    "public_pem",
    "read_public_key",
    "read_signing_key",
]


class SigningKeyUnusable(Exception):
    """The key is not there, open to others, or no Ed25519 key; the text is for an operator."""


class SigningKey:
    """Signs roots (:class:`smsp_provider.audit.roots.Signer`)."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key: Final = key
        self.public_key: Final = key.public_key().public_bytes_raw()

    def sign(self, statement: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(statement)

    def put_into(self, file: Path) -> bool:
        """Keep it in a new file; whether that was not there.

        Raises:
            SigningKeyUnusable: the file cannot be written.
        """
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            return begin_private(file, pem)
        except PrivateFileUnusable as error:
            raise SigningKeyUnusable(str(error)) from None


def make_signing_key(file: Path) -> bool:
    """Make a key where there is no file; whether one was made.

    Raises:
        SigningKeyUnusable: the file cannot be written.
    """
    return new_signing_key().put_into(file)


def new_signing_key() -> SigningKey:
    """A random key, in no file."""
    return SigningKey(Ed25519PrivateKey.generate())


def read_signing_key(file: Path) -> SigningKey:
    """The key in a file.

    Raises:
        SigningKeyUnusable: it is not there, open to other users, or no Ed25519 key.
    """
    try:
        key = load_pem_private_key(read_private(file), password=None)
    except PrivateFileUnusable as error:
        raise SigningKeyUnusable(str(error)) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningKeyUnusable(f"{file}: holds no key, or one with a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyUnusable(f"{file}: holds a key of another kind than Ed25519")
    return SigningKey(key)


def public_pem(public_key: bytes) -> str:
    """A public key as a PEM text, for whoever verifies."""
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def read_public_key(file: Path) -> bytes:
    """The public key in a PEM file, 32 bytes.

    Raises:
        SigningKeyUnusable: there is none.
    """
    try:
        key = load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise SigningKeyUnusable(f"{file}: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningKeyUnusable(f"{file}: holds no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SigningKeyUnusable(f"{file}: holds a key of another kind than Ed25519")
    return key.public_bytes_raw()


class SigningKeyFile:
    """The key that is in force, and the one that will be."""

    def __init__(self, file: Path) -> None:
        self.file: Final = file
        self.next_file: Final = file.with_name(f"{file.name}.next")

    def current(self) -> SigningKey:
        """The key in force.

        Raises:
            SigningKeyUnusable: it cannot be used; where it is not there, the text says how it comes to be.
        """
        try:
            is_there = self.file.exists()
        except OSError as error:
            raise SigningKeyUnusable(f"{self.file}: {error.strerror}") from None
        if not is_there:
            raise SigningKeyUnusable(
                f"{self.file}: is not there: `smsp audit signing-key init` makes it for a new trail, and outside live "
                "so does the first start; that of a trail with roots has to be restored"
            )
        return read_signing_key(self.file)

    def following(self) -> SigningKey | None:
        """The key that is to follow, where there is one.

        Raises:
            SigningKeyUnusable: there is a file, and it cannot be used.
        """
        return read_signing_key(self.next_file) if self.next_file.exists() else None

    def advance(self) -> SigningKey:
        """Put the key that follows in the place of the one in force, which is gone then.

        Raises:
            SigningKeyUnusable: it cannot be done.
        """
        try:
            self.next_file.replace(self.file)
        except OSError as error:
            raise SigningKeyUnusable(f"{self.next_file}: {error.strerror}") from None
        return self.current()
