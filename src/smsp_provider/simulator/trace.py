"""What PDS answers to a query: the trace, cross-check and retrieval rules, over a real store.

Source: HL7 V3 pack, section 6 (rules of each query) and section 8 (refusals); pds-services.md, getNHSNumber (which
names and postcodes a simple trace compares) and verifyNHSNumber (the cross-check that Spine judges itself). The
matching is written here a second time on purpose: see the package.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from smsp_provider.simulator.patients import PatientStore, birth_digits, fold
from smsp_provider.simulator.queries import CrossCheckQuery, Query, RetrievalQuery, TraceQuery
from smsp_provider.simulator.reasons import Reason, errors, warning
from smsp_provider.simulator.records import (
    SpineAddress,
    SpineName,
    SpinePatient,
    SupersededStyle,
    has_not_ended,
    is_current,
)

__all__ = ["Finding", "Replaced", "decide", "is_new_style", "names_number"]

_FULL_DATE: Final = 8
_VERIFIED_PARTS: Final = 2
_REFUSALS: Final = {SupersededStyle.REFUSE_17: "17", SupersededStyle.REFUSE_44: "44"}


@dataclass(frozen=True, slots=True)
class Replaced:
    """A number that the answered record replaced, and since when (HL7 timestamp)."""

    nhs_number: str
    since: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What PDS found: a record (as the query may see it) or, without one, the reasons of its refusal.

    ``subject`` is the number that the query was about even where it was refused, for faults that belong to a patient.
    """

    reasons: tuple[Reason, ...]
    record: SpinePatient | None = None
    replaced: tuple[Replaced, ...] = ()
    subject: str | None = None


def decide(store: PatientStore, query: Query, today: str) -> Finding:
    """Answer a query as of ``today`` (YYYYMMDD)."""
    if isinstance(query, TraceQuery):
        return _simple_trace(store, query, today)
    if isinstance(query, CrossCheckQuery):
        return _cross_check(store, query, today)
    return _retrieve(store, query, today)


def names_number(query: Query) -> str | None:
    """The number that a query asks about, or None for a search."""
    return None if isinstance(query, TraceQuery) else query.nhs_number


def is_new_style(number: str) -> bool:
    """Ten ASCII digits with a valid check digit (modulus 11 over weights 10 to 2)."""
    if len(number) != 10 or not (number.isascii() and number.isdigit()):
        return False
    remainder = sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), number, strict=False)) % 11
    return (0 if remainder == 0 else 11 - remainder) == int(number[9])


# --- simple trace -----------------------------------------------------------------------------------------------------


def _simple_trace(store: PatientStore, query: TraceQuery, today: str) -> Finding:
    birth = birth_digits(query.birth_time)
    found = [
        patient
        for patient in store.candidates(query.family, query.gender, birth)
        if _searchable(patient) and _matches(patient, query, today)
    ]
    if not found:
        return Finding(errors("1", "ST004"))
    if len(found) > 1:
        return Finding(errors("7", "ST005"))
    patient = found[0]
    seen = patient.seen_by_query(today, history=False)
    record = replace(
        seen,
        names=tuple(name for name in seen.names if is_current(name, today)),
        addresses=tuple(address for address in seen.addresses if _in_trace_answer(address, query, today)),
    )
    code = "3" if patient.confidentiality is None else "5"
    return Finding(warning(code), record, subject=patient.nhs_number)


def _searchable(patient: SpinePatient) -> bool:
    """Searches return living numbers only, and nobody whose record may not be seen at all."""
    return patient.superseded_by is None and not patient.invalidated and not patient.is_very_restricted


def _matches(patient: SpinePatient, query: TraceQuery, today: str) -> bool:
    if not _dates_agree(patient.birth_time, query.birth_time):
        return False
    if query.deceased_time is not None and not _dates_agree(patient.deceased_time, query.deceased_time):
        return False
    if not any(_name_matches(name, query) for name in patient.names if is_current(name, today)):
        return False
    # A sensitive record must not be found by where somebody lives.
    asks_address = query.postcode is not None or query.address_key is not None
    return not asks_address or (
        patient.confidentiality is None
        and any(_address_matches(address, query, today) for address in patient.addresses)
    )


def _name_matches(name: SpineName, query: TraceQuery) -> bool:
    if name.family is None or fold(name.family) != fold(query.family):
        return False
    asked = [fold(given) for given in query.given]
    return asked == [fold(given) for given in name.given[: len(asked)]]


def _address_matches(address: SpineAddress, query: TraceQuery, today: str) -> bool:
    if not is_current(address, today):
        return False
    if query.postcode is not None and fold(address.postcode or "") != fold(query.postcode):
        return False
    return query.address_key is None or address.address_key == query.address_key


