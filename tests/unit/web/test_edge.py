"""HTTP below SOAP: one suite for both adapters, which must not differ in anything a caller can see."""

import gc
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from wsgiref.validate import validator

import pytest
from lxml import etree

from edge_endpoint import EventList, ReadingEndpoint, Taken
from hostile_vectors import Business, HostileVector, Served, hostile_vectors
from itk_messages import request_for
from smsp_provider.audit.operator_events import Alert, AlertKind, EdgeAnswered
from smsp_provider.domain.faults import ToolkitFault
from smsp_provider.domain.service import Service
from smsp_provider.engine.exchange import InboundExchange, Reply
from smsp_provider.web import spyne_app, wsgi
from smsp_provider.web.edge import Documents, Edge, EdgePolicy, WSGIApplication
from smsp_provider.xmlcore.names import ITK, SOAP11, SOAP12, WSA
from smsp_provider.xmlcore.resources import wsdl_file
from smsp_provider.xmlcore.wsdl import render_wsdl

SERVICE_PATH = "/smsp/pds"
PREFIX = "/interoperability.toolkit/HL7v3/"
LIMIT = 65_536
Adapter = Callable[[Edge[Any]], WSGIApplication]


@dataclass
class Answer:
    """A response as the server would send it."""

    status: int
    headers: dict[str, str]
    body: bytes

    def fault(self) -> tuple[str, str]:
        """Faultcode without prefix and ITK error code."""
        root = etree.fromstring(self.body)
        (faultcode,) = root.iter("faultcode")
        codes = [code.text for code in root.iter(f"{{{ITK}}}ErrorCode")]
        return str(faultcode.text).rpartition(":")[2], str(codes[0]) if codes else ""


@dataclass
class Client:
    """Calls an application as a WSGI server does, with every rule of PEP 3333 checked."""

    app: WSGIApplication
    endpoint: ReadingEndpoint
    observer: EventList
    ready: list[bool] = field(default_factory=lambda: [True])

    def call(self, method: str, path: str, *, body: bytes = b"", strict: bool = True, **extra: Any) -> Answer:
        environ: dict[str, object] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8080",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.1",
            "HTTP_HOST": "smsp.example:8443",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **extra,
        }
        environ = {name: value for name, value in environ.items() if value is not None}
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> object:
            del exc_info
            started.append((status, headers))
            return lambda _: None

        app: Any = validator(self.app) if strict else self.app
        result = app(environ, start_response)
        content = b"".join(result)
        if hasattr(result, "close"):
            result.close()
        ((status, headers),) = started
        assert len({name.lower() for name, _ in headers}) == len(headers), "no header twice"
        return Answer(int(status[:3]), dict(headers), content)

    def post(self, body: bytes, path: str = SERVICE_PATH, **extra: Any) -> Answer:
        headers: dict[str, Any] = {"CONTENT_TYPE": "text/xml; charset=utf-8", "CONTENT_LENGTH": str(len(body)), **extra}
        return self.call("POST", path, body=body, **headers)


def _wsdl(url: str) -> bytes:
    return f'<wsdl at="{url}"/>'.encode()


def _xsd(name: str, url: str) -> bytes | None:
    return f'<xsd at="{url}"/>'.encode() if name == "known.xsd" else None


@pytest.fixture(params=[wsgi.make_app, spyne_app.make_app], ids=["bare", "spyne"])
def adapter(request: pytest.FixtureRequest) -> Adapter:
    made: Adapter = request.param
    return made


@pytest.fixture
def client(adapter: Adapter) -> Client:
    return _client(adapter, ReadingEndpoint())


def _client(adapter: Adapter, endpoint: Any, **policy: Any) -> Client:
    observer, ready = EventList(), [True]
    edge = Edge(endpoint, Documents(_wsdl, _xsd), observer, lambda: ready[0], EdgePolicy(**policy))
    return Client(adapter(edge), endpoint, observer, ready)


@pytest.mark.rule("WS-ADR-04", "WS-STD-01")
@pytest.mark.parametrize("service", Service, ids=lambda service: service.name.lower())
@pytest.mark.parametrize("single", [False, True], ids=["shared path", "own path"])
def test_every_service_is_reached_on_the_shared_path_and_on_its_own(
    client: Client, service: Service, single: bool
) -> None:
    request = request_for(service)
    path = PREFIX + service.value if single else SERVICE_PATH
    answer = client.post(request.body(), path, HTTP_SOAPACTION=request.soap_action)
    assert (answer.status, answer.body) == (200, f"<answer>{service.value}</answer>".encode())
    assert answer.headers == {
        "Content-Type": "text/xml; charset=utf-8",
        "Content-Length": str(len(answer.body)),
        "Cache-Control": "no-store",
    }
    assert client.endpoint.answered == [service]
    assert client.endpoint.refused == []


