from dataclasses import replace

import pytest

from core_samples import BORN, TODAY, USUAL, A, B, C, D, answer, by_number, errors, record, refusal, warnings
from procedures import POLICY, answer_with, procedure_of
from smsp_provider.domain.gate import Declined, FoundSeveral, GateRefusal
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Evidence, Outcome
from smsp_provider.domain.person import PatientRecord, Validity
from smsp_provider.domain.requests import ByNumber
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import Acknowledgement, SpineAnswer
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval

VERIFY = by_number()
DETAILS = by_number(Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER)
WITH_NUMBER = by_number(Service.GET_PATIENT_DETAILS)
BOTH = (VERIFY, DETAILS, WITH_NUMBER)

STRANGER = {"birth_time": "19700101", "names": (replace(USUAL, family="STRANGER", given=("XAVER",)),)}
DAY_OFF = "19620318"


def shown(outcome: Outcome) -> tuple[ResponseCode, NHSNumber | None]:
    """Code and number; an outcome without a number may carry nothing else of a patient either."""
    if outcome.nhs_number is None:
        assert outcome.details is None
        assert outcome.evidence is None
        assert not outcome.name_contradiction
        assert outcome.repairs == ()
    return outcome.code, outcome.nhs_number


def refused(rule: str, request: ByNumber, *answers: SpineAnswer) -> bool:
    with pytest.raises(GateRefusal) as caught:
        answer_with(request, answers)
    return caught.value.rule == rule


def moved(held: PatientRecord, *codes: str) -> SpineAnswer:
    return answer(held, issues=warnings(*(codes or ("24",))))


# --- verified and not verified


@pytest.mark.rule("SMSP-PDS-001")
def test_the_first_question_is_a_cross_check_with_everything_that_was_sent() -> None:
    for request in BOTH:
        assert next(procedure_of(request)) == CrossCheckTrace(A, BORN, "QUIMBLE", "ORLA")
    assert next(procedure_of(replace(VERIFY, family=None, given=None))) == CrossCheckTrace(A, BORN)


def test_verify_rule_1_gives_the_number_on_one_answer() -> None:
    outcome, queries = answer_with(VERIFY, [answer(record())])
    assert outcome == Outcome(ResponseCode.SUCCESS, A, evidence=Evidence.DATE_OF_BIRTH)
    assert len(queries) == 1


def test_verify_rule_2_gives_the_number() -> None:
    outcome, _ = answer_with(VERIFY, [answer(record(birth_time=DAY_OFF))])
    assert outcome == Outcome(ResponseCode.SUCCESS, A, evidence=Evidence.DATE_PARTS_AND_NAME)


def test_a_verified_number_with_a_contradicting_name_is_marked() -> None:
    outcome, _ = answer_with(replace(VERIFY, family="OTHERWISE"), [answer(record())])
    assert outcome == Outcome(ResponseCode.SUCCESS, A, evidence=Evidence.DATE_OF_BIRTH, name_contradiction=True)


@pytest.mark.rule("SMSP-PDS-001", "SMSP-ERR-005")
def test_what_does_not_verify_is_never_retrieved_nor_named() -> None:
    for request in BOTH:
        for held in (record(**STRANGER), record(birth_time=None), record(birth_time="1962")):
            outcome, queries = answer_with(request, [answer(held)])
            assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)
            assert len(queries) == 1


@pytest.mark.rule("SMSP-ERR-005")
def test_a_refusal_by_pds_is_answered_by_its_code_and_nothing_else() -> None:
    for code, expected in (
        ("1", ResponseCode.NO_MATCH),
        ("22", ResponseCode.INVALIDATED),
        ("40", ResponseCode.NOT_VERIFIED),
        ("42", ResponseCode.NOT_NEW_STYLE),
        ("75", ResponseCode.SPINE_ERROR),
    ):
        for request in BOTH:
            outcome, queries = answer_with(request, [refusal(code)])
            assert shown(outcome) == (expected, None)
            assert len(queries) == 1
            assert outcome.reason == f"PDS declined: {code}"


def test_a_refusal_without_reasons_is_a_spine_error() -> None:
    outcome, _ = answer_with(VERIFY, [refusal()])
    assert shown(outcome) == (ResponseCode.SPINE_ERROR, None)


