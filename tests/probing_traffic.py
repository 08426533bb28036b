"""Answered requests for the tests of the watch for guessing, and a watch in memory that has a clock of its own.

watch = Watch(guesses_of_a_number=3)
patterns = [watch.ask(number_request(NUMBER), code=NOT_VERIFIED) for _ in range(3)]
"""

from collections.abc import Iterable, Iterator
from typing import Final

from smsp_provider.domain.audit_identity import AuditId
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.requests import ByNumber, BySearch, ServiceRequest
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.engine.probing import Answered, Finding, Pattern, ProbingPolicy
from smsp_provider.engine.probing_detector import Detector
from smsp_provider.engine.probing_table import TABLE_BYTES
from smsp_provider.engine.probing_traces import KEY_BYTES, Tracer

__all__ = ["ISSUED", "START", "Watch", "answered", "number_at_stem", "number_request", "search_request", "stems"]

START: Final = 1_772_443_800
"""A Monday morning, in seconds since 1970."""
ISSUED: Final = range(400_000_000, 500_000_000)
"""Numbers without check digits as they are issued."""
_BORN: Final = HL7Date("19620317")


def number_at_stem(stem: int) -> NHSNumber | None:
    """The number with these nine digits before its check digit; None where there is none."""
    weighted = sum(int(digit) * (10 - place) for place, digit in enumerate(f"{stem:09d}"))
    check = -weighted % 11
    return NHSNumber(f"{stem:09d}{check}") if check < 10 else None


def stems(start: int) -> Iterator[NHSNumber]:
    """One number after the other from a stem on, as somebody asks who goes through all of them."""
    return (number for stem in range(start, 10**9) if (number := number_at_stem(stem)) is not None)


def number_request(number: NHSNumber) -> ByNumber:
    return ByNumber(Service.VERIFY_NHS_NUMBER, number, _BORN)


def search_request(
    family: str = "QUIMBLE", given: str | None = "ORLA", postcode: str | None = None, *, born: str = "19620317"
) -> BySearch:
    return BySearch(Service.GET_NHS_NUMBER, HL7Date(born), "2", family, given, postcode)


def answered(
    request: ServiceRequest,
    code: ResponseCode = ResponseCode.SUCCESS,
    *,
    client: str = "hospital",
    user: str = "ward-9",
    attended: bool = True,
) -> Answered:
    identity = (AuditId(OID.ITK_IDENTITY, f"urn:nhs-uk:identity:ods:X26:{user}"),)
    return Answered("6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFEE", client, identity, attended, request, code)


class Watch:
    """The detector with a table in memory; ``now`` is in seconds since 1970."""

    def __init__(self, policy: ProbingPolicy | None = None) -> None:
        self.now = START
        self.table: Final = bytearray(TABLE_BYTES)
        self.found: Final[list[Finding]] = []
        self._view: Final = memoryview(self.table)
        self._detector: Final = Detector(policy or ProbingPolicy())
        self._tracer: Final = Tracer(bytes(range(1, KEY_BYTES + 1)))

    def note(self, one: Answered) -> list[Finding]:
        """What is told at this request; ``found`` has all so far."""
        request = one.request
        if isinstance(request, ByNumber):
            told = self._detector.count_number(self._view, self._tracer.number(one, request), self.now)
        else:
            told = self._detector.count_search(self._view, self._tracer.search(one, request), self.now)
        self.found.extend(told)
        return told

    def count_until(self, pattern: Pattern, requests: Iterable[Answered]) -> int | None:
        """With which request (from 1) the pattern is told; None where it is not."""
        for count, one in enumerate(requests, 1):
            if any(finding.pattern is pattern for finding in self.note(one)):
                return count
        return None
