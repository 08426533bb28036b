"""Requests about one NHS number: verify it, then, where details are asked for, retrieve the record.

Source: pds-services.md, verifyNHSNumber, getPatientDetailsByNHSNumber and "the answer belongs to the question";
SMSP-PDS-001 (verified before anything is retrieved).
"""

from collections.abc import Generator

from smsp_provider.domain.details import UnusableRecord, compose_details
from smsp_provider.domain.gate import AdmittedAnswer, Declined, Found, GateRefusal
from smsp_provider.domain.matching import Verdict, contradicts_usual_name, verify
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Evidence, Outcome
from smsp_provider.domain.requests import ByNumber
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SpineQuery
from smsp_provider.services.procedure import Policy, Procedure

__all__ = ["Unfollowable", "answer_by_number", "follow", "found_outcome"]

_MAX_HOPS = 2

_EVIDENCE = {Verdict.RULE_1: Evidence.DATE_OF_BIRTH, Verdict.RULE_2: Evidence.DATE_PARTS_AND_NAME}


class Unfollowable(Exception):
    """The record in force cannot be reached; ``outcome`` is the answer without data."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def answer_by_number(request: ByNumber, policy: Policy) -> Procedure:
    """verifyNHSNumber, getPatientDetailsByNHSNumber, and getPatientDetails with an NHS number."""
    checked = yield CrossCheckTrace(request.nhs_number, request.date_of_birth, request.family, request.given)
    if isinstance(checked, Declined):
        code = policy.code_map.classify(checked.issues)
        if code is not ResponseCode.SUPERSEDED:
            return Outcome.without_data(code, _reason(checked))
        superseded = True
    elif not isinstance(checked, Found):
        raise GateRefusal("W11", "a cross-check found several patients")
    else:
        superseded = checked.nhs_number != request.nhs_number or checked.says_superseded
        if _verdict(request, checked, policy) is Verdict.NOT_VERIFIED:
            return Outcome.without_data(ResponseCode.NOT_VERIFIED, "the details do not verify")
    wants_details = request.service is not Service.VERIFY_NHS_NUMBER
    if superseded or wants_details:
        try:
            checked = yield from follow(request.nhs_number, policy)
        except Unfollowable as end:
            return end.outcome
        if superseded and checked.nhs_number == request.nhs_number:
            raise GateRefusal("W3", "the number was said to be replaced and its record says otherwise")
    assert isinstance(checked, Found)  # noqa: S101 - tells the type checker what the branches above leave
    return _verified(request, checked, policy, wants_details=wants_details)


def _verified(request: ByNumber, final: Found, policy: Policy, *, wants_details: bool) -> Outcome:
    """The outcome for the record in force: the rules are applied to it before anything is said."""
    verdict = _verdict(request, final, policy)
    replaced = final.nhs_number != request.nhs_number
    if verdict is Verdict.NOT_VERIFIED:
        if not replaced:
            raise GateRefusal("W7", "the number verified and its retrieved record does not")
        return Outcome.without_data(ResponseCode.NOT_VERIFIED, "the replacing record does not verify")
    return found_outcome(
        final,
        policy,
        code=ResponseCode.SUPERSEDED if replaced else ResponseCode.SUCCESS,
        evidence=_EVIDENCE[verdict],
        wants_details=wants_details,
        name_contradiction=contradicts_usual_name(request, final.record, policy.today),
    )


def found_outcome(
    final: Found,
    policy: Policy,
    *,
    code: ResponseCode,
    evidence: Evidence,
    wants_details: bool,
    name_contradiction: bool = False,
) -> Outcome:
    """An outcome that names the patient of ``final``, with the details where they were asked for."""
    if not wants_details:
        return Outcome(code, final.nhs_number, evidence=evidence, name_contradiction=name_contradiction)
    try:
        composed = compose_details(final.record, final.nhs_number, policy.today)
    except UnusableRecord as unusable:
        return Outcome.without_data(ResponseCode.ANSWER_UNUSABLE, f"{unusable.field} is unusable")
    return Outcome(
        code,
        final.nhs_number,
        details=composed.details,
        evidence=evidence,
        name_contradiction=name_contradiction,
        repairs=composed.repairs,
    )


def follow(asked: NHSNumber, policy: Policy) -> Generator[SpineQuery, AdmittedAnswer, Found]:
    """Retrieve ``asked``, and from a number that was replaced the one in force: at most two hops, no cycle (W3).

    The last retrieval always asks for the number it returns, so that a wrong replacement cannot pass unconfirmed.

    Raises:
        Unfollowable: PDS declines on the way.
        GateRefusal: an unproven or circular replacement, or one hop too many.
    """
    current = asked
    seen = {asked}
    while True:
        answer = yield Retrieval(current)
        if isinstance(answer, Declined):
            raise Unfollowable(_declined_retrieval(answer, policy))
        if not isinstance(answer, Found):
            raise GateRefusal("W11", "a retrieval found several patients")
        if answer.nhs_number == current:
            if answer.says_superseded:
                raise GateRefusal("W3", "a number is said to be replaced and comes back itself")
            return answer
        if not answer.replaces(current):
            raise GateRefusal("W3", "another number came back without proof that it replaces the one asked")
        if answer.nhs_number in seen or len(seen) > _MAX_HOPS:
            raise GateRefusal("W3", "the chain of replaced numbers is circular or too long")
        current = answer.nhs_number
        seen.add(current)


def _declined_retrieval(answer: Declined, policy: Policy) -> Outcome:
    code = policy.code_map.classify(answer.issues)
    if code is ResponseCode.NO_MATCH:
        return Outcome.without_data(ResponseCode.ANSWER_UNUSABLE, "a number PDS knew is not known to its retrieval")
    if code is ResponseCode.SUPERSEDED:
        return Outcome.without_data(ResponseCode.NOT_VERIFIED, "the replacing record cannot be learnt")
    return Outcome.without_data(code, _reason(answer))


def _verdict(request: ByNumber, found: Found, policy: Policy) -> Verdict:
    return verify(request, found.record, found.date_of_birth, policy.today)


def _reason(answer: Declined) -> str:
    return "PDS declined: " + " ".join(issue.code for issue in answer.issues)