def test_a_refusal_that_carries_a_patient_names_nobody() -> None:
    given = answer(record(), acknowledgement=Acknowledgement.ERROR, issues=errors("40"))
    outcome, _ = answer_with(VERIFY, [given])
    assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)


def test_several_patients_under_one_number_are_refused() -> None:
    for request in BOTH:
        procedure = procedure_of(request)
        next(procedure)
        with pytest.raises(GateRefusal) as caught:
            procedure.send(FoundSeveral())
        assert caught.value.rule == "W11"
        assert refused("W2", request, answer(record(A), record(B)))
    procedure = procedure_of(VERIFY)
    next(procedure)
    procedure.send(Declined(errors("17")))
    with pytest.raises(GateRefusal) as caught:
        procedure.send(FoundSeveral())
    assert caught.value.rule == "W11"


# --- details


@pytest.mark.rule("SMSP-PDS-001")
def test_details_are_those_of_the_retrieved_record() -> None:
    for request in (DETAILS, WITH_NUMBER):
        outcome, queries = answer_with(request, [answer(record(gender="9", names=())), answer(record())])
        assert queries[1:] == [Retrieval(A)]
        assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUCCESS, A)
        assert outcome.evidence is Evidence.DATE_OF_BIRTH
        assert outcome.details is not None
        assert outcome.details.nhs_number == A
        assert outcome.details.gender == "2"
        assert outcome.details.name is not None


def test_verification_gives_no_details_and_retrieves_nothing() -> None:
    outcome, queries = answer_with(VERIFY, [answer(record())])
    assert outcome.details is None
    assert not any(isinstance(query, Retrieval) for query in queries)


def test_repairs_of_the_record_are_reported() -> None:
    outcome, _ = answer_with(DETAILS, [answer(record()), answer(record(gender="M"))])
    assert [repair.field for repair in outcome.repairs] == ["administrativeGenderCode"]


@pytest.mark.rule("SMSP-ERR-006")
def test_a_number_that_the_check_knew_and_the_retrieval_does_not_is_unusable() -> None:
    for code in ("1", "RT003"):
        outcome, _ = answer_with(DETAILS, [answer(record()), refusal(code)])
        assert shown(outcome) == (ResponseCode.ANSWER_UNUSABLE, None)


def test_other_refusals_of_the_retrieval_are_answered_by_their_code() -> None:
    for code, expected in (("22", ResponseCode.INVALIDATED), ("75", ResponseCode.SPINE_ERROR)):
        outcome, _ = answer_with(DETAILS, [answer(record()), refusal(code)])
        assert shown(outcome) == (expected, None)


def test_w7_a_retrieval_that_contradicts_the_cross_check_is_refused() -> None:
    assert refused("W7", DETAILS, answer(record()), answer(record(**STRANGER)))
    assert refused("W7", DETAILS, answer(record()), answer(record(birth_time=None)))
    # Each verifies, by another rule: two answers about one number that do not agree.
    assert refused("W7", DETAILS, answer(record()), answer(record(birth_time=DAY_OFF)))
    assert refused("W7", DETAILS, answer(record(birth_time=DAY_OFF)), answer(record()))


@pytest.mark.rule("SMSP-VAL-004", "SMSP-ERR-006")
def test_an_unusable_date_is_answered_as_unusable() -> None:
    for held in (record(birth_time="19620230"), record(birth_time="2.01206E+11")):
        assert refused("W5", VERIFY, answer(held))
        assert refused("W5", DETAILS, answer(record()), answer(held))
    outcome, _ = answer_with(DETAILS, [answer(record()), answer(record(deceased_time="19990230"))])
    assert shown(outcome) == (ResponseCode.ANSWER_UNUSABLE, None)
    assert outcome.reason == "deceasedTime is unusable"


@pytest.mark.rule("SMSP-PDS-007")
def test_a_finer_date_is_truncated_before_it_is_compared() -> None:
    outcome, _ = answer_with(
        DETAILS, [answer(record(birth_time="1962031700")), answer(record(birth_time="196203172359"))]
    )
    assert outcome.evidence is Evidence.DATE_OF_BIRTH
    assert outcome.details is not None
    assert outcome.details.date_of_birth == BORN


