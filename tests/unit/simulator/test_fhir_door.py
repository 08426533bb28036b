"""The FHIR door of the embedded Spine, asked with the standard library over a socket."""

import http.client
import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from smsp_provider.simulator.fhir import FHIR_PATH
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.records import Span, SpineAddress, SpineName, SpinePatient, SpineTelecom
from smsp_provider.simulator.server import EmbeddedSpine

HOME = SpineAddress("H", ("", "1 A ST", "", "TOWN", ""), "ZZ12 3AA")
ANNE = SpinePatient(
    "9990001006",
    names=(
        SpineName("L", "Quimble", ("Anne Marie", "June May"), "MS", "OBE", Span("20100102")),
        SpineName("A", "NICKNAMED", ("ANNIE",)),
        SpineName("PREVIOUS-MAIDEN", "MAIDENLY", ("Anne",)),
    ),
    gender="2",
    birth_time="19620317",
    deceased_time="202002031430",
    addresses=(HOME, SpineAddress("PST", ("2 B ST",), "ZZ45 6BB")),
    telecoms=(SpineTelecom("H", "tel:01632960000"), SpineTelecom("EC", "tel:01632960001")),
    serial_change_number=7,
)
PEOPLE = (
    ANNE,
    SpinePatient("9990002002", names=(SpineName("L", "QUIMBLE", ("BERT",)),), gender="1", birth_time="196203"),
    SpinePatient(
        "9990003009",
        names=(SpineName("L", "RESTRICTED", ("CAT",)),),
        gender="2",
        birth_time="19700101",
        addresses=(HOME,),
        confidentiality="S",
    ),
    SpinePatient("9990004005", names=(SpineName("L", "VERY", ("DAN",)),), birth_time="19700101", confidentiality="Y"),
    SpinePatient("9990005001", names=(SpineName("L", "OLD", ("EVE",)),), superseded_by="9990001006"),
    SpinePatient("9990006008", invalidated=True),
)


@pytest.fixture(scope="module")
def spine() -> Iterator[EmbeddedSpine]:
    with PatientStore() as store:
        store.add_all(PEOPLE)
        with EmbeddedSpine(store) as running:
            yield running


def get(
    spine: EmbeddedSpine, path: str, method: str = "GET", **headers: str | None
) -> tuple[int, dict[str, str], dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", spine.port, timeout=60)
    sent = {"X-Request-ID": str(uuid.uuid4())} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, FHIR_PATH + path, headers={name: value for name, value in sent.items() if value})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    assert answer.status != 200 or "x-request-id" not in found or found["x-request-id"] == sent["X-Request-ID"]
    return answer.status, found, json.loads(body)


def code_of(document: dict[str, Any]) -> str:
    return str(document["issue"][0]["details"]["coding"][0]["code"])


def test_a_record_is_a_patient_with_everything_in_its_place(spine: EmbeddedSpine) -> None:
    status, headers, patient = get(
        spine, "/Patient/9990001006", X_Correlation_ID="11C46F5F-CDEF-4865-94B2-0EE0EDCC26DA"
    )
    assert status == 200
    assert headers["content-type"] == "application/fhir+json"
    assert headers["etag"] == 'W/"7"'
    assert headers["x-correlation-id"] == "11C46F5F-CDEF-4865-94B2-0EE0EDCC26DA"
    assert patient["id"] == patient["identifier"][0]["value"] == "9990001006"
    assert patient["meta"] == {
        "versionId": "7",
        "security": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                "code": "U",
                "display": "unrestricted",
            }
        ],
    }
    assert [name["use"] for name in patient["name"]] == ["usual", "nickname", "maiden"]
    assert patient["name"][0] == {
        "use": "usual",
        "family": "Quimble",
        "given": ["Anne Marie", "June", "May"],
        "prefix": ["MS"],
        "suffix": ["OBE"],
        "period": {"start": "2010-01-02"},
    }
    assert (patient["gender"], patient["birthDate"]) == ("female", "1962-03-17")
    assert patient["deceasedDateTime"] == "2020-02-03T14:30:00+00:00"
    assert [address["use"] for address in patient["address"]] == ["home", "billing"]
    assert patient["address"][0]["line"] == [None, "1 A ST", None, "TOWN", None]
    assert len(patient["address"][0]["_line"]) == 5
    assert patient["telecom"] == [{"system": "phone", "use": "home", "value": "01632960000"}]


