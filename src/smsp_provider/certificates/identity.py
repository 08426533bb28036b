"""What identifies an X.509 certificate, read from its DER."""

import hashlib
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from smsp_provider.certificates.reading import UNREADABLE, check_readable
from smsp_provider.domain.clients import PeerCertificate

__all__ = ["certificate_of"]


@lru_cache(maxsize=256)
def certificate_of(der: bytes) -> PeerCertificate | None:
    """What identifies a DER certificate; None where it cannot be read, and then nobody is recognised by it.

    Registered clients are few, so each certificate is read once. Whether its authority is trusted is decided elsewhere.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        check_readable([certificate])
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return PeerCertificate(
            fingerprint=hashlib.sha256(der).hexdigest(),
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            common_name=str(names[0].value) if len(names) == 1 else None,
            der=der,
        )
    except UNREADABLE:
        return None