@pytest.mark.rule("WS-ADR-04")
@pytest.mark.parametrize("service", Service, ids=lambda service: service.name.lower())
def test_spyne_finds_the_operation_of_a_request_and_calls_it(service: Service) -> None:
    app: Any = spyne_app.make_app(Edge(ReadingEndpoint(), Documents(_wsdl, _xsd), EventList(), lambda: True))
    operations = app.app.interface.service_method_map
    assert set(operations) == {f"{{urn:nhs-itk:services:201005}}{known.value}" for known in Service}
    for name, (operation,) in operations.items():
        operation.function = lambda _received, name=name: Reply(200, name.encode())
    answer = Client(app, ReadingEndpoint(), EventList()).post(request_for(service).body())
    assert answer.body == f"{{urn:nhs-itk:services:201005}}{service.value}".encode()


@pytest.mark.rule("WS-ADR-04")
def test_an_action_on_the_path_of_another_service_is_fault_1000(client: Client) -> None:
    request = request_for(Service.GET_NHS_NUMBER)
    answer = client.post(request.body(), PREFIX + Service.VERIFY_NHS_NUMBER.value)
    assert (answer.status, answer.fault()) == (500, ("Client", "1000"))
    assert client.endpoint.answered == []


def test_the_engine_gets_the_exchange_as_it_came(client: Client) -> None:
    body = request_for(Service.GET_NHS_NUMBER).body()
    client.post(body, HTTP_SOAPACTION='"x"', CONTENT_TYPE="Text/XML; charset=utf-8")
    (exchange,) = client.endpoint.exchanges
    assert exchange.body == body
    assert (exchange.path, exchange.url) == (SERVICE_PATH, f"http://smsp.example:8443{SERVICE_PATH}")
    assert (exchange.peer.address, exchange.peer.over_tls, exchange.peer.common_name) == ("192.0.2.1", False, None)
    assert (exchange.content_type, exchange.soap_action) == ("Text/XML; charset=utf-8", '"x"')


def test_a_public_url_stands_in_place_of_what_the_caller_says(adapter: Adapter) -> None:
    client = _client(adapter, ReadingEndpoint(), public_url="https://public.example/")
    answer = client.post(b"<x/>")
    (actor,) = etree.fromstring(answer.body).iter("faultactor")
    assert actor.text == f"https://public.example{SERVICE_PATH}"


@pytest.mark.parametrize(
    "host",
    ['a"b', "a/b", "a b", "", "user@host", "a:999999", "a:99999", "x" * 300, "[::1", "[::::]", "[1.2.3.4]", "[..]:80"],
)
def test_a_strange_host_header_is_not_repeated(client: Client, host: str) -> None:
    answer = client.post(b"<x/>", HTTP_HOST=host)
    (actor,) = etree.fromstring(answer.body).iter("faultactor")
    assert actor.text == f"http://127.0.0.1:8080{SERVICE_PATH}"


@pytest.mark.parametrize("host", ["[::::]", "[1.2.3.4]:8443", "a:99999"])
def test_the_wsdl_does_not_break_over_a_host_that_no_url_can_hold(host: str) -> None:
    wsdl = wsdl_file().read_bytes()
    documents = Documents(lambda url: render_wsdl(wsdl, request_url=url, service_paths={}), _xsd)
    observer = EventList()
    edge = Edge(ReadingEndpoint(), documents, observer, lambda: True)
    client = Client(wsgi.make_app(edge), ReadingEndpoint(), observer)
    answer = client.call("GET", SERVICE_PATH, QUERY_STRING="wsdl", HTTP_HOST=host)
    assert answer.status == 200
    assert b"http://127.0.0.1:8080/" in answer.body
    assert not [event for event in observer.events if isinstance(event, Alert)]


@pytest.mark.parametrize("host", ["[::1]", "[2001:db8::1]:8443", "smsp.example", "192.0.2.1:65535"])
def test_a_sound_host_header_is_repeated(client: Client, host: str) -> None:
    (actor,) = etree.fromstring(client.post(b"<x/>", HTTP_HOST=host).body).iter("faultactor")
    assert actor.text == f"http://{host}{SERVICE_PATH}"