@pytest.mark.rule("SMSP-PDS-006")
def test_a_sensitive_record_verifies_and_gives_no_location() -> None:
    secret = record(confidentiality=("S",))
    outcome, _ = answer_with(VERIFY, [answer(secret)])
    assert shown(outcome) == (ResponseCode.SUCCESS, A)
    outcome, _ = answer_with(DETAILS, [answer(secret), answer(secret)])
    assert outcome.details is not None
    assert (outcome.details.addresses, outcome.details.telecoms, outcome.details.practice) == ((), (), None)
    assert outcome.details.name is not None


def test_w8_a_record_sensitive_in_the_check_and_open_in_the_retrieval_is_refused() -> None:
    assert refused("W8", DETAILS, answer(record(confidentiality=("S",))), answer(record()))


def test_a_very_restricted_record_is_not_verified() -> None:
    for held in (PatientRecord((A.digits,), confidentiality=("Y",)), record(confidentiality=("V",))):
        for request in BOTH:
            outcome, queries = answer_with(request, [answer(held)])
            assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)
            assert len(queries) == 1


# --- superseded


@pytest.mark.rule("SMSP-ERR-005")
def test_a_refusal_as_superseded_is_followed_to_the_number_in_force() -> None:
    for code in ("17", "44"):
        for request in BOTH:
            outcome, queries = answer_with(
                request, [refusal(code), answer(record(B, superseded_numbers=(A.digits,))), answer(record(B))]
            )
            assert queries[1:] == [Retrieval(A), Retrieval(B)]
            assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUPERSEDED, B)
            assert outcome.evidence is Evidence.DATE_OF_BIRTH
            assert (outcome.details is None) == (request is VERIFY)


def test_a_positive_answer_with_the_new_number_is_confirmed_before_it_is_given() -> None:
    for code in ("17", "24", "44"):
        for request in BOTH:
            outcome, queries = answer_with(request, [moved(record(B), code), moved(record(B), code), answer(record(B))])
            assert queries[1:] == [Retrieval(A), Retrieval(B)]
            assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUPERSEDED, B)


def test_a_positive_answer_about_the_old_number_marked_as_replaced_is_followed() -> None:
    outcome, _ = answer_with(VERIFY, [moved(record(A)), moved(record(B)), answer(record(B))])
    assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUPERSEDED, B)


def test_another_number_without_a_code_is_proven_by_the_retrieval_or_refused() -> None:
    proven = answer(record(B, superseded_numbers=(A.digits,)))
    for request in BOTH:
        outcome, _ = answer_with(request, [answer(record(B)), proven, answer(record(B))])
        assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUPERSEDED, B)
        assert refused("W3", request, answer(record(B)), answer(record(B)))
        assert refused("W3", request, answer(record(B)), answer(record(A)))


def test_w3_a_number_said_to_be_replaced_whose_record_says_otherwise_is_refused() -> None:
    for request in BOTH:
        for first in (refusal("17"), moved(record(A)), moved(record(B))):
            assert refused("W3", request, first, answer(record(A)))


def test_a_replacing_record_that_does_not_verify_is_not_named() -> None:
    for request in BOTH:
        for first in (refusal("17"), refusal("44"), moved(record(A))):
            outcome, _ = answer_with(request, [first, moved(record(B, **STRANGER)), answer(record(B, **STRANGER))])
            assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)
        outcome, queries = answer_with(request, [moved(record(B, **STRANGER))])
        assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)
        assert len(queries) == 1


def test_a_replacing_record_that_cannot_be_checked_is_not_named() -> None:
    for held in (record(B, birth_time=None), record(B, confidentiality=("Y",))):
        outcome, _ = answer_with(VERIFY, [refusal("17"), moved(held), answer(held)])
        assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)
    for code in ("17", "44"):
        for request in BOTH:
            outcome, _ = answer_with(request, [refusal("17"), refusal(code)])
            assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)


def test_a_number_said_to_be_replaced_that_the_retrieval_does_not_know_is_unusable() -> None:
    outcome, _ = answer_with(VERIFY, [refusal("17"), refusal("1")])
    assert shown(outcome) == (ResponseCode.ANSWER_UNUSABLE, None)


