"""Who is at the other end of the connection: the network address and, over TLS, its verified certificate.

Asked of the connection itself, never of ``wsgi.url_scheme`` or a header that a caller can choose (WS-SEC-07); behind a
proxy, of the headers that nginx sets, which are believed on the unix socket alone (:mod:`smsp_provider.web.proxy`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from ssl import SSLSocket

from cryptography import x509

from smsp_provider.certificates.identity import certificate_of
from smsp_provider.certificates.judging import Purpose, objections
from smsp_provider.domain.faults import ToolkitFault, access_denied
from smsp_provider.engine.exchange import Peer
from smsp_provider.web.proxy import forwarded_address, forwarded_certificate, is_behind_proxy
from smsp_provider.web.tls import is_revoked_since

__all__ = ["check_certificate", "is_secure", "peer_of"]


def peer_of(environ: Mapping[str, object]) -> Peer:
    """The peer of a WSGI request; ``gunicorn.socket`` is its connection.

    Raises:
        ToolkitFault: 3000, its certificate is missing or unreadable; or what nginx says of the caller is not what our
            nginx would say.
    """
    connection = environ.get("gunicorn.socket")
    if is_behind_proxy(connection):
        return _over_tls(forwarded_address(environ), forwarded_certificate(environ))
    address = str(environ.get("REMOTE_ADDR") or "")
    if not isinstance(connection, SSLSocket):
        return Peer(address)
    return _over_tls(address, connection.getpeercert(True) or b"")


def check_certificate(peer: Peer, environ: Mapping[str, object]) -> None:
    """Check what the handshake did not, or not lately: a kept connection outlives what was right when it began.

    Which authorities are trusted was the handshake's to decide.

    Raises:
        ToolkitFault: 3000, the certificate is too weak or not for clients, or by now out of its dates or revoked.
    """
    if peer.certificate is None:
        return
    if is_revoked_since(environ.get("gunicorn.socket")):
        raise _not_accepted("it was revoked")
    found, begins, ends = _judged(peer.certificate.der)
    now = datetime.now(UTC)
    if now > ends:
        found = (*found, "it has expired")
    elif now < begins:
        found = (*found, "it is not valid yet")
    if found:
        raise _not_accepted(", ".join(found))


def is_secure(environ: Mapping[str, object]) -> bool:
    """Whether the caller speaks TLS, to this provider or to nginx in front of it."""
    connection = environ.get("gunicorn.socket")
    return isinstance(connection, SSLSocket) or is_behind_proxy(connection)


def _over_tls(address: str, der: bytes) -> Peer:
    certificate = certificate_of(der)
    if certificate is None:
        raise _not_accepted("it cannot be read")
    return Peer(address, over_tls=True, certificate=certificate)


def _not_accepted(why: str) -> ToolkitFault:
    return access_denied(f"the client certificate is not accepted: {why}", rule="WS-SEC-01")


@lru_cache(maxsize=256)
def _judged(der: bytes) -> tuple[tuple[str, ...], datetime, datetime]:
    """What is wrong with a certificate, and its dates; registered clients are few, so each is looked at once."""
    certificate = x509.load_der_x509_certificate(der)
    dates = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (objections(certificate, Purpose.CLIENT), *dates)
