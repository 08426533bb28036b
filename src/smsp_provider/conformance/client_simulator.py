"""Plays an SMSP for a client: answers by a script, records what the client sent, and validates it.

What a real provider would refuse is refused with the fault or response code that a real one gives (``lenient`` answers
by the script all the same, and only records). Everything else is the script's.
"""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from smsp_provider.conformance.captures import Message, Unreadable, messages_in
from smsp_provider.conformance.evidence import Result, Verdict
from smsp_provider.conformance.expectations import Finding
from smsp_provider.conformance.scripts import Rule, Script, ScriptedAnswer, fault_body, message_id_of
from smsp_provider.conformance.services import Service, service_of_action
from smsp_provider.conformance.transport import Answer, Exchange
from smsp_provider.conformance.validate import Validator
from smsp_provider.conformance.xpath import elements

__all__ = ["ClientSimulator", "SimulatorPolicy"]

_XML: Final = "text/xml; charset=utf-8"
_MOST_BYTES: Final = 1_000_000
_SKEW: Final = timedelta(seconds=300)
_INVALID, _DENIED = ("Client", "1000"), ("Client", "3000")

Documents = Callable[[str, Mapping[str, str]], bytes | None]
"""The description for an address and the fields of a query (``wsdl``, ``xsd``); None where there is none."""


@dataclass(frozen=True, slots=True)
class SimulatorPolicy:
    """``lenient`` answers by the script whatever was sent."""

    lenient: bool = False