def test_blank_lines_are_for_applications_that_asked_for_them(spine: EmbeddedSpine) -> None:
    spine.fhir.blank_lines = False
    try:
        _, _, patient = get(spine, "/Patient/9990001006")
    finally:
        spine.fhir.blank_lines = True
    assert patient["address"][0]["line"] == ["1 A ST", "TOWN"]
    assert "_line" not in patient["address"][0]


@pytest.mark.parametrize(
    ("number", "security", "missing"),
    [("9990003009", "R", {"address"}), ("9990004005", "V", {"name", "birthDate", "address"})],
    ids=["restricted", "very restricted"],
)
def test_restricted_records_lack_what_may_not_be_told(
    spine: EmbeddedSpine, number: str, security: str, missing: set[str]
) -> None:
    _, _, patient = get(spine, f"/Patient/{number}")
    assert patient["meta"]["security"][0]["code"] == security
    assert not missing & set(patient)


def test_a_superseded_number_brings_the_record_that_replaced_it(spine: EmbeddedSpine) -> None:
    status, _, patient = get(spine, "/Patient/9990005001")
    assert (status, patient["id"]) == (200, "9990001006")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/Patient/9990007004", (404, "RESOURCE_NOT_FOUND")),
        ("/Patient/9990006008", (404, "INVALIDATED_RESOURCE")),
        ("/Patient/9990001007", (400, "INVALID_RESOURCE_ID")),
        ("/Patient/12", (400, "INVALID_RESOURCE_ID")),
        ("/Patient", (400, "UNSUPPORTED_SERVICE")),
    ],
    ids=["unknown", "invalidated", "a wrong check digit", "too short", "no parameter"],
)
def test_what_cannot_be_answered_has_its_code(spine: EmbeddedSpine, path: str, said: tuple[int, str]) -> None:
    status, _, document = get(spine, path)
    assert (status, code_of(document)) == said
    assert document["issue"][0]["details"]["coding"][0]["system"].endswith("Spine-ErrorOrWarningCode")


def test_requests_need_an_id_that_is_one(spine: EmbeddedSpine) -> None:
    status, headers, document = get(spine, "/Patient/9990001006", X_Request_ID=None)
    assert (status, code_of(document)) == (400, "MISSING_VALUE")
    assert "x-request-id" not in headers
    status, _, document = get(spine, "/Patient/9990001006", X_Request_ID="1234")
    assert (status, code_of(document)) == (400, "INVALID_VALUE")
    assert "in header" in document["issue"][0]["diagnostics"]
    status, _, document = get(spine, "/Patient/9990001006", "DELETE")
    assert (status, code_of(document)) == (403, "INVALID_METHOD")


def test_a_health_probe_needs_nothing(spine: EmbeddedSpine) -> None:
    assert get(spine, "/_ping", X_Request_ID=None)[0] == 200