def test_a_chain_of_two_replacements_is_followed() -> None:
    outcome, queries = answer_with(DETAILS, [refusal("17"), moved(record(B)), moved(record(C)), answer(record(C))])
    assert queries[1:] == [Retrieval(A), Retrieval(B), Retrieval(C)]
    assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUPERSEDED, C)
    assert outcome.details is not None
    assert outcome.details.nhs_number == C


def test_w3_a_third_replacement_is_refused() -> None:
    for request in BOTH:
        assert refused("W3", request, refusal("17"), moved(record(B)), moved(record(C)), moved(record(D)))


def test_w3_a_cycle_of_replacements_is_refused() -> None:
    for request in BOTH:
        assert refused("W3", request, refusal("17"), moved(record(B)), moved(record(A)))


def test_a_merge_between_cross_check_and_retrieval_is_followed_and_verified_again() -> None:
    outcome, _ = answer_with(DETAILS, [answer(record(A)), moved(record(B)), answer(record(B))])
    assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUPERSEDED, B)
    outcome, _ = answer_with(DETAILS, [answer(record(A)), moved(record(B)), answer(record(B, **STRANGER))])
    assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)


def test_w7_cross_check_and_retrieval_must_come_to_the_same_replacement() -> None:
    for request in BOTH:
        assert refused("W7", request, moved(record(C)), moved(record(B)), answer(record(B)))


def test_w3_an_unproven_stranger_in_the_retrieval_is_refused() -> None:
    assert refused("W3", DETAILS, answer(record(A)), answer(record(B)))
    assert refused("W3", DETAILS, answer(record(A)), answer(record(B, superseded_numbers=(C.digits,))))


# --- people who are easily taken for one another


def test_twins_pass_rule_1_and_the_contradiction_is_marked() -> None:
    twin = record(names=(replace(USUAL, given=("IVOR",)),), gender="1")
    outcome, _ = answer_with(VERIFY, [answer(twin)])
    assert (outcome.code, outcome.nhs_number, outcome.name_contradiction) == (ResponseCode.SUCCESS, A, True)


def test_twins_with_one_initial_pass_without_a_mark() -> None:
    twin = record(names=(replace(USUAL, given=("OSCAR",)),))
    outcome, _ = answer_with(VERIFY, [answer(twin)])
    assert (outcome.code, outcome.name_contradiction) == (ResponseCode.SUCCESS, False)


def test_father_and_son_of_one_name_are_told_apart_by_the_date_of_birth() -> None:
    for request in BOTH:
        outcome, _ = answer_with(request, [answer(record(birth_time="19351104"))])
        assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)


def test_father_and_son_of_one_name_and_birthday_pass_rule_2_as_published() -> None:
    outcome, _ = answer_with(VERIFY, [answer(record(birth_time="19350317"))])
    assert (outcome.code, outcome.evidence) == (ResponseCode.SUCCESS, Evidence.DATE_PARTS_AND_NAME)
    outcome, _ = answer_with(replace(VERIFY, given=None), [answer(record(birth_time="19350317"))])
    assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)


def test_namesakes_are_told_apart_by_the_date_of_birth() -> None:
    outcome, _ = answer_with(VERIFY, [answer(record(birth_time="19880101"))])
    assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)


def test_a_name_verifies_composed_or_not() -> None:
    composed, decomposed = "\u00d6SEL", "O\u0308SEL"
    for sent in (composed, decomposed):
        for family in (composed.lower(), decomposed.lower()):
            held = record(birth_time=DAY_OFF, names=(replace(USUAL, family=family),))
            outcome, _ = answer_with(replace(VERIFY, family=sent), [answer(held)])
            assert outcome == Outcome(ResponseCode.SUCCESS, A, evidence=Evidence.DATE_PARTS_AND_NAME)


def test_the_day_of_the_policy_decides_which_name_is_current() -> None:
    assert POLICY.today == TODAY
    future = replace(USUAL, validity=Validity(low="20240616"))
    outcome, _ = answer_with(VERIFY, [answer(record(birth_time=DAY_OFF, names=(future,)))])
    assert shown(outcome) == (ResponseCode.NOT_VERIFIED, None)
    later = replace(POLICY, today=HL7Date("20240616"))
    outcome, _ = answer_with(VERIFY, [answer(record(birth_time=DAY_OFF, names=(future,)))], later)
    assert shown(outcome) == (ResponseCode.SUCCESS, A)
