"""Watermarked requests, and the scan that finds anybody else's watermark in an answer.

Every field of patient N carries N, so an answer to a request about N may hold no other run of digits than N's own: the
scan does not look for known strangers, it looks for anything that is not the patient asked for.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from itk_messages import Fields, Request, request_for
from smsp_provider.domain.service import Service
from smsp_provider.simulator.generate import watermarked
from smsp_provider.simulator.records import SpinePatient

__all__ = ["CLIENTS", "MESSAGE_ID", "PATIENTS", "Asked", "asked_for", "foreign_marks", "patients", "response_code"]

PATIENTS: Final = 3_000
MESSAGE_ID: Final = "9C41F6BE-6E0B-4C7B-8C55-30AD0CF0B7E4"
"""The one MessageID of every request of every client: real clients repeat theirs."""
CLIENTS: Final = ("ward.example.nhs.uk", "lab.example.nhs.uk", "letters.example.nhs.uk", "theatre.example.nhs.uk")

_LOCAL_ROOT: Final = "2.16.840.1.113883.2.1.3.2.4.18.24"
_NOT_A_PATIENTS: Final = re.compile(
    # UUIDs, URNs and URLs, object identifiers: the only other digits of a message.
    rb"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}|urn:nhs[^\"<]*|https?://[^\"<]*|[0-2](?:\.[0-9]+){3,}"
)
_MARK: Final = re.compile(rb"[0-9]{4} [0-9]{3}|[0-9]{5,}")
_CODE: Final = re.compile(rb'<value codeSystem="[0-9.]+" code="([A-Z0-9-]+)"')
_FAULT: Final = re.compile(rb"<itk:ErrorCode [^>]*>([0-9]+)<")

_SHAPES: Final = (
    (Service.VERIFY_NHS_NUMBER, True),
    (Service.GET_NHS_NUMBER, False),
    (Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER, True),
    (Service.GET_PATIENT_DETAILS_BY_SEARCH, False),
    (Service.GET_PATIENT_DETAILS, True),
    (Service.GET_PATIENT_DETAILS, False),
)
_WEIGHTS: Final = (50, 10, 10, 10, 10, 10)


@dataclass(frozen=True)
class Asked:
    """A request, and all runs of digits that its answer may hold."""

    request: Request
    own_marks: frozenset[bytes]


def patients() -> Iterator[SpinePatient]:
    """The whole population."""
    return (watermarked(position) for position in range(PATIENTS))


def _own_marks(patient: SpinePatient, mark: str) -> frozenset[bytes]:
    texts = (patient.nhs_number, patient.birth_time or "", mark, f"{mark[:4]} {mark[4:]}", f"0{mark}1", f"0{mark}2")
    return frozenset(text.encode() for text in texts)


def asked_for(chance: random.Random) -> Asked:
    """A request to one of the services, by one of the clients, about one of the patients."""
    position = chance.randrange(PATIENTS)
    patient, mark = watermarked(position), f"{position:07d}"
    ((service, by_number),) = chance.choices(_SHAPES, _WEIGHTS)
    with_forename, with_postcode, named = (chance.random() < share for share in (0.7, 0.5, 0.5))
    fields = Fields(
        date_of_birth=patient.birth_time,
        nhs_number=patient.nhs_number if by_number else None,
        gender=None if by_number else patient.gender,
        family=f"Family{mark}" if named or not by_number else None,
        given=f"Given{mark}" if (named and by_number) or _needs_forename(service, by_number, with_forename) else None,
        postcode=f"{mark[:4]} {mark[4:]}" if with_postcode and not by_number else None,
        local_identifier=(_LOCAL_ROOT, f"L{mark}") if service is not Service.VERIFY_NHS_NUMBER else None,
    )
    request = request_for(service, fields, now=datetime.now(UTC))
    own = _own_marks(patient, mark)
    return Asked(replace(request, message_id=MESSAGE_ID, username=chance.choice(CLIENTS)), own)


def _needs_forename(service: Service, by_number: bool, wanted: bool) -> bool:
    return not by_number and (wanted or service is Service.GET_PATIENT_DETAILS)


def foreign_marks(answer: bytes, own: frozenset[bytes]) -> list[bytes]:
    """Every run of digits in an answer that is not the patient's own."""
    return [found for found in _MARK.findall(_NOT_A_PATIENTS.sub(b"", answer)) if found not in own]


def response_code(answer: bytes) -> str:
    """The response code of an answer, or the fault's error code."""
    found = _CODE.search(answer) or _FAULT.search(answer)
    return found[1].decode() if found else "unknown"
