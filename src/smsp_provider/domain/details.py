"""From a record to the details a mini service returns (COMT_MT000016GB01): what is current, what fits, what is dropped.

Source: pds-services.md, getPatientDetailsByNHSNumber; SMSP-PDS-006, SMSP-PDS-007, SMSP-VAL-004, SMSP-ERR-006.
"""

from dataclasses import dataclass
from typing import Final

from smsp_provider.domain.hl7_date import HL7Date, InvalidDate
from smsp_provider.domain.matching import current_usual_name
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import PatientDetails, Repair, ResponseAddress, ResponseName, ResponseTelecom
from smsp_provider.domain.person import Address, Name, PatientRecord, Practice, Telecom
from smsp_provider.domain.telecom_value import is_schema_url

__all__ = ["ComposedDetails", "UnusableRecord", "compose_details"]

_ADDRESS_KINDS: Final = ("H", "TMP", "PST")
_NO_USES: Final[frozenset[str]] = frozenset()
_SERVED_USES: Final = {
    "tel": frozenset({"H", "HP", "MC"}),
    "mailto": frozenset({"H", "HP", "HV", "WP", "AS", "EC", "PG", "MC"}),
}
"""By scheme; for e-mail all uses that the response schema knows."""
_LINES: Final = 5
_GENDERS: Final = frozenset("0129")


class UnusableRecord(Exception):
    """The record cannot safely be turned into details: SMSP-0002. ``field`` says where, without the value."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class ComposedDetails:
    """The details and what was done to make them; every repair and truncation is audited."""

    details: PatientDetails
    repairs: tuple[Repair, ...]


def compose_details(record: PatientRecord, nhs_number: NHSNumber, today: HL7Date) -> ComposedDetails:
    """Choose what is current on ``today`` and leave out what may not, or cannot, be given.

    A sensitive record loses addresses, telecoms and practice whatever PDS sent (SMSP-PDS-006, safety rule W8).

    Raises:
        UnusableRecord: a date of birth or death that is there and is no date.
    """
    open_record = not record.is_sensitive
    repairs = _unreadable(record, location=open_record)
    details = PatientDetails(
        nhs_number=nhs_number,
        name=_name(record, today, repairs),
        addresses=_addresses(record, today, repairs) if open_record else (),
        telecoms=_telecoms(record, today, repairs) if open_record else (),
        gender=_gender(record, repairs),
        date_of_birth=_date("birthTime", record.birth_time),
        date_of_death=_date("deceasedTime", record.deceased_time),
        practice=_practice(record, today, repairs) if open_record else None,
    )
    return ComposedDetails(details, tuple(repairs))


def _unreadable(record: PatientRecord, *, location: bool) -> list[Repair]:
    """The items that are never used because nobody can tell when they apply."""
    items: list[tuple[str, Name | Address | Telecom | Practice]] = [("name", name) for name in record.names]
    if location:
        items += [("addr", address) for address in record.addresses]
        items += [("telecom", telecom) for telecom in record.telecoms]
        items += [("gPPractice", practice) for practice in record.practices]
    return [Repair(field, "unreadable period, dropped") for field, item in items if not item.validity.readable]


def _date(field: str, text: str | None) -> HL7Date | None:
    if text is None or not text.strip():
        # A blank date cannot be written: the response schema wants a value, so blank is left out like absent.
        return None
    try:
        return HL7Date.from_timestamp(text)
    except InvalidDate:
        raise UnusableRecord(field) from None


def _name(record: PatientRecord, today: HL7Date, repairs: list[Repair]) -> ResponseName | None:
    if not record.names:
        return None
    name = current_usual_name(record, today)
    if name is None:
        return ResponseName(prefix=None, given=("",), family="")
    if sum("L" in other.use and other.validity.is_current(today) for other in record.names) > 1:
        repairs.append(Repair("name", "several current usual names, first taken", truncation=True))
    first, *further = name.given or ("",)
    joined = " ".join(part for part in further if part.strip())
    given = (first, joined) if further else tuple(name.given)
    return ResponseName(name.prefix, given, name.family)


def _addresses(record: PatientRecord, today: HL7Date, repairs: list[Repair]) -> tuple[ResponseAddress, ...]:
    chosen = []
    for kind in _ADDRESS_KINDS:
        current = [a for a in record.addresses if kind in a.use and a.validity.is_current(today)]
        if len(current) > 1:
            repairs.append(Repair(f"addr {kind}", "several current addresses, first taken", truncation=True))
        if current:
            chosen.append(_address(kind, current[0], repairs))
    return tuple(chosen)


def _address(kind: str, address: Address, repairs: list[Repair]) -> ResponseAddress:
    if len(address.lines) > _LINES:
        repairs.append(Repair(f"addr {kind}", "more than five lines, rest dropped"))
    one, two, three, four, five = (*address.lines, "", "", "", "", "")[:_LINES]
    return ResponseAddress(kind, (one, two, three, four, five), address.postal_code)


def _telecoms(record: PatientRecord, today: HL7Date, repairs: list[Repair]) -> tuple[ResponseTelecom, ...]:
    """Telephones with a home or mobile use, e-mail with any; other schemes and empty ones are not served."""
    kept = []
    for telecom in record.telecoms:
        scheme, _, rest = telecom.value.partition(":")
        uses = _SERVED_USES.get(scheme, _NO_USES)
        use = next((code for code in telecom.use if code in uses), None)
        if not telecom.validity.is_current(today) or not rest.strip() or (use is None and scheme != "mailto"):
            continue
        if not is_schema_url(telecom.value):
            repairs.append(Repair("telecom", "value not writable as a URL, dropped"))
            continue
        if use is None and telecom.use:
            repairs.append(Repair("telecom", "unknown use, left out"))
        kept.append(ResponseTelecom(use, telecom.value))
    return tuple(kept)


def _gender(record: PatientRecord, repairs: list[Repair]) -> str | None:
    if record.gender is None or record.gender in _GENDERS:
        return record.gender
    repairs.append(Repair("administrativeGenderCode", "not in the vocabulary, dropped"))
    return None


def _practice(record: PatientRecord, today: HL7Date, repairs: list[Repair]) -> str | None:
    current = [practice.ods_code.strip() for practice in record.practices if practice.validity.is_current(today)]
    codes = [code for code in current if code]
    if len(codes) < len(current):
        repairs.append(Repair("gPPractice", "without a code, dropped"))
    if len(codes) > 1:
        repairs.append(Repair("gPPractice", "several current practices, first taken", truncation=True))
    return codes[0] if codes else None
