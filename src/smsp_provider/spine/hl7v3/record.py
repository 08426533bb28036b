"""Reads one patient node (``patientRole``) of a PDS answer into a record, in both layouts PDS uses.

Only child steps are taken, never descendants: under the same node stand related persons and old versions that carry
the very same elements (safety.md, section 2). What is found is kept as found; the gate and the services judge it.

Source: HL7 V3 pack (pds-hl7v3.md, section 10, and response-field-map.csv); SMSP-PDS-006 for blank against absent.
"""

from collections.abc import Iterator
from typing import Final

from lxml import etree

from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.person import Address, Name, PatientRecord, Practice, Telecom, Validity
from smsp_provider.xmlcore.names import HL7
from smsp_provider.xmlcore.read import first_child

__all__ = ["read_record"]

_H: Final = f"{{{HL7}}}"

_ID: Final = f"{_H}id"
_CODE: Final = f"{_H}code"
_VALUE: Final = f"{_H}value"
_ADDR: Final = f"{_H}addr"
_TELECOM: Final = f"{_H}telecom"
_NAME: Final = f"{_H}name"
_LOW: Final = f"{_H}low"
_HIGH: Final = f"{_H}high"
_PATIENT_PERSON: Final = f"{_H}patientPerson"
_CONFIDENTIALITY: Final = f"{_H}confidentialityCode"
_GENDER: Final = f"{_H}administrativeGenderCode"
_BIRTH_TIME: Final = f"{_H}birthTime"
_DECEASED_TIME: Final = f"{_H}deceasedTime"
_REPLACEMENT_OF: Final = f"{_H}replacementOf"
_OLD_VERSION: Final = f"{_H}oldVersion"
_PARTS: Final = frozenset(f"{_H}COCT_MT00020{number}UK02.PartOfWhole" for number in (1, 2, 3))
_PART_PERSON: Final = f"{_H}partPerson"
_PART_CONTENT: Final = frozenset({_ADDR, _TELECOM, _PART_PERSON})
_PROVIDER_PATIENT: Final = f"{_H}playedOtherProviderPatient"
_SUBJECT_OF: Final = f"{_H}subjectOf"
_CARE_PROVISIONS: Final = frozenset({f"{_H}patientCareProvision", f"{_H}patientCareProvisionEvent"})
_PERFORMER: Final = f"{_H}performer"
_ASSIGNED: Final = frozenset({f"{_H}assignedOrganization", f"{_H}assignedEntity"})
_SYSTEM_EFFECTIVE_DATE: Final = f"{_H}systemEffectiveDate"
_FAMILY: Final = f"{_H}family"
_GIVEN: Final = f"{_H}given"
_PREFIX: Final = f"{_H}prefix"
_LINE: Final = f"{_H}streetAddressLine"
_POSTAL_CODE: Final = f"{_H}postalCode"
_PERIODS: Final = frozenset({f"{_H}validTime", f"{_H}useablePeriod", f"{_H}effectiveTime"})

_PRACTICE_ROOT: Final = "2.16.840.1.113883.2.1.4.3"
_PRIMARY_CARE: Final = "1"
_SENSITIVE: Final = "S"
_NO_BEGINNING: Final = "NINF"
_NO_END: Final = "PINF"

_ALWAYS: Final = Validity()
_WITHDRAWN: Final = Validity(withdrawn=True)
_UNREADABLE: Final = Validity(understood=False)


class _Items:
    """What is collected while the children of one patient node are walked through in message order."""

    __slots__ = ("addresses", "birth_time", "deceased_time", "gender", "names", "practices", "telecoms")

    def __init__(self) -> None:
        self.names: list[Name] = []
        self.addresses: list[Address] = []
        self.telecoms: list[Telecom] = []
        self.practices: list[Practice] = []
        self.gender: str | None = None
        self.birth_time: str | None = None
        self.deceased_time: str | None = None


def read_record(patient_role: etree._Element, *, limited: bool) -> PatientRecord:
    """The record in one ``patientRole``.

    ``limited`` tells that PDS reported (codes 5 and 9) that it left data out for sensitivity: the record is then
    sensitive whether or not it carries a confidentiality code.
    """
    nhs_numbers: list[str] = []
    superseded: list[str] = []
    confidentiality: list[str] = [_SENSITIVE] if limited else []
    items = _Items()
    for child in patient_role[:]:
        tag = child.tag
        if tag == _ID:
            nhs_numbers += _nhs_number(child)
        elif tag == _PATIENT_PERSON:
            _read_person(child, items)
        elif tag == _CONFIDENTIALITY:
            # A code that is missing says that something is to be kept confidential, but not what.
            confidentiality.append(child.get("code") or _SENSITIVE)
        elif tag == _REPLACEMENT_OF:
            superseded.extend(_superseded(child))
        else:
            _read_contact(child, tag, items, None)
    return PatientRecord(
        nhs_numbers=tuple(nhs_numbers),
        birth_time=items.birth_time,
        deceased_time=items.deceased_time,
        gender=items.gender,
        names=tuple(items.names),
        addresses=tuple(items.addresses),
        telecoms=tuple(items.telecoms),
        practices=tuple(items.practices),
        confidentiality=tuple(confidentiality),
        superseded_numbers=tuple(superseded),
    )


def _nhs_number(identifier: etree._Element) -> tuple[str, ...]:
    """The number of an id under the root of NHS numbers (blank where it has none), nothing for any other id."""
    return (identifier.get("extension", ""),) if identifier.get("root") == OID.NHS_NUMBER else ()


def _superseded(replacement: etree._Element) -> Iterator[str]:
    for old_version in replacement.iterchildren(_OLD_VERSION):
        for identifier in old_version.iterchildren(_ID):
            yield from _nhs_number(identifier)


