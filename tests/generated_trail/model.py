"""Made-up exchanges in any number, the same ones each time: who asked whom about whom, and what came of it.

Everything about exchange ``i`` of a day follows from the day and ``i``, so that the trail and its index can be written
by two processes that know nothing of each other. Nobody in here exists, and the numbers are from a range of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from hashlib import shake_128
from typing import NamedTuple

from smsp_provider.audit.chain import microseconds, moment_of
from smsp_provider.audit.encoding import encode, timestamp
from smsp_provider.audit.events import (
    Ending,
    EndingKind,
    FaultFacts,
    Intent,
    PatientFacts,
    RequestFacts,
    Source,
)
from smsp_provider.domain.audit_identity import AccessMethod, AuditId
from smsp_provider.domain.faults import ErrorCode, FaultCode
from smsp_provider.domain.identifiers import ASID, OID, ODSCode
from smsp_provider.domain.nhs_number import NHSNumber, is_nhs_number
from smsp_provider.domain.outcomes import Evidence
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import ExchangeIds

__all__ = ["FIRST_DAY", "Exchange", "Scale", "exchanges", "user_name"]

FIRST_DAY = date(2026, 8, 24)
_SERVICES = tuple(Service)
_CLIENTS = 40
_ORGANISATIONS = 200
_USERS_OF_ORGANISATION = 25
_OUTCOMES = (
    *((ResponseCode.SUCCESS, "SMSP-0000"),) * 85,
    *((ResponseCode.NO_MATCH, "DEMOG-0001"),) * 7,
    *((ResponseCode.NOT_VERIFIED, "DEMOG-0040"),) * 4,
    *((ResponseCode.MULTIPLE_MATCHES, "DEMOG-0007"),) * 2,
    (ResponseCode.SPINE_UNREACHABLE, "SMSP-0004"),
    None,
)
"""Of a hundred exchanges; None is a fault."""
_IDS = 8
_ID_HEX = 32
_ID_BYTES = 16


class Scale(NamedTuple):
    """How much is made: days from :data:`FIRST_DAY` on, exchanges (two records each) on each of them, patients."""

    days: int
    exchanges: int
    patients: int
    lanes: int = 2


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange; ``lane`` counts from 0 within the day, its records have the numbers ``n`` and ``n + 1``."""

    lane: int
    n: int
    intent_at: int
    ending_at: int
    ids: tuple[str, ...]
    """Exchange, message, tracking, reply, two sent to Spine, two received from Spine."""
    patient: str
    client: str
    organisation: str
    service: Service
    user: str
    outcome: tuple[ResponseCode, str] | None

    def texts(self) -> tuple[str, str]:
        """The contents of both records."""
        intent, ending = _templates(self.service, self.outcome)
        exchange, message, tracking, reply, *spine = self.ids
        values = {
            "exchange": exchange,
            "message": message,
            "tracking": tracking,
            "client": self.client,
            "organisation": self.organisation,
            "user": self.user,
            "patient": self.patient,
            "reply": reply,
            "s0": spine[0],
            "s1": spine[1],
            "s2": spine[2],
            "s3": spine[3],
        }
        return (
            intent % {**values, "at": timestamp(moment_of(self.intent_at))},
            ending % {**values, "at": timestamp(moment_of(self.ending_at))},
        )


def exchanges(scale: Scale, day: date) -> Iterator[Exchange]:
    """The exchanges of a day, in the order of time."""
    midnight = microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))
    step = int(timedelta(days=1).total_seconds() * 1_000_000) // (scale.exchanges + 1)
    numbers = _patients(scale.patients)
    for i in range(scale.exchanges):
        drawn = shake_128(f"{day}|{i}".encode()).hexdigest(_IDS * _ID_BYTES + 16)
        dice = int(drawn[-32:], 16)
        dice, user = divmod(dice, _USERS_OF_ORGANISATION)
        dice, organisation = divmod(dice, _ORGANISATIONS)
        dice, service = divmod(dice, len(_SERVICES))
        dice, outcome = divmod(dice, len(_OUTCOMES))
        at = midnight + step * (i + 1)
        yield Exchange(
            lane=i % scale.lanes,
            n=2 + i // scale.lanes * 2,
            intent_at=at,
            ending_at=at + 40_000,
            ids=tuple(
                f"{drawn[k : k + 8]}-{drawn[k + 8 : k + 12]}-{drawn[k + 12 : k + 16]}-{drawn[k + 16 : k + 20]}"
                f"-{drawn[k + 20 : k + 32]}".upper()
                for k in range(0, _IDS * _ID_HEX, _ID_HEX)
            ),
            patient=numbers[dice % scale.patients],
            client=f"system-{organisation % _CLIENTS:02}",
            organisation=f"X{organisation:03}",
            service=_SERVICES[service],
            user=user_name(organisation, user),
            outcome=_OUTCOMES[outcome],
        )


def user_name(organisation: int, user: int) -> str:
    """The local id of a member of staff."""
    return f"staff-{organisation:03}-{user:02}"


@cache
def _patients(count: int) -> tuple[str, ...]:
    """Well-formed NHS numbers of the range that is kept for tests (999...), which has some 900,000."""
    found: list[str] = []
    candidate = 9_990_000_000
    while len(found) < count:
        text = str(candidate)
        if is_nhs_number(text):
            found.append(text)
            candidate += 10 - int(text[-1])
        else:
            candidate += 1
    return tuple(found)


_AT = datetime(2026, 1, 1, tzinfo=UTC)
_SAMPLE = "9990000018"
"""A number that stands in the templates in place of the patient's."""


@cache
def _templates(service: Service, outcome: tuple[ResponseCode, str] | None) -> tuple[str, str]:
    """The texts of an intent and an ending with ``%(name)s`` for what differs between exchanges."""
    identity = "urn:nhs-uk:identity:ods:%(organisation)s:%(user)s"
    request = RequestFacts(
        address="192.0.2.7",
        username="%(client)s",
        client="%(client)s",
        service=service,
        message_id="%(message)s",
        tracking_id="%(tracking)s",
        audit_ids=(AuditId(OID.ITK_IDENTITY, identity),),
        method=AccessMethod.ATTENDED,
        ods_code=ODSCode("X000"),
        nhs_number=NHSNumber(_SAMPLE),
    )
    found = outcome is not None and outcome[0] is ResponseCode.SUCCESS
    ending = Ending(
        "%(exchange)s",
        _AT,
        EndingKind.FAULT if outcome is None else EndingKind.ANSWERED,
        duration_ms=40,
        source=Source.SPINE if outcome else Source.NONE,
        service=service,
        client="%(client)s",
        response_code=None if outcome is None else outcome[0],
        wire_code=None if outcome is None else outcome[1],
        fault=FaultFacts(FaultCode.SERVER, ErrorCode.TRY_AGAIN, "%(s3)s", "IFC-CON-03") if outcome is None else None,
        reply_message_id="%(reply)s",
        spine=(ExchangeIds("QUPA_IN000008UK02", ("%(s0)s", "%(s1)s"), ("%(s2)s", "%(s3)s")),),
        patient=PatientFacts(NHSNumber(_SAMPLE), Evidence.DATE_OF_BIRTH) if found else PatientFacts(),
    )
    return tuple(
        encode(record, "%(at)s").replace(_SAMPLE, "%(patient)s").replace('"X000"', '"%(organisation)s"')
        for record in (Intent("%(exchange)s", _AT, request, ASID("200000000115")), ending)
    )  # type: ignore[return-value] # two records, two texts
