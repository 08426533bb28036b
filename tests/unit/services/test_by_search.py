from dataclasses import replace

import pytest

from core_samples import BORN, HOME, USUAL, A, B, C, D, answer, by_search, record, refusal, warnings
from procedures import POLICY, UNCONFIRMED, answer_with, procedure_of
from smsp_provider.domain.gate import Declined, Found, FoundSeveral, GateRefusal
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Evidence, Outcome
from smsp_provider.domain.person import PatientRecord
from smsp_provider.domain.requests import BySearch
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import AdvancedTrace, Retrieval, SimpleTrace
from smsp_provider.services.procedure import Policy

NUMBER = by_search()
DETAILS = by_search(Service.GET_PATIENT_DETAILS_BY_SEARCH)
WITHOUT_NUMBER = by_search(Service.GET_PATIENT_DETAILS)
BOTH = (NUMBER, DETAILS, WITHOUT_NUMBER)

WRONG = (
    {"birth_time": "19620318"},
    {"birth_time": None},
    {"names": (replace(USUAL, family="STRANGER"),)},
    {"names": (replace(USUAL, given=("XAVER",)),)},
    {"names": ()},
    {"gender": "1"},
    {"gender": None},
    {"addresses": (replace(HOME, postal_code="ZZ9 9ZZ"),)},
)
"""What a record may not have that is given out for this search."""


def shown(outcome: Outcome) -> tuple[ResponseCode, NHSNumber | None]:
    """Code and number; an outcome without a number may carry nothing else of a patient either."""
    if outcome.nhs_number is None:
        assert outcome.details is None
        assert outcome.evidence is None
    return outcome.code, outcome.nhs_number


def refused(request: BySearch, *answers: SpineAnswer, policy: Policy = POLICY) -> str:
    with pytest.raises(GateRefusal) as caught:
        answer_with(request, answers, policy)
    return caught.value.rule


def moved(held: PatientRecord) -> SpineAnswer:
    return answer(held, issues=warnings("24"))


def test_a_full_date_without_wildcard_is_traced_simply() -> None:
    for request in BOTH:
        assert next(procedure_of(request)) == SimpleTrace("QUIMBLE", "2", BORN, "ORLA", "ZZ1 1ZZ")
    assert next(procedure_of(replace(NUMBER, given=None, postcode=None))) == SimpleTrace("QUIMBLE", "2", BORN)


@pytest.mark.rule("SMSP-PDS-010")
def test_a_wildcard_or_a_partial_date_is_traced_by_the_advanced_trace() -> None:
    year = HL7Date("1962")
    for request, expected in (
        (replace(NUMBER, family="QUI*"), AdvancedTrace("QUI*", "2", BORN, "ORLA", "ZZ1 1ZZ")),
        (replace(NUMBER, given="OR*"), AdvancedTrace("QUIMBLE", "2", BORN, "OR*", "ZZ1 1ZZ")),
        (replace(NUMBER, postcode="ZZ1*"), AdvancedTrace("QUIMBLE", "2", BORN, "ORLA", "ZZ1*")),
        (replace(NUMBER, date_of_birth=year), AdvancedTrace("QUIMBLE", "2", year, "ORLA", "ZZ1 1ZZ")),
    ):
        assert next(procedure_of(request)) == expected


def test_a_traced_number_is_retrieved_before_it_is_given() -> None:
    outcome, queries = answer_with(NUMBER, [answer(record()), answer(record())])
    assert queries[1:] == [Retrieval(A)]
    assert outcome == Outcome(ResponseCode.SUCCESS, A, evidence=Evidence.TRACE)


def test_a_traced_number_is_given_on_one_answer_where_that_is_configured() -> None:
    outcome, queries = answer_with(NUMBER, [answer(record())], UNCONFIRMED)
    assert len(queries) == 1
    assert outcome == Outcome(ResponseCode.SUCCESS, A, evidence=Evidence.TRACE)


