"""Requests for the one patient with certain details: trace, then retrieve the single match.

Source: pds-services.md, getNHSNumber and getPatientDetailsBySearch; SMSP-PDS-002 (only a single match is returned).
"""

from smsp_provider.domain.gate import Declined, Found, GateRefusal, check_traced
from smsp_provider.domain.outcomes import Evidence, Outcome
from smsp_provider.domain.requests import BySearch
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_queries import AdvancedTrace, SimpleTrace
from smsp_provider.services.by_number import Unfollowable, follow, found_outcome
from smsp_provider.services.procedure import Policy, Procedure

__all__ = ["answer_by_search"]


def answer_by_search(request: BySearch, policy: Policy) -> Procedure:
    """getNHSNumber, getPatientDetailsBySearch, and getPatientDetails without an NHS number."""
    trace = AdvancedTrace if request.needs_advanced_trace else SimpleTrace
    found = yield trace(request.family, request.gender, request.date_of_birth, request.given, request.postcode)
    if isinstance(found, Declined):
        return _declined_trace(found, policy)
    if not isinstance(found, Found):
        return Outcome.without_data(ResponseCode.MULTIPLE_MATCHES, "more than one patient was traced")
    check_traced(request, found)
    restricted = found.record.is_very_restricted
    wants_details = request.service is not Service.GET_NHS_NUMBER
    if wants_details or policy.confirm_trace:
        try:
            found = yield from follow(found.nhs_number, policy)
        except Unfollowable as end:
            if end.outcome.code is ResponseCode.NOT_VERIFIED:
                # Nobody asked for a number to be verified: PDS traced one that it says is replaced, and not by which.
                return Outcome.without_data(ResponseCode.ANSWER_UNUSABLE, f"traced, then {end.outcome.reason}")
            return end.outcome
    if restricted or found.record.is_very_restricted:
        return Outcome.without_data(ResponseCode.NOT_VERIFIED, "nothing of the record may be compared")
    return found_outcome(found, policy, code=ResponseCode.SUCCESS, evidence=Evidence.TRACE, wants_details=wants_details)


def _declined_trace(answer: Declined, policy: Policy) -> Outcome:
    code = policy.code_map.classify(answer.issues)
    if code is ResponseCode.SUPERSEDED:
        raise GateRefusal("W11", "a trace was declined as superseded, which only an NHS number can be")
    return Outcome.without_data(code, "PDS declined: " + " ".join(issue.code for issue in answer.issues))
