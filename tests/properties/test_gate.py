"""T2 and T4 of the safety argument, below the wire: a Spine that lies in one field of one answer."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final, TypeVar

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core_samples import (
    EXPECTED_ID,
    HOME,
    OTHER_ID,
    TODAY,
    A,
    B,
    C,
    answer,
    by_number,
    by_search,
    errors,
    record,
    refusal,
    warnings,
)
from procedures import POLICY, UNCONFIRMED, drive
from smsp_provider.domain.gate import GateRefusal
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.matching import Verdict, verify
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.person import Name, PatientRecord, Telecom
from smsp_provider.domain.requests import ByNumber, ServiceRequest
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import Reference, SpineAnswer
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SpineQuery

FOREIGN: Final = record(
    C,
    birth_time="19881104",
    gender="1",
    names=(Name(("L",), "FOREIGN", ("XAVER",)),),
    addresses=(replace(HOME, lines=("FOREIGN STREET",), postal_code="ZZ9 9ZZ"),),
    telecoms=(Telecom(("H",), "tel:09999"),),
    practices=(),
    superseded_numbers=(),
)
RECORD_FIELDS: Final = tuple(field.name for field in fields(PatientRecord))

REQUESTS: Final[tuple[ServiceRequest, ...]] = (
    by_number(),
    by_number(Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER),
    by_number(Service.GET_PATIENT_DETAILS),
    by_search(),
    by_search(Service.GET_PATIENT_DETAILS_BY_SEARCH),
    by_search(Service.GET_PATIENT_DETAILS),
)

T = TypeVar("T")
Spine = Callable[[SpineQuery], SpineAnswer]


def honest(query: SpineQuery) -> SpineAnswer:
    """A Spine that knows A only."""
    if isinstance(query, CrossCheckTrace | Retrieval) and query.nhs_number != A:
        return refusal("1")
    return answer(record(A))


def merged(query: SpineQuery) -> SpineAnswer:
    """A Spine in which A was merged into B."""
    if isinstance(query, CrossCheckTrace | Retrieval) and query.nhs_number == A:
        return answer(record(B, superseded_numbers=(A.digits,)), issues=warnings("24"))
    if isinstance(query, CrossCheckTrace | Retrieval) and query.nhs_number != B:
        return refusal("1")
    return answer(record(B))


def ask(request: ServiceRequest, spine: Spine, policy: object = POLICY) -> Outcome | GateRefusal:
    assert policy in (POLICY, UNCONFIRMED)
    try:
        return drive(request, spine, POLICY if policy is POLICY else UNCONFIRMED)[0]
    except GateRefusal as refused:
        return refused


def number_of(outcome: Outcome | GateRefusal) -> str | None:
    if isinstance(outcome, GateRefusal) or outcome.nhs_number is None:
        return None
    if outcome.details is not None:
        assert outcome.details.nhs_number == outcome.nhs_number
    return outcome.nhs_number.digits


def lying(spine: Spine, place: int, name: str) -> Spine:
    """The same Spine with one field of the answer at this place swapped against the foreign patient's."""
    asked = 0

    def swapped(query: SpineQuery) -> SpineAnswer:
        nonlocal asked
        given_answer = spine(query)
        if asked == place:
            given_answer = replace(
                given_answer,
                records=tuple(replace(held, **{name: getattr(FOREIGN, name)}) for held in given_answer.records),
            )
        asked += 1
        return given_answer

    return swapped


@given(st.sampled_from(REQUESTS), st.sampled_from((honest, merged)))
def test_an_honest_spine_is_answered_with_the_patient_in_force(request: ServiceRequest, spine: Spine) -> None:
    assert number_of(ask(request, spine)) == (A if spine is honest else B).digits


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(REQUESTS),
    st.sampled_from((honest, merged)),
    st.integers(0, 2),
    st.sampled_from(RECORD_FIELDS),
    st.sampled_from((POLICY, UNCONFIRMED)),
)
def test_a_field_swapped_in_one_answer_never_brings_a_foreign_number_or_date(
    request: ServiceRequest, spine: Spine, place: int, name: str, policy: object
) -> None:
    assume(not (policy is UNCONFIRMED and not isinstance(request, ByNumber) and name == "nhs_numbers"))
    outcome = ask(request, lying(spine, place, name), policy)
    assert number_of(outcome) in (None, (A if spine is honest else B).digits)
    if isinstance(outcome, Outcome) and outcome.details is not None:
        assert outcome.details.date_of_birth != HL7Date("19881104")


