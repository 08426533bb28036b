"""What two ways to PDS say to the same query, compared without a value: kinds, codes and names of fields."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from smsp_provider.domain.details import UnusableRecord, compose_details
from smsp_provider.domain.failures import SpineFailure
from smsp_provider.domain.gate import AdmittedAnswer, Declined, Found, GateRefusal, admit
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.outcomes import PatientDetails
from smsp_provider.domain.response_codes import PDSCodeMap
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import Retrieval, SpineQuery

__all__ = ["Comparison", "ComparisonSink", "compare"]

_DETAILS: Final = ("name", "gender", "date_of_death", "practice")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One query put to both ways. ``answered`` is what the one said whose answer was used, ``compared`` the other.

    ``fields`` are the names of what differs between two records; empty where both say the same.
    """

    at: datetime
    query: str
    answered: str
    compared: str
    fields: tuple[str, ...] = ()


class ComparisonSink(Protocol):
    """Where comparisons are kept."""

    def record(self, comparison: Comparison) -> None:
        """Keep one; never raises."""
        ...


def compare(
    query: SpineQuery,
    answered: SpineAnswer,
    other: SpineAnswer | SpineFailure,
    code_map: PDSCodeMap,
    today: HL7Date,
    at: datetime,
) -> Comparison:
    """Compare an answer with the other way's answer, or its failure, to the same query."""
    one, two = _judged(query, answered), _judged(query, other)
    fields: tuple[str, ...] = ()
    if isinstance(one, Found) and isinstance(two, Found):
        fields = tuple(_differing(query, one, two, today))
    return Comparison(at, type(query).__name__, _said(one, code_map), _said(two, code_map), fields)


def _judged(query: SpineQuery, answer: SpineAnswer | SpineFailure) -> AdmittedAnswer | Exception:
    if isinstance(answer, SpineFailure):
        return answer
    try:
        return admit(query, answer)
    except GateRefusal as refusal:
        # Without its traceback, whose frames would hold the patient until the next collection (W12).
        return refusal.with_traceback(None)


def _said(judged: AdmittedAnswer | Exception, code_map: PDSCodeMap) -> str:
    if isinstance(judged, Declined):
        return code_map.classify(judged.issues).value
    if isinstance(judged, GateRefusal):
        return f"refused by the gate ({judged.rule})"
    if isinstance(judged, Exception):
        return f"failed ({type(judged).__name__})"
    return "found" if isinstance(judged, Found) else "several"


def _differing(query: SpineQuery, one: Found, two: Found, today: HL7Date) -> list[str]:
    """The names of the fields that differ; all that may be given out only where the whole record was wanted."""
    names = [] if one.nhs_number == two.nhs_number else ["nhs_number"]
    if one.date_of_birth != two.date_of_birth:
        names.append("date_of_birth")
    if one.record.is_sensitive is not two.record.is_sensitive:
        names.append("sensitive")
    if isinstance(query, Retrieval):
        names += _details_differing(_details(one, today), _details(two, today))
    return names


def _details(found: Found, today: HL7Date) -> PatientDetails | None:
    try:
        return compose_details(found.record, found.nhs_number, today).details
    except UnusableRecord:
        return None


def _details_differing(one: PatientDetails | None, two: PatientDetails | None) -> list[str]:
    if one is None or two is None:
        return [] if one is two else ["details"]
    names = [name for name in _DETAILS if getattr(one, name) != getattr(two, name)]
    if [(item.use, item.lines, item.postal_code) for item in one.addresses] != [
        (item.use, item.lines, item.postal_code) for item in two.addresses
    ]:
        names.append("addresses")
    # Which of the two uses of a telephone at home is told is a setting of PDS FHIR.
    if sorted(item.value for item in one.telecoms) != sorted(item.value for item in two.telecoms):
        names.append("telecoms")
    return names
