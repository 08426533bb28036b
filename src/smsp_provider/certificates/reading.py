"""Certificates and keys in PEM files, and what is wrong with a file in words for an operator."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

__all__ = ["has_key", "names_of", "read_certificates", "read_key", "reason_of", "title_of"]


def read_certificates(file: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file, in its order: at least one.

    Raises:
        OSError: it cannot be read.
        ValueError: there is none in it, or a broken one.
    """
    content = file.read_bytes()
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError("no PEM certificate in it, or a broken one") from None


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
    except ValueError:
        raise ValueError("no PEM private key in it, or a broken one") from None


def has_key(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """Whether ``key`` is the private key of ``certificate``."""
    kind = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*kind) == key.public_key().public_bytes(*kind)


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and addresses that it was issued for; a common name alone counts for nobody."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
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