BORN = "eq1962-03-17"
SEARCHES: list[tuple[str, dict[str, Any], list[str] | str]] = [
    ("by name and date", {"family": "quimble", "birthdate": BORN, "given": "anne marie"}, ["9990001006"]),
    ("a date without prefix", {"family": "QUIMBLE", "birthdate": "1962-03-17", "gender": "female"}, ["9990001006"]),
    ("by gender", {"family": "QUIMBLE", "birthdate": BORN, "gender": "male"}, ["9990002002"]),
    ("too many", {"family": "QUIMBLE", "birthdate": BORN}, "200 TOO_MANY_MATCHES"),
    ("nobody", {"family": "QUIMBLE", "birthdate": "eq1962-04-17"}, []),
    ("a wildcard too early", {"family": "Q*", "birthdate": BORN}, "400 INVALID_SEARCH_DATA"),
    (
        "within a range",
        {"family": "QUI*", "birthdate": ["ge1962-03-17", "le1962-12-31"], "given": "AN*"},
        ["9990001006"],
    ),
    ("outside a range", {"family": "QUI*", "birthdate": ["ge1962-04-01", "le1962-12-31"]}, []),
    ("by a nickname", {"family": "NICKNAMED", "birthdate": BORN}, ["9990001006"]),
    ("by a former name", {"family": "MAIDENLY", "birthdate": BORN}, []),
    ("by a second forename alone", {"family": "QUIMBLE", "birthdate": BORN, "given": "June"}, []),
    (
        "by postcode",
        {"family": "QUIMBLE", "birthdate": BORN, "address-postalcode": "zz123aa", "gender": "female"},
        ["9990001006"],
    ),
    ("by half a postcode", {"family": "QUIMBLE", "birthdate": BORN, "address-postalcode": "ZZ12*"}, ["9990001006"]),
    ("restricted", {"family": "RESTRICTED", "birthdate": "eq1970-01-01"}, ["9990003009"]),
    (
        "restricted by postcode",
        {"family": "RESTRICTED", "birthdate": "eq1970-01-01", "address-postalcode": "ZZ12 3AA"},
        [],
    ),
    ("very restricted", {"family": "VERY", "birthdate": "eq1970-01-01"}, []),
    ("one result", {"family": "NICKNAMED", "birthdate": BORN, "_max-results": "1"}, ["9990001006"]),
    ("two results", {"family": "NICKNAMED", "birthdate": BORN, "_max-results": "2"}, "403 INVALID_VALUE"),
    ("no date", {"family": "QUIMBLE"}, "400 MISSING_VALUE"),
    ("no family name", {"birthdate": BORN, "given": "ANNE"}, "400 INVALID_SEARCH_DATA"),
    ("an undashed date", {"family": "QUIMBLE", "birthdate": "19620317"}, "400 INVALID_VALUE"),
    ("no such day", {"family": "QUIMBLE", "birthdate": "1962-02-30"}, "400 INVALID_VALUE"),
    ("no such gender", {"family": "QUIMBLE", "birthdate": BORN, "gender": "2"}, "400 INVALID_VALUE"),
    ("a long name", {"family": "Q" * 36, "birthdate": BORN}, "400 INVALID_VALUE"),
    ("an unknown parameter", {"family": "QUIMBLE", "birthdate": BORN, "year": "2003"}, "400 ADDITIONAL_PROPERTIES"),
    ("a family name twice", {"family": ["QUIMBLE", "OLD"], "birthdate": BORN}, "400 INVALID_SEARCH_DATA"),
]


@pytest.mark.parametrize(("what", "parameters", "expected"), SEARCHES, ids=[what for what, _, _ in SEARCHES])
def test_searches(spine: EmbeddedSpine, what: str, parameters: dict[str, Any], expected: list[str] | str) -> None:
    del what
    status, _, document = get(spine, f"/Patient?{urlencode(parameters, doseq=True, quote_via=quote)}")
    if document["resourceType"] == "OperationOutcome":
        assert f"{status} {code_of(document)}" == expected
    else:
        entries = document.get("entry", [])
        assert document["total"] == len(entries)
        assert ("entry" in document) is bool(entries)
        assert [entry["resource"]["id"] for entry in entries] == expected


def test_a_search_tells_less_than_a_read(spine: EmbeddedSpine) -> None:
    _, _, document = get(spine, f"/Patient?family=NICKNAMED&birthdate={BORN}")
    (entry,) = document["entry"]
    assert [name["use"] for name in entry["resource"]["name"]] == ["usual", "nickname"]
    assert [address["use"] for address in entry["resource"]["address"]] == ["home"]


def test_beyond_the_rate_one_is_told_when_to_come_back(spine: EmbeddedSpine) -> None:
    spine.fhir.per_second = 3
    try:
        answers = [get(spine, "/Patient/9990001006") for _ in range(5)]
    finally:
        spine.fhir.per_second = None
        spine.fhir._recent.clear()
    assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
    _, headers, document = answers[-1]
    assert code_of(document) == "TOO_MANY_REQUESTS"
    assert headers["retry-after"] == "1"
