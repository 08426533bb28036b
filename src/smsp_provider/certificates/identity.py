"""What identifies an X.509 certificate, read from its DER."""

import hashlib
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from smsp_provider.certificates.reading import UNREADABLE, check_readable
from smsp_provider.domain.clients import PeerCertificate

__all__ = ["certificate_of", "naming_concern"]


@lru_cache(maxsize=256)
def certificate_of(der: bytes) -> PeerCertificate | None:
    """What identifies a DER certificate; None where it cannot be read, and then nobody is recognised by it.

    Registered clients are few, so each certificate is read once. Whether its authority is trusted is decided elsewhere.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        check_readable([certificate])
        names = _common_names(certificate)
        return PeerCertificate(
            fingerprint=hashlib.sha256(der).hexdigest(),
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            common_name=names[0] if len(names) == 1 else None,
            der=der,
        )
    except UNREADABLE:
        return None


def naming_concern(certificate: x509.Certificate) -> str | None:
    """What somebody who registers a certificate should know about its common name; None where there is just one."""
    count = len(_common_names(certificate))
    if count == 1:
        return None
    how_many = "has no common name" if count == 0 else f"has {count} common names"
    return f"{how_many}: no username matches it, so nobody is let in by it where security.username is require-match"


def _common_names(certificate: x509.Certificate) -> list[str]:
    return [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