@given(st.sampled_from(REQUESTS), st.integers(0, 1))
def test_a_whole_foreign_answer_never_brings_the_foreign_patient(request: ServiceRequest, place: int) -> None:
    asked = 0

    def misdelivered(query: SpineQuery) -> SpineAnswer:
        nonlocal asked
        asked += 1
        return answer(FOREIGN) if asked == place + 1 else honest(query)

    assert number_of(ask(request, misdelivered)) in (None, A.digits)


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """The usual value more often than not: where everything lies at once, nothing would get past the first check."""
    return st.sampled_from((usual,) * (5 * len(others)) + others)


ISSUES = mostly((), warnings("24"), warnings("24"), warnings("3"), errors("17"), errors("1"), errors("22", "24"))
RECORDS = st.builds(
    lambda number, born, family, gender, old, secret: record(
        number,
        birth_time=born,
        names=(Name(("L",), family, ("ORLA",)),),
        gender=gender,
        superseded_numbers=old,
        confidentiality=secret,
    ),
    st.sampled_from((A, A, B, B, C)),
    mostly("19620317", "19620318", "19881104", "1962", "19629999", None),
    mostly("QUIMBLE", "FOREIGN"),
    mostly("2", "1", None),
    st.sampled_from(((), (A.digits,), (A.digits, B.digits), (B.digits,), (C.digits,))),
    mostly((), ("S",), ("Y",)),
)
ANSWERS = st.builds(
    lambda held, more, issues, ok: answer(held, *more, issues=issues, query_ok=ok),
    RECORDS,
    mostly((), (record(B),), (FOREIGN,)),
    ISSUES,
    mostly(True, True, False),
)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(REQUESTS), st.lists(ANSWERS, min_size=4, max_size=4), st.sampled_from((POLICY, UNCONFIRMED)))
def test_whatever_spine_says_a_number_leaves_only_verified_and_proven(
    request: ServiceRequest, answers: list[SpineAnswer], policy: object
) -> None:
    used: list[tuple[SpineQuery, SpineAnswer]] = []

    def spine(query: SpineQuery) -> SpineAnswer:
        given_answer = answers[len(used)] if len(used) < len(answers) else refusal("1")
        used.append((query, given_answer))
        return given_answer

    outcome = ask(request, spine, policy)
    number = number_of(outcome)
    if number is None:
        return
    assert isinstance(outcome, Outcome)
    query, last = used[-1]
    (final,) = last.records
    # The number is the final record's own, and that record was asked for by it (or traced, where that is enough).
    assert final.nhs_numbers == (number,)
    if isinstance(query, CrossCheckTrace | Retrieval):
        assert query.nhs_number.digits == number
    else:
        assert policy is UNCONFIRMED
    start = A.digits
    if isinstance(request, ByNumber):
        born = HL7Date(final.birth_time or "")
        assert verify(request, final, born, TODAY) is not Verdict.NOT_VERIFIED
        assert outcome.code is (ResponseCode.SUCCESS if number == A.digits else ResponseCode.SUPERSEDED)
    else:
        (traced,) = used[0][1].records
        start = traced.nhs_numbers[0]
        assert final.birth_time is not None
        assert HL7Date(final.birth_time).agrees_with(request.date_of_birth)
        assert final.gender == request.gender
        assert [name.family for name in final.names] == [request.family]
    # Every step from the number at the start to the one that leaves is proven by the answer that made it.
    for asked_with, said in used:
        if not isinstance(asked_with, Retrieval) or not said.records:
            continue
        (held,) = said.records
        if held.nhs_numbers[0] != start and asked_with.nhs_number.digits == start:
            codes = {issue.code for issue in said.issues}
            assert codes & {"17", "24", "44"} or start in held.superseded_numbers
            start = held.nhs_numbers[0]
    assert start == number


REFERENCES = st.lists(
    st.builds(
        Reference,
        st.sampled_from(("RelatesTo", "messageRef")),
        st.just(EXPECTED_ID),
        st.sampled_from((None, EXPECTED_ID, f"uuid:{EXPECTED_ID}", EXPECTED_ID.lower(), OTHER_ID, "")),
    ),
    max_size=3,
).map(tuple)


@given(REFERENCES)
def test_an_answer_is_used_exactly_when_a_reference_is_there_and_none_is_foreign(
    references: tuple[Reference, ...],
) -> None:
    found = [reference.found for reference in references if reference.found is not None]
    belongs = bool(found) and all(EXPECTED_ID in value.upper() for value in found)
    outcome = ask(by_number(), lambda _: answer(record(), references=references))
    assert (number_of(outcome) == A.digits) is belongs
    assert isinstance(outcome, GateRefusal) is not belongs
