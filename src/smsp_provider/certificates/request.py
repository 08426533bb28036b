"""A new key and the request (CSR) for its certificate."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

__all__ = ["KeyKind", "key_as_pem", "names_asked_for", "new_key", "new_request"]

_RSA_BITS: Final = 3072
_RSA_EXPONENT: Final = 65_537
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_FQDN: Final = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_MOST_CHARACTERS: Final = 64
"""Of a common name (RFC 5280, ub-common-name)."""

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeyKind(StrEnum):
    """What keys are made: RSA with 3072 bits, or on the curve P-256."""

    RSA = "rsa"
    EC = "ec"


def new_key(kind: KeyKind) -> SigningKey:
    """A new private key."""
    if kind is KeyKind.EC:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)


def key_as_pem(key: SigningKey) -> bytes:
    """The key in PKCS#8, not encrypted: a service has to open it by itself."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_request(key: SigningKey, name: str, also: Iterable[str] = ()) -> bytes:
    """A request in PEM for ``name``, a full DNS name, and further names.

    Raises:
        ValueError: a name is not a full DNS name, or the first is too long for a common name.
    """
    names = list(dict.fromkeys((name, *also)))
    if any(_FQDN.fullmatch(one) is None for one in names) or len(name) > _MOST_CHARACTERS:
        raise ValueError(f"not a full DNS name of at most {_MOST_CHARACTERS} characters")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def names_asked_for(request: bytes, certificate: x509.Certificate) -> tuple[str, ...]:
    """The names in a request (PEM) that ``certificate`` was issued for; none if it has another key.

    Raises:
        ValueError: it is no request.
    """
    asked = x509.load_pem_x509_csr(request)
    if asked.public_key() != certificate.public_key():
        return ()
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(names.get_values_for_type(x509.DNSName))
