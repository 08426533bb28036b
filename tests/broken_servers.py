"""Servers that get one thing wrong: what a test tool must notice, each thing at least once.

They stand in front of a provider that gets everything right, and spoil its answers on the way back.
"""

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

import urllib3
from lxml import etree

from smsp_provider.conformance.names import NAMESPACES
from smsp_provider.conformance.xpath import elements, only_element

__all__ = ["SPOILERS", "BrokenServer", "Reply", "Sent", "meagre", "overdone"]

_SOAP: Final = f"{{{NAMESPACES['soap']}}}"
_ITK: Final = f"{{{NAMESPACES['itk']}}}"
_HL7: Final = f"{{{NAMESPACES['hl7']}}}"
_WSA: Final = f"{{{NAMESPACES['wsa']}}}"
STRANGER: Final = "9991234055"
SOMEBODY: Final = "5D2F1C80-7B1E-4B5C-9C0A-1E6A52F4A7D1"


@dataclass(frozen=True)
class Sent:
    """A request as the server got it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def text(self, path: str) -> str:
        """The text or attribute value of one place in it."""
        return str(etree.fromstring(self.body).xpath(f"string({path})", namespaces=NAMESPACES))


@dataclass(frozen=True)
class Reply:
    """An answer before it leaves."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def root(self) -> etree._Element:
        return etree.fromstring(self.body)

    def with_root(self, root: etree._Element) -> "Reply":
        return replace(self, body=etree.tostring(root))


Spoiler = Callable[[Sent, Reply], Reply]


class BrokenServer:
    """Passes requests on to ``upstream`` and spoils the answers; on a free port, over TLS with a context.

    Without an upstream the spoiler gets nothing to spoil, and answers by itself.
    """

    def __init__(self, upstream: str | None, spoiler: Spoiler, context: ssl.SSLContext | None = None) -> None:
        self.spoiler = spoiler
        pool = urllib3.PoolManager(maxsize=4)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def handle_any(handler) -> None:  # noqa: N805 - two selfs in one place
                length = int(handler.headers.get("Content-Length") or 0)
                body = handler.rfile.read(length)
                sent = Sent(handler.command, handler.path, dict(handler.headers), body)
                reply = self.spoiler(sent, _NOTHING if upstream is None else _passed_on(pool, upstream, sent))
                handler.send_response(reply.status)
                for key, value in reply.headers.items():
                    if key.lower() not in ("content-length", "connection", "date", "server"):
                        handler.send_header(key, value)
                handler.send_header("Content-Length", str(len(reply.body)))
                handler.end_headers()
                if sent.method != "HEAD":
                    handler.wfile.write(reply.body)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815 - as the base class names them

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/smsp/pds"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


_NOTHING: Final = Reply(500, {}, b"")


def _passed_on(pool: urllib3.PoolManager, upstream: str, sent: Sent) -> Reply:
    kept = {key: value for key, value in sent.headers.items() if key.lower() not in ("host", "connection")}
    url = upstream.rpartition("/smsp/pds")[0] + sent.path
    answer = pool.request(sent.method, url, body=sent.body or None, headers=kept, retries=False, redirect=False)
    return Reply(answer.status, dict(answer.headers), answer.data)


def _status(status: int) -> Spoiler:
    return lambda _sent, reply: replace(reply, status=status)


def _header(name: str, value: str | None) -> Spoiler:
    def spoil(_sent: Sent, reply: Reply) -> Reply:
        kept = {key: text for key, text in reply.headers.items() if key.lower() != name.lower()}
        return replace(reply, headers=kept if value is None else {**kept, name: value})

    return spoil


def _text(path: str, text: str) -> Spoiler:
    return _edit(path, lambda element, _sent: setattr(element, "text", text))


def _attribute(path: str, name: str, value: str) -> Spoiler:
    return _edit(path, lambda element, _sent: element.set(name, value))


def _edit(path: str, change: Callable[[etree._Element, Sent], object]) -> Spoiler:
    def spoil(sent: Sent, reply: Reply) -> Reply:
        root = reply.root()
        element = only_element(root, path)
        assert element is not None, f"{path} is not in the answer, so there is nothing to spoil"
        change(element, sent)
        return reply.with_root(root)

    return spoil


