"""The answer gate: right patient or no patient (safety.md section 3, W1 to W11).

Pure, and in the way of every answer of every connector: the services can only work with what :func:`admit` returns, and
nothing of a patient leaves that :func:`release` and :func:`check_outgoing` have not judged. A refusal is answered
SMSP-0002, raises an alert, and closes the connection. W12 (nothing outlives the request) is kept by having no state.
"""

from dataclasses import dataclass
from typing import Final

from smsp_provider.domain.hl7_date import HL7Date, InvalidDate
from smsp_provider.domain.identifiers import LocalIdentifier, same_uuid
from smsp_provider.domain.immutable import frozen
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.matching import Verdict, name_agrees, postcode_agrees, same_text, verify
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.person import PatientRecord
from smsp_provider.domain.requests import ByNumber, BySearch, ServiceRequest
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.spine_answers import Acknowledgement, DetectedIssue, SpineAnswer
from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace, SpineQuery

__all__ = [
    "AdmittedAnswer",
    "Declined",
    "Found",
    "FoundSeveral",
    "GateRefusal",
    "Outgoing",
    "Step",
    "admit",
    "check_outgoing",
    "check_traced",
    "release",
]

SUPERSEDING_CODES: Final = frozenset({"17", "24", "44"})
"""PDS says: this number was replaced."""

_DECLINING_CODES: Final = frozenset({"0", "1", "2", "7", "22", "40", "42"})
"""PDS says that there is no usable record: never beside one, whatever their qualifier."""

_TRACES: Final = (SimpleTrace, AdvancedTrace)
_ABOUT_A_NUMBER: Final = (CrossCheckTrace, Retrieval)

_MAX_HOPS: Final = 2