def test_details_are_retrieved_whether_or_not_traces_are_confirmed() -> None:
    for policy in (POLICY, UNCONFIRMED):
        for request in (DETAILS, WITHOUT_NUMBER):
            outcome, queries = answer_with(request, [answer(record()), answer(record())], policy)
            assert queries[1:] == [Retrieval(A)]
            assert shown(outcome) == (ResponseCode.SUCCESS, A)
            assert outcome.details is not None
            assert outcome.details.nhs_number == A
            assert outcome.evidence is Evidence.TRACE


@pytest.mark.rule("SMSP-ERR-005", "SMSP-PDS-002")
def test_no_match_several_and_other_refusals_name_nobody() -> None:
    for code, expected in (
        ("1", ResponseCode.NO_MATCH),
        ("7", ResponseCode.MULTIPLE_MATCHES),
        ("22", ResponseCode.INVALIDATED),
        ("75", ResponseCode.SPINE_ERROR),
    ):
        for request in BOTH:
            outcome, queries = answer_with(request, [refusal(code)])
            assert shown(outcome) == (expected, None)
            assert len(queries) == 1
            assert outcome.reason == f"PDS declined: {code}"


@pytest.mark.rule("SMSP-PDS-002")
def test_several_traced_patients_are_several_matches() -> None:
    for request in BOTH:
        outcome, queries = answer_with(request, [answer(record(A), record(B))])
        assert shown(outcome) == (ResponseCode.MULTIPLE_MATCHES, None)
        assert len(queries) == 1


def test_w11_a_trace_refused_as_superseded_makes_no_sense_and_is_refused() -> None:
    for code in ("17", "44"):
        assert refused(NUMBER, refusal(code)) == "W11"


def test_w11_a_retrieval_of_several_patients_is_refused() -> None:
    procedure = procedure_of(DETAILS)
    next(procedure)
    procedure.send(found_a())
    with pytest.raises(GateRefusal) as caught:
        procedure.send(FoundSeveral())
    assert caught.value.rule == "W11"


def found_a() -> Found:
    return Found(record(), A, BORN)


def test_w5_a_traced_date_that_does_not_agree_is_refused_before_anything_is_retrieved() -> None:
    for request in BOTH:
        assert refused(request, answer(record(birth_time="19620318"))) == "W5"


def test_w6_a_retrieved_record_that_does_not_satisfy_the_search_is_refused() -> None:
    for request in BOTH:
        for wrong in WRONG:
            assert refused(request, answer(record()), answer(record(**wrong))) in ("W5", "W6")


def test_w6_a_traced_record_given_on_one_answer_satisfies_the_search() -> None:
    for wrong in WRONG:
        assert refused(NUMBER, answer(record(**wrong)), policy=UNCONFIRMED) in ("W5", "W6")


def test_a_trace_may_say_less_than_the_retrieval() -> None:
    bare = PatientRecord((A.digits,))
    outcome, _ = answer_with(NUMBER, [answer(bare), answer(record())])
    assert shown(outcome) == (ResponseCode.SUCCESS, A)


def test_w4_a_retrieval_of_another_patient_is_refused() -> None:
    for request in BOTH:
        assert refused(request, answer(record(A)), answer(record(B))) == "W3"


def test_a_merge_between_trace_and_retrieval_is_followed_and_judged_again() -> None:
    outcome, queries = answer_with(DETAILS, [answer(record(A)), moved(record(B)), answer(record(B))])
    assert queries[1:] == [Retrieval(A), Retrieval(B)]
    assert shown(outcome) == (ResponseCode.SUCCESS, B)
    for wrong in WRONG:
        assert refused(DETAILS, answer(record(A)), moved(record(B)), answer(record(B, **wrong))) in ("W5", "W6")


def test_a_chain_after_a_trace_is_followed_twice_and_never_round() -> None:
    start = (answer(record(A)), moved(record(B)))
    outcome, _ = answer_with(NUMBER, [*start, moved(record(C)), answer(record(C))])
    assert shown(outcome) == (ResponseCode.SUCCESS, C)
    assert refused(NUMBER, *start, moved(record(C)), moved(record(D))) == "W3"
    assert refused(NUMBER, *start, moved(record(A))) == "W3"


