import pytest

from core_samples import A
from smsp_provider.audit.operator_events import AlertKind
from smsp_provider.domain.audit_identity import AuthorRefused
from smsp_provider.domain.failures import (
    NoCapacity,
    NotSent,
    QueryNotBuilt,
    Refused,
    SentNoAnswer,
    SpineFailure,
    Unreadable,
)
from smsp_provider.domain.gate import GateRefusal
from smsp_provider.domain.requests import InputInvalid
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.disposition import Disposition, dispose
from smsp_provider.spine.hl7v3.fault import RETRYABLE


def test_what_never_reached_spine_or_got_no_whole_answer_is_unreachable() -> None:
    for failure in (NotSent("connection refused"), NotSent("TLS"), SentNoAnswer("timeout"), SentNoAnswer("HTTP 503")):
        assert dispose(failure) == Disposition(ResponseCode.SPINE_UNREACHABLE, failure.reason)


@pytest.mark.rule("SMSP-PERF-006")
def test_a_fault_whose_codes_are_all_retryable_is_unreachable() -> None:
    assert frozenset({"200", "206", "208"}) == RETRYABLE
    for codes in (("200",), ("206",), ("208",), ("200", "208"), ("206", "206")):
        assert dispose(Refused("SOAP fault", codes)) == Disposition(ResponseCode.SPINE_UNREACHABLE, "SOAP fault")


@pytest.mark.rule("SMSP-ERR-004")
def test_any_other_fault_means_our_request_was_wrong_and_raises_an_alert() -> None:
    for codes in (("101",), ("201",), ("300",), ("999",), ("200", "101"), ("",)):
        assert dispose(Refused("SOAP fault", codes)) == Disposition(
            ResponseCode.PROVIDER_FAILURE, " ".join(("SOAP fault", *codes)), AlertKind.SPINE_REFUSED_US
        )


def test_http_3xx_4xx_and_acknowledgement_ar_mean_our_request_was_wrong_and_raise_an_alert() -> None:
    for reason in ("HTTP 302", "HTTP 403", "acknowledgement AR"):
        assert dispose(Refused(reason)) == Disposition(
            ResponseCode.PROVIDER_FAILURE, reason, AlertKind.SPINE_REFUSED_US
        )


def test_a_whole_answer_that_cannot_be_read_is_unusable() -> None:
    for reason in ("HTML", "not XML", "wrong charset", "another interaction"):
        assert dispose(Unreadable(reason)) == Disposition(ResponseCode.ANSWER_UNUSABLE, reason)


def test_an_answer_that_the_gate_refuses_is_unusable_and_raises_an_alert() -> None:
    assert dispose(GateRefusal("W1", "the answer names another request")) == Disposition(
        ResponseCode.ANSWER_UNUSABLE, "W1: the answer names another request", AlertKind.GATE_REFUSED
    )


def test_our_own_full_pool_is_the_fault_to_try_again() -> None:
    assert dispose(NoCapacity("pool is full")) == Disposition(None, "pool is full")


def test_a_query_that_cannot_be_built_is_our_failure() -> None:
    assert dispose(QueryNotBuilt("no way to ask")) == Disposition(ResponseCode.PROVIDER_FAILURE, "no way to ask")


@pytest.mark.rule("SMSP-VAL-001")
def test_an_invalid_input_names_field_and_rule() -> None:
    assert dispose(InputInvalid("Person.NHSNumber", "is missing")) == Disposition(
        ResponseCode.INPUT_INVALID, "Person.NHSNumber is missing"
    )


@pytest.mark.rule("SMSP-AUDIT-002")
def test_an_author_that_cannot_be_named_to_spine_is_an_author_error() -> None:
    assert dispose(AuthorRefused("needs a user")) == Disposition(ResponseCode.AUTHOR_REFUSED, "needs a user")


def test_a_crash_is_our_failure_named_by_its_kind_without_its_text() -> None:
    for crash in (KeyError(A.digits), ValueError(f"bad {A.digits}"), RuntimeError(A.digits), AssertionError(A.digits)):
        found = dispose(crash)
        assert found.code is ResponseCode.PROVIDER_FAILURE
        assert found.alert is AlertKind.UNEXPECTED_FAILURE
        assert found.reason == f"unexpected {type(crash).__name__}"


def test_every_kind_of_failure_has_a_row() -> None:
    kinds = set(SpineFailure.__subclasses__())
    assert kinds == {NotSent, SentNoAnswer, Refused, Unreadable, QueryNotBuilt, NoCapacity}
    for kind in kinds:
        found = dispose(kind("what happened"))
        assert found.reason == "what happened"
        assert (found.code is None) == (kind is NoCapacity)


def test_a_failure_of_a_kind_yet_unknown_is_our_own() -> None:
    assert dispose(SpineFailure("new")) == Disposition(ResponseCode.PROVIDER_FAILURE, "new")
