"""Who is at the other end of the connection: the network address and, over TLS, its verified certificate.

Asked of the connection itself, never of ``wsgi.url_scheme`` or a header that a caller can choose (WS-SEC-07); behind a
proxy, of the headers that nginx sets, which are believed on the unix socket alone (:mod:`smsp_provider.web.proxy`).
"""

from collections.abc import Mapping
from functools import lru_cache
from ssl import SSLSocket

from cryptography import x509

from smsp_provider.certificates.identity import certificate_of
from smsp_provider.certificates.judging import Purpose, objections
from smsp_provider.domain.clients import PeerCertificate
from smsp_provider.domain.faults import access_denied
from smsp_provider.engine.exchange import Peer
from smsp_provider.web.proxy import forwarded_address, forwarded_certificate, is_behind_proxy

__all__ = ["is_secure", "peer_of"]


def peer_of(environ: Mapping[str, object]) -> Peer:
    """The peer of a WSGI request; ``gunicorn.socket`` is its connection.

    Raises:
        ToolkitFault: 3000, its certificate is missing, unreadable, too weak or not for clients; or what nginx says of
            the caller is not what our nginx would say.
    """
    connection = environ.get("gunicorn.socket")
    if is_behind_proxy(connection):
        return Peer(forwarded_address(environ), over_tls=True, certificate=_accepted(forwarded_certificate(environ)))
    address = str(environ.get("REMOTE_ADDR") or "")
    if not isinstance(connection, SSLSocket):
        return Peer(address)
    return Peer(address, over_tls=True, certificate=_accepted(connection.getpeercert(True) or b""))


def is_secure(environ: Mapping[str, object]) -> bool:
    """Whether the caller speaks TLS, to this provider or to nginx in front of it."""
    connection = environ.get("gunicorn.socket")
    return isinstance(connection, SSLSocket) or is_behind_proxy(connection)


def _accepted(der: bytes) -> PeerCertificate:
    certificate, objection = _judged(der)
    if certificate is None or objection:
        raise access_denied(f"the client certificate is not accepted: {objection}", rule="WS-SEC-01")
    return certificate


@lru_cache(maxsize=256)
def _judged(der: bytes) -> tuple[PeerCertificate | None, str]:
    """The certificate and what is wrong with it; registered clients are few, so each is looked at once.

    Which authorities are trusted, the dates and the revocation lists were the handshake's to decide.
    """
    certificate = certificate_of(der)
    if certificate is None:
        return None, "it cannot be read"
    return certificate, ", ".join(objections(x509.load_der_x509_certificate(der), Purpose.CLIENT))
