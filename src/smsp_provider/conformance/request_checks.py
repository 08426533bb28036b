"""What of a request only the moment and the wire can tell, and how a provider takes what is broken.

The rules of :mod:`rules_run` see a message alone. Source: transport.md, the table of header blocks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from lxml import etree

from smsp_provider.conformance.captures import Message
from smsp_provider.conformance.expectations import Finding
from smsp_provider.conformance.names import NAMESPACES
from smsp_provider.conformance.xpath import elements

__all__ = ["Refusal", "action_of", "on_the_wire", "refusal_of"]

_SKEW: Final = timedelta(seconds=300)
_SOAP_12: Final = "application/soap+xml"
_VERSION: Final = "(WS-FLT-01)"


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a provider refuses: by a fault, or by a response code; ``says`` is the rule that was broken."""

    says: str
    faultcode: str = ""
    error_code: str = ""
    code: str = ""


def action_of(message: Message) -> str:
    """The action of a request; empty where there is not exactly one."""
    found = elements(message.soap, "/soap:Envelope/soap:Header/wsa:Action") if message.soap is not None else []
    return (found[0].text or "").strip() if len(found) == 1 else ""


def on_the_wire(
    message: Message, headers: Sequence[tuple[str, str]], *, problem: str, repeated: bool
) -> tuple[Finding, ...]:
    """What HTTP, the clock and earlier messages say of a request.

    ``problem``: why its body is no message; ``repeated``: another message had its MessageID. What is no SOAP 1.1 is
    told to be that, and not blamed for the blocks that nobody can find in it.
    """
    named = {name.lower(): value for name, value in headers}
    media_type = named.get("content-type", "").partition(";")[0].strip().lower()
    soap_action = named.get("soapaction", "").strip().strip('"')
    findings = [_finding("the body is XML", not problem, problem)]
    if not problem:
        findings.append(_version(message, media_type))
    if media_type != _SOAP_12:
        findings.append(
            _finding("Content-Type is text/xml (WS-STD-01)", media_type == "text/xml", media_type or "absent")
        )
    if message.soap is not None and etree.QName(message.soap).namespace == NAMESPACES["soap"]:
        findings += [
            _finding("SOAPAction is wsa:Action, or left out (WS-ADR-04)", soap_action in ("", action_of(message))),
            _finding("no other message had this MessageID (WS-ADR-01)", not repeated),
            _finding("the SOAP body holds a distribution envelope (DE-PDS-01)", message.itk is not None),
            _finding("the payload has content that can be read (SMSP-VAL-001)", message.hl7 is not None),
            *_moments(message),
        ]
    return (*findings, *_birth(message))


def _finding(says: str, holds: bool, reason: str = "it is not so") -> Finding:
    return Finding("http", says, holds, "" if holds else reason)


def _version(message: Message, media_type: str) -> Finding:
    """Whether what is XML is SOAP 1.1."""
    if message.soap is None:
        return _finding("the message is a SOAP envelope", holds=False)
    if media_type == _SOAP_12:
        return _finding(f"the message is SOAP 1.1 {_VERSION}", holds=False, reason=f"the content type is {media_type}")
    namespace = etree.QName(message.soap).namespace or "none"
    holds = namespace == NAMESPACES["soap"]
    return _finding(f"the message is SOAP 1.1 {_VERSION}", holds, f"the namespace of the envelope is {namespace}")


def _moments(message: Message) -> list[Finding]:
    created, expires = _moment(message, "Created"), _moment(message, "Expires")
    if created is None or expires is None:
        return [_finding("wsu:Created and wsu:Expires are real moments (WS-DSC-03)", holds=False)]
    now = datetime.now(UTC)
    clock = f"it is {now:%Y-%m-%dT%H:%M:%SZ} here"
    return [
        _finding("wsu:Created is not in the future (WS-SEC-04)", created <= now + _SKEW, clock),
        _finding("wsu:Expires has not passed (WS-SEC-06)", expires >= now, clock),
        _finding("wsu:Expires is after wsu:Created (WS-SEC-05)", expires >= created),
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
    return [_finding("the date of birth is real, and has been", _was(element.get("value", ""))) for element in found]


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


def refusal_of(findings: Iterable[Finding]) -> Refusal | None:
    """How a provider refuses what is broken; None where it answers: nothing is, or only what it need not look at.

    Faults come before response codes, and those about the message before those about security.
    """
    broken = [finding.says for finding in findings if finding.holds is False]
    broken = [says for says in broken if not _is(says, _ADVICE)]
    security = [says for says in broken if _is(says, _SECURITY)]
    invalid = [says for says in broken if _is(says, _INPUT) and not _is(says, _SECURITY)]
    message = [says for says in broken if says not in security and says not in invalid]
    version = [says for says in message if _VERSION in says]
    if version:
        return Refusal(version[0], "VersionMismatch")
    if message:
        return Refusal(message[0], "Client", "1000")
    if security:
        return Refusal(security[0], "Client", "3000")
    return Refusal(invalid[0], code="SMSP-0001") if invalid else None


def _is(says: str, marks: tuple[str, ...]) -> bool:
    return any(mark in says for mark in marks)
