"""Whether a certificate is good enough: its key, its signature, and what it was issued for.

OpenSSL refuses most of this in the handshake. It is asked again here, of every certificate that reaches the service,
because a listener may allow old TLS, whose security level is lower, and a proxy may have other rules.

Source: WS-SEC-01.
"""

from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from smsp_provider.certificates.reading import UNREADABLE

__all__ = ["Purpose", "objections", "weaknesses"]

_LEAST_RSA_BITS: Final = 2048
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_EDWARDS: Final = (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
_BROKEN_HASHES: Final = frozenset({"md5", "sha1"})


class Purpose(Enum):
    """What a certificate is shown for; the value is the name of the extended key usage."""

    CLIENT = "clientAuth"
    SERVER = "serverAuth"


_OIDS: Final = {Purpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH, Purpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH}


def objections(certificate: x509.Certificate, purpose: Purpose) -> tuple[str, ...]:
    """Why ``certificate`` is not accepted for ``purpose``; empty if it is. No text holds a value of the certificate.

    A certificate without any extended key usage is not accepted: RFC 5280 would allow every use, and such a one was
    not issued for this. Dates, chain and revocation are not looked at.
    """
    found = list(weaknesses(certificate))
    try:
        extensions = certificate.extensions
        if _is_authority(extensions):
            found.append("it belongs to an authority")
        if not _is_for(extensions, purpose):
            found.append(f"it was not issued for {purpose.value}")
    except UNREADABLE:
        found.append("its extensions cannot be read")
    return tuple(found)


def weaknesses(certificate: x509.Certificate) -> tuple[str, ...]:
    """What is too weak: RSA below 2048 bits, curves other than P-256, P-384 and P-521, signatures with SHA-1 or MD5."""
    found = []
    try:
        key = certificate.public_key()
    except UNREADABLE:
        return ("its key cannot be read",)
    strong = (
        key.key_size >= _LEAST_RSA_BITS
        if isinstance(key, rsa.RSAPublicKey)
        else isinstance(key.curve, _CURVES)
        if isinstance(key, ec.EllipticCurvePublicKey)
        else isinstance(key, _EDWARDS)
    )
    if not strong:
        found.append("its key is too weak")
    if _signature_hash(certificate) in _BROKEN_HASHES:
        found.append("its signature is too weak")
    return tuple(found)


def _signature_hash(certificate: x509.Certificate) -> str | None:
    """The name of the hash, None for the signatures of Edwards curves, which have none of their own."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UNREADABLE:  # of a kind that nobody knows
        return "md5"
    return None if algorithm is None else algorithm.name


def _is_authority(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_for(extensions: x509.Extensions, purpose: Purpose) -> bool:
    try:
        return _OIDS[purpose] in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
