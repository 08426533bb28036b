"""A business answer as a SOAP message (transport.md "A response", PDS mini services message specification).

Written as text and read again before it leaves (:mod:`smsp_provider.itk.read_back`). The header holds MessageID, Action
and RelatesTo: no To (anonymous is its default) and no security block (WS-SEC-16).
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from smsp_provider.domain.identifiers import OID, LocalIdentifier
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Outcome, PatientDetails, ResponseAddress, ResponseName, ResponseTelecom
from smsp_provider.domain.response_codes import Vocabulary
from smsp_provider.domain.service import Service
from smsp_provider.itk.services import SERVICES, ServiceEntry
from smsp_provider.xmlcore.build import attribute_text, document, text
from smsp_provider.xmlcore.names import HL7, ITK, SOAP11, WSA

__all__ = ["ResponseIds", "build_response"]

_PATIENT: Final = (
    f'<subject typeCode="SBJ"><patient classCode="PAT"><id root="{OID.NHS_NUMBER}" extension="',
    "</patient></subject>",
)
_COMPONENT: Final = '<component typeCode="COMP"><validIdentifier classCode="OBS" moodCode="EVN">'
_VALID_IDENTIFIER: Final = (
    f'{_COMPONENT}<code code="VI" codeSystem="{OID.IDENTIFIER_VALIDITY}"/><value value="true"/>',
    "</validIdentifier></component>",
)
_PERSON: Final = ('<patientPerson classCode="PSN" determinerCode="INSTANCE">', "</patientPerson>")
_ORGANIZATION: Final = '<gPPractice classCode="SDLOC"><locationOrganization classCode="ORG" determinerCode="INSTANCE">'
_PRACTICE: Final = (
    f'{_ORGANIZATION}<id root="{OID.PRACTICE}" extension="',
    '"/></locationOrganization></gPPractice>',
)


@immutable
class ResponseIds:
    """New UUIDs, bare and in upper case. ``payload_id`` is also the id of the HL7 message in the payload."""

    message_id: str
    tracking_id: str
    payload_id: str


class _Frame(NamedTuple):
    """The constant text of a service's responses, between the values that differ."""

    opening: str
    to_tracking_id: str
    to_manifest_id: str
    to_payload_id: str
    to_root_id: str
    to_code: str
    closing: str


def _frame(entry: ServiceEntry) -> _Frame:
    root = entry.response_root
    return _Frame(
        opening=f'<soap:Envelope xmlns:soap="{SOAP11}" xmlns:wsa="{WSA}" xmlns:itk="{ITK}"><soap:Header>'
        f"<wsa:Action>{entry.response_action}</wsa:Action><wsa:MessageID>",
        to_tracking_id="</wsa:RelatesTo></soap:Header><soap:Body><itk:DistributionEnvelope>"
        f'<itk:header service="{entry.response_action}" trackingid="',
        to_manifest_id='"><itk:manifest count="1"><itk:manifestitem id="uuid_',
        to_payload_id=f'" mimetype="text/xml" profileid="{entry.response_profile}"/></itk:manifest></itk:header>'
        '<itk:payloads count="1"><itk:payload id="uuid_',
        to_root_id=f'"><{root} xmlns="{HL7}" classCode="OBS" moodCode="EVN"><id root="',
        to_code=f'"/><code code="{root}" codeSystem="{OID.SERVICE_MESSAGE}"/>'
        f'<value codeSystem="{OID.RESPONSE_CODE}" code="',
        closing=f"</{root}></itk:payload></itk:payloads></itk:DistributionEnvelope></soap:Body></soap:Envelope>",
    )


_FRAMES: Final = MappingProxyType({service: _frame(entry) for service, entry in SERVICES.items()})


