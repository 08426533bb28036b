"""HTTP below SOAP: which requests become an exchange for the engine, and what the others are answered.

Both WSGI adapters share this, so that they differ in nothing a caller can see. Source: transport.md, "A request",
"A fault", the paragraph "Below SOAP", and serving.md section 1.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import parse_qs

from smsp_provider.audit.operator_events import Alert, AlertKind, EdgeAnswered, Observer
from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault, invalid_message, provider_failure, try_again
from smsp_provider.engine.endpoint import ReceivedRequest, SoapEndpoint
from smsp_provider.engine.exchange import InboundExchange, Peer, Reply
from smsp_provider.itk.services import ServicePaths
from smsp_provider.soap.envelope import is_soap_12
from smsp_provider.soap.fault import build_fault
from smsp_provider.web.peer import check_certificate, is_secure, peer_of
from smsp_provider.web.tls import BoundedSocket

__all__ = ["Documents", "Edge", "EdgePolicy", "Environ", "StartResponse", "WSGIApplication"]

Environ = dict[str, object]
WSGIApplication = Callable[[Environ, "StartResponse"], Iterable[bytes]]

R = TypeVar("R", bound=ReceivedRequest)

_HEALTH: Final = "/healthz"
_READY: Final = "/readyz"
_SOAP_11: Final = "text/xml"
_SOAP_12: Final = "application/soap+xml"
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[(?P<literal>[0-9A-Fa-f:.]{2,45})\])(?::(?P<port>[0-9]{1,5}))?")
_MAX_PORT: Final = 65_535
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_TEXT: Final = "text/plain; charset=utf-8"
_XML: Final = "text/xml; charset=utf-8"
_MAX_QUERY: Final = 500
_RESTART_SECONDS: Final = 10
"""After which a caller that met the end of the provider may find it started again."""
_STATUS_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_REFUSALS: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
"""What is refused below SOAP; that the provider is not ready is no refusal."""
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class StartResponse(Protocol):
    """The second argument of a WSGI application."""

    def __call__(self, status: str, headers: list[tuple[str, str]], /) -> object:
        """Begin the response."""
        ...


class _Input(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class EdgePolicy:
    """Where the services are and how much a caller may send.

    ``max_body_bytes`` bounds a request; ``public_url`` (scheme, host and port) stands in addresses and faults, empty:
    as the caller addressed this endpoint.
    """

    paths: ServicePaths = field(default_factory=ServicePaths)
    max_body_bytes: int = 65_536
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class Documents:
    """The published description: ``wsdl`` for the URL it is asked at, ``xsd`` for a name and a URL (None: no such)."""

    wsdl: Callable[[str], bytes]
    xsd: Callable[[str, str], bytes | None]


@dataclass(frozen=True, slots=True)
class Edge(Generic[R]):
    """What both adapters have in common. ``ready`` tells whether requests can be served at the moment.

    ``draining`` tells, of a worker that is ending, whether the whole provider stops.
    """

    endpoint: SoapEndpoint[R]
    documents: Documents
    observer: Observer
    ready: Callable[[], bool]
    policy: EdgePolicy = field(default_factory=EdgePolicy)
    draining: Callable[[], bool] = lambda: False

    def respond(
        self, environ: Environ, start_response: StartResponse, dispatch: Callable[[InboundExchange], Reply]
    ) -> list[bytes]:
        """Answer one WSGI request; ``dispatch`` takes what is SOAP. No exception leaves from here."""
        method = str(environ.get("REQUEST_METHOD", ""))
        try:
            reply = self._answer(environ, method, dispatch)
        except Exception as crash:  # noqa: BLE001 - the last resort: an adapter or a document broke
            reply = self._crashed(environ, crash)
        headers = [
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            ("Cache-Control", "no-store"),
            *reply.headers,
        ]
        start_response(_STATUS_LINES[reply.status], headers)
        return [] if method == "HEAD" else [reply.body]

    def _answer(self, environ: Environ, method: str, dispatch: Callable[[InboundExchange], Reply]) -> Reply:
        path = str(environ.get("PATH_INFO", ""))
        if method == "POST" and self.policy.paths.services_at(path):
            return self._take(environ, path, dispatch)
        reply = self._beside_soap(environ, path, method)
        if reply.status in _REFUSALS:
            self.endpoint.note_below(_whoever(environ), reply.status)
        self.observer.notify(EdgeAnswered(method if method in _KNOWN_METHODS else "other", reply.status))
        return reply

    def _beside_soap(self, environ: Environ, path: str, method: str) -> Reply:
        reading = method in ("GET", "HEAD")
        if path in (_HEALTH, _READY):
            return self._health(path) if reading else _not_allowed("GET, HEAD")
        if not self.policy.paths.services_at(path):
            return _plain(HTTPStatus.NOT_FOUND)
        document = self._document(environ, path) if reading else None
        return document or _not_allowed("POST")

    def _health(self, path: str) -> Reply:
        return _plain(HTTPStatus.OK if path == _HEALTH or self.ready() else HTTPStatus.SERVICE_UNAVAILABLE)

    def _document(self, environ: Environ, path: str) -> Reply | None:
        query = str(environ.get("QUERY_STRING", ""))
        fields = parse_qs(query, keep_blank_values=True) if len(query) <= _MAX_QUERY else {}
        asked = {name.lower(): values[0] for name, values in fields.items()}
        url = self._url(environ, path, over_tls=is_secure(environ))
        if "wsdl" in asked:
            return Reply(HTTPStatus.OK, self.documents.wsdl(url), _XML)
        if "xsd" in asked:
            schema = self.documents.xsd(asked["xsd"], url)
            return _plain(HTTPStatus.NOT_FOUND) if schema is None else Reply(HTTPStatus.OK, schema, _XML)
        return None

    def _take(self, environ: Environ, path: str, dispatch: Callable[[InboundExchange], Reply]) -> Reply:
        """A POST to a service: bounded, of the right kind, then to the engine."""
        content_type = str(environ.get("CONTENT_TYPE", ""))
        soap_action = environ.get("HTTP_SOAPACTION")
        body, refusal = b"", None
        waited_s, is_ending = _waiting_of(environ)
        peer: Peer | None = None
        try:
            peer = peer_of(environ)
            check_certificate(peer, environ)
            body = self._body(environ)
            _check_media_type(content_type, body)
            if is_ending and self.draining():
                raise _stopping()
        except ToolkitFault as fault:
            refusal = fault
        peer = peer or _unproven(environ)
        exchange = InboundExchange(
            body,
            path,
            self._url(environ, path, over_tls=peer.over_tls),
            peer,
            content_type,
            None if soap_action is None else str(soap_action),
            waited_s,
        )
        return dispatch(exchange) if refusal is None else self.endpoint.refuse(exchange, refusal)

    def _body(self, environ: Environ) -> bytes:
        """The whole body, at most one byte more than allowed is ever read.

        Raises:
            ToolkitFault: it is too large (413), its length is not a number, or it cannot be read (400).
        """
        declared = str(environ.get("CONTENT_LENGTH") or "")
        limit = self.policy.max_body_bytes
        if declared and _LENGTH.fullmatch(declared) is None:
            raise invalid_message("Content-Length is not a number of bytes", rule="WS-STD-01", status=400)
        if declared and int(declared) > limit:
            raise _too_large()
        # Without a length only a server that ends the input by itself may be read from: others would wait for ever.
        wanted = int(declared) if declared else (limit + 1 if environ.get("wsgi.input_terminated") else 0)
        body = _read(environ["wsgi.input"], wanted)  # type: ignore[arg-type]  # WSGI promises a file object
        if len(body) > limit:
            raise _too_large()
        if declared and len(body) < wanted:
            # Some servers give the bytes that came before the connection was cut; half a message is never processed.
            raise _cut_short()
        return body

    def _url(self, environ: Environ, path: str, *, over_tls: bool) -> str:
        if self.policy.public_url:
            return self.policy.public_url.rstrip("/") + path
        host = str(environ.get("HTTP_HOST", ""))
        if not _is_host(host):
            host = f"{environ.get('SERVER_NAME', 'localhost')}:{environ.get('SERVER_PORT', '80')}"
        return f"{'https' if over_tls else 'http'}://{host}{path}"

    def _crashed(self, environ: Environ, crash: Exception) -> Reply:
        """Nothing of the exception but its type is told to anybody: its text may hold a message."""
        self.observer.notify(
            Alert(AlertKind.UNEXPECTED_FAILURE, None, f"unexpected {type(crash).__name__} at the edge")
        )
        fault = provider_failure("The service failed to process the message", rule="WS-FDT-02")
        body = build_fault(
            fault,
            error_id=_new_uuid(),
            message_id=_new_uuid(),
            relates_to=None,
            endpoint_url=self.policy.public_url + str(environ.get("PATH_INFO", "")),
        )
        return Reply(fault.status, body)


def _unproven(environ: Environ) -> Peer:
    """The peer by its address alone."""
    return Peer(str(environ.get("REMOTE_ADDR") or ""), over_tls=is_secure(environ))


def _whoever(environ: Environ) -> Peer:
    """The peer as well as it can be told."""
    try:
        return peer_of(environ)
    except ToolkitFault:
        return _unproven(environ)


def _check_media_type(content_type: str, body: bytes) -> None:
    """Only text/xml; SOAP 1.2, by its type or its envelope, is told apart before (transport.md, "A fault")."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == _SOAP_12 or (media_type != _SOAP_11 and is_soap_12(body)):
        raise ToolkitFault(
            FaultCode.VERSION_MISMATCH,
            ErrorCode.INVALID_MESSAGE,
            "SOAP 1.2 is not supported, SOAP 1.1 is",
            rule="WS-FLT-01",
        )
    if media_type != _SOAP_11:
        raise invalid_message("Content-Type is not text/xml", rule="WS-STD-01", status=415)


