"""Carries one request to Spine and brings back the whole answer within the deadline, or says how far it came.

One pool of kept connections per process and endpoint, one TLS context. Nothing that urllib3 raises or logs leaves this
module: its texts can quote addresses and bodies.

Retry: a kept connection that the server closed while it was idle is replaced by a new one, once, within the deadline.
Queries change nothing and may be repeated (pds-hl7v3.md, section 9). Nothing else is sent twice here.

Source: pds-hl7v3.md, section 2; pds-services.md, the one table; serving.md, section 4; safety.md, section 2.
"""

import logging
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from smsp_provider.connectors.connection import PlainConnection, Stale, TLSConnection, Unconnected
from smsp_provider.domain.failures import NoCapacity, NotSent, Refused, SentNoAnswer, Unreadable
from smsp_provider.domain.masking import Masked
from smsp_provider.engine.ports import Clock, Deadline

__all__ = [
    "ClientTLS",
    "HTTPAnswer",
    "HTTPTransport",
    "SpineTransport",
    "TransportLimits",
    "client_context",
    "server_only_context",
]

_OK: Final = 200
_MULTIPLE_CHOICES: Final = 300
_SERVER_ERROR: Final = 500
_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """What is needed to be known to Spine and to know it: PEM files, and nothing from the machine's own trust store.

    ``strict_chain`` False drops RFC 5280's strict rules, which Python 3.13 applies by default and some older NHS
    certificate chains do not keep.
    """

    ca_file: Path
    certificate_file: Path
    key_file: Path
    strict_chain: bool = True


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Bounds of the transport: calls at the same time, seconds to connect, and bytes of an answer."""

    max_in_flight: int = 64
    connect_seconds: float = 5.0
    max_answer_bytes: int = 1_000_000


@dataclass(frozen=True, slots=True, repr=False)
class HTTPAnswer(Masked):
    """A whole answer; names of ``headers`` are compared without regard to case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class _Request(Masked):
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = PlainConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = TLSConnection


def client_context(tls: ClientTLS) -> ssl.SSLContext:
    """The TLS context of a client: TLS 1.2 or later, the own certificate, the given CAs only, host names checked.

    Raises:
        OSError: a file is missing or is not what it should be (``ssl.SSLError`` is one).
    """
    context = server_only_context(tls.ca_file)
    if not tls.strict_chain:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_cert_chain(str(tls.certificate_file), str(tls.key_file))
    return context


