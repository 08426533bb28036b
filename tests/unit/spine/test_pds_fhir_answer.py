"""Responses of PDS FHIR as answers and failures: the published table, row by row, and what is no response at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_samples import CORRELATION_ID, READ, REQUEST_ID, SEARCHED, bundle, outcome, patient, response
from smsp_provider.domain.failures import Refused, SentNoAnswer, SpineFailure, Unreadable
from smsp_provider.domain.spine_answers import Acknowledgement
from smsp_provider.spine.pds_fhir.answer import Question, Response, read_answer

OTHER_ID = "6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFEC"


def failing(answer: Response, question: Question = READ) -> SpineFailure:
    with pytest.raises(SpineFailure) as caught:
        read_answer(answer, question)
    return caught.value


def test_a_record_is_an_accepted_answer_with_its_ids() -> None:
    answer = read_answer(response(patient()), READ)
    assert (answer.acknowledgement, answer.query_ok, answer.issues) == (Acknowledgement.ACCEPTED, True, ())
    assert [record.nhs_numbers for record in answer.records] == [("9990001006",)]
    assert [(one.expected, one.found) for one in answer.references] == [(REQUEST_ID, REQUEST_ID)]
    assert answer.exchange.sent == (REQUEST_ID, CORRELATION_ID)
    assert answer.exchange.received == (REQUEST_ID,)


def test_the_id_that_came_back_is_told_as_it_is_and_blank_where_none_did() -> None:
    assert read_answer(response(patient(), request_id=OTHER_ID), READ).references[0].found == OTHER_ID
    missing = read_answer(response(patient(), request_id=None), READ)
    assert missing.references[0].found == ""
    assert missing.exchange.received == ()
    assert read_answer(response(patient(), request_id="QUIMBLE"), READ).exchange.received == ()


def test_a_search_finds_one_none_or_several() -> None:
    found = read_answer(response(bundle(patient())), SEARCHED)
    assert [record.nhs_numbers for record in found.records] == [("9990001006",)]
    nobody = read_answer(response(bundle()), SEARCHED)
    assert [issue.code for issue in nobody.issues] == ["RESOURCE_NOT_FOUND"]
    assert (nobody.acknowledgement, nobody.records) == (Acknowledgement.ERROR, ())
    several = read_answer(response(bundle(patient(), patient("9990002002"))), SEARCHED)
    assert len(several.records) == 2


@pytest.mark.parametrize("status", [200, 400], ids=["as documented", "as the old sandbox"])
def test_too_many_matches_is_known_by_its_coding_whatever_the_status(status: int) -> None:
    answer = read_answer(response(outcome("TOO_MANY_MATCHES"), status), SEARCHED)
    assert [issue.code for issue in answer.issues] == ["TOO_MANY_MATCHES"]
    assert not answer.query_ok


@pytest.mark.rule("SMSP-ERR-004")
@pytest.mark.parametrize(
    ("status", "code", "diagnostics", "question"),
    [
        (400, "INVALID_RESOURCE_ID", "", READ),
        (400, "INVALID_SEARCH_DATA", "", SEARCHED),
        (400, "INVALID_VALUE", "Invalid value - 'x' in field 'birthdate'", SEARCHED),
        (404, "RESOURCE_NOT_FOUND", "", READ),
        (404, "INVALIDATED_RESOURCE", "", READ),
        (400, "SOMETHING_NEW", "", READ),
        (409, "SOMETHING_NEW", "", READ),
    ],
    ids=["number", "search data", "search value", "not found", "invalidated", "unknown code", "unknown status"],
)
def test_what_pds_declines_has_its_code(status: int, code: str, diagnostics: str, question: Question) -> None:
    answer = read_answer(response(outcome(code, diagnostics), status), question)
    assert [(issue.code, issue.is_error) for issue in answer.issues] == [(code, True)]
    assert (answer.query_ok, answer.records) == (False, ())


@pytest.mark.rule("SMSP-ERR-005")
@pytest.mark.parametrize(
    ("status", "code", "diagnostics", "question"),
    [
        (400, "INVALID_VALUE", "Invalid value - 'x' in header 'X-Request-ID'", READ),
        (400, "INVALID_VALUE", "", SEARCHED),
        (400, "MISSING_VALUE", "in field", READ),
        (400, "ADDITIONAL_PROPERTIES", "", SEARCHED),
        (400, "UNSUPPORTED_SERVICE", "", READ),
        (400, "UNSUPPORTED_REQUEST", "", READ),
        (401, "ACCESS_DENIED", "", READ),
        (403, "ACCESS_DENIED", "", READ),
        (403, "INVALID_METHOD", "", READ),
        (403, "INVALID_VALUE", "in field", SEARCHED),
        (404, "SOMETHING_NEW", "", READ),
        (404, "RESOURCE_NOT_FOUND", "", SEARCHED),
        (400, "RESOURCE_NOT_FOUND", "", READ),
        (410, "INVALIDATED_RESOURCE", "", READ),
        (400, "TOO_MANY_MATCHES", "", READ),
        (302, "RESOURCE_NOT_FOUND", "", READ),
    ],
    ids=lambda value: "" if not isinstance(value, str | int) else str(value)[:20],
)
def test_what_is_wrong_with_our_request_is_a_refusal(
    status: int, code: str, diagnostics: str, question: Question
) -> None:
    failure = failing(response(outcome(code, diagnostics), status), question)
    assert isinstance(failure, Refused)
    assert failure.codes == (code,)
    assert failure.reason == f"HTTP status {status}"


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 405, 451])
def test_a_page_of_a_proxy_is_a_refusal_and_never_no_match(status: int) -> None:
    for page in (
        response(b"<html>QUIMBLE</html>", status, content_type="text/html"),
        response(b"<html>QUIMBLE</html>", status),
        response(outcome("RESOURCE_NOT_FOUND", system="urn:other"), status),
        response({"resourceType": "Patient"}, status),
    ):
        failure = failing(page)
        assert isinstance(failure, Refused)
        assert failure.codes == ()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_trouble_that_may_pass_is_no_answer(status: int) -> None:
    failure = failing(response(outcome("RESOURCE_NOT_FOUND"), status))
    assert isinstance(failure, SentNoAnswer)
    assert failure.reason == f"HTTP status {status}"


@pytest.mark.rule("SMSP-ERR-006")
@pytest.mark.parametrize(
    ("answer", "question"),
    [
        (response(b"<html>QUIMBLE</html>", content_type="text/html"), READ),
        (response(json.dumps(patient()).encode(), content_type="application/fhir+json; charset=utf-16"), READ),
        (response(json.dumps(patient()).encode()[:-20]), READ),
        (response(json.dumps(patient()).encode("utf-16")), READ),
        (response(b'{"id": "1", "id": "2"}'), READ),
        (response(b'{"resourceType": "Patient", "n": NaN}'), READ),
        (response(b"[" * 100_000), READ),
        (response(b'{"n": ' + b"9" * 5000 + b"}"), READ),
        (response(b""), READ),
        (response([patient()]), READ),
        (response(bundle(patient())), READ),
        (response(patient()), SEARCHED),
        (response({"resourceType": "Practitioner", "id": "1"}), READ),
        (response({}), READ),
        (response(outcome("RESOURCE_NOT_FOUND")), READ),
        (response(outcome("TOO_MANY_MATCHES")), READ),
        (response({"resourceType": "OperationOutcome", "issue": [{"diagnostics": "QUIMBLE"}]}), SEARCHED),
        (response(bundle(patient(), total=2)), SEARCHED),
        (response(bundle(total=1)), SEARCHED),
        (response(bundle(patient(), total=True)), SEARCHED),
        (response(bundle(patient(), total="1")), SEARCHED),
        (response(bundle(patient(), type="history")), SEARCHED),
        (response(bundle({"resourceType": "Practitioner"})), SEARCHED),
        (response(bundle(patient(), entry=[{"resource": "QUIMBLE"}])), SEARCHED),
    ],
    ids=[
        "a page",
        "a charset that is none of ours",
        "cut short",
        "another encoding",
        "a name twice",
        "not a number",
        "very deep",
        "a very long number",
        "nothing",
        "a list",
        "matches for a read",
        "a patient for a search",
        "another resource",
        "an empty object",
        "an outcome with status 200",
        "too many of one number",
        "an outcome without a coding",
        "a match missing",
        "a total without matches",
        "a total that is no number",
        "a total that is text",
        "another kind of set",
        "a match that is no patient",
        "a match that is text",
    ],
)
def test_what_is_no_answer_to_the_question_is_unreadable_and_not_quoted(answer: Response, question: Question) -> None:
    failure = failing(answer, question)
    assert isinstance(failure, Unreadable)
    assert "QUIMBLE" not in str(failure)


def test_codes_that_are_not_short_and_plain_go_no_further() -> None:
    answer = read_answer(response(outcome("QUIMBLE, ORLA"), 400), READ)
    assert [issue.code for issue in answer.issues] == ["unknown"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["id", "identifier", "meta", "name", "gender", "birthDate", "address", "telecom", "generalPractitioner", "entry"]
)


@given(st.dictionaries(MEMBERS, JSON), st.sampled_from(["Patient", "Bundle", "OperationOutcome"]), st.booleans())
def test_whatever_stands_in_a_resource_is_an_answer_or_a_failure(
    members: dict[str, object], kind: str, searched: bool
) -> None:
    document = {"type": "searchset", "total": 1, **members, "resourceType": kind}
    try:
        answer = read_answer(response(document), SEARCHED if searched else READ)
    except SpineFailure:
        return
    assert answer.references


@given(st.binary(max_size=60), st.integers(100, 599))
def test_whatever_bytes_come_are_an_answer_or_a_failure(body: bytes, status: int) -> None:
    assert isinstance(failing(response(body, status)), SpineFailure)
