"""A record as one JSON document, and back.

Lists in the order of the fields: a store of a million patients is mostly made of these documents.
"""

import json
from typing import Any

from smsp_provider.simulator.faults import Fault
from smsp_provider.simulator.records import (
    ALWAYS,
    RelatedPerson,
    Span,
    SpineAddress,
    SpineName,
    SpinePatient,
    SpinePractice,
    SpineTelecom,
    SupersededStyle,
)

__all__ = ["pack", "unpack"]


def pack(patient: SpinePatient) -> str:
    """The record as a JSON document."""
    packed = [
        patient.nhs_number,
        [_packed_name(name) for name in patient.names],
        patient.gender,
        patient.birth_time,
        patient.deceased_time,
        patient.death_status,
        [_packed_address(address) for address in patient.addresses],
        [_packed_telecom(telecom) for telecom in patient.telecoms],
        [[item.ods_code, item.kind, *_spans(item)] for item in patient.practices],
        [
            [
                person.relationship,
                _packed_name(person.name),
                person.address and _packed_address(person.address),
                person.telecom and _packed_telecom(person.telecom),
            ]
            for person in patient.related
        ],
        patient.confidentiality,
        patient.serial_change_number,
        patient.invalidated,
        patient.superseded_by,
        patient.superseded_on,
        patient.superseded_style.value,
        patient.one_hop,
        patient.not_new_style,
        patient.spine_compares,
        patient.sends_history,
        patient.fault and patient.fault.as_mapping(),
    ]
    return json.dumps(packed, ensure_ascii=False, separators=(",", ":"))


def _spans(item: SpineName | SpineAddress | SpineTelecom | SpinePractice) -> list[str | None]:
    spans = [item.period.low, item.period.high, item.held.low, item.held.high]
    while spans and spans[-1] is None:
        spans.pop()
    return spans


def _packed_name(name: SpineName) -> list[Any]:
    return [name.use, name.family, name.given, name.prefix, name.suffix, *_spans(name)]


def _packed_address(address: SpineAddress) -> list[Any]:
    texts = (address.use, address.lines, address.postcode, address.address_key, address.description)
    return [*texts, *_spans(address)]


def _packed_telecom(telecom: SpineTelecom) -> list[Any]:
    return [telecom.use, telecom.value, *_spans(telecom)]


def unpack(document: str) -> SpinePatient:
    """The record in a document that :func:`pack` wrote."""
    packed: list[Any] = json.loads(document)
    packed[1] = tuple(map(_name, packed[1]))
    packed[6] = tuple(map(_address, packed[6]))
    packed[7] = tuple(map(_telecom, packed[7]))
    packed[8] = tuple(SpinePractice(item[0], item[1], *_unpacked_spans(item[2:])) for item in packed[8])
    packed[9] = tuple(
        RelatedPerson(person[0], _name(person[1]), person[2] and _address(person[2]), person[3] and _telecom(person[3]))
        for person in packed[9]
    )
    packed[15] = SupersededStyle(packed[15])
    packed[20] = packed[20] and Fault.from_mapping(packed[20])
    return SpinePatient(*packed)


def _name(packed: list[Any]) -> SpineName:
    return SpineName(packed[0], packed[1], tuple(packed[2]), packed[3], packed[4], *_unpacked_spans(packed[5:]))


def _address(packed: list[Any]) -> SpineAddress:
    return SpineAddress(packed[0], tuple(packed[1]), packed[2], packed[3], packed[4], *_unpacked_spans(packed[5:]))


def _telecom(packed: list[Any]) -> SpineTelecom:
    return SpineTelecom(packed[0], packed[1], *_unpacked_spans(packed[2:]))


def _unpacked_spans(packed: list[str | None]) -> tuple[Span, Span]:
    if not packed:
        return ALWAYS, ALWAYS
    period_low, period_high, held_low, held_high = (*packed, None, None, None)[:4]
    return Span(period_low, period_high), Span(held_low, held_high)