@pytest.mark.rule("WS-STD-01")
def test_a_body_shorter_than_its_length_is_not_processed(client: Client) -> None:
    body = request_for(Service.GET_NHS_NUMBER).body()
    answer = client.post(body, CONTENT_LENGTH=str(len(body) + 1))
    assert (answer.status, answer.fault()) == (400, ("Client", "1000"))
    assert b"could not be read to its end" in answer.body
    assert client.endpoint.answered == []


_VECTORS = [vector for vector in hostile_vectors() if vector.edge_only]


@pytest.mark.rule("WS-FLT-01", "WS-FLT-03", "WS-STD-01")
@pytest.mark.parametrize("vector", _VECTORS, ids=[vector.name for vector in _VECTORS])
def test_what_the_edge_refuses_is_a_soap_fault_with_its_status(client: Client, vector: HostileVector) -> None:
    answer = client.post(vector.body, CONTENT_TYPE=vector.content_type)
    assert not isinstance(vector.expected, Business | Served)
    assert (answer.status, *answer.fault()) == (
        *(vector.expected.status, vector.expected.faultcode, vector.expected.error_code),
    )
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert len(client.endpoint.refused) == 1
    assert client.endpoint.answered == []


@pytest.mark.parametrize("vector", hostile_vectors(), ids=lambda vector: vector.name)
def test_both_adapters_answer_every_vector_with_the_same_bytes(vector: HostileVector) -> None:
    answers = [
        _client(make, ReadingEndpoint()).post(
            vector.body, CONTENT_TYPE=vector.content_type, HTTP_SOAPACTION=vector.soap_action
        )
        for make in (wsgi.make_app, spyne_app.make_app)
    ]
    assert answers[0] == answers[1]
    assert answers[0].status in {200, 413, 415, 500}
    etree.fromstring(answers[0].body)


@pytest.mark.rule("WS-ADR-09")
def test_a_wrong_media_type_is_told_with_the_message_id_of_the_request(client: Client) -> None:
    request = request_for(Service.GET_NHS_NUMBER)
    answer = client.post(request.body(), CONTENT_TYPE="application/json")
    (related,) = etree.fromstring(answer.body).iter(f"{{{WSA}}}RelatesTo")
    assert related.text == request.message_id


class _Stream:
    """A request body of ``size`` bytes that is made as it is read; it counts, and may break."""

    def __init__(self, size: int, *, breaks_at: int | None = None) -> None:
        self.left, self.given, self.breaks_at = size, 0, breaks_at

    def read(self, size: int) -> bytes:
        if self.breaks_at is not None and self.given >= self.breaks_at:
            raise ConnectionResetError("9990000018")
        part = min(size, self.left, 1000)
        self.left -= part
        self.given += part
        return b" " * part


@pytest.mark.rule("WS-STD-01")
@pytest.mark.parametrize(
    ("declared", "ended_by_server", "sent", "status", "read"),
    [
        (str(LIMIT + 1), True, LIMIT + 1, 413, 0),
        ("9" * 18, True, 10, 413, 0),
        (None, True, LIMIT * 10, 413, LIMIT + 1),
        ("", True, LIMIT * 10, 413, LIMIT + 1),
        (None, False, LIMIT * 10, 500, 0),
        ("-1", True, 10, 400, 0),
        ("9" * 5000, True, 10, 400, 0),
        ("1e3", True, 10, 400, 0),
        ("\u0661", True, 10, 400, 0),
        ("10", True, LIMIT * 10, 500, 10),
        (str(LIMIT), True, 10, 400, 10),
        (str(LIMIT), True, LIMIT, 500, LIMIT),
    ],
    ids=[
        *("too long", "huge", "absent, too long", "empty, too long", "absent, no end", "negative", "endless digits"),
        *("not digits", "other digits", "shorter than sent", "longer than sent", "just fits"),
    ],
)
def test_the_body_is_bounded_whatever_its_length_claims(
    client: Client, declared: str | None, ended_by_server: bool, sent: int, status: int, read: int
) -> None:
    stream = _Stream(sent)
    server: dict[str, Any] = {"wsgi.input": stream, "wsgi.input_terminated": ended_by_server}
    answer = client.call(
        *("POST", SERVICE_PATH),
        strict=False,
        CONTENT_TYPE="text/xml",
        CONTENT_LENGTH=declared,
        **server,
    )
    assert (answer.status, answer.fault(), stream.given) == (status, ("Client", "1000"), read)


