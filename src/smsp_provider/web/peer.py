"""Who is at the other end of the connection: the network address and, over TLS, the name in its verified certificate.

Asked of the socket itself, never of a header or of ``wsgi.url_scheme``: a caller can choose those (WS-SEC-07).
"""

from collections.abc import Mapping
from functools import lru_cache
from ssl import SSLSocket

from cryptography import x509
from cryptography.x509.oid import NameOID

from smsp_provider.engine.exchange import Peer

__all__ = ["common_name_of", "peer_of"]


def peer_of(environ: Mapping[str, object]) -> Peer:
    """The peer of a WSGI request; ``gunicorn.socket`` is its connection."""
    address = str(environ.get("REMOTE_ADDR") or "")
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, SSLSocket):
        return Peer(address)
    certificate = connection.getpeercert(True)
    return Peer(address, over_tls=True, common_name=common_name_of(certificate) if certificate else None)


@lru_cache(maxsize=256)
def common_name_of(certificate: bytes) -> str | None:
    """The common name of the subject of a DER certificate; None where it has none, or more than one.

    Registered clients are few, so each certificate is read once. Which authorities are trusted was decided by the
    handshake; a certificate that cannot be read has no name.
    """
    try:
        names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return None
    return str(names[0].value) if len(names) == 1 else None
