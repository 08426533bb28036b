"""Plays an SMSP for a client: answers by a script, records what the client sent, and validates it.

What a real provider would refuse is refused with the fault or response code that a real one gives (``lenient`` answers
by the script all the same, and only records). Everything else is the script's.
"""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from smsp_provider.conformance.captures import Message, Unreadable, messages_in
from smsp_provider.conformance.evidence import Result, Verdict
from smsp_provider.conformance.expectations import Finding
from smsp_provider.conformance.request_checks import action_of, on_the_wire, refusal_of
from smsp_provider.conformance.scripts import Rule, Script, ScriptedAnswer, fault_body, message_id_of
from smsp_provider.conformance.services import Service, service_of_action
from smsp_provider.conformance.transport import Answer, Exchange
from smsp_provider.conformance.validate import Validator

__all__ = ["ClientSimulator", "SimulatorPolicy"]

_XML: Final = "text/xml; charset=utf-8"
_MOST_BYTES: Final = 1_000_000
_INVALID_INPUT: Final = Rule("refused", "the request is invalid", frozenset(), code="SMSP-0001")

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
        try:
            message, problem = messages_in("request", body)[0], ""
        except Unreadable as error:
            message, problem = Message("request", None, None, None, ()), str(error)
        number, repeated = self._begin(message, body)
        service = service_of_action(action_of(message))
        findings = on_the_wire(message, headers, problem=problem, repeated=repeated)
        purpose = "a request of no known service" if service is None else service.operation
        result = self._validator.result(f"RQ_{number:04}", message, purpose, None, findings)
        answer, how = self._answer(message, service, result)
        exchange = Exchange(line, headers, body, *_told_of(answer), time.monotonic() - started)
        result = replace(result, purpose=f"{purpose}, answered: {how}", exchange=exchange)
        with self._record.lock:
            self._record.results[number - 1] = result
        self._told(result)
        return answer

    def _begin(self, message: Message, body: bytes) -> tuple[int, bool]:
        """Take the next place on record; whether another message came under the same MessageID before."""
        with self._record.lock:
            number = len(self._record.results) + 1
            self._record.results.append(Result(f"RQ_{number:04}", "a request", (), Verdict.FAILED, "not answered yet"))
            message_id = message_id_of(message)
            # The same message once more is a retry; another message under the same id is a mistake.
            return number, bool(message_id) and self._record.bodies.setdefault(message_id, body) != body

    def _answer(self, message: Message, service: Service | None, result: Result) -> tuple[ScriptedAnswer, str]:
        """The answer, and the name of the rule that gave it."""
        if service is None:
            return self._refusal(message, result), "refused"
        refused = None if self._policy.lenient else refusal_of(result.findings)
        if refused is not None and refused.code:
            return self._script.answer(_INVALID_INPUT, message, service, self.url), "refused"
        if refused is not None:
            return self._fault(message, (refused.faultcode, refused.error_code, f"Not met: {refused.says}")), "refused"
        rule = self._script.rule_for(message)
        with self._record.lock:
            self._record.met[rule.name] = self._record.met.get(rule.name, 0) + 1
        # Others are served meanwhile: every connection has a thread of its own.
        time.sleep(rule.seconds)
        return self._script.answer(rule, message, service, self.url), rule.name

    def _refusal(self, message: Message, result: Result) -> ScriptedAnswer:
        """The fault for a message that names no service."""
        refused = refusal_of(result.findings)
        if refused is not None and refused.faultcode == "VersionMismatch":
            return self._fault(message, (refused.faultcode, "", f"Not met: {refused.says}"))
        broken = [finding.says for finding in result.findings if finding.holds is False]
        text = f"Not met: {broken[0]}" if broken else "wsa:Action is not a service of this endpoint"
        return self._fault(message, ("Client", "1000", text))

    def _fault(self, message: Message, fault: tuple[str, str, str]) -> ScriptedAnswer:
        return ScriptedAnswer(500, _XML, fault_body(fault, message_id_of(message), self.url))


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


def _met(rule: Rule, times: int) -> Result:
    result_id = f"CL_{rule.name.upper().replace('-', '_')}"
    if times:
        return Result(result_id, rule.purpose, (), Verdict.PASSED, f"met {times} times", (_seen(rule, times),))
    trigger = " or ".join(sorted(rule.triggers, reverse=True)) or "anything else"
    return Result(result_id, rule.purpose, (), Verdict.NOT_APPLICABLE, f"not met by this client; ask with {trigger}")


def _seen(rule: Rule, times: int) -> Finding:
    answer = rule.code or " ".join(rule.fault or ())
    return Finding(rule.name, f"the client got {answer}{f', {rule.how}' if rule.how else ''}", times > 0)