def test_a_body_that_cannot_be_read_is_a_fault_and_is_not_quoted(client: Client) -> None:
    server: dict[str, Any] = {"wsgi.input": _Stream(5000, breaks_at=2000)}
    answer = client.call("POST", SERVICE_PATH, strict=False, CONTENT_TYPE="text/xml", CONTENT_LENGTH="5000", **server)
    assert (answer.status, answer.fault()) == (400, ("Client", "1000"))
    assert b"9990000018" not in answer.body
    ((_, error),) = client.endpoint.refused
    assert isinstance(error, ToolkitFault)
    assert error.__suppress_context__


@pytest.mark.parametrize(("method", "body"), [("GET", True), ("HEAD", False)])
@pytest.mark.parametrize("path", [SERVICE_PATH, PREFIX + "getNHSNumber-v1-0"])
@pytest.mark.parametrize("query", ["wsdl", "WSDL", "wsdl=", "x=1&wsdl"])
def test_the_wsdl_is_given_where_it_is_asked_for(
    client: Client, method: str, body: bool, path: str, query: str
) -> None:
    answer = client.call(method, path, QUERY_STRING=query)
    expected = _wsdl(f"http://smsp.example:8443{path}")
    assert (answer.status, answer.body) == (200, expected if body else b"")
    assert answer.headers["Content-Length"] == str(len(expected))
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "status"),
    [("xsd=known.xsd", 200), ("xsd=unknown.xsd", 404), ("xsd=../../etc/passwd", 404), ("xsd=", 404), ("xsd", 404)],
)
def test_a_schema_is_given_by_its_name(client: Client, query: str, status: int) -> None:
    answer = client.call("GET", SERVICE_PATH, QUERY_STRING=query)
    assert answer.status == status
    if status == 200:
        assert answer.body == _xsd("known.xsd", f"http://smsp.example:8443{SERVICE_PATH}")


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "allow"),
    [
        ("GET", SERVICE_PATH, "", 405, "POST"),
        ("HEAD", SERVICE_PATH, "", 405, "POST"),
        ("GET", SERVICE_PATH, "a=" + "b" * 1000, 405, "POST"),
        ("GET", SERVICE_PATH, "&".join("a=b" for _ in range(100)), 405, "POST"),
        ("PUT", SERVICE_PATH, "wsdl", 405, "POST"),
        ("OPTIONS", SERVICE_PATH, "", 405, "POST"),
        ("BREW", SERVICE_PATH, "", 405, "POST"),
        ("POST", "/healthz", "", 405, "GET, HEAD"),
        ("GET", "/", "", 404, None),
        ("POST", "/", "", 404, None),
        ("POST", SERVICE_PATH + "/", "", 404, None),
        ("POST", PREFIX, "", 404, None),
        ("POST", PREFIX + "getEverything-v1-0", "", 404, None),
        ("GET", "/\xff\x00", "wsdl", 404, None),
    ],
    ids=range(14),
)
def test_what_is_not_soap_gets_a_plain_answer(
    client: Client, method: str, path: str, query: str, status: int, allow: str | None
) -> None:
    answer = client.call(method, path, QUERY_STRING=query, strict=False)
    assert (answer.status, answer.headers.get("Allow")) == (status, allow)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body == b"" if method == "HEAD" else answer.headers["Content-Length"] == str(len(answer.body))
    assert client.endpoint.exchanges == []
    assert client.observer.events == [EdgeAnswered("other" if method == "BREW" else method, status)]
    (refused,) = client.endpoint.refused_below
    assert (refused[0].address, refused[1]) == ("192.0.2.1", status)


@pytest.mark.parametrize(
    ("path", "ready", "status"),
    [("/healthz", True, 200), ("/healthz", False, 200), ("/readyz", True, 200), ("/readyz", False, 503)],
)
def test_health_tells_alive_from_ready(client: Client, path: str, ready: bool, status: int) -> None:
    client.ready[0] = ready
    answers = [client.call(method, path) for method in ("GET", "HEAD")]
    assert [answer.status for answer in answers] == [status, status]
    assert [bool(answer.body) for answer in answers] == [True, False]
    assert client.endpoint.refused_below == []


class _Breaking(ReadingEndpoint):
    """Breaks where it is told to, with a text that must not come out."""

    def __init__(self, *places: str) -> None:
        super().__init__()
        self.places = places

    def _visit(self, place: str) -> None:
        if place in self.places:
            raise RuntimeError("9990000018")

    def receive(self, exchange: InboundExchange) -> Taken:
        self._visit("receive")
        return super().receive(exchange)

    def answer(self, received: Taken) -> Reply:
        self._visit("answer")
        return super().answer(received)

    def refuse(self, exchange: InboundExchange, error: Exception) -> Reply:
        self._visit("refuse")
        return super().refuse(exchange, error)