def _read(stream: _Input, wanted: int) -> bytes:
    parts: list[bytes] = []
    missing = wanted
    try:
        while missing > 0 and (part := stream.read(missing)):
            parts.append(part)
            missing -= len(part)
    except Exception:  # noqa: BLE001 - each server has its own exceptions for a connection cut or a bad chunk
        raise _cut_short() from None
    return b"".join(parts)


def _is_host(text: str) -> bool:
    """Whether a Host header can stand in a URL that is parsed again: the pattern alone lets ``[::::]`` through."""
    found = _HOST.fullmatch(text)
    if found is None or int(found["port"] or 0) > _MAX_PORT:
        return False
    if found["literal"] is None:
        return True
    try:
        ipaddress.IPv6Address(found["literal"])
    except ValueError:
        return False
    return True


def _waiting_of(environ: Environ) -> tuple[float, bool]:
    """How long the request waited for a thread, and whether its worker was stopping when it began."""
    connection = environ.get("gunicorn.socket")
    return (connection.waited_s, connection.is_ending) if isinstance(connection, BoundedSocket) else (0.0, False)


def _stopping() -> ToolkitFault:
    return try_again(
        "The service is being stopped, try again later", rule="SMSP-PERF-001", retry_after=_RESTART_SECONDS
    )


def _cut_short() -> ToolkitFault:
    return invalid_message("the message could not be read to its end", rule="WS-STD-01", status=400)


def _too_large() -> ToolkitFault:
    return invalid_message("the message is larger than this service accepts", rule="WS-STD-01", status=413)


def _plain(status: HTTPStatus, *headers: tuple[str, str]) -> Reply:
    return Reply(status, f"{status.phrase}\n".encode("ascii"), _TEXT, headers)


def _not_allowed(allowed: str) -> Reply:
    return _plain(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", allowed))


def _new_uuid() -> str:
    return str(uuid.uuid4()).upper()