def _read_person(person: etree._Element, items: _Items) -> None:
    for child in person[:]:
        tag = child.tag
        if tag in _PARTS:
            _read_part(child, items)
        elif tag == _NAME:
            items.names.append(_name(child, None))
        elif tag == _PROVIDER_PATIENT:
            _read_practices(child, items)
        elif tag == _GENDER:
            items.gender = child.get("code", "")
        elif tag == _BIRTH_TIME:
            items.birth_time = child.get("value", "")
        elif tag == _DECEASED_TIME:
            items.deceased_time = child.get("value", "")


def _read_part(part: etree._Element, items: _Items) -> None:
    """One part of the parts layout: an address, a telecom or a name, and when PDS held it."""
    content: list[etree._Element] = []
    held: Validity | None = None
    for child in part[:]:
        if child.tag in _PART_CONTENT:
            content.append(child)
        else:
            held = held or _withdrawal(child[:])
    for child in content:
        tag = child.tag
        if tag == _PART_PERSON:
            items.names += [_name(name, held) for name in child[:] if name.tag == _NAME]
        else:
            _read_contact(child, tag, items, held)


def _read_contact(element: etree._Element, tag: object, items: _Items, held: Validity | None) -> None:
    if tag == _ADDR:
        items.addresses.append(_address(element, held))
    elif tag == _TELECOM:
        validity: Validity | None = None
        for child in element[:]:
            if child.tag in _PERIODS:
                validity = _validity(child, validity)
        items.telecoms.append(Telecom(_use(element), element.get("value", ""), held or validity or _ALWAYS))


def _name(element: etree._Element, held: Validity | None) -> Name:
    family: str | None = None
    prefix: str | None = None
    given: list[str] = []
    validity: Validity | None = None
    for child in element[:]:
        tag = child.tag
        if tag == _GIVEN:
            given.append(child.text or "")
        elif tag == _FAMILY:
            family = child.text or "" if family is None else family
        elif tag == _PREFIX:
            prefix = child.text or "" if prefix is None else prefix
        elif tag in _PERIODS:
            validity = _validity(child, validity)
    return Name(_use(element), family, tuple(given), prefix, held or validity or _ALWAYS)


def _address(element: etree._Element, held: Validity | None) -> Address:
    lines: list[str] = []
    postal_code: str | None = None
    validity: Validity | None = None
    for child in element[:]:
        tag = child.tag
        if tag == _LINE:
            lines.append(child.text or "")
        elif tag == _POSTAL_CODE:
            postal_code = child.text or "" if postal_code is None else postal_code
        elif tag in _PERIODS:
            validity = _validity(child, validity)
    return Address(_use(element), tuple(lines), postal_code, held or validity or _ALWAYS)


def _read_practices(provider_patient: etree._Element, items: _Items) -> None:
    for subject_of in provider_patient[:]:
        if subject_of.tag == _SUBJECT_OF:
            for provision in subject_of[:]:
                if provision.tag in _CARE_PROVISIONS:
                    _read_provision(provision, items)


def _read_provision(provision: etree._Element, items: _Items) -> None:
    """A practice of primary care; pharmacies, appliance contractors and dispensing doctors have other codes."""
    is_primary_care = False
    held: Validity | None = None
    codes: list[str] = []
    validity: Validity | None = None
    for child in provision[:]:
        tag, inner = child.tag, child[:]
        if tag == _CODE:
            is_primary_care = is_primary_care or child.get("code") == _PRIMARY_CARE
        elif tag == _PERFORMER:
            codes += _practice_codes(inner)
        elif tag in _PERIODS:
            validity = _validity(child, validity)
        if inner:
            held = held or _withdrawal(inner)
    if is_primary_care:
        items.practices += [Practice(code, held or validity or _ALWAYS) for code in codes]


def _practice_codes(performer: list[etree._Element]) -> list[str]:
    """The codes of the practice in a performer, whose children are given."""
    return [
        identifier.get("extension", "")
        for assigned in performer
        if assigned.tag in _ASSIGNED
        for identifier in assigned[:]
        if identifier.tag == _ID and identifier.get("root") == _PRACTICE_ROOT
    ]


def _use(element: etree._Element) -> tuple[str, ...]:
    return tuple(element.get("use", "").split())


def _withdrawal(children: list[etree._Element]) -> Validity | None:
    """What stands in a child of a part about when PDS held it: withdrawn where the system effective date has an end."""
    for dated in children:
        if dated.tag == _SYSTEM_EFFECTIVE_DATE:
            for value in dated[:]:
                if value.tag == _VALUE and first_child(value, _HIGH) is not None:
                    return _WITHDRAWN
    return None


def _validity(interval: etree._Element, other: Validity | None) -> Validity:
    """When an item applies, by its period: an HL7 interval that is written with ``low`` and ``high``, or empty.

    Other forms are unreadable, and so are an end given twice and a period beside an ``other`` one, as several cannot be
    told in one: such an item is never used. Whether an end is a date is found out when it is asked for.
    """
    if other is not None or interval.get("value") is not None:
        return _UNREADABLE
    low: str | None = None
    high: str | None = None
    given: list[object] = []
    for end in interval[:]:
        tag, value = end.tag, end.get("value")
        if tag in given:
            return _UNREADABLE
        given.append(tag)
        if tag == _LOW:
            low = None if value is None and _is_open(end, _NO_BEGINNING) else value or ""
        elif tag == _HIGH:
            high = None if value is None and _is_open(end, _NO_END) else value or ""
        else:
            return _UNREADABLE
    return Validity(low, high)


def _is_open(end: etree._Element, flavour: str) -> bool:
    return end.get("nullFlavor") == flavour
