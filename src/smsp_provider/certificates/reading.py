"""Certificates and keys in PEM files, and what is wrong with a file in words for an operator."""

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

__all__ = [
    "UNREADABLE",
    "check_readable",
    "has_key",
    "names_of",
    "read_certificates",
    "read_key",
    "reason_of",
    "title_of",
]

UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for a certificate that it cannot read, at once or when a part is asked for.

OpenSSL, which decides about handshakes and takes files of authorities, lets more through.
"""


def check_readable(certificates: Iterable[x509.Certificate]) -> None:
    """Check names and dates, which are not looked at when a certificate is loaded; key and extensions may be anything.

    Raises:
        ValueError: one of them cannot be read.
    """
    try:
        for one in certificates:
            _ = one.subject, one.issuer, one.not_valid_before_utc, one.not_valid_after_utc
    except UNREADABLE:
        raise ValueError("names or dates of a certificate cannot be read") from None


def read_certificates(file: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file, in its order: at least one.

    Raises:
        OSError: it cannot be read.
        ValueError: there is none in it, or a broken one.
    """
    content = file.read_bytes()
    try:
        found = x509.load_pem_x509_certificates(content)
        check_readable(found)
    except UNREADABLE:
        raise ValueError("no PEM certificate in it, or a broken one") from None
    return found


def read_key(file: Path) -> PrivateKeyTypes:
    """The private key of a PEM file.

    Raises:
        OSError: it cannot be read.
        ValueError: there is none in it, a broken one, or an encrypted one, which a service cannot open by itself.
    """
    content = file.read_bytes()
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise ValueError("the private key is encrypted, which is not supported") from None
    except UNREADABLE:
        raise ValueError("no PEM private key in it, or a broken one") from None


def has_key(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """Whether ``key`` is the private key of ``certificate``; not where the certificate's cannot be read."""
    kind = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        return certificate.public_key().public_bytes(*kind) == key.public_key().public_bytes(*kind)
    except UNREADABLE:
        return False


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and addresses that it was issued for; a common name alone counts for nobody."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def title_of(name: x509.Name) -> str:
    """A short name of a subject or issuer: its common name, or all of it where it has none."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def reason_of(error: OSError | ValueError) -> str:
    """What is wrong with a file, in words; of the file's content nothing is repeated."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM certificate or key in it").lower().replace("_", " ")
    if isinstance(error, OSError):
        return f"{error.filename or 'the file'}: {error.strerror}"
    return str(error)
