import re
from dataclasses import replace

import pytest

from core_samples import errors, warnings
from smsp_provider.domain.response_codes import PDSCodeMap, PDSCodeRow, ResponseCode, Vocabulary
from smsp_provider.domain.spine_answers import DetectedIssue

CODE_MAP = PDSCodeMap(
    (
        PDSCodeRow(ResponseCode.NO_MATCH, frozenset({"1", "ST004"})),
        PDSCodeRow(ResponseCode.SUPERSEDED, frozenset({"17", "44"})),
        PDSCodeRow(ResponseCode.INPUT_INVALID, pattern=re.compile("(AT|ST)[0-9]{3}")),
    )
)


@pytest.mark.rule("SMSP-ERR-004", "SMSP-ERR-005")
def test_a_known_code_is_answered_by_its_row() -> None:
    assert CODE_MAP.classify(errors("1")) is ResponseCode.NO_MATCH
    assert CODE_MAP.classify(errors("44")) is ResponseCode.SUPERSEDED


@pytest.mark.rule("SMSP-ERR-004")
def test_no_reason_and_unknown_reasons_are_the_generic_error() -> None:
    assert CODE_MAP.classify(()) is ResponseCode.SPINE_ERROR
    assert CODE_MAP.classify(errors("75", "GE002")) is ResponseCode.SPINE_ERROR


def test_rows_are_tried_top_to_bottom_whatever_the_order_of_the_reasons() -> None:
    for codes in (("17", "1"), ("1", "17"), ("AT002", "1"), ("75", "ST004")):
        assert CODE_MAP.classify(errors(*codes)) is ResponseCode.NO_MATCH


def test_warnings_do_not_count_beside_an_error() -> None:
    assert CODE_MAP.classify((*warnings("1"), *errors("17"))) is ResponseCode.SUPERSEDED
    assert CODE_MAP.classify((*warnings("1"), *errors("75"))) is ResponseCode.SPINE_ERROR


def test_every_reason_counts_where_none_is_an_error() -> None:
    assert CODE_MAP.classify(warnings("1")) is ResponseCode.NO_MATCH
    assert CODE_MAP.classify((DetectedIssue("17"),)) is ResponseCode.SUPERSEDED
    assert CODE_MAP.classify((DetectedIssue("75"), *warnings("1"))) is ResponseCode.NO_MATCH


def test_a_pattern_must_match_the_whole_code() -> None:
    assert CODE_MAP.classify(errors("AT002")) is ResponseCode.INPUT_INVALID
    for code in ("XAT002", "AT0021", "AT02", "at002", "AT002\n"):
        assert CODE_MAP.classify(errors(code)) is ResponseCode.SPINE_ERROR


def test_an_exact_row_before_a_pattern_wins() -> None:
    assert CODE_MAP.classify(errors("ST004")) is ResponseCode.NO_MATCH


def test_codes_are_compared_exactly() -> None:
    for code in ("01", "1 ", "11", ""):
        assert CODE_MAP.classify(errors(code)) is ResponseCode.SPINE_ERROR


def test_what_no_row_knows_is_reported_of_the_reasons_that_count() -> None:
    others = (*warnings("3"), DetectedIssue("50"))
    assert CODE_MAP.unmapped((*errors("1", "75", "AT002"), *others)) == ("75",)
    assert CODE_MAP.unmapped(others) == ("3", "50")


def test_a_code_for_truncation_takes_the_place_of_that_of_success_only() -> None:
    vocabulary = Vocabulary({code: code.value for code in ResponseCode}, {})
    assert vocabulary.wire_code(ResponseCode.SUCCESS, truncated=True) == "success"
    truncating = replace(vocabulary, truncated="cut")
    assert truncating.wire_code(ResponseCode.SUCCESS, truncated=True) == "cut"
    assert truncating.wire_code(ResponseCode.SUCCESS) == "success"
    assert truncating.wire_code(ResponseCode.SUPERSEDED, truncated=True) == "superseded"
