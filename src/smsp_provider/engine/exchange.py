"""One HTTP exchange as the engine sees it: what came in, what goes out. No HTTP library's types in either."""

from dataclasses import field

from smsp_provider.domain.clients import PeerCertificate
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked

__all__ = ["InboundExchange", "Peer", "Reply"]


@immutable
class Peer:
    """The other end of the connection. ``certificate`` is its verified certificate, None without TLS."""

    address: str
    over_tls: bool = False
    certificate: PeerCertificate | None = None

    @property
    def common_name(self) -> str | None:
        """The CN of the certificate: None without TLS, and for a certificate that has no CN."""
        return None if self.certificate is None else self.certificate.common_name


@immutable
class InboundExchange(Masked):
    """A POST, nothing of it parsed yet. ``url`` is this endpoint as the caller addressed it (for faultactor).

    ``waited_s`` is how many seconds the request waited for a thread: they count towards its time.
    """

    body: bytes
    path: str
    url: str
    peer: Peer
    content_type: str = ""
    soap_action: str | None = None
    waited_s: float = 0.0


@immutable
class Reply(Masked):
    """What goes back: an HTTP status, a content type and a body; ``headers`` are additional ones."""

    status: int
    body: bytes
    content_type: str = "text/xml; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = field(default=())