class GateRefusal(Exception):
    """An answer may not be used. ``rule`` is the invariant it broke, ``reason`` says how, without values."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason


@frozen
class Found(Masked):
    """Exactly one patient, with its one well-formed number and its date of birth where PDS holds one."""

    record: PatientRecord
    nhs_number: NHSNumber
    date_of_birth: HL7Date | None
    issues: tuple[DetectedIssue, ...] = ()

    @property
    def says_superseded(self) -> bool:
        """Whether PDS states by code that the asked number was replaced."""
        return any(issue.code in SUPERSEDING_CODES for issue in self.issues)

    def replaces(self, asked: NHSNumber) -> bool:
        """Whether it is proven that this record took the place of ``asked`` (W3)."""
        return self.says_superseded or asked.digits in self.record.superseded_numbers


@dataclass(frozen=True, slots=True)
class FoundSeveral:
    """More than one distinct patient: never the first of them (W11)."""


@dataclass(frozen=True, slots=True)
class Declined:
    """PDS answered without success; whatever number came with it is not used (W11)."""

    issues: tuple[DetectedIssue, ...]


AdmittedAnswer = Found | FoundSeveral | Declined


@frozen
class Step(Masked):
    """One query and its admitted answer, in the order asked."""

    query: SpineQuery
    answer: AdmittedAnswer


@frozen
class Outgoing(Masked):
    """What a response says about its patient and its request, as read again from its bytes (W10)."""

    nhs_numbers: tuple[str, ...]
    local_identifier: LocalIdentifier | None
    relates_to: str | None
    date_of_birth: str | None


def admit(query: SpineQuery, answer: SpineAnswer) -> AdmittedAnswer:
    """Judge one answer on its own: it answers this query (W1) and names one patient properly (W2, W11).

    Raises:
        GateRefusal: the answer cannot be used for anything.
    """
    _check_correlation(answer)
    if answer.acknowledgement is not Acknowledgement.ACCEPTED:
        return Declined(answer.issues)
    if not answer.query_ok:
        if answer.records:
            raise GateRefusal("W11", "an answer without success carries a patient")
        return Declined(answer.issues)
    for issue in answer.issues:
        if _contradicts_success(issue):
            raise GateRefusal("W11", "a successful answer carries an error")
    if isinstance(query, _TRACES) and len({number for record in answer.records for number in record.nhs_numbers}) > 1:
        return FoundSeveral()
    if len(answer.records) != 1:
        raise GateRefusal("W2", "a successful answer must hold exactly one patient")
    return _found(answer.records[0], answer.issues)


def _contradicts_success(issue: DetectedIssue) -> bool:
    return issue.code not in SUPERSEDING_CODES and (issue.is_error or issue.code in _DECLINING_CODES)


def _check_correlation(answer: SpineAnswer) -> None:
    names_a_request = False
    for reference in answer.references:
        if reference.found is not None:
            names_a_request = True
            if not same_uuid(reference.expected, reference.found):
                raise GateRefusal("W1", "the answer names another request")
    if not names_a_request:
        raise GateRefusal("W1", "the answer names no request")


def _found(record: PatientRecord, issues: tuple[DetectedIssue, ...]) -> Found:
    try:
        (number,) = record.nhs_numbers
        nhs_number = NHSNumber(number)
    except ValueError:
        raise GateRefusal("W2", "the patient must have exactly one well-formed NHS number") from None
    born = None
    if record.birth_time is not None and record.birth_time.strip():
        try:
            born = HL7Date.from_timestamp(record.birth_time)
        except InvalidDate:
            raise GateRefusal("W5", "the date of birth is not a date") from None
    return Found(record, nhs_number, born, issues)


def check_traced(request: BySearch, found: Found) -> None:
    """Judge what a trace found against what was searched: W5 as far as the answer goes.

    Raises:
        GateRefusal: a date of birth is present and does not agree.
    """
    if found.date_of_birth is not None and not found.date_of_birth.agrees_with(request.date_of_birth):
        raise GateRefusal("W5", "the traced date of birth does not agree with the one asked")


def release(request: ServiceRequest, steps: tuple[Step, ...], outcome: Outcome, today: HL7Date) -> None:
    """Judge an outcome against the request and every answer it was made from (W3 to W9, W11).

    An outcome without a patient passes unless it claims success. One with a patient must come from the last answer,
    whose record must be the one asked for, or proven to have replaced it, and must satisfy the request by itself.

    Raises:
        GateRefusal: the outcome may not leave.
    """
    if outcome.nhs_number is None:
        if outcome.details is not None:
            raise GateRefusal("W9", "details without a patient")
        if outcome.code in (ResponseCode.SUCCESS, ResponseCode.SUPERSEDED):
            raise GateRefusal("W11", "a success without a patient")
        return
    final = steps[-1].answer if steps else None
    if not isinstance(final, Found) or final.nhs_number != outcome.nhs_number:
        raise GateRefusal("W9", "the outcome does not name the patient of the final record")
    if outcome.code is not _code_for(request, final):
        raise GateRefusal("W11", "the code of the outcome does not allow for this patient")
    _check_details(final, steps, outcome)
    if isinstance(request, ByNumber):
        _check_path(request.nhs_number, steps)
        _check_verified(request, final, today)
    else:
        traced = steps[0].answer
        if not isinstance(traced, Found) or not isinstance(steps[0].query, _TRACES):
            raise GateRefusal("W4", "the search has no traced patient")
        check_traced(request, traced)
        _check_path(traced.nhs_number, steps[1:])
        if any(isinstance(step.answer, Found) and step.answer.record.is_very_restricted for step in steps):
            raise GateRefusal("W6", "nothing of the record may be compared")
        _check_searched(request, final)
    _check_retrievals(steps)
    _check_agreement(final, steps)


def _code_for(request: ServiceRequest, final: Found) -> ResponseCode:
    """The only code with which an answer may name the patient of ``final`` (W11)."""
    replaced = isinstance(request, ByNumber) and final.nhs_number != request.nhs_number
    return ResponseCode.SUPERSEDED if replaced else ResponseCode.SUCCESS


def _check_details(final: Found, steps: tuple[Step, ...], outcome: Outcome) -> None:
    details = outcome.details
    if details is None:
        return
    if details.nhs_number != final.nhs_number:
        raise GateRefusal("W9", "the details carry another number than their record")
    if details.date_of_birth != final.date_of_birth:
        raise GateRefusal("W9", "the details carry another date of birth than their record")
    # One answer on the way that calls the patient sensitive is enough, whatever the final one says.
    sensitive = any(isinstance(step.answer, Found) and step.answer.record.is_sensitive for step in steps)
    if sensitive and (details.addresses or details.telecoms or details.practice is not None):
        raise GateRefusal("W8", "location data of a sensitive record")


def _check_path(asked: NHSNumber, steps: tuple[Step, ...]) -> None:
    """Follow the numbers from the one asked: each answer names it, or provenly its replacement (W3, W4)."""
    current = asked
    seen = [asked]
    announced: list[NHSNumber] = []
    confirmed = True
    for step in steps:
        if not isinstance(step.query, _ABOUT_A_NUMBER) or step.query.nhs_number != current:
            raise GateRefusal("W3", "a query was about another number than the one at hand")
        answer = step.answer
        if not isinstance(answer, Found):
            continue
        confirmed = answer.nhs_number == current
        if confirmed:
            continue
        if isinstance(step.query, CrossCheckTrace):
            # Not followed from here: a retrieval has to prove the replacement, and to come to the same number.
            announced.append(answer.nhs_number)
            continue
        if not answer.replaces(current):
            raise GateRefusal("W3", "another number came back without proof that it replaces the one asked")
        if answer.nhs_number in seen or len(seen) > _MAX_HOPS:
            raise GateRefusal("W3", "the chain of replaced numbers is circular or too long")
        current = answer.nhs_number
        seen.append(current)
    if not set(seen).issuperset(announced):
        raise GateRefusal("W7", "cross-check and retrieval name different replacements")
    if not confirmed:
        raise GateRefusal("W3", "the final record was not asked for by its own number")


def _check_retrievals(steps: tuple[Step, ...]) -> None:
    """No retrieval says of a number that it was replaced and returns it all the same (W3)."""
    for step in steps:
        query, answer = step.query, step.answer
        if (
            isinstance(query, Retrieval)
            and isinstance(answer, Found)
            and answer.nhs_number == query.nhs_number
            and answer.says_superseded
        ):
            raise GateRefusal("W3", "a number is said to be replaced and comes back itself")


def _check_verified(request: ByNumber, final: Found, today: HL7Date) -> None:
    if verify(request, final.record, final.date_of_birth, today) is Verdict.NOT_VERIFIED:
        raise GateRefusal("W7", "the final record does not verify against the request")


def _check_agreement(final: Found, steps: tuple[Step, ...]) -> None:
    """All answers about the final number say the same of birth and death, as far as they say something (W7)."""
    for step in steps:
        answer = step.answer
        if not isinstance(answer, Found) or answer.nhs_number != final.nhs_number:
            continue
        if answer.date_of_birth not in (final.date_of_birth, None):
            raise GateRefusal("W7", "two answers about one number disagree on the date of birth")
        if _day_of(answer.record.deceased_time) not in ("", _day_of(final.record.deceased_time)):
            raise GateRefusal("W7", "two answers about one number disagree on the date of death")


def _day_of(timestamp: str | None) -> str:
    return (timestamp or "").strip()[:8]


def _check_searched(request: BySearch, final: Found) -> None:
    record = final.record
    if final.date_of_birth is None or not final.date_of_birth.agrees_with(request.date_of_birth):
        raise GateRefusal("W5", "the final date of birth does not satisfy the search")
    if not name_agrees(request, record):
        raise GateRefusal("W6", "no name of the final record satisfies the search")
    if record.gender is None or not same_text(record.gender, request.gender):
        raise GateRefusal("W6", "the gender of the final record does not satisfy the search")
    if not record.is_sensitive and not postcode_agrees(request, record):
        raise GateRefusal("W6", "no postcode of the final record satisfies the search")


def check_outgoing(
    outcome: Outcome, outgoing: Outgoing, *, request_message_id: str, local_identifier: LocalIdentifier | None
) -> None:
    """Judge the response as its bytes say it: number, date, local identifier and RelatesTo are this request's (W10).

    ``request_message_id`` and ``local_identifier`` are the request's own, the latter None where it sent none.

    Raises:
        GateRefusal: the bytes say something else than the outcome.
    """
    expected = (outcome.nhs_number.digits,) if outcome.nhs_number is not None else ()
    if outgoing.nhs_numbers != expected:
        raise GateRefusal("W10", "the response names another patient than the outcome")
    born = outcome.details.date_of_birth if outcome.details is not None else None
    if outgoing.date_of_birth != (born.digits if born is not None else None):
        raise GateRefusal("W10", "the response carries another date of birth than the outcome")
    if outgoing.local_identifier is not None and outgoing.local_identifier != local_identifier:
        raise GateRefusal("W10", "the response reflects another local identifier than the request")
    if outgoing.relates_to != request_message_id:
        raise GateRefusal("W10", "the response relates to another request")
