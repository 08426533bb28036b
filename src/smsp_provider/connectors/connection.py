"""Connections that keep a deadline and tell how far a call came: what urllib3's pool does not do by itself.

urllib3 bounds each single read, so a peer that drips one byte a second could hold a thread for hours; it tries every
address of a host for the full timeout; and the exceptions of its pool do not tell a failed handshake from a lost
answer. The classes here are given to the pools as their connection classes.
"""

import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPResponse as StandardResponse
from typing import Any, Final, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from smsp_provider.connectors.names import addresses_of

__all__ = ["MAX_IDLE_SECONDS", "PlainConnection", "Stale", "TLSConnection", "Unconnected"]

MAX_IDLE_SECONDS: Final = 30.0
"""Older idle connections are not used again: a firewall may have forgotten them without telling either end."""


class Unconnected(HTTPError):
    """No usable connection was made, and nothing was asked. ``why`` is one of a few fixed texts."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Stale(HTTPError):
    """A kept connection turned out to be closed by the peer when it was used again."""


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket up to one moment: every read gets the time that is left, not a time of its own."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, read_by: float) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._read_by = read_by

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer, as io defines it
        left = self._read_by - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        # The raw reader holds the socket open while a response that ends with its connection is being read.
        self._raw.close()
        super().close()


class _DeadlineResponse(StandardResponse):
    """A response whose status line, headers and body must all come up to one moment on the monotonic clock."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, *, read_by: float) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, read_by))


class _DeadlineConnection(HTTPConnection):
    """What both kinds of connection share."""

    _answered_at: float | None = None
    """When this connection last brought an answer; None while it has not been used."""

    @property
    def is_connected(self) -> bool:
        """Whether the connection may carry another request: open, silent, and not idle for long."""
        if self._answered_at is not None and time.monotonic() - self._answered_at > MAX_IDLE_SECONDS:
            return False
        # Decrypted bytes that nobody asked for wait inside the TLS layer, where the check of the socket is blind.
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        return super().is_connected

    def connect(self) -> None:
        """Connect within ``timeout`` seconds, the look-up of the host's name included.

        Raises:
            Unconnected: it failed, and why.
        """
        self._answered_at = None
        try:
            super().connect()
        except Unconnected:
            raise
        except TimeoutError:
            raise self._failed("no TLS handshake in time") from None
        except ssl.SSLCertVerificationError:
            raise self._failed("the certificate of the server is not trusted") from None
        except ssl.SSLError:
            raise self._failed("the TLS handshake failed") from None
        except (HTTPError, OSError, ValueError):
            raise self._failed("the connection was lost while it was made") from None

    def _failed(self, why: str) -> Unconnected:
        self.close()
        return Unconnected(why)

    def _new_conn(self) -> socket.socket:
        """A connected socket; look-up and all addresses share one timeout, and the handshake gets what is left."""
        connect_by = time.monotonic() + (self.timeout or 0.0)
        try:
            addresses = addresses_of(self._dns_host, self.port, self.timeout or 0.0)
        except TimeoutError:
            raise Unconnected("the name of the server was not resolved in time") from None
        except (OSError, UnicodeError, RuntimeError):
            raise Unconnected("the name of the server cannot be resolved") from None
        for family, kind, protocol, _, address in addresses:
            left = connect_by - time.monotonic()
            if left <= 0:
                break
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(left)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                sock.settimeout(max(connect_by - time.monotonic(), 0.001))
            except OSError:
                sock.close()
                continue
            return sock
        raise Unconnected("no address of the server accepted a connection")

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on untouched
        """Send a request, telling a connection that was closed while it was idle from other failures."""
        with self._failures_told_apart():
            super().request(*args, **kwargs)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3 returns its own kind, and says so itself
        """The status and headers; they and the body must come within ``timeout`` seconds from here.

        Raises:
            Stale: a kept connection was closed by the peer.
            Unconnected: the peer refused the TLS handshake, which in TLS 1.3 shows only now.
        """
        read_by = time.monotonic() + (self.timeout or 0.0)
        # http.client calls the class to make a response and needs no more of it than that.
        self.response_class = partial(_DeadlineResponse, read_by=read_by)  # type: ignore[assignment]  # only called
        with self._failures_told_apart():
            response = super().getresponse()
        self._answered_at = time.monotonic()
        return response

    @contextmanager
    def _failures_told_apart(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            if self._answered_at is None:
                raise
            raise Stale from None
        except ssl.SSLError as error:
            if self._answered_at is None and "ALERT" in (error.reason or ""):
                raise Unconnected("the server refused the TLS handshake") from None
            raise


class PlainConnection(_DeadlineConnection):
    """Without TLS: for a peer on this machine only."""


class TLSConnection(_DeadlineConnection, HTTPSConnection):
    """With TLS."""