def build_response(
    service: Service,
    outcome: Outcome,
    *,
    ids: ResponseIds,
    relates_to: str,
    vocabulary: Vocabulary,
    local_identifier: LocalIdentifier | None,
) -> bytes:
    """The whole SOAP message that answers a request with an outcome.

    ``relates_to`` is the request's MessageID as sent. ``local_identifier`` is reflected beside the NHS number, where
    the service's schema has room for it. An outcome without an NHS number carries its code only.
    """
    frame = _FRAMES[service]
    return document(
        (
            frame.opening,
            ids.message_id,
            "</wsa:MessageID><wsa:RelatesTo>",
            text(relates_to),
            frame.to_tracking_id,
            ids.tracking_id,
            frame.to_manifest_id,
            ids.payload_id,
            frame.to_payload_id,
            ids.payload_id,
            frame.to_root_id,
            ids.payload_id,
            frame.to_code,
            attribute_text(vocabulary.wire_code(outcome.code, truncated=outcome.is_truncated)),
            '"/>',
            _data(service, outcome, local_identifier),
            frame.closing,
        )
    )


def _data(service: Service, outcome: Outcome, local_identifier: LocalIdentifier | None) -> str:
    """What is said about the patient; nothing where the outcome names none."""
    details = outcome.details
    # The details carry their own number (W9): were they another's, the reading back would show it.
    number = outcome.nhs_number if details is None else details.nhs_number
    if number is None:
        return ""
    if service is Service.VERIFY_NHS_NUMBER:
        opening, closing = _VALID_IDENTIFIER
        return f"{opening}{_subject(number, None, '')}{closing}"
    return _subject(number, local_identifier, "" if details is None else _details(details))


def _subject(number: NHSNumber, local_identifier: LocalIdentifier | None, content: str) -> str:
    opening, closing = _PATIENT
    return f'{opening}{number.digits}"/>{_reflected(local_identifier)}{content}{closing}'


def _reflected(local_identifier: LocalIdentifier | None) -> str:
    if local_identifier is None:
        return ""
    root, extension = attribute_text(local_identifier.root), attribute_text(local_identifier.extension)
    return f'<id root="{root}" extension="{extension}"/>'


def _details(details: PatientDetails) -> str:
    """Absent in PDS = absent here, blank in PDS = blank here (SMSP-PDS-006)."""
    name = "" if details.name is None else _name(details.name)
    addresses = "".join(map(_address, details.addresses))
    telecoms = "".join(map(_telecom, details.telecoms))
    return f"{name}{addresses}{telecoms}{_person(details)}"


def _name(name: ResponseName) -> str:
    given = "".join(f"<given>{text(part)}</given>" for part in name.given)
    return f'<name use="L">{_leaf("prefix", name.prefix)}{given}{_leaf("family", name.family)}</name>'


def _leaf(name: str, value: str | None) -> str:
    return "" if value is None else f"<{name}>{text(value)}</{name}>"


def _address(address: ResponseAddress) -> str:
    lines = "".join(f"<streetAddressLine>{text(line)}</streetAddressLine>" for line in address.lines)
    return f'<addr use="{attribute_text(address.use)}">{_leaf("postalCode", address.postal_code)}{lines}</addr>'


def _telecom(telecom: ResponseTelecom) -> str:
    use = "" if telecom.use is None else f'use="{attribute_text(telecom.use)}" '
    return f'<telecom {use}value="{attribute_text(telecom.value)}"/>'


def _person(details: PatientDetails) -> str:
    parts = []
    if details.gender is not None:
        code = attribute_text(details.gender)
        parts.append(f'<administrativeGenderCode code="{code}" codeSystem="{OID.GENDER}"/>')
    if details.date_of_birth is not None:
        parts.append(f'<birthTime value="{details.date_of_birth.digits}"/>')
    if details.date_of_death is not None:
        parts.append(f'<deceasedTime value="{details.date_of_death.digits}"/>')
    if details.practice is not None:
        parts.append(f"{_PRACTICE[0]}{attribute_text(details.practice)}{_PRACTICE[1]}")
    if not parts:
        return ""
    return f"{_PERSON[0]}{''.join(parts)}{_PERSON[1]}"