def _in_trace_answer(address: SpineAddress, query: TraceQuery, today: str) -> bool:
    """Current and future home addresses, and the address that made the match, so that the asker can see why."""
    if "H" in address.use.split():
        return has_not_ended(address, today)
    asks_address = query.postcode is not None or query.address_key is not None
    return asks_address and _address_matches(address, query, today)


def _dates_agree(one: str | None, other: str | None) -> bool:
    """Whether both say the same at the coarser precision; what is no date agrees with nothing."""
    first, second = birth_digits(one), birth_digits(other)
    length = min(len(first), len(second))
    return length > 0 and first[:length] == second[:length]


# --- by number --------------------------------------------------------------------------------------------------------


def _cross_check(store: PatientStore, query: CrossCheckQuery, today: str) -> Finding:
    patient = store.get(query.nhs_number)
    refused = _refused_by_number(patient, query.nhs_number, "NHSNCC002")
    if refused is not None or patient is None:
        return refused or Finding(errors("1", "NHSNCC002"), subject=query.nhs_number)
    code = _REFUSALS.get(patient.superseded_style)
    if patient.superseded_by is not None and code is not None:
        return Finding(errors(code), subject=patient.nhs_number)
    current, reasons = _in_force(store, patient)
    if current.invalidated:
        return Finding(errors("22"), subject=patient.nhs_number)
    if patient.spine_compares and not _verifies(current, query, today):
        return Finding(errors("40"), subject=patient.nhs_number)
    seen = current.seen_by_query(today, history=False)
    record = replace(seen, names=tuple(name for name in seen.names if is_current(name, today)))
    if current.confidentiality is not None:
        reasons += warning("5")
    return Finding(reasons, record, subject=patient.nhs_number)


def _retrieve(store: PatientStore, query: RetrievalQuery, today: str) -> Finding:
    patient = store.get(query.nhs_number)
    refused = _refused_by_number(patient, query.nhs_number, "RT003")
    if refused is not None or patient is None:
        return refused or Finding(errors("1", "RT003"), subject=query.nhs_number)
    current, reasons = _in_force(store, patient)
    if current.invalidated:
        return Finding(errors("22"), subject=patient.nhs_number)
    if current.confidentiality is not None:
        reasons += warning("9")
    record = current.seen_by_query(today, history=query.history)
    if not query.all_data:
        record = SpinePatient(record.nhs_number, serial_change_number=record.serial_change_number)
    return Finding(reasons, record, tuple(_all_replaced(store, current)), subject=patient.nhs_number)


def _refused_by_number(patient: SpinePatient | None, number: str, unknown: str) -> Finding | None:
    """The refusals that cross-check and retrieval share."""
    if not is_new_style(number) or (patient is not None and patient.not_new_style):
        return Finding(errors("42"), subject=number)
    if patient is None:
        return Finding(errors("1", unknown), subject=number)
    if patient.invalidated:
        return Finding(errors("22"), subject=number)
    return None


def _in_force(store: PatientStore, patient: SpinePatient) -> tuple[SpinePatient, tuple[Reason, ...]]:
    """The record that answers for ``patient``, and warning 24 where it is another one.

    A chain of replacements is followed to its end. A cycle has no end, and a ``one_hop`` record does not look further:
    both are broken data, answered with the next record.
    """
    seen = {patient.nhs_number}
    current = patient
    while current.superseded_by is not None:
        following = store.get(current.superseded_by)
        if following is None:
            break
        if patient.one_hop or following.nhs_number in seen:
            current = store.get(patient.superseded_by or "") or patient
            break
        seen.add(following.nhs_number)
        current = following
    return current, () if current.nhs_number == patient.nhs_number else warning("24")


def _all_replaced(store: PatientStore, current: SpinePatient) -> Iterator[Replaced]:
    """Every number that led to this record, directly or through others, each once."""
    seen = {current.nhs_number}
    waiting = [current.nhs_number]
    while waiting:
        for old in store.replaced_by(waiting.pop(0)):
            if old.nhs_number not in seen:
                seen.add(old.nhs_number)
                waiting.append(old.nhs_number)
                yield Replaced(old.nhs_number, old.superseded_on)


def _verifies(patient: SpinePatient, query: CrossCheckQuery, today: str) -> bool:
    """Whether a Spine that judges by itself finds the details good enough: the date, or most of it and the names."""
    held, asked = birth_digits(patient.birth_time), birth_digits(query.birth_time)
    if len(held) == _FULL_DATE and held == asked:
        return True
    name = next((name for name in patient.names if "L" in name.use.split() and is_current(name, today)), None)
    if name is None or not name.family or not name.given or not query.family or not query.given:
        return False
    parts = sum(held[part] == asked[part] != "" for part in (slice(0, 4), slice(4, 6), slice(6, 8)))
    return (
        parts >= _VERIFIED_PARTS
        and fold(name.family)[:3] == fold(query.family)[:3]
        and fold(name.given[0])[:1] == fold(query.given)[:1]
    )