def _gone(path: str) -> Spoiler:
    def remove(element: etree._Element, _sent: Sent) -> None:
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)

    return _edit(path, remove)


def _child(path: str, name: str, text: str = "") -> Spoiler:
    def add(element: etree._Element, _sent: Sent) -> None:
        etree.SubElement(element, name).text = text

    return _edit(path, add)


def _lower(path: str, attribute: str = "") -> Spoiler:
    def lower(element: etree._Element, _sent: Sent) -> None:
        if attribute:
            element.set(attribute, (element.get(attribute) or "").lower())
        else:
            element.text = (element.text or "").lower()

    return _edit(path, lower)


def _from_request(path: str, source: str, attribute: str = "") -> Spoiler:
    def copy(element: etree._Element, sent: Sent) -> None:
        if attribute:
            element.set(attribute, sent.text(source))
        else:
            element.text = sent.text(source)

    return _edit(path, copy)


def _repeats_the_patient(sent: Sent, reply: Reply) -> Reply:
    number = sent.text("//hl7:Person.NHSNumber/hl7:value/@extension")
    return _text("//itk:ErrorText", f"The number {number} cannot be asked for in this way")(sent, reply)


_FAULT: Final = "/soap:Envelope/soap:Body/soap:Fault"
_HEADER: Final = "/soap:Envelope/soap:Header"
_ENVELOPE: Final = "/soap:Envelope/soap:Body/itk:DistributionEnvelope"

SPOILERS: Final[dict[str, Spoiler]] = {
    "TYPE": _header("Content-Type", "text/html; charset=utf-8"),
    "NOT_EMPTY": lambda _sent, reply: replace(reply, body=b""),
    "ENVELOPE": _child("/soap:Envelope/soap:Body", f"{_ITK}trailer"),
    "MESSAGE_ID": _gone(f"{_HEADER}/wsa:MessageID"),
    "NEW_MESSAGE_ID": _from_request(f"{_HEADER}/wsa:MessageID", "//wsa:MessageID"),
    "RELATES": _text(f"{_HEADER}/wsa:RelatesTo", SOMEBODY),
    "NO_SCHEMA_LOCATION": _attribute("/soap:Envelope", f"{{{NAMESPACES['xsi']}}}schemaLocation", "urn:x x.xsd"),
    "A_STATUS": _status(202),
    "A_ACTION": _from_request(f"{_HEADER}/wsa:Action", "//wsa:Action"),
    "A_NO_FAULT": _child(_HEADER, f"{_ITK}ToolkitErrorInfo"),
    "A_SCHEMA_ENVELOPE": _attribute(f"{_ENVELOPE}/itk:header/itk:manifest", "order", "1"),
    "A_SERVICE": _from_request(f"{_ENVELOPE}/itk:header", "//itk:header/@service", "service"),
    "A_TRACKING_ID": _from_request(f"{_ENVELOPE}/itk:header", "//itk:header/@trackingid", "trackingid"),
    "A_COUNTS": _attribute("//itk:payloads", "count", "2"),
    "A_IDS": _lower("//itk:payload", "id"),
    "A_MIMETYPE": _attribute("//itk:manifestitem", "mimetype", "application/xml"),
    "A_PROFILE": _from_request("//itk:manifestitem", "//itk:manifestitem/@profileid", "profileid"),
    "A_ROOT": _edit("//itk:payload/*", lambda element, _sent: setattr(element, "tag", f"{_HL7}answer")),
    "A_SCHEMA_PAYLOAD": _child("//itk:payload/*", f"{_HL7}remark"),
    "A_CODE": _attribute("//itk:payload/*/hl7:value", "code", "SMSP-9998"),
    "A_NUMBER": _attribute("//hl7:patient/hl7:id[@root='2.16.840.1.113883.2.1.4.1']", "extension", STRANGER),
    "A_NO_PATIENT": _child("//itk:payload/*", f"{_HL7}subject"),
    "F_STATUS": _status(200),
    "F_ACTION": _text(f"{_HEADER}/wsa:Action", "http://www.w3.org/2005/08/addressing/fault"),
    "F_FAULT": _child("/soap:Envelope/soap:Body", f"{_SOAP}Fault"),
    "F_STRING": _text(f"{_FAULT}/faultstring", ""),
    "F_ACTOR": _text(f"{_FAULT}/faultactor", "the provider"),
    "F_CLIENT": _text(f"{_FAULT}/faultcode", "soap:Server"),
    "F_SERVER": _text(f"{_FAULT}/faultcode", "soap:Client"),
    "F_MUST_UNDERSTAND": _text(f"{_FAULT}/faultcode", "soap:Client"),
    "F_VERSION": _text(f"{_FAULT}/faultcode", "soap:Client"),
    "F_DETAIL": _gone("//itk:ToolkitErrorInfo/itk:ErrorID"),
    "F_ERROR_ID": _lower("//itk:ToolkitErrorInfo/itk:ErrorID"),
    "F_ERROR_CODE": _text("//itk:ToolkitErrorInfo/itk:ErrorCode", "9999"),
    "F_CODE_SYSTEM": _attribute("//itk:ToolkitErrorInfo/itk:ErrorCode", "codeSystem", "1.2.3"),
    "F_TEXT": _text("//itk:ToolkitErrorInfo/itk:ErrorText", ""),
    "F_NO_PATIENT": _repeats_the_patient,
    "F_NO_TRACE": _text("//itk:ToolkitErrorInfo/itk:ErrorText", 'File "/srv/app/engine.py", line 12'),
    "H_405": _status(200),
    "H_ALLOW": _header("Allow", None),
    "H_404": _status(200),
    "H_413": _status(500),
    "H_415": _status(500),
    "H_200": _status(404),
    "H_WSDL": lambda _sent, reply: replace(reply, body=b"<definitions/>"),
}
"""What spoils an answer so that one expectation must fail, by the expectation. NO_CONNECTION needs no spoiling: any
server that lets everybody in breaks it."""