@pytest.fixture
def streams(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: "".join(capfd.readouterr())


@pytest.mark.rule("WS-FDT-02", "IFC-LOG-02")
@pytest.mark.parametrize("places", [("receive",), ("answer",), ("receive", "refuse"), ("answer", "refuse")])
def test_whatever_breaks_the_caller_gets_a_fault_2200_and_nobody_the_text(
    adapter: Adapter, streams: Callable[[], str], places: tuple[str, ...]
) -> None:
    client = _client(adapter, _Breaking(*places))
    answer = client.post(request_for(Service.GET_NHS_NUMBER).body())
    assert (answer.status, answer.fault()) == (500, ("Server", "2200"))
    assert b"9990000018" not in answer.body
    assert streams() == ""
    if "refuse" in places:
        (alert,) = client.observer.events
        assert isinstance(alert, Alert)
        assert (alert.kind, alert.reason) == (
            AlertKind.UNEXPECTED_FAILURE,
            "unexpected RuntimeError at the edge",
        )


@pytest.mark.rule("WS-FDT-01", "WS-FDT-02")
def test_a_broken_document_is_a_fault_with_new_ids(adapter: Adapter) -> None:
    def broken(_url: str) -> bytes:
        raise OSError("9990000018")

    edge = Edge(ReadingEndpoint(), Documents(broken, _xsd), EventList(), lambda: True)
    client = Client(adapter(edge), ReadingEndpoint(), EventList())
    answers = [client.call("GET", SERVICE_PATH, QUERY_STRING="wsdl") for _ in range(2)]
    assert [answer.status for answer in answers] == [500, 500]
    ids = {element.text for answer in answers for element in etree.fromstring(answer.body).iter(f"{{{ITK}}}ErrorID")}
    assert len(ids) == 2


@pytest.mark.rule("WS-FLT-01")
@pytest.mark.parametrize("content_type", ["application/soap+xml", "application/xml", "text/plain", ""])
def test_a_soap_12_envelope_is_a_version_mismatch_whatever_its_media_type(adapter: Adapter, content_type: str) -> None:
    body = request_for(Service.GET_NHS_NUMBER).body().replace(SOAP11.encode(), SOAP12.encode())
    answer = _client(adapter, ReadingEndpoint()).post(body, CONTENT_TYPE=content_type)
    assert answer.status == 500
    assert b"soap:VersionMismatch" in answer.body


def test_nothing_of_a_message_outlives_its_request(adapter: Adapter) -> None:
    endpoint = ReadingEndpoint(keep=False)
    client = _client(adapter, endpoint)
    good, bad = request_for(Service.GET_NHS_NUMBER).body(), b"<x/>"
    client.post(good), client.post(bad)
    gc.collect()
    gc.disable()
    try:
        # What another test in this process keeps is none of this one's business; it is held, so that no id comes twice.
        others = [thing for thing in gc.get_objects() if isinstance(thing, InboundExchange | Reply | Taken)]
        known = {id(thing) for thing in others}
        client.post(good), client.post(bad)
        alive = [thing for thing in gc.get_objects() if isinstance(thing, InboundExchange | Reply | Taken)]
        assert [thing for thing in alive if id(thing) not in known] == []
    finally:
        gc.enable()


def test_libraries_write_nothing_while_hostile_requests_are_served(
    adapter: Adapter, streams: Callable[[], str]
) -> None:
    client = _client(adapter, ReadingEndpoint())
    for vector in hostile_vectors():
        client.post(vector.body, CONTENT_TYPE=vector.content_type, HTTP_SOAPACTION=vector.soap_action)
    assert streams() == ""


def test_a_soap_envelope_of_version_12_is_a_version_mismatch(client: Client) -> None:
    body = (
        request_for(Service.GET_NHS_NUMBER).body().replace(SOAP11.encode(), b"http://www.w3.org/2003/05/soap-envelope")
    )
    answer = client.post(body)
    assert (answer.status, answer.fault()[0]) == (500, "VersionMismatch")


def test_a_request_can_be_built_wrong_and_repaired(client: Client) -> None:
    request = replace(request_for(Service.GET_NHS_NUMBER), action=None)
    assert client.post(request.body()).fault() == ("Client", "1000")
    assert client.post(request_for(Service.GET_NHS_NUMBER).body()).status == 200