def server_only_context(ca_file: Path | None) -> ssl.SSLContext:
    """The TLS context of a client without a certificate: TLS 1.2 or later, host names checked.

    Servers must chain to ``ca_file``; without one, to an authority that the machine trusts.

    Raises:
        OSError: the file is missing or is not what it should be (``ssl.SSLError`` is one).
    """
    cafile = str(ca_file) if ca_file is not None else None
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=cafile)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class HTTPTransport:
    """Calls one server: every status is an answer, redirects too, which are never followed.

    Transports that are given the same ``slots`` keep to one bound on the calls in flight together, in place of
    ``max_in_flight`` each. A request that met a kept connection which the peer had closed is sent again at once, unless
    ``resend`` is False: for callers that send again by themselves, and have to count what is sent.

    Safe to build before a fork: the connections, and only they, are made at the first call in each process that uses
    its own copy. Thread-safe.

    Raises:
        ValueError: the URL is not https (http is for loopback hosts only), has no host, or carries user information;
            or https without a TLS context.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        context: ssl.SSLContext | None = None,
        limits: TransportLimits | None = None,
        slots: threading.Semaphore | None = None,
        *,
        resend: bool = True,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.fragment:
            raise ValueError("the Spine endpoint must be a plain https URL with a host")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("http is allowed to loopback hosts only: use https for the Spine endpoint")
        if parts.scheme == "https" and context is None:
            raise ValueError("an https endpoint needs a TLS context")
        self.url: Final = url
        self.authority: Final = parts.netloc
        """Host and port of ``url``, as the audit trail names an endpoint."""
        self._host: Final = parts.hostname
        self._port: Final = parts.port
        self.target: Final = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        """Path and query of ``url``."""
        self._context: Final = context if parts.scheme == "https" else None
        self._clock: Final = clock
        self._limits: Final = limits or TransportLimits()
        self._slots: Final = slots or threading.BoundedSemaphore(self._limits.max_in_flight)
        self._resend: Final = resend
        self._lock: Final = threading.Lock()
        self._pool: HTTPConnectionPool | None = None
        # urllib3 logs targets and headers at DEBUG and WARNING; its loggers inherit this level from their parent.
        logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)

    def call(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> HTTPAnswer:
        """Send a request for ``target`` (path and query, escaped) and return the whole answer.

        Raises:
            NoCapacity: as many calls as allowed are in flight; nothing was sent.
            NotSent: no time left, no connection, no TLS.
            SentNoAnswer: no whole answer in time, or the connection broke.
            Unreadable: an encoded or an oversized body.
        """
        if not self._slots.acquire(blocking=False):
            raise NoCapacity("as many calls to Spine as allowed are in flight")
        request = _Request(method, target, headers, body)
        try:
            try:
                return self._exchange(request, deadline)
            except Stale:
                # The others that waited as long are as dead: the second attempt must not meet another one.
                self.close_idle()
                if not self._resend:
                    raise _closed_unanswered() from None
                return self._exchange_again(request, deadline)
        finally:
            self._slots.release()

    def close_idle(self) -> None:
        """Drop every kept connection; those in use are closed when their call ends."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _exchange_again(self, request: _Request, deadline: Deadline) -> HTTPAnswer:
        try:
            return self._exchange(request, deadline)
        except (Stale, NotSent):
            # NotSent would claim that Spine has seen nothing; the first attempt may have reached it.
            raise _closed_unanswered() from None

    def _exchange(self, request: _Request, deadline: Deadline) -> HTTPAnswer:
        left = deadline.remaining(self._clock)
        if left <= 0:
            raise NotSent("no time was left to ask Spine")
        with _translated():
            response = self._connections().urlopen(
                request.method,
                request.target,
                request.body,
                request.headers,
                retries=False,
                redirect=False,
                timeout=Timeout(connect=min(left, self._limits.connect_seconds), total=left),
                preload_content=False,
                decode_content=False,
            )
        return self._answer(response)

    def _connections(self) -> HTTPConnectionPool:
        with self._lock:
            if self._pool is None:
                size = self._limits.max_in_flight
                if self._context is not None:
                    self._pool = _TLSPool(self._host, self._port, maxsize=size, ssl_context=self._context)
                else:
                    self._pool = _PlainPool(self._host, self._port, maxsize=size)
            return self._pool

    def _answer(self, response: BaseHTTPResponse) -> HTTPAnswer:
        """The answer; the connection goes back to the pool only after a whole body, and is closed otherwise."""
        try:
            return self._read(response)
        except BaseException:
            response.close()
            raise

    def _read(self, response: BaseHTTPResponse) -> HTTPAnswer:
        self._judge(response.status)
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise Unreadable("the answer is encoded, though no encoding was offered")
        return HTTPAnswer(response.status, self._body(response), response.headers)

    def _judge(self, status: int) -> None:
        """For subclasses: raise a SpineFailure for a status whose body nobody wants."""

    def _body(self, response: BaseHTTPResponse) -> bytes:
        """The whole body. Only the read that finds its end tells whether it was cut, so the last one is always made."""
        body = bytearray()
        with _translated():
            while chunk := response.read(_CHUNK):
                body += chunk
                if len(body) > self._limits.max_answer_bytes:
                    raise Unreadable("the answer is larger than allowed")
        return bytes(body)


class SpineTransport(HTTPTransport):
    """POSTs messages to one Spine endpoint; raises as :class:`HTTPTransport` does."""

    def post(self, body: bytes, headers: dict[str, str], deadline: Deadline) -> HTTPAnswer:
        """Send ``body`` and return the whole answer, of status 200, or 500 and above.

        Raises:
            NoCapacity, NotSent, SentNoAnswer: as :meth:`call` says.
            Refused: HTTP 3xx or 4xx.
            Unreadable: another status below 300, an encoded or an oversized body.
        """
        return self.call("POST", self.target, headers, body, deadline)

    def _judge(self, status: int) -> None:
        if status != _OK and status < _MULTIPLE_CHOICES:
            raise Unreadable(f"HTTP status {status} is no answer to a query")
        if _MULTIPLE_CHOICES <= status < _SERVER_ERROR:
            raise Refused(f"HTTP status {status}")


def _closed_unanswered() -> SentNoAnswer:
    return SentNoAnswer("the connection was closed without an answer")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what urllib3 and the standard library raise into failures that carry nothing of the message."""
    try:
        yield
    except Stale:
        raise
    except Unconnected as error:
        raise NotSent(error.why) from None
    except (ReadTimeoutError, TimeoutError):
        raise SentNoAnswer("no whole answer came in time") from None
    except (HTTPError, HTTPException, OSError):
        raise SentNoAnswer("the connection broke before a whole answer") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
