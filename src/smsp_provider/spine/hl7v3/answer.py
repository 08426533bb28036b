"""Reads what Spine answered to a synchronous query: envelope, wrapper, reasons, patients; or the fault instead.

Spine's answers are not always valid against their own schemas, so they are read for what they say: any prefix, any
version code, any wrapper in the body, several issues in one reason. Whether an answer belongs to its question is found
out here (the references) and judged elsewhere (the gate).

Source: HL7 V3 pack (pds-hl7v3.md, sections 7 to 10).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from lxml import etree

from smsp_provider.domain.failures import Refused, Unreadable
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.person import PatientRecord
from smsp_provider.domain.spine_answers import Acknowledgement, DetectedIssue, ExchangeIds, Reference, SpineAnswer
from smsp_provider.spine.hl7v3.fault import fault_codes
from smsp_provider.spine.hl7v3.interactions import ANSWERS, REFUSALS, Interaction
from smsp_provider.spine.hl7v3.query import MessageIds
from smsp_provider.spine.hl7v3.record import read_record
from smsp_provider.xmlcore.names import HL7, SOAP11, WSA_SPINE
from smsp_provider.xmlcore.parse import MalformedXML, local_name, parse
from smsp_provider.xmlcore.read import first_child, only_child

__all__ = ["Question", "read_answer"]

_H: Final = f"{{{HL7}}}"
_ENVELOPE: Final = f"{{{SOAP11}}}Envelope"
_HEADER: Final = f"{{{SOAP11}}}Header"
_BODY: Final = f"{{{SOAP11}}}Body"
_MESSAGE_ID: Final = f"{{{WSA_SPINE}}}MessageID"
_RELATES_TO: Final = f"{{{WSA_SPINE}}}RelatesTo"
_MESSAGES: Final = frozenset(f"{_H}{name}" for name in ANSWERS)

_ID: Final = f"{_H}id"
_CODE: Final = f"{_H}code"
_QUALIFIER: Final = f"{_H}qualifier"
_ACKNOWLEDGEMENT: Final = f"{_H}acknowledgement"
_ACKNOWLEDGEMENT_DETAIL: Final = f"{_H}acknowledgementDetail"
_MESSAGE_REF: Final = f"{_H}messageRef"
_CONTROL_ACT: Final = f"{_H}ControlActEvent"
_REASON: Final = f"{_H}reason"
_ISSUE: Final = f"{_H}justifyingDetectedIssueEvent"
_SUBJECT: Final = f"{_H}subject"
_PATIENT_ROLE: Final = f"{_H}patientRole"
_QUERY_ACK: Final = f"{_H}queryAck"
_QUERY_RESPONSE_CODE: Final = f"{_H}queryResponseCode"

_ACKNOWLEDGEMENTS: Final = {kind.value: kind for kind in Acknowledgement}
_QUERY_OK: Final = "OK"
_LIMITED: Final = frozenset({"5", "9"})
"""PDS answered, but left data out because the record is sensitive."""

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9:-]{1,64}")
_PLAIN_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_UNKNOWN: Final = "unknown"


@immutable
class Question:
    """What an answer is read against: the interaction asked, the ids of its message, all ids sent for the query.

    ``upstream`` and ``told`` are handed on to the audit trail, see :class:`ExchangeIds`.
    """

    interaction: Interaction
    ids: MessageIds
    sent: tuple[str, ...]
    upstream: str = ""
    told: tuple[str, ...] = ()


def read_answer(document: bytes, question: Question) -> SpineAnswer:
    """The answer in a whole SOAP message.

    ``references`` holds every RelatesTo and every messageRef found, and one without a finding where there is none.
    A refusing message that calls itself accepted is still a refusal.

    Raises:
        Refused: a SOAP fault, with Spine's error codes.
        Unreadable: not UTF-8, not XML, not SOAP 1.1, another interaction than the one that answers, or no
            acknowledgement that could be understood. Nothing of the answer is quoted.
    """
    header, body = _envelope(document)
    relates_to, received = _header_ids(header)
    message = _message_in(body)
    if message is None:
        failure = _without_message(body)
        failure.exchange = ExchangeIds(question.interaction.request, question.sent, _plain_ids(received))
        raise failure
    name = local_name(message)
    if name != question.interaction.answer and name not in REFUSALS:
        raise Unreadable("the answer is another interaction than the one expected")
    acknowledgements, acts = _parts(message, received)
    acknowledgement, message_refs, details = _acknowledgement(acknowledgements)
    if name in REFUSALS and acknowledgement is Acknowledgement.ACCEPTED:
        acknowledgement = Acknowledgement.ERROR
    query_codes, reasons, subjects = _control_act(acts)
    issues = (*reasons, *details)
    return SpineAnswer(
        references=(
            *_references("RelatesTo", question.ids.soap, relates_to),
            *_references("messageRef", question.ids.hl7, message_refs),
        ),
        acknowledgement=acknowledgement,
        query_ok=query_codes == [_QUERY_OK],
        issues=issues,
        records=_records(subjects, limited=any(issue.code in _LIMITED for issue in issues)),
        exchange=ExchangeIds(
            question.interaction.request, question.sent, _plain_ids(received), question.upstream, question.told
        ),
    )


def _envelope(document: bytes) -> tuple[etree._Element | None, etree._Element]:
    try:
        root = parse(document, keep_blanks=False)
    except MalformedXML as error:
        raise Unreadable(f"the answer cannot be read: {error.reason}") from None
    if root.tag != _ENVELOPE:
        raise Unreadable("the answer is not a SOAP 1.1 envelope")
    parts = root[:]
    body = only_child(parts, _BODY)
    if body is None:
        raise Unreadable("the answer has no single SOAP body")
    return first_child(parts, _HEADER), body


def _header_ids(header: etree._Element | None) -> tuple[list[str], list[str]]:
    """The ids of the messages that the answer relates to, and its own."""
    relates_to: list[str] = []
    own: list[str] = []
    if header is not None:
        for block in header.iterchildren(_MESSAGE_ID, _RELATES_TO):
            (own if block.tag == _MESSAGE_ID else relates_to).append((block.text or "").strip())
    return relates_to, own


def _message_in(body: etree._Element) -> etree._Element | None:
    """The first known message, in whatever it is wrapped."""
    for element in body.iter():
        if element.tag in _MESSAGES:
            return element
    return None


def _without_message(body: etree._Element) -> Refused | Unreadable:
    codes = fault_codes(body)
    if codes is None:
        return Unreadable("the answer holds no known interaction")
    return Refused("Spine answered with a SOAP fault", codes)


def _parts(message: etree._Element, received: list[str]) -> tuple[list[etree._Element], list[etree._Element]]:
    """The acknowledgements and the control acts of a message, whose own ids are added to ``received``."""
    acknowledgements: list[etree._Element] = []
    acts: list[etree._Element] = []
    for part in message.iterchildren(_ID, _ACKNOWLEDGEMENT, _CONTROL_ACT):
        tag = part.tag
        if tag == _ID:
            received.append(part.get("root", ""))
        else:
            (acknowledgements if tag == _ACKNOWLEDGEMENT else acts).append(part)
    return acknowledgements, acts


def _acknowledgement(
    acknowledgements: list[etree._Element],
) -> tuple[Acknowledgement, list[str], list[DetectedIssue]]:
    """The type, the messages it refers to, and its details as issues without a qualifier."""
    if len(acknowledgements) != 1:
        raise Unreadable("the answer has no single acknowledgement")
    kind = _ACKNOWLEDGEMENTS.get(acknowledgements[0].get("typeCode", ""))
    if kind is None:
        raise Unreadable("the acknowledgement has an unknown type")
    references: list[str] = []
    details: list[DetectedIssue] = []
    for child in acknowledgements[0][:]:
        if child.tag == _MESSAGE_REF:
            references += [element.get("root", "") for element in child[:] if element.tag == _ID]
        elif child.tag == _ACKNOWLEDGEMENT_DETAIL:
            details += [DetectedIssue(_plain_code(code)) for code in child[:] if code.tag == _CODE]
    return kind, references, details


def _references(name: str, expected: str, found: list[str]) -> list[Reference]:
    return [Reference(name, expected, value) for value in found] or [Reference(name, expected, None)]


def _control_act(
    acts: list[etree._Element],
) -> tuple[list[str | None], list[DetectedIssue], list[etree._Element]]:
    """What the first control act says: how the query went, the reasons that PDS gives, and the subjects."""
    query_codes: list[str | None] = []
    reasons: list[DetectedIssue] = []
    subjects: list[etree._Element] = []
    for part in acts[0][:] if acts else ():
        tag = part.tag
        if tag == _SUBJECT:
            subjects.append(part)
        elif tag == _REASON:
            reasons += _issues(part)
        elif tag == _QUERY_ACK:
            query_codes += [code.get("code") for code in part[:] if code.tag == _QUERY_RESPONSE_CODE]
    return query_codes, reasons, subjects


def _issues(reason: etree._Element) -> Iterator[DetectedIssue]:
    for event in reason.iter(_ISSUE):
        for code in event.iterchildren(_CODE):
            qualifier = code.find(_QUALIFIER)
            yield DetectedIssue(_plain_code(code), qualifier.get("code", "") if qualifier is not None else "")


def _plain_code(element: etree._Element) -> str:
    """The code, or ``unknown`` for anything else than a short plain one: codes are logged and audited."""
    code = element.get("code", "").strip()
    return code if _PLAIN_CODE.fullmatch(code) else _UNKNOWN


def _records(subjects: Sequence[etree._Element], *, limited: bool) -> tuple[PatientRecord, ...]:
    """All patients, in message order, by child steps from the subjects of the control act."""
    return tuple(
        [
            read_record(patient_role, limited=limited)
            for subject in subjects
            for match in subject[:]
            for inner in match[:]
            if inner.tag == _SUBJECT
            for patient_role in inner[:]
            if patient_role.tag == _PATIENT_ROLE
        ]
    )


def _plain_ids(received: list[str]) -> tuple[str, ...]:
    """The answer's own ids for the audit trail: of its envelope and of its message, where they look like ids."""
    return tuple([value for value in received if _PLAIN_ID.fullmatch(value)])
