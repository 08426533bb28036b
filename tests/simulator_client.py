"""A plain Spine client for the simulator's tests: writes requests by hand and reads answers by XPath.

It shares no code with the provider's side of Spine, nor with the simulator's own writer.
"""

import http.client
import ssl
import uuid
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

__all__ = [
    "CROSS_CHECK",
    "RETRIEVAL",
    "TRACE",
    "SpineAsk",
    "SpineClient",
    "cross_check",
    "message_of",
    "retrieval",
    "said",
    "trace",
    "xpath",
]

TRACE: Final = "QUPA_IN000005UK01"
CROSS_CHECK: Final = "QUPA_IN000014UK01"
RETRIEVAL: Final = "QUPA_IN000008UK02"
_SERVICE: Final = "urn:nhs:names:services:pdsquery"
_NUMBER_ROOT: Final = "2.16.840.1.113883.2.1.4.1"
_NAMES: Final = {
    "h": "urn:hl7-org:v3",
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
    "w": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "n": "http://national.carerecords.nhs.uk/schema/",
}


@dataclass(frozen=True)
class SpineAsk:
    """A request, every part of it open to be broken."""

    interaction: str
    parameters: str
    message_id: str = field(default_factory=lambda: f"uuid:{str(uuid.uuid4()).upper()}")
    hl7_id: str = field(default_factory=lambda: str(uuid.uuid4()).upper())
    action: str | None = None
    to: str = "https://spine.example.invalid/sync-service"
    sender: str = "200000000205"
    receiver: str = "100000000104"
    header_sender: str | None = None
    author: str = ""
    extra_header: str = ""

    @property
    def soap_action(self) -> str:
        return self.action if self.action is not None else f"{_SERVICE}/{self.interaction}"

    def body(self) -> bytes:
        root = 'root="1.2.826.0.1285.0.2.0.107"'

        def device(function: str, asid: str) -> str:
            kind = function[-3:].upper()
            return (
                f'<communicationFunction{function} xmlns="urn:hl7-org:v3" typeCode="{kind}"><device classCode="DEV" '
                f'determinerCode="INSTANCE"><id {root} extension="{asid}"/></device></communicationFunction{function}>'
            )

        header_devices = device("Rcv", self.receiver) + device("Snd", self.header_sender or self.sender)
        text = (
            f'<s:Envelope xmlns:s="{_NAMES["s"]}" xmlns:w="{_NAMES["w"]}"><s:Header>'
            f"<w:MessageID>{self.message_id}</w:MessageID><w:Action>{self.soap_action}</w:Action><w:To>{self.to}</w:To>"
            f"{header_devices}{self.extra_header}</s:Header><s:Body>"
            f'<{self.interaction} xmlns="urn:hl7-org:v3"><id root="{self.hl7_id}"/>'
            f'<creationTime value="20260101120000"/><versionCode code="3NPfIT6.2.02"/>'
            f'<interactionId root="2.16.840.1.113883.2.1.3.2.4.12" extension="{self.interaction}"/>'
            '<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
            f"{device('Rcv', self.receiver)}{device('Snd', self.sender)}"
            f'<ControlActEvent classCode="CACT" moodCode="EVN">{self.author}<author1 typeCode="AUT">'
            '<AgentSystemSDS classCode="AGNT"><agentSystemSDS classCode="DEV" determinerCode="INSTANCE">'
            f'<id {root} extension="{self.sender}"/></agentSystemSDS></AgentSystemSDS></author1>'
            f"<query>{self.parameters}</query></ControlActEvent></{self.interaction}></s:Body></s:Envelope>"
        )
        return text.encode()


def _parameter(name: str, value: str) -> str:
    return f"<{name}><semanticsText>{name[0].upper()}{name[1:]}</semanticsText>{value}</{name}>"


def trace(
    family: str, gender: str, born: str, given: str | tuple[str, ...] = (), postcode: str | None = None, more: str = ""
) -> SpineAsk:
    """A simple trace."""
    givens = (given,) if isinstance(given, str) else given
    names = "".join(f"<given>{escape(name)}</given>" for name in givens) + f"<family>{escape(family)}</family>"
    home = "" if postcode is None else f"<value><postalCode>{escape(postcode)}</postalCode></value>"
    return SpineAsk(
        TRACE,
        (_parameter("person.address", home) if home else "")
        + _parameter("person.administrativeGenderCode", f'<value code="{gender}"/>')
        + _parameter("person.birthTime", f'<value value="{born}"/>')
        + more
        + _parameter("person.name", f'<value use="L">{names}</value>'),
    )


def cross_check(number: str, born: str, family: str | None = None, given: str | None = None) -> SpineAsk:
    """A cross-check trace."""
    names = (f"<given>{escape(given)}</given>" if given else "") + (
        f"<family>{escape(family)}</family>" if family else ""
    )
    return SpineAsk(
        CROSS_CHECK,
        _parameter("person.birthTime", f'<value value="{born}"/>')
        + _parameter("person.id", f"<value root={quoteattr(_NUMBER_ROOT)} extension={quoteattr(number)}/>")
        + (_parameter("person.name", f'<value use="L">{names}</value>') if names else ""),
    )


def retrieval(number: str, *, history: bool = False, item: str = "person.allData") -> SpineAsk:
    """A retrieval."""
    indicator = f'<value code="{int(history)}" codeSystem="2.16.840.1.113883.2.1.3.2.4.17.36"/>'
    return SpineAsk(
        RETRIEVAL,
        _parameter("historicDataIndicator", indicator)
        + _parameter("person.id", f"<value root={quoteattr(_NUMBER_ROOT)} extension={quoteattr(number)}/>")
        + f"<retrievalItem><semanticsText>{item}</semanticsText></retrievalItem>",
    )


def xpath(document: bytes | etree._Element, path: str) -> list[str]:
    """The texts (elements: their own text) that a path finds; prefixes h, s, w, n."""
    root = etree.fromstring(document) if isinstance(document, bytes) else document
    found = root.xpath(path, namespaces=_NAMES)
    assert isinstance(found, list)
    return [item if isinstance(item, str) else (getattr(item, "text", None) or "") for item in found]


def message_of(answer: bytes) -> etree._Element:
    """The HL7 message in the wrapper in the SOAP body."""
    found = etree.fromstring(answer).xpath("/s:Envelope/s:Body/h:*/h:*", namespaces=_NAMES)
    assert isinstance(found, list)
    (message,) = found
    assert isinstance(message, etree._Element)
    return message


def said(answer: bytes) -> str:
    """An answer in short: acknowledgement, NHS numbers of the patient, reasons, as the population writes it."""
    message = message_of(answer)
    act = "h:ControlActEvent"
    parts = [
        *xpath(message, "h:acknowledgement/@typeCode"),
        *xpath(message, f"{act}/h:subject/*/h:subject/h:patientRole/h:id[@root='{_NUMBER_ROOT}']/@extension"),
        *xpath(message, f"{act}/h:reason/h:justifyingDetectedIssueEvent/h:code/@code"),
    ]
    return " ".join(parts)


class SpineClient:
    """One kept connection to a running simulator."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, timeout: float = 60.0) -> None:
        self.connection = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
            if context is None
            else http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=context)
        )

    def send(self, ask: SpineAsk, path: str = "/syncservice-pds/pds", **headers: str) -> tuple[int, str, bytes]:
        """Send a request; returns status, content type and body."""
        plain = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{ask.soap_action}"'}
        self.connection.request("POST", path, ask.body(), plain | headers)
        response = self.connection.getresponse()
        return response.status, response.getheader("Content-Type") or "", response.read()

    def close(self) -> None:
        self.connection.close()
