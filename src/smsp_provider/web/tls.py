"""The mutual TLS of the listener, and a bound on how long a caller may take to send a request.

gunicorn's threads wait without end once the first byte of a connection is there (serving.md section 3): a few
half-open handshakes would stop the service. Here a handshake, and each request after it, has a deadline.

Source: WS-SEC-01.
"""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smsp_provider.certificates.reading import read_certificates
from smsp_provider.certificates.revocation import check_lists, read_lists

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["BoundedSocket", "Generation", "ServerTLS", "is_outdated", "is_revoked_since", "server_context"]

_ARRIVAL_SECONDS: Final = 10.0
"""How long a handshake, or a request from its first byte to its last, may take."""

_EVERY_CIPHER: Final = "DEFAULT:@SECLEVEL=0"
"""TLS before 1.2 signs with MD5 and SHA-1 together, which OpenSSL allows at no higher level."""


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """PEM files: this endpoint's certificate chain, its key, and the authorities of callers' certificates.

    ``crl`` holds a revocation list of each authority; without it revocation is not checked. ``least`` is the oldest
    TLS that is spoken: 1.2 or 1.3, or ``MINIMUM_SUPPORTED`` for all that OpenSSL knows, which is for tests only.
    """

    certificate: Path
    key: Path
    client_ca: Path
    crl: Path | None = None
    least: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that is read."""
        named = (self.certificate, self.key, self.client_ca)
        return named if self.crl is None else (*named, self.crl)


class BoundedSocket(socket.socket):
    """A connection whose requests must arrive within the bound.

    gunicorn calls ``setblocking(True)`` before each request: that is when the time begins.
    """

    waited_s = 0.0
    """How long the request that it carries waited for a thread."""
    is_ending = False
    """Whether the worker was stopping already when that request began."""

    _until = 0.0

    @cached_property
    def is_unix(self) -> bool:
        """Whether it is a unix socket. Looked up once: Python makes a member of an enum of ``family`` each time."""
        return self.family == socket.AF_UNIX

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


@dataclass(slots=True)
class Generation:
    """The files that contexts were made of; ``retired`` when other files have taken their place.

    ``look`` finds out whether they have. ``revokes`` tells of a certificate (DER) whether the lists in force have it.
    """

    retired: bool = False
    look: Callable[[], object] = lambda: None
    revokes: Callable[[bytes], bool] = lambda _: False


class _BoundedContext(ssl.SSLContext):
    """A context whose server side sockets are bounded from the handshake on."""

    sslsocket_class = _BoundedTLSSocket
    generation: Generation

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:  # noqa: ANN401 - as it is
        sock.settimeout(_ARRIVAL_SECONDS)
        wrapped = super().wrap_socket(sock, *args, **kwargs)
        wrapped.setblocking(True)
        return wrapped


def is_outdated(connection: socket.socket) -> bool:
    """Whether a connection began with files that have been replaced since, say by a longer revocation list."""
    generation = _generation_of(connection)
    if generation is None:
        return False
    # Asked here and not left to the next connection: one that is kept busy would go on until somebody else comes.
    generation.look()
    return generation.retired


def is_revoked_since(connection: object) -> bool:
    """Whether the caller's certificate is on a list that was put in place after its connection had begun."""
    generation = _generation_of(connection)
    if generation is None or not generation.retired or not isinstance(connection, ssl.SSLSocket):
        return False
    return generation.revokes(connection.getpeercert(True) or b"")


def _generation_of(connection: object) -> Generation | None:
    context = connection.context if isinstance(connection, _BoundedTLSSocket) else None
    return context.generation if isinstance(context, _BoundedContext) else None


def server_context(files: ServerTLS, generation: Generation | None = None) -> ssl.SSLContext:
    """TLS with a client certificate of ``client_ca`` required, checked against the revocation lists if there are any.

    There are no session tickets, so TLS 1.3 resumes nothing. TLS 1.2 resumes sessions from the memory of this context,
    and OpenSSL lets nobody switch that off from here: see :mod:`smsp_provider.web.tls_reload` for how long that lives.

    Raises:
        OSError: a file cannot be read.
        ssl.SSLError: a file is not what it should be, or key and certificate do not belong together.
        ValueError: a revocation list is missing, past its end or broken.
    """
    context = _BoundedContext(ssl.PROTOCOL_TLS_SERVER)
    context.generation = generation or Generation()
    context.minimum_version = files.least
    if files.least is ssl.TLSVersion.MINIMUM_SUPPORTED:
        context.set_ciphers(_EVERY_CIPHER)
    # Without a password callback OpenSSL would ask on the terminal, and a service would hang at its start.
    context.load_cert_chain(files.certificate, files.key, password=_no_password)
    context.load_verify_locations(files.client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    if files.crl is not None:
        check_lists(read_lists(files.crl), read_certificates(files.client_ca), datetime.now(UTC))
        context.load_verify_locations(files.crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    return context


def _no_password() -> str:
    raise ValueError("the private key is encrypted, which is not supported")
