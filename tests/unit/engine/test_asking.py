from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from core_samples import (
    CODE_MAP,
    EXPECTED_ID,
    OTHER_ID,
    TODAY,
    A,
    B,
    answer,
    by_number,
    by_search,
    errors,
    record,
    refusal,
    warnings,
)
from smsp_provider.domain.failures import NoCapacity, NotSent, QueryNotBuilt, Refused, SentNoAnswer, SpineFailure
from smsp_provider.domain.gate import GateRefusal
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.requests import ServiceRequest
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import Acknowledgement, ExchangeIds, Reference, SpineAnswer
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SpineQuery
from smsp_provider.engine.admission import Busy
from smsp_provider.engine.asking import Inquiry, inquire
from smsp_provider.engine.ports import Deadline, SpineSender
from smsp_provider.services.procedure import Policy

SENDER = SpineSender(ASID("999999999999"))
DEADLINE = Deadline(12.5)
DETAILS = by_number(Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER)


class Scripted:
    """A connector that answers from a script and keeps a journal of everything that is done to it and around it."""

    def __init__(
        self, *script: SpineAnswer | SpineFailure, able: Callable[[SpineQuery], bool] = lambda _: True
    ) -> None:
        self.script = list(script)
        self.able = able
        self.journal: list[str] = []
        self.queries: list[SpineQuery] = []
        self.turns: list[str] = []
        self.refusal: SpineFailure | None = None
        self.keeps_records = False

    def has_at_hand(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> bool:
        del sender, deadline
        return isinstance(query, Retrieval) and self.keeps_records

    def can_ask(self, query: SpineQuery) -> bool:
        return self.able(query)

    def ask(self, query: SpineQuery, sender: SpineSender, deadline: Deadline) -> SpineAnswer:
        assert (sender, deadline) == (SENDER, DEADLINE)
        self.journal.append("query")
        self.queries.append(query)
        given = self.script.pop(0)
        if isinstance(given, SpineFailure):
            raise given
        return given

    @contextmanager
    def query(self) -> Iterator[None]:
        self.turns.append("asks")
        if self.refusal is not None:
            raise self.refusal
        try:
            yield
        except SpineFailure:
            self.turns.append("failed")
            raise
        self.turns.append("answered")

    def close_idle(self) -> None:
        self.journal.append("close idle")

    def intent(self) -> None:
        self.journal.append("intent")


def ask(connector: Scripted, request: ServiceRequest = DETAILS) -> tuple[Outcome, Inquiry]:
    inquiry = Inquiry()
    outcome = inquire(
        request, Policy(CODE_MAP, TODAY), connector, SENDER, DEADLINE, connector, connector.intent, inquiry
    )
    return outcome, inquiry


def fail(connector: Scripted, kind: type[Exception], request: ServiceRequest = DETAILS) -> Inquiry:
    inquiry = Inquiry()
    with pytest.raises(kind):
        inquire(request, Policy(CODE_MAP, TODAY), connector, SENDER, DEADLINE, connector, connector.intent, inquiry)
    return inquiry


@pytest.mark.rule("SMSP-AUDIT-004")
def test_the_intent_is_on_record_once_before_the_first_query() -> None:
    connector = Scripted(answer(record()), answer(record()))
    outcome, inquiry = ask(connector)
    assert connector.journal == ["intent", "query", "query"]
    assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUCCESS, A)
    assert inquiry.asked


@pytest.mark.rule("SMSP-PERF-001")
def test_each_query_waits_for_its_turn_and_the_end_of_each_is_told() -> None:
    connector = Scripted(answer(record()), SentNoAnswer("cut"))
    fail(connector, SentNoAnswer)
    assert connector.turns == ["asks", "answered", "asks", "failed"]


@pytest.mark.rule("SMSP-PERF-001")
def test_what_is_at_hand_takes_no_turn_and_is_judged_like_any_answer() -> None:
    connector = Scripted(answer(record()), answer(record()))
    connector.keeps_records = True
    outcome, _ = ask(connector)
    assert outcome.code is ResponseCode.SUCCESS
    assert connector.journal == ["intent", "query", "query"]
    assert connector.turns == ["asks", "answered"]


@pytest.mark.rule("SMSP-PERF-001")
def test_who_gets_no_turn_asks_nothing_and_intends_nothing() -> None:
    connector = Scripted(answer(record()))
    connector.refusal = Busy("not now", 7)
    inquiry = fail(connector, Busy)
    assert connector.journal == []
    assert not inquiry.asked


def test_without_an_intent_on_record_no_query_leaves() -> None:
    class StoreDown(Exception):
        pass

    def broken() -> None:
        raise StoreDown

    connector, inquiry = Scripted(answer(record())), Inquiry()
    with pytest.raises(StoreDown):
        inquire(DETAILS, Policy(CODE_MAP, TODAY), connector, SENDER, DEADLINE, connector, broken, inquiry)
    assert connector.journal == []
    assert not inquiry.asked


