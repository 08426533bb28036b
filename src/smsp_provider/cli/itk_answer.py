"""What a client of the mini services reads: response code, patient, fault.

Written from the published formats as a client's developer would; the provider's own readers are not used, so that a
mistake in them does not hide itself. Source: pds-services.md (responses), transport.md "A fault".
"""

from dataclasses import dataclass
from typing import Final

from lxml import etree

from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.masking import Masked
from smsp_provider.xmlcore.names import HL7, ITK

__all__ = ["AddressSeen", "FaultSeen", "PatientSeen", "ServiceAnswer", "read_fault", "read_payload"]

_NS: Final = {"h": HL7, "itk": ITK}


@dataclass(frozen=True, slots=True, repr=False)
class AddressSeen(Masked):
    """An address of an answer: HL7 use, postcode (None: not there), lines as written, blank ones included."""

    use: str
    postcode: str | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class PatientSeen(Masked):
    """The patient of an answer: whatever the service gives, None or empty where it gives nothing.

    ``nhs_numbers`` holds every NHS number of the payload, wherever it stands; ``telecoms`` are pairs of use and value;
    dates are HL7 timestamps, gender the code 0, 1, 2 or 9.
    """

    nhs_numbers: tuple[str, ...]
    local_identifier: str | None = None
    prefix: str | None = None
    given: tuple[str, ...] = ()
    family: str | None = None
    addresses: tuple[AddressSeen, ...] = ()
    telecoms: tuple[tuple[str, str], ...] = ()
    gender: str | None = None
    birth_time: str | None = None
    deceased_time: str | None = None
    practice: str | None = None

    @property
    def nhs_number(self) -> str | None:
        """The number the answer is about."""
        return self.nhs_numbers[0] if self.nhs_numbers else None


@dataclass(frozen=True, slots=True)
class FaultSeen:
    """A SOAP fault with its ITK detail; texts are empty where the fault has none."""

    faultcode: str
    faultstring: str
    error_code: str = ""
    error_id: str = ""
    error_text: str = ""
    diagnostic: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class ServiceAnswer(Masked):
    """What came back: a response code, with or without a patient, or a fault.

    ``request`` and ``response`` are the whole messages as they went over the line; ``seconds`` is how long it took.
    """

    code: str | None
    patient: PatientSeen | None
    fault: FaultSeen | None
    request: bytes
    response: bytes
    seconds: float


def read_payload(payload: etree._Element) -> tuple[str, PatientSeen | None]:
    """Response code and patient of a response payload; the code is empty where there is none."""
    code = _attribute(payload, "h:value", "code") or ""
    patient = _first(payload, "h:subject/h:patient | h:component/h:validIdentifier/h:subject/h:patient")
    return code, None if patient is None else _patient(payload, patient)


def read_fault(faultcode: str, faultstring: str, detail: etree._Element | None) -> FaultSeen:
    """A fault from its parts; ``detail`` is the content of soap:Fault/detail."""
    info = None if detail is None else _first(detail, "descendant-or-self::itk:ToolkitErrorInfo")
    if info is None:
        return FaultSeen(faultcode, faultstring)
    texts = [_text(info, f"itk:{name}") or "" for name in ("ErrorCode", "ErrorID", "ErrorText", "ErrorDiagnosticText")]
    return FaultSeen(faultcode, faultstring, *texts)


def _patient(payload: etree._Element, patient: etree._Element) -> PatientSeen:
    person = _first(patient, "h:patientPerson")
    return PatientSeen(
        nhs_numbers=_attributes(payload, f".//h:id[@root='{OID.NHS_NUMBER}']", "extension"),
        local_identifier=_attribute(patient, f"h:id[@root!='{OID.NHS_NUMBER}']", "extension"),
        prefix=_text(patient, "h:name/h:prefix"),
        given=tuple(_content(part) for part in _all(patient, "h:name/h:given")),
        family=_text(patient, "h:name/h:family"),
        addresses=tuple(map(_address, _all(patient, "h:addr"))),
        telecoms=tuple((item.get("use", ""), item.get("value", "")) for item in _all(patient, "h:telecom")),
        gender=None if person is None else _attribute(person, "h:administrativeGenderCode", "code"),
        birth_time=None if person is None else _attribute(person, "h:birthTime", "value"),
        deceased_time=None if person is None else _attribute(person, "h:deceasedTime", "value"),
        practice=_attribute(patient, f".//h:locationOrganization/h:id[@root='{OID.PRACTICE}']", "extension"),
    )


def _address(address: etree._Element) -> AddressSeen:
    lines = tuple(_content(line) for line in _all(address, "h:streetAddressLine"))
    return AddressSeen(address.get("use", ""), _text(address, "h:postalCode"), lines)


def _all(element: etree._Element, path: str) -> list[etree._Element]:
    found = element.xpath(path, namespaces=_NS)
    return [item for item in found if etree.iselement(item)] if isinstance(found, list) else []


def _first(element: etree._Element, path: str) -> etree._Element | None:
    return next(iter(_all(element, path)), None)


def _content(element: etree._Element) -> str:
    return element.text or ""


def _text(element: etree._Element, path: str) -> str | None:
    found = _first(element, path)
    return None if found is None else _content(found)


def _attributes(element: etree._Element, path: str, name: str) -> tuple[str, ...]:
    return tuple(item.get(name, "") for item in _all(element, path))


def _attribute(element: etree._Element, path: str, name: str) -> str | None:
    return next(iter(_attributes(element, path, name)), None)