@pytest.mark.rule("SMSP-ERR-006")
def test_a_traced_number_that_the_retrieval_does_not_know_is_unusable() -> None:
    outcome, _ = answer_with(NUMBER, [answer(record()), refusal("1")])
    assert shown(outcome) == (ResponseCode.ANSWER_UNUSABLE, None)


def test_a_retrieval_that_pds_refuses_names_nobody() -> None:
    for code, expected in (
        ("17", ResponseCode.ANSWER_UNUSABLE),
        ("44", ResponseCode.ANSWER_UNUSABLE),
        ("22", ResponseCode.INVALIDATED),
        ("75", ResponseCode.SPINE_ERROR),
    ):
        outcome, _ = answer_with(NUMBER, [answer(record()), refusal(code)])
        assert shown(outcome) == (expected, None)


@pytest.mark.rule("SMSP-VAL-004")
def test_unusable_dates_of_the_retrieved_record_are_refused() -> None:
    assert refused(NUMBER, answer(record(birth_time="19620230"))) == "W5"
    assert refused(NUMBER, answer(record()), answer(record(birth_time="19620230"))) == "W5"
    outcome, _ = answer_with(DETAILS, [answer(record()), answer(record(deceased_time="19990230"))])
    assert shown(outcome) == (ResponseCode.ANSWER_UNUSABLE, None)


@pytest.mark.rule("SMSP-PDS-006")
def test_a_sensitive_match_is_given_without_location() -> None:
    secret = record(confidentiality=("S",))
    outcome, _ = answer_with(DETAILS, [answer(secret), answer(secret)])
    assert shown(outcome) == (ResponseCode.SUCCESS, A)
    assert outcome.details is not None
    assert (outcome.details.addresses, outcome.details.telecoms, outcome.details.practice) == ((), (), None)


def test_w8_a_match_sensitive_in_the_trace_and_open_in_the_retrieval_is_refused() -> None:
    assert refused(DETAILS, answer(record(confidentiality=("S",))), answer(record())) == "W8"


def test_a_very_restricted_match_is_not_verified() -> None:
    hidden = PatientRecord((A.digits,), confidentiality=("Y",))
    for request in BOTH:
        outcome, _ = answer_with(request, [answer(hidden), answer(hidden)])
        assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)
        outcome, _ = answer_with(request, [answer(hidden), answer(record())])
        assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)
    outcome, _ = answer_with(NUMBER, [answer(hidden)], UNCONFIRMED)
    assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)


def test_twins_and_namesakes_are_told_apart_by_forename_and_gender() -> None:
    for twin in (record(B, names=(replace(USUAL, given=("IVOR",)),)), record(B, gender="1")):
        assert refused(NUMBER, answer(twin), answer(twin)) == "W6"
        outcome, _ = answer_with(NUMBER, [answer(record(A), twin)])
        assert shown(outcome) == (ResponseCode.MULTIPLE_MATCHES, None)


def test_father_and_son_of_one_name_are_told_apart_by_the_date_of_birth() -> None:
    father = record(B, birth_time="19350317")
    assert refused(NUMBER, answer(father)) == "W5"


def test_a_surname_is_found_composed_or_not() -> None:
    held = record(names=(replace(USUAL, family="O\u0308SEL"),))
    outcome, _ = answer_with(replace(NUMBER, family="\u00f6sel"), [answer(held), answer(held)])
    assert shown(outcome) == (ResponseCode.SUCCESS, A)


def test_a_decline_after_an_advanced_trace_names_nobody() -> None:
    procedure = procedure_of(replace(NUMBER, family="QUI*"))
    next(procedure)
    with pytest.raises(StopIteration) as end:
        procedure.send(Declined(()))
    assert shown(end.value.value) == (ResponseCode.SPINE_ERROR, None)
