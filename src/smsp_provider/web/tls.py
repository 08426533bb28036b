"""The mutual TLS of the listener, and a bound on how long a caller may take to send a request.

gunicorn's threads wait without end once the first byte of a connection is there (serving.md section 3): a few
half-open handshakes would stop the service. Here a handshake, and each request after it, has a deadline.

Source: WS-SEC-01.
"""

import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["BoundedSocket", "ServerTLS", "server_context"]

_ARRIVAL_SECONDS: Final = 10.0
"""How long a handshake, or a request from its first byte to its last, may take."""


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """PEM files: this endpoint's certificate chain, its key, and the authorities of callers' certificates."""

    certificate: Path
    key: Path
    client_ca: Path


class BoundedSocket(socket.socket):
    """A connection whose requests must arrive within the bound.

    gunicorn calls ``setblocking(True)`` before each request: that is when the time begins.
    """

    _until = 0.0

    @classmethod
    def taking_over(cls, sock: socket.socket) -> "BoundedSocket":
        """The same connection, bounded; ``sock`` no longer has it."""
        return cls(sock.family, sock.type, sock.proto, fileno=sock.detach())

    def setblocking(self, flag: bool, /) -> None:
        """Begin the time of the next request."""
        self._until = time.monotonic() + _ARRIVAL_SECONDS
        self.settimeout(_ARRIVAL_SECONDS if flag else 0.0)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive within what is left of the bound, or within the socket's timeout if that is shorter."""
        remaining = self._until - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the request did not arrive in time")
        # gunicorn asks for less while it closes a connection or reads what is left of a request.
        asked = self.gettimeout()
        self.settimeout(remaining if asked is None else min(remaining, asked))
        return super().recv(buflen, flags)

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Send within the bound."""
        self.settimeout(_ARRIVAL_SECONDS)
        super().sendall(data, flags)


class _BoundedTLSSocket(BoundedSocket, ssl.SSLSocket):
    """The same over TLS."""


class _BoundedContext(ssl.SSLContext):
    """A context whose server side sockets are bounded from the handshake on."""

    sslsocket_class = _BoundedTLSSocket

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:  # noqa: ANN401 - as it is
        sock.settimeout(_ARRIVAL_SECONDS)
        wrapped = super().wrap_socket(sock, *args, **kwargs)
        wrapped.setblocking(True)
        return wrapped


def server_context(files: ServerTLS) -> ssl.SSLContext:
    """TLS 1.2 or later with a client certificate of ``client_ca`` required. One context serves all connections.

    Sessions are not resumed: every connection shows its certificate and has it checked.

    Raises:
        OSError: a file cannot be read.
        ssl.SSLError: a file is not what it should be, or key and certificate do not belong together.
    """
    context = _BoundedContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    return context
