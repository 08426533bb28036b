"""What the records of the audit trail say of throughput."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smsp_provider.audit.events import (
    Closure,
    Ending,
    EndingKind,
    FaultFacts,
    Intent,
    PatientFacts,
    Record,
    RefusalCount,
    Refusals,
    RequestFacts,
    Source,
    Start,
)
from smsp_provider.audit.traffic import NOBODY, OutcomeClass, Traffic, hour_of, traffic_of
from smsp_provider.domain.faults import ErrorCode, FaultCode
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service

AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
HOUR = hour_of(AT)
NUMBER = NHSNumber("9434765919")
SERVICE = Service.GET_PATIENT_DETAILS
FACTS = RequestFacts("192.0.2.7", username="user-name", client="ward", service=SERVICE, nhs_number=NUMBER)
INTENT = Intent("E1", AT, FACTS, ASID("200000000115"))
ASKED = Ending(
    "E1",
    AT,
    EndingKind.ANSWERED,
    20,
    source=Source.SPINE,
    service=SERVICE,
    client="ward",
    response_code=ResponseCode.SUCCESS,
    patient=PatientFacts(NUMBER),
)
NOT_ASKED = replace(ASKED, source=Source.NONE, request=FACTS, service=None, client=None)
FAULT = replace(
    NOT_ASKED,
    kind=EndingKind.FAULT,
    response_code=None,
    fault=FaultFacts(FaultCode.CLIENT, ErrorCode.ACCESS_DENIED, "ID", "WS-SEC-08"),
)


def counted(*records: Record) -> Counter[Traffic]:
    found: Counter[Traffic] = Counter()
    for record in records:
        found.update(traffic_of(record))
    return found


def of(outcome: OutcomeClass, service: str = SERVICE.value, client: str = "ward", hour: int = HOUR) -> Traffic:
    return Traffic(hour, service, client, outcome.value)


@pytest.mark.rule("SMSP-PERF-002")
def test_a_request_that_asked_spine_is_counted_once() -> None:
    assert counted(INTENT, ASKED) == {of(OutcomeClass.SUCCESS): 1}


@pytest.mark.rule("SMSP-PERF-002")
def test_a_request_that_asked_nothing_is_counted_by_its_own_facts() -> None:
    declined = replace(NOT_ASKED, response_code=ResponseCode.INPUT_INVALID)
    assert counted(declined, FAULT) == {of(OutcomeClass.DECLINED): 1, of(OutcomeClass.FAULT): 1}


def test_every_response_code_has_a_class_and_only_one_is_success() -> None:
    classes = {code: next(iter(traffic_of(replace(ASKED, response_code=code)))).outcome for code in ResponseCode}
    assert [code for code, found in classes.items() if found == "success"] == [ResponseCode.SUCCESS]
    assert {code for code, found in classes.items() if found == "failed"} == {
        *(ResponseCode.ANSWER_UNUSABLE, ResponseCode.SPINE_UNREACHABLE),
        *(ResponseCode.PROVIDER_FAILURE, ResponseCode.SPINE_ERROR),
    }


def test_the_hour_is_that_of_the_end_and_in_utc() -> None:
    later = replace(ASKED, at=AT + timedelta(minutes=29, seconds=45))
    assert counted(ASKED, later) == {of(OutcomeClass.SUCCESS): 1, of(OutcomeClass.SUCCESS, hour=HOUR + 1): 1}


def test_refusals_are_nobodys_requests_and_counted_in_their_minute() -> None:
    first = replace(FAULT, kind=EndingKind.REFUSED, request=RequestFacts("192.0.2.9"))
    others = Refusals(
        AT + timedelta(hours=2), AT, "192.0.2.9", (RefusalCount("1000", "A", 7), RefusalCount("3000", "B", 2))
    )
    assert counted(first, others) == {of(OutcomeClass.REFUSED, NOBODY, NOBODY): 10}


def test_an_intent_whose_writer_died_is_counted_by_its_closure() -> None:
    assert counted(INTENT, Closure("E1", AT, "W1")) == {of(OutcomeClass.UNKNOWN, NOBODY, NOBODY): 1}


def test_what_is_no_request_is_not_counted() -> None:
    comparison = replace(ASKED, service=None, client=None)
    assert counted(comparison, Start(AT, "0.1.0", "test", "00" * 32)) == {}


@pytest.mark.rule("SMSP-PERF-002")
def test_nothing_of_a_patient_and_nothing_that_a_caller_chose_is_in_it() -> None:
    text = repr(counted(INTENT, ASKED, NOT_ASKED, FAULT))
    assert NUMBER.digits not in text
    assert FACTS.username is not None
    assert FACTS.username not in text
    assert FACTS.address not in text