def meagre(_sent: Sent, reply: Reply) -> Reply:
    """The shortest answer: a patient's first id, a fault's code, and nothing else that may be left out."""
    root = reply.root()
    kept = elements(root, "//hl7:patient/hl7:id[1]")
    for patient in elements(root, "//hl7:patient"):
        for child in list(patient):
            if child not in kept:
                patient.remove(child)
    for element in elements(root, "//soap:Fault/faultactor | //soap:Fault/detail | //hl7:validIdentifier/hl7:code"):
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)
    for element in elements(root, "//hl7:validIdentifier/hl7:value"):
        element.set("value", "false")
    return reply.with_root(root)


def overdone(_sent: Sent, reply: Reply) -> Reply:
    """More than may be said: every kind of detail once more, in the wrong form, and the request in the fault."""
    root = reply.root()
    for patient in elements(root, "//hl7:patient"):
        person = only_element(patient, "hl7:patientPerson")
        for use in ("H", "TMP", "PST"):
            etree.SubElement(patient, f"{_HL7}addr", use=use)
        etree.SubElement(patient, f"{_HL7}telecom", value="fax:01632960009")
        etree.SubElement(patient, f"{_HL7}name", use="L")
        patient.insert(0, etree.Element(f"{_HL7}id", root="1.2.3", extension="first"))
        if person is not None:
            for name in ("birthTime", "deceasedTime"):
                person.insert(0, etree.Element(f"{_HL7}{name}", value="200001010000"))
            person.insert(0, etree.Element(f"{_HL7}administrativeGenderCode", code="9"))
            etree.SubElement(person, f"{_HL7}gPPractice")
    for fault in elements(root, "//soap:Fault"):
        for diagnostic in elements(fault, "detail/itk:ToolkitErrorInfo"):
            etree.SubElement(diagnostic, f"{_ITK}ErrorDiagnosticText").text = " "
            for code in elements(diagnostic, "itk:ErrorCode"):
                code.set("codeSystem", "1.2.3")
        etree.SubElement(fault, f"{_HL7}queryEvent").text = "root:x:0:0:root"
        header = only_element(root, "/soap:Envelope/soap:Header")
        if header is not None:
            etree.SubElement(header, f"{_WSA}RelatesTo").text = SOMEBODY
    return reply.with_root(root)
