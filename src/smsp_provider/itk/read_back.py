"""An outgoing answer, read again from the very bytes that would leave (safety rule W10, WS-VAL-01).

Nothing of what built the message is trusted here: the bytes are parsed, the envelope and the payload are validated, and
the facts that the gate compares with the request are read from the parsed document.
"""

from typing import Final

from lxml import etree

from smsp_provider.domain.identifiers import OID, LocalIdentifier
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.service import Service
from smsp_provider.itk.services import SERVICES
from smsp_provider.xmlcore.names import HL7, ITK, SOAP11, WSA
from smsp_provider.xmlcore.parse import MalformedXML, parse
from smsp_provider.xmlcore.read import first_child, leaf_text, only_child
from smsp_provider.xmlcore.schemas import SchemaName, Schemas

__all__ = ["ResponseFacts", "read_back"]

_HEADER: Final = f"{{{SOAP11}}}Header"
_BODY: Final = f"{{{SOAP11}}}Body"
_RELATES_TO: Final = f"{{{WSA}}}RelatesTo"
_ENVELOPE: Final = f"{{{ITK}}}DistributionEnvelope"
_PAYLOADS: Final = f"{{{ITK}}}payloads"
_PAYLOAD: Final = f"{{{ITK}}}payload"
_VALUE: Final = f"{{{HL7}}}value"
_COMPONENT: Final = f"{{{HL7}}}component"
_VALID_IDENTIFIER: Final = f"{{{HL7}}}validIdentifier"
_SUBJECT: Final = f"{{{HL7}}}subject"
_PATIENT: Final = f"{{{HL7}}}patient"
_PATIENT_PERSON: Final = f"{{{HL7}}}patientPerson"
_BIRTH_TIME: Final = f"{{{HL7}}}birthTime"
_ID: Final = f"{{{HL7}}}id"


@immutable
class ResponseFacts(Masked):
    """What an outgoing message says.

    ``findings`` (path and rule, no values) tell why a message is not ``valid``. ``nhs_numbers`` holds every patient id
    that stands under the root of NHS numbers, ``local_identifier`` the first that does not. None = not in the message.
    """

    valid: bool
    findings: tuple[str, ...]
    relates_to: str | None = None
    code: str | None = None
    nhs_numbers: tuple[str, ...] = ()
    local_identifier: LocalIdentifier | None = None
    date_of_birth: str | None = None


def read_back(document: bytes, service: Service, schemas: Schemas) -> ResponseFacts:
    """Parse, validate and read a response of a service. Never raises on a bad one: it says ``valid=False``."""
    try:
        root = parse(document)
    except MalformedXML as error:
        return ResponseFacts(valid=False, findings=(error.reason,))
    parts = root[:]
    payload = _payload(parts)
    if payload is None:
        return ResponseFacts(valid=False, findings=("not a SOAP message with one distribution envelope and payload",))
    envelope, content = payload
    entry = SERVICES[service]
    findings: tuple[str, ...] = ()
    if content.tag != f"{{{HL7}}}{entry.response_root}":
        findings = ("the payload has another root",)
    findings += _findings(schemas, SchemaName.DISTRIBUTION_ENVELOPE, envelope)
    findings += _findings(schemas, entry.response_schema, content)
    said = content[:]
    patient = _patient(said)
    numbers, local_identifier = _identifiers(patient)
    return ResponseFacts(
        valid=not findings,
        findings=findings,
        relates_to=_relates_to(parts),
        code=_attribute(first_child(said, _VALUE), "code"),
        nhs_numbers=numbers,
        local_identifier=local_identifier,
        date_of_birth=_date_of_birth(patient),
    )


def _payload(parts: list[etree._Element]) -> tuple[etree._Element, etree._Element] | None:
    """The distribution envelope and the content of its one payload."""
    body = only_child(parts, _BODY)
    envelope = None if body is None or len(body) != 1 else body[0]
    if envelope is None or envelope.tag != _ENVELOPE:
        return None
    payloads = only_child(envelope, _PAYLOADS)
    payload = None if payloads is None else only_child(payloads, _PAYLOAD)
    if payload is None or len(payload) != 1:
        return None
    return envelope, payload[0]


def _findings(schemas: Schemas, schema: SchemaName, element: etree._Element) -> tuple[str, ...]:
    if schemas.is_valid(schema, element):
        return ()
    found = tuple(f"{finding.path}: {finding.rule}" for finding in schemas.findings(schema, element))
    return found or (f"{schema.value}: not valid",)


def _relates_to(parts: list[etree._Element]) -> str | None:
    header = only_child(parts, _HEADER)
    return (None if header is None else leaf_text(only_child(header, _RELATES_TO))) or None


def _patient(said: list[etree._Element]) -> etree._Element | None:
    """The patient at its exact path: below subject, in a verification below component/validIdentifier first."""
    holder: etree._Element | list[etree._Element] | None = said
    component = first_child(said, _COMPONENT)
    if component is not None:
        holder = first_child(component, _VALID_IDENTIFIER)
    subject = None if holder is None else first_child(holder, _SUBJECT)
    return None if subject is None else first_child(subject, _PATIENT)


def _identifiers(patient: etree._Element | None) -> tuple[tuple[str, ...], LocalIdentifier | None]:
    if patient is None:
        return (), None
    numbers: list[str] = []
    local_identifier: LocalIdentifier | None = None
    for identifier in patient[:]:
        if identifier.tag != _ID:
            continue
        root, extension = identifier.get("root", ""), identifier.get("extension", "")
        if root == OID.NHS_NUMBER:
            numbers.append(extension)
        elif local_identifier is None:
            local_identifier = LocalIdentifier(root, extension)
    return tuple(numbers), local_identifier


def _date_of_birth(patient: etree._Element | None) -> str | None:
    person = None if patient is None else first_child(patient, _PATIENT_PERSON)
    return None if person is None else _attribute(first_child(person, _BIRTH_TIME), "value")


def _attribute(element: etree._Element | None, name: str) -> str | None:
    return None if element is None else element.get(name)
