"""Who is at the other end of the connection: the network address and, over TLS, its verified certificate.

Asked of the socket itself, never of a header or of ``wsgi.url_scheme``: a caller can choose those (WS-SEC-07).
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from ssl import SSLSocket

from cryptography import x509
from cryptography.x509.oid import NameOID

from smsp_provider.domain.clients import PeerCertificate
from smsp_provider.engine.exchange import Peer

__all__ = ["certificate_of", "peer_of"]


def peer_of(environ: Mapping[str, object]) -> Peer:
    """The peer of a WSGI request; ``gunicorn.socket`` is its connection."""
    address = str(environ.get("REMOTE_ADDR") or "")
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, SSLSocket):
        return Peer(address)
    certificate = connection.getpeercert(True)
    return Peer(address, over_tls=True, certificate=certificate_of(certificate) if certificate else None)


@lru_cache(maxsize=256)
def certificate_of(der: bytes) -> PeerCertificate | None:
    """What identifies a DER certificate; None where it cannot be read, and then nobody is recognised by it.

    Registered clients are few, so each certificate is read once. Which authorities are trusted was decided by the
    handshake.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return PeerCertificate(
            fingerprint=hashlib.sha256(der).hexdigest(),
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            common_name=str(names[0].value) if len(names) == 1 else None,
            der=der,
        )
    except ValueError:
        return None
