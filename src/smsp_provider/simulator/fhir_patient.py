"""Writes a record of the store as PDS FHIR would: a Patient resource of FHIR R4.

What FHIR has no place for is left out (blanks, withdrawn items, bad addresses), as the API does.
Source: facts.md of PDS FHIR, sections 7 to 9.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from smsp_provider.simulator.records import (
    Span,
    SpineAddress,
    SpineItem,
    SpineName,
    SpinePatient,
    SpinePractice,
    SpineTelecom,
)

__all__ = ["name_use", "write_patient"]

_ODS: Final = "https://fhir.nhs.uk/Id/ods-organization-code"
_NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"
_CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_CONTACT_SYSTEM: Final = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-OtherContactSystem"
_PHARMACY: Final = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NominatedPharmacy"

_GENDERS: Final = {"1": "male", "2": "female", "9": "other", "0": "unknown"}
_NAME_USES: Final = {"L": "usual", "A": "nickname", "PREFERRED": "nickname", "PREVIOUS-MAIDEN": "maiden"}
_SEARCHED_NAMES: Final = frozenset({"usual", "nickname", "temp"})
_ADDRESS_USES: Final = {"H": "home", "TMP": "temp", "PST": "billing", "WP": "work"}
_PHONE_USES: Final = {"H": "home", "HP": "home", "MC": "mobile", "WP": "work", "TMP": "temp"}
_SECURITY: Final = {None: ("U", "unrestricted"), "Y": ("V", "very restricted")}
_RESTRICTED: Final = ("R", "restricted")
_EMERGENCY: Final = "EC"
_REGISTERED: Final = "1"
_Item = TypeVar("_Item", bound=SpineItem)
_PRECISIONS: Final = {4: "{0}", 6: "{0}-{1}", 8: "{0}-{1}-{2}"}


def write_patient(seen: SpinePatient, *, whole: bool, blank_lines: bool) -> dict[str, Any]:
    """The resource for a record as a query may see it (:meth:`SpinePatient.seen_by_query`).

    ``whole`` False leaves out what a search does not tell. ``blank_lines`` keeps blank address lines, as PDS does for
    applications that asked for them.
    """
    code, display = _SECURITY.get(seen.confidentiality, _RESTRICTED)
    label = {"system": _CONFIDENTIALITY, "code": code, "display": display}
    patient: dict[str, Any] = {
        "resourceType": "Patient",
        "id": seen.nhs_number,
        "identifier": [{"system": _NHS_NUMBER, "value": seen.nhs_number}],
        "meta": {"versionId": str(seen.serial_change_number), "security": [label]},
    }
    if seen.gender:
        patient["gender"] = _GENDERS.get(seen.gender, seen.gender)
    if seen.birth_time:
        patient["birthDate"] = _date(seen.birth_time[:8])
    if seen.deceased_time:
        patient["deceasedDateTime"] = _moment(seen.deceased_time)
    listed = {
        "name": [_name(name) for name in _sent(seen.names) if whole or name_use(name) in _SEARCHED_NAMES],
        "address": [
            _address(address, blank_lines)
            for address in _sent(seen.addresses)
            if _use_in(address.use, _ADDRESS_USES) in (("home", "temp", "billing", "work") if whole else ("home",))
        ],
        "telecom": [_telecom(telecom) for telecom in _sent(seen.telecoms) if telecom.use != _EMERGENCY],
        "generalPractitioner": [_practice(item) for item in _sent(seen.practices) if item.kind == _REGISTERED],
        "contact": list(_contacts(seen)) if whole else [],
        "extension": [_pharmacy(item) for item in seen.practices if whole and item.kind != _REGISTERED],
    }
    return patient | {name: items for name, items in listed.items() if items}


def name_use(name: SpineName) -> str:
    """FHIR's word for the use of a name."""
    return _use_in(name.use, _NAME_USES) or "old"


def _sent(items: tuple[_Item, ...]) -> Iterator[_Item]:
    """Without what PDS has withdrawn: FHIR has no way to say so."""
    return (item for item in items if item.held.high is None)


def _use_in(uses: str, known: dict[str, str]) -> str | None:
    return next((known[use] for use in uses.split() if use in known), None)


def _date(digits: str) -> str:
    """A date in FHIR's form; what is none stays as it is, as bad records do."""
    form = _PRECISIONS.get(len(digits), "")
    return form.format(digits[:4], digits[4:6], digits[6:8]) or digits


def _moment(timestamp: str) -> str:
    day = _date(timestamp[:8])
    if len(timestamp) < len("20000101"):
        return day
    hours, minutes = timestamp[8:10] or "00", timestamp[10:12] or "00"
    return f"{day}T{hours}:{minutes}:00+00:00"


def _period(span: Span) -> dict[str, Any]:
    ends = {"start": span.low, "end": span.high}
    period = {name: _date(digits[:8]) for name, digits in ends.items() if digits is not None}
    return {"period": period} if period else {}


def _name(name: SpineName) -> dict[str, Any]:
    """Further forenames one by one, though the store may hold them as one."""
    first, *further = name.given or ("",)
    given = [part for part in (first, *" ".join(further).split()) if part]
    parts = {"family": name.family, "given": given, "prefix": [name.prefix], "suffix": [name.suffix]}
    written = {key: value for key, value in parts.items() if value and value not in ([None], [""])}
    return {"use": name_use(name), **written, **_period(name.period)}


def _address(address: SpineAddress, blank_lines: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"use": _use_in(address.use, _ADDRESS_USES)}
    lines = [line if line.strip() else None for line in address.lines]
    if blank_lines and None in lines:
        written["line"] = lines
        absent = {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}
        written["_line"] = [absent if line is None else None for line in lines]
    elif any(lines):
        written["line"] = [line for line in lines if line is not None]
    if address.postcode:
        written["postalCode"] = address.postcode
    return {**written, **_period(address.period)}


def _telecom(telecom: SpineTelecom) -> dict[str, Any]:
    scheme, _, number = telecom.value.rpartition(":")
    system = {"": "phone", "tel": "phone", "mailto": "email", "fax": "fax"}.get(scheme, "other")
    written: dict[str, Any] = {"system": system}
    use = _use_in(telecom.use, _PHONE_USES)
    if use is not None:
        written["use"] = use
    if number:
        written["value"] = number
    if system == "other":
        written["extension"] = [{"url": _CONTACT_SYSTEM, "valueCoding": {"code": scheme}}]
    return {**written, **_period(telecom.period)}


def _practice(practice: SpinePractice) -> dict[str, Any]:
    identifier = {"system": _ODS, "value": practice.ods_code, **_period(practice.period)}
    return {"type": "Organization", "identifier": identifier}


def _pharmacy(practice: SpinePractice) -> dict[str, Any]:
    return {"url": _PHARMACY, "valueReference": {"identifier": {"system": _ODS, "value": practice.ods_code}}}


def _contacts(seen: SpinePatient) -> Iterator[dict[str, Any]]:
    """Emergency contacts: somebody else's telephone in the patient's record."""
    for person in seen.related:
        if person.telecom is not None:
            yield {"telecom": [{"system": "phone", "value": person.telecom.value.removeprefix("tel:")}]}
