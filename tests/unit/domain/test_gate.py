"""The answer gate. Everything of the module is reached through it: these tests kill its mutants."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from core_samples import (
    BORN,
    EXPECTED_ID,
    HOME,
    LOCAL,
    OTHER_ID,
    TODAY,
    USUAL,
    A,
    B,
    C,
    D,
    answer,
    by_number,
    by_search,
    errors,
    record,
    refusal,
    warnings,
)
from smsp_provider.domain import gate
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import LocalIdentifier
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Outcome, PatientDetails, ResponseAddress, ResponseTelecom
from smsp_provider.domain.person import PatientRecord, Validity
from smsp_provider.domain.requests import ServiceRequest
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import Acknowledgement, DetectedIssue, Reference, SpineAnswer
from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace, SpineQuery

CHECK = CrossCheckTrace(A, BORN)
TRACE = SimpleTrace("QUIMBLE", "2", BORN)
ADVANCED = AdvancedTrace("QUIM*", "2", BORN)
QUERIES: tuple[SpineQuery, ...] = (CHECK, Retrieval(A), TRACE, ADVANCED)


def refused(rule: str, query: SpineQuery, given: SpineAnswer) -> bool:
    with pytest.raises(gate.GateRefusal) as caught:
        gate.admit(query, given)
    assert str(caught.value) == f"{caught.value.rule}: {caught.value.reason}"
    return caught.value.rule == rule


def found(held: PatientRecord, issues: tuple[DetectedIssue, ...] = ()) -> "gate.Found":
    born = HL7Date.from_timestamp(held.birth_time) if held.birth_time else None
    return gate.Found(held, NHSNumber(held.nhs_numbers[0]), born, issues)


def step(query: SpineQuery, held: PatientRecord, *codes: str) -> "gate.Step":
    return gate.Step(query, found(held, warnings(*codes)))


def kept_back(rule: str, request: ServiceRequest, steps: Iterable["gate.Step"], outcome: Outcome) -> bool:
    with pytest.raises(gate.GateRefusal) as caught:
        gate.release(request, tuple(steps), outcome, TODAY)
    return caught.value.rule == rule


def released(request: ServiceRequest, steps: Iterable["gate.Step"], outcome: Outcome) -> bool:
    gate.release(request, tuple(steps), outcome, TODAY)
    return True


SUCCESS_A = Outcome(ResponseCode.SUCCESS, A)
SUPERSEDED_B = Outcome(ResponseCode.SUPERSEDED, B)


def test_a_refusal_names_rule_and_reason() -> None:
    error = gate.GateRefusal("W0", "an invented reason")
    assert (error.rule, error.reason, str(error)) == ("W0", "an invented reason", "W0: an invented reason")


# --- admit: one answer on its own


def test_w1_an_answer_with_both_references_to_the_query_is_admitted() -> None:
    for query in QUERIES:
        admitted = gate.admit(query, answer(record()))
        assert isinstance(admitted, gate.Found)


def test_w1_one_reference_is_enough() -> None:
    for references in (
        (Reference("RelatesTo", EXPECTED_ID, EXPECTED_ID), Reference("messageRef", EXPECTED_ID, None)),
        (Reference("RelatesTo", EXPECTED_ID, None), Reference("messageRef", EXPECTED_ID, f"urn:uuid:{EXPECTED_ID}")),
    ):
        assert isinstance(gate.admit(CHECK, answer(record(), references=references)), gate.Found)


def test_w1_an_answer_without_any_reference_is_refused() -> None:
    for references in (
        (),
        (Reference("RelatesTo", EXPECTED_ID, None),),
        (Reference("RelatesTo", EXPECTED_ID, None), Reference("messageRef", EXPECTED_ID, None)),
    ):
        assert refused("W1", CHECK, answer(record(), references=references))


def test_w1_one_reference_to_another_query_is_refused_whatever_the_other_says() -> None:
    right, wrong = Reference("RelatesTo", EXPECTED_ID, EXPECTED_ID), Reference("messageRef", EXPECTED_ID, OTHER_ID)
    blank = Reference("messageRef", EXPECTED_ID, "")
    for references in ((wrong,), (right, wrong), (wrong, right), (blank,), (right, blank), (right, wrong, right)):
        assert refused("W1", CHECK, answer(record(), references=references))


def test_w1_is_asked_of_refusals_too() -> None:
    wrong = (Reference("RelatesTo", EXPECTED_ID, OTHER_ID),)
    for given in (refusal("1"), refusal(), answer(), answer(record())):
        for query in QUERIES:
            assert refused("W1", query, replace(given, references=wrong))


@pytest.mark.rule("SMSP-ERR-004")
def test_w11_a_refusal_by_pds_is_declined_with_its_reasons() -> None:
    for acknowledgement in (Acknowledgement.ERROR, Acknowledgement.REJECTED):
        given = answer(acknowledgement=acknowledgement, issues=errors("1", "ST004"))
        admitted = gate.admit(CHECK, given)
        assert isinstance(admitted, gate.Declined)
        assert admitted.issues == errors("1", "ST004")


def test_w11_a_patient_that_comes_with_an_error_acknowledgement_is_not_used() -> None:
    for acknowledgement in (Acknowledgement.ERROR, Acknowledgement.REJECTED):
        for query in QUERIES:
            admitted = gate.admit(query, answer(record(), acknowledgement=acknowledgement, issues=errors("17")))
            assert isinstance(admitted, gate.Declined)


def test_w11_a_query_that_did_not_succeed_is_declined_and_may_not_carry_a_patient() -> None:
    admitted = gate.admit(CHECK, answer(query_ok=False, issues=errors("22")))
    assert isinstance(admitted, gate.Declined)
    assert admitted.issues == errors("22")
    for query in QUERIES:
        assert refused("W11", query, answer(record(), query_ok=False, issues=errors("22")))


def test_w11_a_declining_code_in_a_successful_answer_is_refused_whatever_its_qualifier() -> None:
    for code in ("0", "1", "2", "7", "22", "40", "42"):
        for issue in (DetectedIssue(code), DetectedIssue(code, "WG")):
            assert refused("W11", CHECK, answer(record(), issues=(issue,)))
    for code in ("3", "5", "8", "9", "11", "24", "99"):
        assert isinstance(gate.admit(CHECK, answer(record(), issues=warnings(code))), gate.Found)


def test_w11_an_error_in_a_successful_answer_is_refused() -> None:
    for issues in (errors("1"), errors("22"), (*warnings("24"), *errors("40")), (*errors("17"), *errors("75"))):
        assert refused("W11", CHECK, answer(record(), issues=issues))


def test_warnings_and_superseding_codes_in_a_successful_answer_are_kept() -> None:
    for issues in (warnings("3"), warnings("5", "9"), warnings("24"), errors("17"), errors("44"), errors("24"), ()):
        admitted = gate.admit(CHECK, answer(record(), issues=issues))
        assert isinstance(admitted, gate.Found)
        assert admitted.issues == issues


@pytest.mark.rule("SMSP-PDS-002")
def test_w11_two_patients_in_a_trace_are_several_and_never_the_first() -> None:
    for query in (TRACE, ADVANCED):
        for records in (
            (record(A), record(B)),
            (record(A), record(A), record(B)),
            (record(A, nhs_numbers=(A.digits, B.digits)),),
        ):
            assert isinstance(gate.admit(query, answer(*records)), gate.FoundSeveral)


@pytest.mark.rule("SMSP-PDS-002")
def test_w2_two_patients_in_an_answer_by_number_are_refused() -> None:
    for query in (CHECK, Retrieval(A)):
        assert refused("W2", query, answer(record(A), record(B)))
        assert refused("W2", query, answer(record(A), record(A)))


def test_w2_the_same_patient_twice_in_a_trace_is_refused() -> None:
    assert refused("W2", TRACE, answer(record(A), record(A)))
    assert refused("W2", TRACE, answer(record(A), record(nhs_numbers=())))


def test_w2_a_success_without_a_patient_is_refused() -> None:
    for query in QUERIES:
        assert refused("W2", query, answer())


def test_w2_a_patient_has_exactly_one_number() -> None:
    for query in (CHECK, Retrieval(A)):
        for numbers in ((), (A.digits, B.digits), (A.digits, A.digits)):
            assert refused("W2", query, answer(record(nhs_numbers=numbers)))
    assert refused("W2", TRACE, answer(record(nhs_numbers=(A.digits, A.digits))))


@pytest.mark.rule("SMSP-VAL-002")
def test_w2_the_number_of_a_patient_is_well_formed() -> None:
    full_width = "".join(chr(ord(digit) - ord("0") + 0xFF10) for digit in A.digits)
    wrong_check = A.digits[:9] + str((int(A.digits[9]) + 1) % 10)
    for text in ("", A.digits[:9], f" {A.digits}", full_width, wrong_check, f"{A.digits}\n"):
        for query in QUERIES:
            assert refused("W2", query, answer(record(nhs_numbers=(text,))))


def test_an_admitted_patient_is_the_one_of_the_answer() -> None:
    held = record(B, birth_time="196203171230")
    admitted = gate.admit(CHECK, answer(held))
    assert isinstance(admitted, gate.Found)
    assert admitted.record is held
    assert admitted.nhs_number == B
    assert admitted.date_of_birth == BORN
    assert admitted.issues == ()


def test_an_absent_or_blank_date_of_birth_is_none() -> None:
    for birth_time in (None, "", "  "):
        admitted = gate.admit(CHECK, answer(record(birth_time=birth_time)))
        assert isinstance(admitted, gate.Found)
        assert admitted.date_of_birth is None


@pytest.mark.rule("SMSP-VAL-004")
def test_w5_a_date_of_birth_that_is_no_date_is_refused() -> None:
    for birth_time in ("19620230", "1962031", "19", "unknown"):
        for query in QUERIES:
            assert refused("W5", query, answer(record(birth_time=birth_time)))


# --- Found


def test_a_record_says_superseded_by_each_of_the_three_codes() -> None:
    for code in ("17", "24", "44"):
        for issues in (warnings(code), errors(code), (DetectedIssue("3", "WG"), DetectedIssue(code))):
            assert found(record(), issues).says_superseded is True
    for issues in ((), warnings("3", "22", "1")):
        assert found(record(), issues).says_superseded is False


def test_a_record_replaces_a_number_by_code_or_by_its_old_versions() -> None:
    assert found(record(B), warnings("24")).replaces(A) is True
    assert found(record(B, superseded_numbers=(D.digits, A.digits))).replaces(A) is True
    assert found(record(B, superseded_numbers=(D.digits,))).replaces(A) is False
    assert found(record(B)).replaces(A) is False


def test_a_found_patient_needs_no_reasons() -> None:
    assert gate.Found(record(), A, BORN).issues == ()


# --- check_traced


def test_w5_a_traced_date_of_birth_that_disagrees_is_refused() -> None:
    for request in (by_search(), by_search(date_of_birth=HL7Date("1963")), by_search(date_of_birth=HL7Date("196204"))):
        with pytest.raises(gate.GateRefusal) as caught:
            gate.check_traced(
                request, found(record(birth_time="19620318" if request.date_of_birth.is_full else "19620317"))
            )
        assert caught.value.rule == "W5"


def test_w5_a_traced_date_of_birth_that_agrees_or_is_absent_passes() -> None:
    for born in ("19620317", "196203", "1962", None):
        gate.check_traced(by_search(), found(record(birth_time=born)))
    gate.check_traced(by_search(date_of_birth=HL7Date("1962")), found(record()))


# --- release: what may never leave


def test_an_outcome_without_a_patient_passes_whatever_was_asked() -> None:
    for code in ResponseCode:
        if code not in (ResponseCode.SUCCESS, ResponseCode.SUPERSEDED):
            assert released(by_number(), (), Outcome.without_data(code))
            assert released(by_number(), (step(CHECK, record(B)),), Outcome.without_data(code))
            assert released(by_search(), (step(TRACE, record(B)),), Outcome.without_data(code))


def test_w11_a_success_names_a_patient() -> None:
    for code in (ResponseCode.SUCCESS, ResponseCode.SUPERSEDED):
        assert kept_back("W11", by_number(), (step(CHECK, record()),), Outcome.without_data(code))


def test_w9_details_without_a_patient_are_kept_back() -> None:
    for code in (ResponseCode.NOT_VERIFIED, ResponseCode.SUCCESS):
        assert kept_back("W9", by_number(), (step(CHECK, record()),), Outcome(code, details=PatientDetails(A)))


@pytest.mark.rule("SMSP-ERR-005")
def test_w11_only_success_and_superseded_name_a_patient() -> None:
    for code in ResponseCode:
        by_a = (step(CHECK, record(A)),)
        if code is ResponseCode.SUCCESS:
            assert released(by_number(), by_a, Outcome(code, A))
            assert released(by_search(), (step(TRACE, record(A)),), Outcome(code, A))
        else:
            assert kept_back("W11", by_number(), by_a, Outcome(code, A))
            assert kept_back("W11", by_search(), (step(TRACE, record(A)),), Outcome(code, A))


def test_w11_a_replaced_number_is_never_given_as_a_plain_success() -> None:
    steps = (step(Retrieval(A), record(B), "24"), step(Retrieval(B), record(B)))
    assert kept_back("W11", by_number(), steps, Outcome(ResponseCode.SUCCESS, B))
    assert released(by_number(), steps, SUPERSEDED_B)


def test_w9_an_outcome_names_the_patient_of_the_last_answer() -> None:
    assert kept_back("W9", by_number(), (), SUCCESS_A)
    assert kept_back("W9", by_number(), (gate.Step(CHECK, gate.Declined(())),), SUCCESS_A)
    assert kept_back("W9", by_search(), (gate.Step(TRACE, gate.FoundSeveral()),), SUCCESS_A)
    assert kept_back("W9", by_number(), (step(CHECK, record(A)),), SUPERSEDED_B)
    assert kept_back("W9", by_number(), (step(CHECK, record(B)),), SUCCESS_A)
    two = (step(CHECK, record(A)), gate.Step(Retrieval(A), gate.Declined(())))
    assert kept_back("W9", by_number(), two, SUCCESS_A)


def test_w9_details_carry_number_and_date_of_their_record() -> None:
    steps = (step(CHECK, record()), step(Retrieval(A), record()))
    request = by_number(Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER)
    right = PatientDetails(A, date_of_birth=BORN)
    assert released(request, steps, replace(SUCCESS_A, details=right))
    assert kept_back("W9", request, steps, replace(SUCCESS_A, details=replace(right, nhs_number=B)))
    assert kept_back("W9", request, steps, replace(SUCCESS_A, details=replace(right, date_of_birth=None)))
    assert kept_back(
        "W9", request, steps, replace(SUCCESS_A, details=replace(right, date_of_birth=HL7Date("19620318")))
    )


@pytest.mark.rule("SMSP-PDS-006")
def test_w8_location_data_of_a_sensitive_record_is_kept_back() -> None:
    plain = PatientDetails(A, date_of_birth=BORN)
    located = (
        replace(plain, addresses=(ResponseAddress("H", ("", "", "", "", ""), None),)),
        replace(plain, telecoms=(ResponseTelecom("H", "tel:1"),)),
        replace(plain, practice="Z99999"),
        replace(plain, practice=""),
    )
    request = by_number(Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER)
    open_one, secret = record(), record(confidentiality=("S",))
    for checked, retrieved, is_sensitive in (
        (open_one, open_one, False),
        (open_one, secret, True),
        (secret, open_one, True),
        (secret, secret, True),
    ):
        steps = (step(CHECK, checked), step(Retrieval(A), retrieved))
        assert released(request, steps, replace(SUCCESS_A, details=plain))
        for details in located:
            outcome = replace(SUCCESS_A, details=details)
            if is_sensitive:
                assert kept_back("W8", request, steps, outcome)
            else:
                assert released(request, steps, outcome)


def test_w8_sensitivity_is_looked_for_past_answers_without_a_patient() -> None:
    steps = (
        gate.Step(CHECK, gate.Declined(errors("17"))),
        step(Retrieval(A), record(B, confidentiality=("S",)), "24"),
        step(Retrieval(B), record(B)),
    )
    details = PatientDetails(B, date_of_birth=BORN, practice="Z99999")
    assert kept_back("W8", by_number(), steps, replace(SUPERSEDED_B, details=details))


# --- release: by number


@pytest.mark.rule("SMSP-PDS-001")
def test_w3_the_asked_number_verified_is_released() -> None:
    assert released(by_number(), (step(CHECK, record()),), SUCCESS_A)
    assert released(by_number(), (step(CHECK, record()), step(Retrieval(A), record())), SUCCESS_A)


def test_w3_every_query_is_about_the_number_at_hand() -> None:
    assert kept_back("W3", by_number(), (step(CrossCheckTrace(B, BORN), record(A)),), SUCCESS_A)
    assert kept_back("W3", by_number(), (step(Retrieval(B), record(A)),), SUCCESS_A)
    assert kept_back("W3", by_number(), (step(TRACE, record(A)),), SUCCESS_A)
    assert kept_back("W3", by_number(), (step(ADVANCED, record(A)),), SUCCESS_A)
    assert kept_back("W3", by_number(), (step(CHECK, record()), step(TRACE, record())), SUCCESS_A)
    # Asked of B before anything led from A to B.
    assert kept_back("W3", by_number(), (step(CHECK, record()), step(Retrieval(B), record(B))), SUPERSEDED_B)
    # Asked of A again after the path has left it.
    back = (step(Retrieval(A), record(B), "24"), step(Retrieval(A), record(B), "24"))
    assert kept_back("W3", by_number(), back, SUPERSEDED_B)


def test_w3_another_number_is_released_only_with_proof_and_confirmed() -> None:
    confirmation = step(Retrieval(B), record(B))
    for first in (
        step(Retrieval(A), record(B), "24"),
        step(Retrieval(A), record(B), "17"),
        step(Retrieval(A), record(B, superseded_numbers=(A.digits,))),
    ):
        assert released(by_number(), (first, confirmation), SUPERSEDED_B)
        assert kept_back("W3", by_number(), (first,), SUPERSEDED_B)
    assert kept_back("W3", by_number(), (step(Retrieval(A), record(B)), confirmation), SUPERSEDED_B)
    stranger = step(Retrieval(A), record(B, superseded_numbers=(D.digits,)))
    assert kept_back("W3", by_number(), (stranger, confirmation), SUPERSEDED_B)


def test_w3_a_cross_check_proves_no_replacement_by_itself() -> None:
    assert kept_back("W7", by_number(), (step(CHECK, record(B), "24"),), SUPERSEDED_B)


def test_w3_an_announced_replacement_is_released_once_a_retrieval_proved_it() -> None:
    steps = (step(CHECK, record(B), "24"), step(Retrieval(A), record(B), "24"), step(Retrieval(B), record(B)))
    assert released(by_number(), steps, SUPERSEDED_B)


def test_w7_an_announced_number_that_the_retrieval_does_not_come_to_is_kept_back() -> None:
    announced = step(CHECK, record(C), "24")
    steps = (announced, step(Retrieval(A), record(B), "24"), step(Retrieval(B), record(B)))
    assert kept_back("W7", by_number(), steps, SUPERSEDED_B)
    assert kept_back("W7", by_number(), (announced, step(Retrieval(A), record(A))), SUCCESS_A)


def test_w7_an_announced_number_may_be_a_stage_of_the_way() -> None:
    steps = (
        step(CHECK, record(B), "24"),
        step(Retrieval(A), record(B), "24"),
        step(Retrieval(B), record(C), "24"),
        step(Retrieval(C), record(C)),
    )
    assert released(by_number(), steps, Outcome(ResponseCode.SUPERSEDED, C))


def test_w3_two_hops_are_followed_and_a_third_is_not() -> None:
    chain = (step(Retrieval(A), record(B), "24"), step(Retrieval(B), record(C), "24"))
    assert released(by_number(), (*chain, step(Retrieval(C), record(C))), Outcome(ResponseCode.SUPERSEDED, C))
    third = (*chain, step(Retrieval(C), record(D), "24"), step(Retrieval(D), record(D)))
    assert kept_back("W3", by_number(), third, Outcome(ResponseCode.SUPERSEDED, D))


def test_w3_a_cycle_is_kept_back() -> None:
    cycle = (step(Retrieval(A), record(B), "24"), step(Retrieval(B), record(A), "24"), step(Retrieval(A), record(A)))
    assert kept_back("W3", by_number(), cycle, SUCCESS_A)


def test_w3_declined_answers_on_the_way_lead_nowhere() -> None:
    declined = gate.Step(CHECK, gate.Declined(errors("17")))
    assert released(by_number(), (declined, step(Retrieval(A), record(A))), SUCCESS_A)
    followed = (declined, step(Retrieval(A), record(B), "24"), step(Retrieval(B), record(B)))
    assert released(by_number(), followed, SUPERSEDED_B)


def test_w7_the_final_record_verifies_by_itself() -> None:
    other_day = record(birth_time="19700101")
    assert kept_back("W7", by_number(), (step(CHECK, other_day),), SUCCESS_A)
    assert kept_back("W7", by_number(), (step(CHECK, record()), step(Retrieval(A), other_day)), SUCCESS_A)
    assert kept_back("W7", by_number(), (step(CHECK, record(birth_time=None)),), SUCCESS_A)
    replaced = (step(Retrieval(A), record(B), "24"), step(Retrieval(B), record(B, birth_time="19700101")))
    assert kept_back("W7", by_number(), replaced, SUPERSEDED_B)
    by_rule_2 = record(birth_time="19620318")
    assert released(by_number(), (step(CHECK, by_rule_2),), SUCCESS_A)
    assert kept_back("W7", by_number(family=None), (step(CHECK, by_rule_2),), SUCCESS_A)


def test_w7_the_day_decides_which_name_is_the_usual_one() -> None:
    gone = record(birth_time="19620318", names=(replace(USUAL, validity=ended_before_today()),))
    assert kept_back("W7", by_number(), (step(CHECK, gone),), SUCCESS_A)


def ended_before_today() -> Validity:
    return Validity(high="20240614")


def test_w7_two_answers_about_one_number_agree_on_the_date_of_birth() -> None:
    other = record(birth_time="19620318")
    for first, second in ((other, record()), (record(), other)):
        assert kept_back("W7", by_number(), (step(CHECK, first), step(Retrieval(A), second)), SUCCESS_A)
    silent = record(birth_time=None)
    assert released(by_number(), (step(CHECK, silent), step(Retrieval(A), record())), SUCCESS_A)


def test_w7_answers_about_the_replaced_number_may_have_another_date_of_birth() -> None:
    steps = (
        step(CHECK, record(A, birth_time="19620318"), "24"),
        step(Retrieval(A), record(B), "24"),
        step(Retrieval(B), record(B)),
    )
    assert released(by_number(), steps, SUPERSEDED_B)


# --- release: by search


def test_w4_a_traced_patient_is_released_alone_and_retrieved() -> None:
    for trace in (TRACE, ADVANCED):
        assert released(by_search(), (step(trace, record()),), SUCCESS_A)
        assert released(by_search(), (step(trace, record()), step(Retrieval(A), record())), SUCCESS_A)


def test_w4_a_search_starts_with_a_trace_that_found_one_patient() -> None:
    assert kept_back("W4", by_search(), (step(Retrieval(A), record()),), SUCCESS_A)
    assert kept_back("W4", by_search(), (step(CHECK, record()),), SUCCESS_A)
    for nothing in (gate.Declined(()), gate.FoundSeveral()):
        steps = (gate.Step(TRACE, nothing), step(Retrieval(A), record()))
        assert kept_back("W4", by_search(), steps, SUCCESS_A)


def test_w4_the_retrieved_number_is_the_traced_one_or_its_proven_replacement() -> None:
    outcome = Outcome(ResponseCode.SUCCESS, B)
    assert kept_back("W3", by_search(), (step(TRACE, record(A)), step(Retrieval(A), record(B))), outcome)
    assert kept_back("W3", by_search(), (step(TRACE, record(A)), step(Retrieval(B), record(B))), outcome)
    assert kept_back("W3", by_search(), (step(TRACE, record(A)), step(TRACE, record(A))), SUCCESS_A)
    proven = (step(TRACE, record(A)), step(Retrieval(A), record(B), "24"))
    assert kept_back("W3", by_search(), proven, outcome)
    assert released(by_search(), (*proven, step(Retrieval(B), record(B))), outcome)


def test_w5_traced_and_final_dates_of_birth_satisfy_the_search() -> None:
    for born in ("19620318", "1963"):
        wrong = record(birth_time=born)
        assert kept_back("W5", by_search(), (step(TRACE, wrong), step(Retrieval(A), record())), SUCCESS_A)
        assert kept_back("W5", by_search(), (step(TRACE, record()), step(Retrieval(A), wrong)), SUCCESS_A)
        assert kept_back("W5", by_search(), (step(TRACE, wrong),), SUCCESS_A)
    silent = record(birth_time=None)
    assert released(by_search(), (step(TRACE, silent), step(Retrieval(A), record())), SUCCESS_A)
    assert kept_back("W5", by_search(), (step(TRACE, record()), step(Retrieval(A), silent)), SUCCESS_A)
    for born in ("1962", "196203"):
        partial = by_search(date_of_birth=HL7Date(born))
        assert released(partial, (step(ADVANCED, record()),), SUCCESS_A)


def test_w6_name_gender_and_postcode_of_the_final_record_satisfy_the_search() -> None:
    for final in (
        record(names=(replace(USUAL, family="OTHER"),)),
        record(names=(replace(USUAL, given=("OTHER",)),)),
        record(names=()),
        record(gender="1"),
        record(gender=None),
        record(addresses=(replace(HOME, postal_code="ZZ9 9ZZ"),)),
        record(addresses=()),
    ):
        assert kept_back("W6", by_search(), (step(TRACE, final),), SUCCESS_A)
        assert kept_back("W6", by_search(), (step(TRACE, record()), step(Retrieval(A), final)), SUCCESS_A)


def test_w6_the_postcode_of_a_sensitive_record_is_not_asked_for() -> None:
    hidden = record(confidentiality=("S",), addresses=())
    assert released(by_search(), (step(TRACE, hidden),), SUCCESS_A)
    renamed = replace(hidden, names=(replace(USUAL, family="OTHER"),))
    assert kept_back("W6", by_search(), (step(TRACE, renamed),), SUCCESS_A)


def test_w6_a_very_restricted_record_satisfies_no_search() -> None:
    for code in ("Y", "V"):
        assert kept_back("W6", by_search(), (step(TRACE, record(confidentiality=(code,))),), SUCCESS_A)


# --- check_outgoing


def outgoing(
    numbers: tuple[str, ...] = (A.digits,),
    local_identifier: LocalIdentifier | None = LOCAL,
    relates_to: str | None = EXPECTED_ID,
    born: str | None = None,
) -> "gate.Outgoing":
    return gate.Outgoing(numbers, local_identifier, relates_to, born)


def sent(outcome: Outcome, bytes_say: "gate.Outgoing", local_identifier: LocalIdentifier | None = LOCAL) -> str:
    """The rule that keeps the response back, or nothing."""
    try:
        gate.check_outgoing(outcome, bytes_say, request_message_id=EXPECTED_ID, local_identifier=local_identifier)
    except gate.GateRefusal as error:
        return error.rule
    return ""


def test_w10_a_response_that_says_what_the_outcome_says_leaves() -> None:
    detailed = replace(SUCCESS_A, details=PatientDetails(A, date_of_birth=BORN))
    dateless = replace(SUCCESS_A, details=PatientDetails(A))
    assert sent(SUCCESS_A, outgoing()) == ""
    assert sent(SUCCESS_A, outgoing(local_identifier=None)) == ""
    assert sent(SUCCESS_A, outgoing(local_identifier=None), None) == ""
    assert sent(detailed, outgoing(born=BORN.digits)) == ""
    assert sent(dateless, outgoing()) == ""
    assert sent(Outcome.without_data(ResponseCode.NO_MATCH), outgoing(())) == ""


def test_w10_another_patient_in_the_bytes_is_kept_back() -> None:
    for numbers in ((), (B.digits,), (A.digits, B.digits), (A.digits, A.digits)):
        assert sent(SUCCESS_A, outgoing(numbers)) == "W10"
    assert sent(Outcome.without_data(ResponseCode.NO_MATCH), outgoing()) == "W10"


def test_w10_another_date_of_birth_in_the_bytes_is_kept_back() -> None:
    detailed = replace(SUCCESS_A, details=PatientDetails(A, date_of_birth=BORN))
    for born in (None, "19620318", "1962"):
        assert sent(detailed, outgoing(born=born)) == "W10"
    for outcome in (SUCCESS_A, replace(SUCCESS_A, details=PatientDetails(A))):
        assert sent(outcome, outgoing(born=BORN.digits)) == "W10"


def test_w10_another_local_identifier_in_the_bytes_is_kept_back() -> None:
    other = LocalIdentifier(LOCAL.root, "invented-2")
    elsewhere = LocalIdentifier("1.2.3", LOCAL.extension)
    for foreign in (other, elsewhere):
        assert sent(SUCCESS_A, outgoing(local_identifier=foreign)) == "W10"
    assert sent(SUCCESS_A, outgoing(), None) == "W10"


def test_w10_a_response_to_another_request_is_kept_back() -> None:
    for relates_to in (None, "", OTHER_ID):
        assert sent(SUCCESS_A, outgoing(relates_to=relates_to)) == "W10"


# --- the values themselves


def test_w9_what_the_gate_admits_cannot_be_changed_or_added_to() -> None:
    for value in (
        found(record()),
        gate.FoundSeveral(),
        gate.Declined(()),
        step(CHECK, record()),
        outgoing(),
    ):
        assert not hasattr(value, "__dict__")
        assert value == replace(value)
        assert isinstance(hash(value), int)
        names = type(value).__dataclass_fields__
        for name in names:
            with pytest.raises(AttributeError):
                setattr(value, name, None)


@pytest.mark.rule("IFC-LOG-02")
def test_what_the_gate_admits_does_not_show_itself() -> None:
    for value in (found(record()), step(CHECK, record()), outgoing()):
        assert repr(value) == str(value) == f"<{type(value).__name__}>"


def test_w7_answers_about_one_number_agree_on_the_date_of_death() -> None:
    dead = record(deceased_time="20200102")
    for other in (record(deceased_time="20200103"), record(deceased_time="2020010300")):
        assert kept_back("W7", by_number(), (step(CHECK, other), step(Retrieval(A), dead)), SUCCESS_A)
        assert kept_back("W7", by_search(), (step(TRACE, other), step(Retrieval(A), dead)), SUCCESS_A)
        assert kept_back("W7", by_number(), (step(CHECK, other), step(Retrieval(A), record())), SUCCESS_A)
    for other in (record(), record(deceased_time=""), record(deceased_time=" 2020010211 ")):
        assert released(by_number(), (step(CHECK, other), step(Retrieval(A), dead)), SUCCESS_A)
        assert released(by_search(), (step(TRACE, other), step(Retrieval(A), dead)), SUCCESS_A)


def test_w3_a_retrieval_that_calls_its_own_number_replaced_is_refused() -> None:
    for code in ("17", "24", "44"):
        steps = (step(CHECK, record()), step(Retrieval(A), record(), code))
        assert kept_back("W3", by_number(), steps, SUCCESS_A)


def test_w6_a_very_restricted_trace_names_nobody_whatever_comes_after() -> None:
    steps = (step(TRACE, record(confidentiality=("Y",))), step(Retrieval(A), record()))
    assert kept_back("W6", by_search(), steps, SUCCESS_A)


def test_a_declined_answer_on_the_way_says_nothing_about_the_patient() -> None:
    declined = gate.Step(Retrieval(A), gate.Declined(()))
    assert released(by_number(), (step(CHECK, record()), declined, step(Retrieval(A), record())), SUCCESS_A)
    assert released(by_search(), (step(TRACE, record()), declined, step(Retrieval(A), record())), SUCCESS_A)