@dataclass(slots=True)
class _Record:
    """What happened so far; shared by the threads of the connections."""

    results: list[Result] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class ClientSimulator:
    """A server on ``host`` and ``port`` (0: a free one), over TLS with a context; use as a context manager."""

    def __init__(
        self,
        script: Script,
        validator: Validator,
        documents: Documents,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        policy: SimulatorPolicy | None = None,
        told: Callable[[Result], object] = lambda _result: None,
    ) -> None:
        self._script: Final = script
        self._validator: Final = validator
        self._documents: Final = documents
        self._policy: Final = policy or SimulatorPolicy()
        self._told: Final = told
        self._record: Final = _Record()
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            # The handshake belongs to the connection's own thread: a client that does not begin one holds up nobody.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url: Final = f"{'http' if tls is None else 'https'}://{host}:{self._server.server_address[1]}/smsp/pds"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def results(self) -> tuple[Result, ...]:
        """A result for each request so far, and one for each rule of the script: met, or not."""
        with self._record.lock:
            requests, met = tuple(self._record.results), dict(self._record.met)
        return (*requests, *(_met(rule, met.get(rule.name, 0)) for rule in self._script.rules))

    def describe(self, path: str, query: str) -> bytes | None:
        """The WSDL or a schema, for GET."""
        fields = {name.lower(): values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        return self._documents(self.url.rpartition("/smsp/pds")[0] + path, fields)

    def take(self, line: str, headers: tuple[tuple[str, str], ...], body: bytes) -> ScriptedAnswer:
        """Answer a POST, and put it on record."""
        started = time.monotonic()
        read = {name.lower(): value for name, value in headers}
        try:
            message, problem = messages_in("request", body)[0], ""
        except Unreadable as error:
            message, problem = Message("request", None, None, None, ()), str(error)
        with self._record.lock:
            number = len(self._record.results) + 1
            # The same message once more is a retry; another message under the same id is a mistake.
            repeated = self._record.bodies.setdefault(message_id_of(message), body) != body
            # The place is taken now, so that the order is that of arrival; the result follows.
            self._record.results.append(Result(f"RQ_{number:04}", "a request", (), Verdict.FAILED, "not answered yet"))
        service = service_of_action(_action(message))
        findings = (*_on_the_wire(message, read, repeated=repeated), *_unreadable(problem))
        result = self._validator.result(f"RQ_{number:04}", message, _purpose(service), None, findings)
        rule = self._script.rule_for(message)
        refusal = None if self._policy.lenient and service is not None else self._refusal(message, service, result)
        if refusal is None and service is not None:
            with self._record.lock:
                self._record.met[rule.name] = self._record.met.get(rule.name, 0) + 1
            answer, how = self._script.answer(rule, message, service, self.url), rule.name
            # Others are served meanwhile: every connection has a thread of its own.
            time.sleep(rule.seconds)
        else:
            answer, how = refusal or self._fault(message, *_INVALID, "wsa:Action is not a service"), "refused"
        seconds = time.monotonic() - started
        sent = (
            None
            if answer.body is None
            else Answer(answer.status, (("Content-Type", answer.content_type),), answer.body)
        )
        exchange = Exchange(line, headers, body, sent, "closed without an answer" if sent is None else "", seconds)
        final = Result(
            result.id,
            f"{result.purpose}, answered: {how}",
            (),
            result.verdict,
            result.reason,
            result.findings,
            exchange,
        )
        with self._record.lock:
            self._record.results[number - 1] = final
        self._told(final)
        return answer

    def _refusal(self, message: Message, service: Service | None, result: Result) -> ScriptedAnswer | None:
        """What a provider would answer to what is wrong; None for a request that keeps every rule."""
        broken = [finding for finding in result.findings if finding.holds is False]
        if service is None:
            text = broken[0].says if broken else "wsa:Action is not a service of this endpoint"
            return self._fault(message, *_INVALID, f"Not met: {text}")
        if not broken:
            return None
        kinds = [_kind(finding) for finding in broken]
        if "message" in kinds:
            return self._fault(message, *_INVALID, f"Not met: {broken[kinds.index('message')].says}")
        if "security" in kinds:
            return self._fault(message, *_DENIED, f"Not met: {broken[kinds.index('security')].says}")
        if "input" not in kinds:
            return None
        rule = Rule("refused", "", frozenset(), code="SMSP-0001")
        return self._script.answer(rule, message, service, self.url)

    def _fault(self, message: Message, faultcode: str, error_code: str, text: str) -> ScriptedAnswer:
        return ScriptedAnswer(500, _XML, fault_body((faultcode, error_code, text), message_id_of(message), self.url))


def _handler(simulator: ClientSimulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "smsp-conformance"
        disable_nagle_algorithm = True
        wbufsize = -1
        timeout = 60

        def do_GET(self) -> None:
            """The description."""
            parts = urlsplit(self.path)
            found = simulator.describe(parts.path, parts.query)
            if found is None:
                self._send(405, "text/plain", b"POST\n", (("Allow", "POST"),))
            else:
                self._send(200, _XML, found)

        def do_POST(self) -> None:
            """A request of the client."""
            length = self.headers.get("Content-Length", "")
            if not length.isascii() or not length.isdigit() or int(length) > _MOST_BYTES:
                self.close_connection = True
                self._send(413, "text/plain", b"too large, or no Content-Length\n", (("Connection", "close"),))
                return
            body = self.rfile.read(int(length))
            answer = simulator.take(self.requestline, tuple(self.headers.items()), body)
            if answer.body is None:
                self.close_connection = True
            else:
                self._send(answer.status, answer.content_type, answer.body, cut=answer.cut)

        def _send(
            self,
            status: int,
            content_type: str,
            body: bytes,
            headers: tuple[tuple[str, str], ...] = (),
            *,
            cut: bool = False,
        ) -> None:
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in (("Content-Type", content_type), ("Content-Length", str(len(body))), *headers):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = self.close_connection or cut

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
            """Nothing: requests are told of by the record."""

    return Handler


def _told_of(answer: ScriptedAnswer) -> tuple[Answer | None, str]:
    """The answer as the report tells of it, and what else there is to say."""
    if answer.body is None:
        return None, "the connection was closed without an answer"
    headers = (("Content-Type", answer.content_type),)
    return Answer(answer.status, headers, answer.body), "half of it was sent" if answer.cut else ""


def _purpose(service: Service | None) -> str:
    return "a request of no known service" if service is None else service.operation


def _action(message: Message) -> str:
    found = elements(message.soap, "/soap:Envelope/soap:Header/wsa:Action") if message.soap is not None else []
    return (found[0].text or "").strip() if len(found) == 1 else ""


def _unreadable(problem: str) -> tuple[Finding, ...]:
    return (Finding("http", "the body is XML", holds=False, reason=problem),) if problem else ()


def _on_the_wire(message: Message, headers: Mapping[str, str], *, repeated: bool) -> list[Finding]:
    """What only the moment and the wire can tell."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    named = headers.get("soapaction", "").strip().strip('"')
    findings = [
        Finding("http", "Content-Type is text/xml (WS-STD-01)", media_type == "text/xml", media_type or "absent"),
        Finding(
            "http", "SOAPAction is wsa:Action, or left out (WS-ADR-04)", named in ("", _action(message)), "another"
        ),
        Finding("http", "the MessageID was not used before (WS-ADR-01)", not repeated, "it was"),
    ]
    if message.soap is not None:
        has_payload = message.hl7 is not None
        findings += [
            Finding("http", "the SOAP body holds a distribution envelope (DE-PDS-01)", message.itk is not None, "none"),
            Finding("http", "the payload has content that can be read (SMSP-VAL-001)", has_payload, "it has not"),
            *_moments(message),
        ]
    return [*findings, *_birth(message)]


def _moments(message: Message) -> list[Finding]:
    created, expires = _moment(message, "Created"), _moment(message, "Expires")
    if created is None or expires is None:
        return [
            Finding(
                "http", "wsu:Created and wsu:Expires are real moments (WS-DSC-03)", holds=False, reason="they are not"
            )
        ]
    now = datetime.now(UTC)
    return [
        Finding("http", "wsu:Created is not in the future (WS-SEC-04)", created <= now + _SKEW, "it is"),
        Finding("http", "wsu:Expires has not passed (WS-SEC-06)", expires >= now, "it has"),
        Finding("http", "wsu:Expires is after wsu:Created (WS-SEC-05)", expires >= created, "it is not"),
    ]


def _moment(message: Message, name: str) -> datetime | None:
    """A moment of the timestamp, aware; None where there is not exactly one that is real."""
    found = elements(message.soap, f"//wsu:Timestamp/wsu:{name}") if message.soap is not None else []
    try:
        moment = datetime.fromisoformat((found[0].text or "").strip()) if len(found) == 1 else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _birth(message: Message) -> list[Finding]:
    """Whether the date of birth is a day, month or year that was."""
    found = elements(message.hl7, "//hl7:Person.DateOfBirth/hl7:value") if message.hl7 is not None else []
    says = "the date of birth is real, and not in the future"
    return [Finding("http", says, _was(element.get("value", "")), "it is not") for element in found]


def _was(text: str) -> bool:
    """Whether YYYYMMDD, YYYYMM or YYYY is a day, month or year that has begun."""
    if not text.isascii() or not text.isdigit() or len(text) not in (4, 6, 8):
        return False
    try:
        day = date(int(text[:4]), int(text[4:6] or 1), int(text[6:8] or 1))
    except ValueError:
        return False
    return day <= datetime.now(UTC).date()


_SECURITY: Final = ("(WS-SEC", "(WS-DSC")
_ADVICE: Final = ("WS-STD-04",)
_INPUT: Final = ("SMSP-", "by QUPA_", "the payload has", "the payload's", "date of birth")


def _kind(finding: Finding) -> str:
    """How a provider treats what is broken: by a fault (message, security), as invalid input, not at all (advice)."""
    if any(mark in finding.says for mark in _ADVICE):
        return "advice"
    if any(mark in finding.says for mark in _SECURITY):
        return "security"
    return "input" if any(mark in finding.says for mark in _INPUT) else "message"


def _met(rule: Rule, times: int) -> Result:
    result_id = f"CL_{rule.name.upper().replace('-', '_')}"
    if times:
        return Result(result_id, rule.purpose, (), Verdict.PASSED, f"met {times} times", (_seen(rule, times),))
    trigger = " or ".join(sorted(rule.triggers, reverse=True)) or "anything else"
    return Result(result_id, rule.purpose, (), Verdict.NOT_APPLICABLE, f"not met by this client; ask with {trigger}")


def _seen(rule: Rule, times: int) -> Finding:
    answer = rule.code or " ".join(rule.fault or ())
    return Finding(rule.name, f"the client got {answer}{f', {rule.how}' if rule.how else ''}", times > 0)