def test_a_query_that_the_connector_has_no_way_to_ask_is_neither_intended_nor_sent() -> None:
    connector = Scripted(able=lambda _: False)
    inquiry = fail(connector, QueryNotBuilt)
    assert connector.journal == []
    assert not inquiry.asked
    assert inquiry.exchanges == []


def test_a_second_query_that_cannot_be_asked_is_not_sent_either() -> None:
    connector = Scripted(answer(record()), able=lambda query: isinstance(query, CrossCheckTrace))
    inquiry = fail(connector, QueryNotBuilt)
    assert connector.journal == ["intent", "query"]
    assert inquiry.asked


def test_an_answer_that_the_gate_refuses_closes_the_connections_at_rest() -> None:
    foreign = answer(record(), references=(Reference("RelatesTo", EXPECTED_ID, OTHER_ID),))
    connector = Scripted(foreign)
    inquiry = fail(connector, GateRefusal)
    assert connector.journal == ["intent", "query", "close idle"]
    assert len(inquiry.exchanges) == 1


def test_a_procedure_that_refuses_closes_the_connections_at_rest() -> None:
    connector = Scripted(answer(record(A)), answer(record(B)))
    fail(connector, GateRefusal)
    assert connector.journal == ["intent", "query", "query", "close idle"]


def test_an_outcome_that_the_gate_keeps_back_closes_the_connections_at_rest() -> None:
    connector = Scripted(answer(record()), answer(record(gender="1")))
    fail(connector, GateRefusal, by_search())
    assert connector.journal == ["intent", "query", "query", "close idle"]


def test_business_answers_leave_the_connections_alone() -> None:
    for code, expected in (("1", ResponseCode.NO_MATCH), ("22", ResponseCode.INVALIDATED)):
        connector = Scripted(refusal(code))
        outcome, inquiry = ask(connector)
        assert outcome.code is expected
        assert connector.journal == ["intent", "query"]
        assert inquiry.declined == [errors(code)]


def test_acknowledgement_ar_is_a_refusal_of_our_message_with_its_traces_kept() -> None:
    for request in (DETAILS, by_search()):
        connector = Scripted(answer(record(), acknowledgement=Acknowledgement.REJECTED, issues=errors("1")))
        inquiry = fail(connector, Refused, request)
        assert inquiry.exchanges == [answer().exchange]
        assert inquiry.declined == [], "its details are not reasons of PDS: the code map is not asked"
        assert not inquiry.sensitive


def test_a_rejection_of_another_message_is_the_business_of_the_gate() -> None:
    foreign = answer(
        acknowledgement=Acknowledgement.REJECTED, references=(Reference("messageRef", EXPECTED_ID, OTHER_ID),)
    )
    connector = Scripted(foreign)
    fail(connector, GateRefusal)
    assert connector.journal[-1] == "close idle"


@pytest.mark.rule("SMSP-AUDIT-004")
def test_a_failure_leaves_the_ids_of_what_was_sent() -> None:
    sent = ExchangeIds("QUPA_IN000000UK00", (EXPECTED_ID,))
    connector = Scripted(answer(record()), SentNoAnswer("timeout", sent))
    inquiry = fail(connector, SentNoAnswer)
    assert inquiry.exchanges == [answer().exchange, sent]
    for failure in (NotSent("connection refused"), NoCapacity("pool is full")):
        connector = Scripted(failure)
        assert fail(connector, type(failure)).exchanges == []


@pytest.mark.rule("SMSP-AUDIT-004")
def test_ids_of_every_exchange_and_reasons_of_refusals_are_kept_in_order() -> None:
    connector = Scripted(
        refusal("17"), answer(record(B), issues=warnings("24")), answer(record(B), issues=warnings("3"))
    )
    outcome, inquiry = ask(connector)
    assert (outcome.code, outcome.nhs_number) == (ResponseCode.SUPERSEDED, B)
    assert connector.queries[1:] == [Retrieval(A), Retrieval(B)]
    assert len(inquiry.exchanges) == 3
    assert inquiry.declined == [errors("17")]


@pytest.mark.rule("IG-ALERT-2.26")
def test_a_sensitive_record_is_noted_whatever_the_outcome() -> None:
    secret = record(confidentiality=("S",))
    _, inquiry = ask(Scripted(answer(secret), answer(secret)))
    assert inquiry.sensitive
    outcome, inquiry = ask(Scripted(answer(record(confidentiality=("S",), birth_time="19700101"))))
    assert outcome.code is ResponseCode.NOT_VERIFIED
    assert inquiry.sensitive
    _, inquiry = ask(Scripted(answer(record()), answer(record())))
    assert not inquiry.sensitive
