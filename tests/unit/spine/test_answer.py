"""Answers as read: who they answer, what they say, and what of a patient is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.domain.failures import Refused, Unreadable
from smsp_provider.domain.spine_answers import Acknowledgement, DetectedIssue, Reference
from smsp_provider.spine.hl7v3.fault import is_retryable
from smsp_provider.spine.hl7v3.interactions import CROSS_CHECK_TRACE, RETRIEVAL, SIMPLE_TRACE, Interaction
from spine_messages import ASKED, NAMESPACES, answer_to, envelope, message, patient, read

OTHER = "6E2B8D14-7C3A-4F95-A0E8-FFFFFFFFFFFF"


def issue(code: str, qualifier: str = "ER") -> str:
    return (
        f'<justifyingDetectedIssueEvent><code code="{code}" name="text"><qualifier code="{qualifier}"/></code>'
        "</justifyingDetectedIssueEvent>"
    )


def reason(*issues: str) -> str:
    return f"<reason>{''.join(issues)}</reason>"


def fault(errors: str = "", prefix: str = "") -> str:
    return (
        f"<e:Fault><faultcode>e:Server</faultcode><faultstring>{prefix}</faultstring><detail>"
        f'<n:errorList xmlns:n="http://national.carerecords.nhs.uk/schema/">{errors}</n:errorList></detail></e:Fault>'
    )


def error(code: str) -> str:
    return f"<n:error><n:errorCode>{code}</n:errorCode><n:description>free text</n:description></n:error>"


# Whom it answers


@pytest.mark.rule("SMSP-AUDIT-004")
def test_an_answer_names_its_question_twice_and_itself() -> None:
    answer = answer_to(patient())
    assert answer.references == (
        Reference("RelatesTo", ASKED.soap, ASKED.soap),
        Reference("messageRef", ASKED.hl7, ASKED.hl7),
    )
    assert answer.exchange.interaction == "QUPA_IN000008UK02"
    assert answer.exchange.sent == (ASKED.soap, ASKED.hl7)
    own = "0B1C2D3E-4F50-4617-8293-A4B5C6D7E8F9"
    assert answer.exchange.received == (f"uuid:{own}", own)


def test_ids_are_reported_as_found_for_the_gate_to_judge() -> None:
    answer = read(envelope(message(patient(), references=(OTHER,)), relates_to=f"  {OTHER} "))
    assert [reference.found for reference in answer.references] == [OTHER, OTHER]


def test_missing_ids_are_reported_as_missing() -> None:
    answer = read(envelope(message(patient(), references=()), relates_to=None))
    assert [(reference.name, reference.found) for reference in answer.references] == [
        ("RelatesTo", None),
        ("messageRef", None),
    ]


def test_every_id_is_reported_when_there_are_several() -> None:
    twice = f"{ASKED.soap}</wsa:RelatesTo><wsa:RelatesTo>{OTHER}"
    answer = read(envelope(message(patient(), references=(ASKED.hl7, OTHER)), relates_to=twice))
    assert [reference.found for reference in answer.references] == [ASKED.soap, OTHER, ASKED.hl7, OTHER]


def test_an_answer_without_a_header_is_read() -> None:
    document = envelope(message(patient()))
    start, end = document.index("<e:Header>"), document.index("<e:Body>")
    answer = read(document[:start] + document[end:])
    assert [reference.found for reference in answer.references] == [None, ASKED.hl7]


def test_ids_that_do_not_look_like_ids_are_kept_out_of_the_audit_trail() -> None:
    document = envelope(message(patient())).replace("0B1C2D3E-4F50-4617-8293-A4B5C6D7E8F9", "NOT AN ID, A NAME")
    assert read(document).exchange.received == ()


# What it says


def test_a_good_answer_is_accepted_and_ok() -> None:
    answer = answer_to(patient())
    assert answer.acknowledgement is Acknowledgement.ACCEPTED
    assert answer.query_ok
    assert answer.issues == ()


@pytest.mark.parametrize("response", ["ID", "NF", "ok", "", None])
def test_any_other_query_response_is_not_ok(response: str | None) -> None:
    assert not read(envelope(message(patient(), response=response))).query_ok


def test_contradicting_query_responses_are_not_ok() -> None:
    document = envelope(message(patient())).replace(
        "<queryAck>", '<queryAck><queryResponseCode code="ID"/></queryAck><queryAck>'
    )
    assert not read(document).query_ok


@pytest.mark.rule("SMSP-ERR-004", "SMSP-ERR-005")
@pytest.mark.parametrize("name", ["QUQI_IN010000UK14", "MCCI_IN010000UK13"])
@pytest.mark.parametrize("wrapper", ["", "traceQueryResponse", "retrievalQueryResponse"])
def test_refusals_are_read_in_any_wrapper(name: str, wrapper: str) -> None:
    refusal = message(name=name, kind="AE", reasons=reason(issue("1")) + reason(issue("RT003")), response="ID")
    if wrapper:
        refusal = f'<{wrapper} xmlns="urn:hl7-org:v3">{refusal}</{wrapper}>'
    answer = read(envelope(refusal))
    assert answer.acknowledgement is Acknowledgement.ERROR
    assert not answer.query_ok
    assert answer.issues == (DetectedIssue("1", "ER"), DetectedIssue("RT003", "ER"))
    assert answer.records == ()


def test_several_issues_in_one_reason_are_all_read() -> None:
    answer = answer_to(patient(), reasons=reason(issue("3", "WG"), f"<nested>{issue('24', 'WG')}</nested>"))
    assert answer.issues == (DetectedIssue("3", "WG"), DetectedIssue("24", "WG"))


def test_an_issue_without_a_qualifier_has_none() -> None:
    event = '<justifyingDetectedIssueEvent><code code="7"/></justifyingDetectedIssueEvent>'
    assert answer_to(reasons=reason(event)).issues == (DetectedIssue("7", ""),)


@pytest.mark.parametrize("code", ["", "SPECIMEN ANNE", "x" * 41, "a,b"])
def test_codes_that_are_no_codes_read_as_unknown(code: str) -> None:
    assert answer_to(reasons=reason(issue(code))).issues == (DetectedIssue("unknown", "ER"),)


def test_details_of_an_acknowledgement_are_issues_too() -> None:
    detail = '<other/><acknowledgementDetail><code code="300"/></acknowledgementDetail>'
    answer = read(envelope(message(name="MCCI_IN010000UK13", kind="AR", details=detail, response=None)))
    assert answer.acknowledgement is Acknowledgement.REJECTED
    assert answer.issues == (DetectedIssue("300", ""),)


@pytest.mark.parametrize("name", ["QUQI_IN010000UK14", "MCCI_IN010000UK13"])
def test_a_refusal_that_calls_itself_accepted_is_still_a_refusal(name: str) -> None:
    assert read(envelope(message(name=name, kind="AA"))).acknowledgement is Acknowledgement.ERROR


def test_all_patients_are_listed_in_order() -> None:
    answer = answer_to(patient(number="9000000009"), patient(number="9000000017"))
    assert [record.nhs_numbers for record in answer.records] == [("9000000009",), ("9000000017",)]


@pytest.mark.rule("SMSP-PDS-006")
@pytest.mark.parametrize("code", ["5", "9"])
def test_data_limited_for_sensitivity_makes_the_record_sensitive(code: str) -> None:
    answer = answer_to(patient(), reasons=reason(issue("3", "WG"), issue(code, "WG")))
    assert [record.is_sensitive for record in answer.records] == [True]
    assert not answer_to(patient(), reasons=reason(issue("3", "WG"))).records[0].is_sensitive


def test_prefixes_and_version_codes_do_not_matter() -> None:
    document = envelope(message(patient()))
    prefixed = document.replace('xmlns="urn:hl7-org:v3"', 'xmlns:x="urn:hl7-org:v3"')
    for name in (
        "QUPA_IN000009UK03",
        "id",
        "acknowledgement",
        "messageRef",
        "ControlActEvent",
        "subject",
        "PDSResponse",
    ):
        prefixed = prefixed.replace(f"<{name}", f"<x:{name}").replace(f"</{name}", f"</x:{name}")
    for name in ("patientRole", "patientPerson", "queryAck", "queryResponseCode"):
        prefixed = prefixed.replace(f"<{name}", f"<x:{name}").replace(f"</{name}", f"</x:{name}")
    assert read(prefixed).records == read(document).records
    assert read(prefixed).records[0].nhs_numbers == ("9000000009",)


# What cannot be read


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (RETRIEVAL, SIMPLE_TRACE.answer),
        (SIMPLE_TRACE, CROSS_CHECK_TRACE.answer),
        (CROSS_CHECK_TRACE, RETRIEVAL.answer),
        (CROSS_CHECK_TRACE, "QUPA_IN000011UK02"),
        (CROSS_CHECK_TRACE, "QUPA_IN000010UK02"),
    ],
    ids=["retrieval", "simple", "cross-check", "advanced", "confirmation"],
)
def test_another_interaction_is_unreadable(asked: Interaction, answered: str) -> None:
    with pytest.raises(Unreadable, match="another interaction"):
        read(envelope(message(patient(), name=answered)), asked)


@pytest.mark.parametrize(
    ("document", "reason_given"),
    [
        (b"", "well-formed"),
        (b"<html><body>Sign in</body></html>", "not a SOAP 1.1 envelope"),
        (b"<!DOCTYPE html><html></html>", "document type"),
        (b"<html><p>Gateway</html>", "well-formed"),
        (envelope(message(patient())).encode()[:-20], "well-formed"),
        (envelope(message(patient())).encode("utf-16"), "not UTF-8"),
        (envelope(message(patient(person='<name use="L"><family>é</family></name>'))).encode("latin-1"), "not UTF-8"),
        (envelope("<other/>").encode(), "no known interaction"),
        (envelope("").encode(), "no known interaction"),
        (envelope(message(patient(), name="QUPA_IN050000UK32")).encode(), "no known interaction"),
        (envelope(message(patient())).replace("urn:hl7-org:v3", "urn:hl7-org:v2").encode(), "no known interaction"),
        (envelope(message(patient(), kind="XX")).encode(), "unknown type"),
        (envelope(message(patient(), kind="")).encode(), "unknown type"),
        (envelope(message(patient()).replace("acknowledgement", "x")).encode(), "no single acknowledgement"),
        (
            envelope(message(patient(), details='</acknowledgement><acknowledgement typeCode="AA">')).encode(),
            "no single acknowledgement",
        ),
        (envelope("</e:Body><e:Body>").encode(), "no single SOAP body"),
        (envelope(message(patient())).replace(NAMESPACES["s"], "urn:soap").encode(), "not a SOAP 1.1 envelope"),
    ],
    ids=range(17),
)
def test_what_is_no_answer_is_unreadable(document: bytes, reason_given: str) -> None:
    with pytest.raises(Unreadable, match=reason_given):
        read(document)


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: envelope(text).encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused_and_never_quoted(document: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        read(document)
    assert caught.value.__cause__ is None
    assert caught.value.reason.startswith("the answer ")


# Faults


@pytest.mark.parametrize(
    ("codes", "retryable"),
    [
        (("200",), True),
        (("206", "208"), True),
        (("200", "201"), False),
        (("101",), False),
        (("300",), False),
        (("SPECIMEN ANNE",), False),
        ((), False),
    ],
    ids=range(7),
)
def test_a_fault_is_a_refusal_with_its_codes(codes: tuple[str, ...], retryable: bool) -> None:
    with pytest.raises(Refused) as caught:
        read(envelope(fault("".join(error(f" {code} ") for code in codes), "SPECIMEN")))
    expected = tuple(code if code.isdigit() else "unknown" for code in codes) or ("unknown",)
    assert caught.value.codes == expected
    assert is_retryable(caught.value.codes) is retryable
    assert "SPECIMEN" not in caught.value.reason


def test_no_code_is_nothing_to_try_again_for() -> None:
    assert not is_retryable(())
