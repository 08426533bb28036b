"""Answers as Spine writes them: SOAP envelope, HL7 wrapper, and the query's own wrapper element.

Source: HL7 V3 pack, sections 7 (envelope and wrapper), 8 (refusals) and 9 (SOAP faults).
"""

from datetime import UTC, datetime
from typing import Final

from smsp_provider.domain.identifiers import OID, bare_uuid
from smsp_provider.simulator.answers import AnswerContext, AnswerKind
from smsp_provider.simulator.patient_xml import flat_subject, parts_subject
from smsp_provider.simulator.reasons import Reason
from smsp_provider.xmlcore.build import attribute_text, document, element, text
from smsp_provider.xmlcore.names import HL7, NASP, SOAP11, WSA_SPINE

__all__ = ["VERSION_CODE", "write_answer", "write_soap_fault"]

VERSION_CODE: Final = "3NPfIT6.3.01"
"""What Spine 2 writes today."""

_SERVICE: Final = "urn:nhs:names:services:pdsquery"
_REFUSAL: Final = "QUQI_IN010000UK14"
_GENERAL: Final = "MCCI_IN010000UK13"
_REASON_CODES: Final = "2.16.840.1.113883.2.1.3.2.4.17.42"
_DETAIL_CODES: Final = "2.16.840.1.113883.2.1.3.2.4.17.32"
_RETRIEVED: Final = "QUPA_IN000009UK03"

_ENVELOPE: Final = (
    f'<SOAP-ENV:Envelope xmlns:SOAP-ENV="{SOAP11}" xmlns:wsa="{WSA_SPINE}" xmlns="{HL7}" xmlns:hl7="{HL7}">'
    "<SOAP-ENV:Header><wsa:MessageID>uuid:{message_id}</wsa:MessageID>"
    f"<wsa:Action>{_SERVICE}/{{interaction}}</wsa:Action><wsa:To/>"
    f"<wsa:From><wsa:Address>{_SERVICE}</wsa:Address></wsa:From>"
    "{devices}<wsa:RelatesTo>{relates_to}</wsa:RelatesTo></SOAP-ENV:Header>"
    "<SOAP-ENV:Body><{wrapper}>{message}</{wrapper}></SOAP-ENV:Body></SOAP-ENV:Envelope>"
)
_DEVICE: Final = (
    '<communicationFunction{kind} typeCode="{code}"><device classCode="DEV" determinerCode="INSTANCE">'
    f'<id root="{OID.ASID}" extension="{{asid}}"/></device></communicationFunction{{kind}}>'
)
_MESSAGE: Final = (
    f'<{{interaction}} xmlns="{HL7}"><id root="{{message_id}}"/><creationTime value="{{created}}"/>'
    f'<versionCode code="{VERSION_CODE}"/>'
    '<interactionId root="2.16.840.1.113883.2.1.3.2.4.12" extension="{interaction}"/>'
    '<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
    '<acknowledgement typeCode="{acknowledgement}">{details}<messageRef><id root="{message_ref}"/></messageRef>'
    "</acknowledgement>{devices}"
    '<ControlActEvent classCode="CACT" moodCode="EVN"><author1 typeCode="AUT"><AgentSystemSDS classCode="AGNT">'
    '<agentSystemSDS classCode="DEV" determinerCode="INSTANCE">'
    f'<id root="{OID.ASID}" extension="{{author}}"/></agentSystemSDS></AgentSystemSDS></author1>'
    "{content}</ControlActEvent></{interaction}>"
)
_QUERY_ACK: Final = '<queryAck type="QueryAck"><queryResponseCode code="{code}"/></queryAck>'


def write_answer(answer: AnswerContext, message_id: str, moment: datetime) -> str:
    """The whole SOAP answer as text, without an XML declaration.

    ``message_id`` is a new upper-case UUID, ``moment`` an aware time.
    """
    interaction, acknowledgement, details, content = _content(answer)
    request = answer.request
    devices = _device("Rcv", "RCV", request.sender_asid) + _device("Snd", "SND", request.receiver_asid)
    message = _MESSAGE.format(
        interaction=interaction,
        message_id=message_id,
        created=f"{moment.astimezone(UTC):%Y%m%d%H%M%S}",
        acknowledgement=acknowledgement,
        details=details,
        message_ref=attribute_text(bare_uuid(answer.message_ref)),
        devices=devices,
        author=attribute_text(request.receiver_asid),
        content=content,
    )
    return _ENVELOPE.format(
        message_id=message_id,
        interaction=interaction,
        devices=devices,
        relates_to=text(answer.relates_to),
        wrapper=request.interaction.wrapper,
        message=message,
    )


def _content(answer: AnswerContext) -> tuple[str, str, str, str]:
    """Interaction, acknowledgement type, acknowledgement details and the content after the author."""
    if answer.kind is AnswerKind.REJECTION:
        return _GENERAL, "AR", "".join(_detail(reason) for reason in answer.reasons), ""
    reasons = "".join(_reason(reason) for reason in answer.reasons)
    if answer.kind is AnswerKind.GENERAL_REFUSAL:
        return _GENERAL, "AE", "", reasons
    if answer.kind is AnswerKind.REFUSAL or answer.record is None:
        return _REFUSAL, "AE", "", reasons + _QUERY_ACK.format(code="ID")
    if answer.interaction == _RETRIEVED:
        subject = parts_subject(answer.record, answer.replaced)
    else:
        subject = flat_subject(answer.record, answer.interaction)
    content = reasons + element("subject", subject, typeCode="SUBJ") + _QUERY_ACK.format(code="OK")
    return answer.interaction, "AA", "", content


def _device(kind: str, code: str, asid: str) -> str:
    return _DEVICE.format(kind=kind, code=code, asid=attribute_text(asid))


def _reason(reason: Reason) -> str:
    code = element(
        "code",
        element("qualifier", code=reason.qualifier),
        code=reason.code,
        codeSystem=_REASON_CODES,
        displayName=reason.text,
    )
    event = element("justifyingDetectedIssueEvent", code, classCode="ALRT", moodCode="EVN")
    return element("reason", event, typeCode="RSON")


def _detail(reason: Reason) -> str:
    code = element("code", code=reason.code, codeSystem=_DETAIL_CODES, displayName=reason.text)
    return element("acknowledgementDetail", code, typeCode="ER")


def write_soap_fault(codes: tuple[str, ...], description: str) -> bytes:
    """A Spine SOAP fault with one error for every code, as a whole document."""
    side = "Client" if set(codes) <= {"101", "201"} else "Server"
    errors = [
        element(
            "nasp:error",
            element("nasp:codeContext", "urn:nhs:names:error:tms"),
            element("nasp:errorCode", text(code)),
            element("nasp:severity", "Error"),
            element("nasp:location", "Not Supported"),
            element("nasp:description", text(description)),
        )
        for code in codes
    ]
    fault = element(
        "SOAP:Fault",
        element("faultcode", f"SOAP:{side}"),
        element("faultstring", "Application Exception"),
        element("detail", f'<nasp:errorList xmlns:nasp="{NASP}">', *errors, "</nasp:errorList>"),
    )
    return document([f'<SOAP:Envelope xmlns:SOAP="{SOAP11}"><SOAP:Body>{fault}</SOAP:Body></SOAP:Envelope>'])
