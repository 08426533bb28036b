"""Reads one Patient resource into a record. What is found is kept as found; the gate and the services judge it.

PDS FHIR splits further forenames, leaves out blanks, and has words for what HL7 V3 has codes for: the record gets the
codes, so that nothing behind it knows where it came from.

Source: facts.md of PDS FHIR, sections 8, 9 and 13; safety.md, W2 (id and identifier say the same).
"""

import re
from typing import Final

from smsp_provider.domain.hl7_date import HL7Date, InvalidDate
from smsp_provider.domain.person import Address, Name, PatientRecord, Practice, Telecom, Validity
from smsp_provider.spine.pds_fhir.document import JSONObject, objects_in, text_in, texts_in

__all__ = ["HOME_PHONE", "read_patient"]

HOME_PHONE: Final = "HP"
"""The use of a telephone at home: HL7 V3 knows H and HP, FHIR only "home"."""

_NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"
_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_TIME_MARK: Final = "T"
_GENDERS: Final = {"male": "1", "female": "2", "other": "9", "unknown": "0"}
_NAME_USES: Final = {"usual": "L"}
_ADDRESS_USES: Final = {"home": "H", "temp": "TMP", "billing": "PST", "work": "WP"}
_UNRESTRICTED: Final = "U"
_NORMAL: Final = "N"
_RESTRICTED: Final = "R"
_VERY_RESTRICTED: Final = "V"
_REDACTED: Final = "REDACTED"

_ALWAYS: Final = Validity()
_UNREADABLE: Final = Validity(understood=False)


def read_patient(patient: JSONObject, *, home_phone: str = HOME_PHONE) -> PatientRecord:
    """The record in a Patient resource.

    ``home_phone`` is the use that telephones at home get. Where id and identifier do not say the same, or one is
    missing, the record has no number, and the gate will have none of it.

    Raises:
        Unreadable: a member is not of the type that it has in FHIR.
    """
    return PatientRecord(
        nhs_numbers=_nhs_numbers(patient),
        birth_time=_digits(text_in(patient, "birthDate")),
        deceased_time=_digits(text_in(patient, "deceasedDateTime")),
        gender=_gender(patient),
        names=tuple(_name(name) for name in objects_in(patient, "name")),
        addresses=tuple(_address(address) for address in objects_in(patient, "address")),
        telecoms=tuple(_telecom(telecom, home_phone) for telecom in objects_in(patient, "telecom")),
        practices=tuple(_practice(reference) for reference in objects_in(patient, "generalPractitioner")),
        confidentiality=_confidentiality(patient),
    )


def _nhs_numbers(patient: JSONObject) -> tuple[str, ...]:
    """The number, if the resource's id and its identifiers, of which there must be one, agree on it."""
    said = {
        text_in(identifier, "value")
        for identifier in objects_in(patient, "identifier")
        if text_in(identifier, "system") == _NHS_NUMBER
    }
    own = text_in(patient, "id")
    return (own,) if own is not None and said == {own} else ()


def _digits(date: str | None) -> str | None:
    """A FHIR date (its time cut off) as HL7 writes dates; anything else stays as it is, to be found out as no date."""
    if date is None:
        return None
    match = _DATE.fullmatch(date.partition(_TIME_MARK)[0])
    return date if match is None else "".join(part for part in match.groups() if part is not None)


def _gender(patient: JSONObject) -> str | None:
    gender = text_in(patient, "gender")
    return None if gender is None else _GENDERS.get(gender, gender)


def _confidentiality(patient: JSONObject) -> tuple[str, ...]:
    """The security codes. None at all, or one without a code, says nothing: the record is then kept as restricted."""
    codes = [text_in(label, "code") or _RESTRICTED for label in objects_in(_object_in(patient, "meta"), "security")]
    return tuple(_CONFIDENTIALITY.get(code, code) for code in codes or [_RESTRICTED])


_CONFIDENTIALITY: Final = {_UNRESTRICTED: _NORMAL, _REDACTED: _VERY_RESTRICTED}


def _name(name: JSONObject) -> Name:
    use = text_in(name, "use")
    return Name(
        (_NAME_USES.get(use, use),) if use is not None else (),
        text_in(name, "family"),
        texts_in(name, "given"),
        " ".join(texts_in(name, "prefix")) or None,
        _validity(name),
    )


def _address(address: JSONObject) -> Address:
    use = text_in(address, "use")
    return Address(
        (_ADDRESS_USES.get(use, use),) if use is not None else (),
        texts_in(address, "line"),
        text_in(address, "postalCode"),
        _validity(address),
    )


def _telecom(telecom: JSONObject, home_phone: str) -> Telecom:
    system, use = text_in(telecom, "system"), text_in(telecom, "use")
    value = text_in(telecom, "value") or ""
    if system == "phone":
        uses = {"home": home_phone, "mobile": "MC", "work": "WP", "temp": "TMP"}
        return Telecom((uses.get(use, use),) if use is not None else (), f"tel:{value}", _validity(telecom))
    if system == "email":
        return Telecom(("HP",) if use == "home" else (), f"mailto:{value}", _validity(telecom))
    return Telecom((), f"{system or 'other'}:{value}", _validity(telecom))


def _practice(reference: JSONObject) -> Practice:
    identifier = _object_in(reference, "identifier")
    return Practice(text_in(identifier, "value") or "", _validity(identifier))


def _object_in(parent: JSONObject, name: str) -> JSONObject:
    """An object, empty where it is absent."""
    return next(objects_in({name: [parent[name]]}, name)) if name in parent else {}


def _validity(item: JSONObject) -> Validity:
    if "period" not in item:
        return _ALWAYS
    period = _object_in(item, "period")
    try:
        return Validity(_day(text_in(period, "start")), _day(text_in(period, "end")))
    except InvalidDate:
        return _UNREADABLE


def _day(text: str | None) -> str | None:
    digits = _digits(text)
    return None if digits is None else HL7Date(digits).digits
