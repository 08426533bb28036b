"""The published example bodies, served by a stub, through the real connector, the gate and the whole product."""

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from connectors_under_test import SENDER, VOCABULARY
from core_samples import CODE_MAP
from e2e.fhir_world import provider_over_fhir
from itk_messages import Fields
from reference import SHARED, shared_file
from scripted_server import Peer, RealClock, RealIds, ScriptedServer, http_answer
from smsp_provider.connectors.http import HTTPTransport
from smsp_provider.connectors.pds_fhir import PDSFHIRConnector, PDSFHIRSettings
from smsp_provider.domain.failures import Refused, SentNoAnswer, SpineFailure, Unreadable
from smsp_provider.domain.gate import Declined, Found, FoundSeveral, admit
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.requests import RequestFields, check_fields
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_queries import Retrieval, SimpleTrace
from smsp_provider.engine.asking import Inquiry, inquire
from smsp_provider.engine.ports import Deadline
from smsp_provider.services.procedure import Policy
from throttles import free_leave

pytestmark = [pytest.mark.shared]

FOLDER = "spec/pds-fhir"
FULL = NHSNumber("9000000009")
TRACE = SimpleTrace("Smith", "2", HL7Date("20101022"))

Row = dict[str, str]


def rows() -> list[Row]:
    file = SHARED / FOLDER / "sandbox-scenarios.csv"
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as content:
        return [row for row in csv.DictReader(content) if row["example_file"]]


ROWS = {row["scenario"]: row for row in rows()}

# By what an example is, what must become of it: the kind, and the code or number that it carries.
EXPECTED: dict[str, tuple[type[object], str]] = {
    "patient-full-9000000009": (Found, "9000000009"),
    "patient-restricted-9000000025": (Found, "9000000025"),
    "patient-minimal-9000000033": (Found, "9000000033"),
    "patient-9693632109": (Found, "9693632109"),
    "derived-patient-very-restricted": (Found, "9000000025"),
    "error-400-invalid-resource-id": (Declined, "INVALID_RESOURCE_ID"),
    "error-400-invalid-search-data": (Declined, "INVALID_SEARCH_DATA"),
    "error-400-invalid-value": (Declined, "INVALID_VALUE"),
    "error-404-resource-not-found": (Declined, "RESOURCE_NOT_FOUND"),
    "error-404-invalidated-resource": (Declined, "INVALIDATED_RESOURCE"),
    "error-400-missing-request-id": (Refused, "MISSING_VALUE"),
    "error-400-invalid-request-id": (Refused, "INVALID_VALUE"),
    "error-400-additional-properties": (Refused, "ADDITIONAL_PROPERTIES"),
    "error-400-missing-value": (Refused, "MISSING_VALUE"),
    "error-400-unsupported-service": (Refused, "UNSUPPORTED_SERVICE"),
    "error-401-access-denied": (Refused, "ACCESS_DENIED"),
    "error-403-max-results": (Refused, "INVALID_VALUE"),
    "error-429-too-many-requests": (SentNoAnswer, ""),
    "error-500-unknown-error": (SentNoAnswer, ""),
    "error-503-service-unavailable": (SentNoAnswer, ""),
    "search-one-match": (Found, "9000000009"),
    "search-restricted": (Found, "9000000025"),
    "search-deceased": (Found, ""),
    "search-superseding-record": (Found, "9732019395"),
    "search-no-match": (Declined, "RESOURCE_NOT_FOUND"),
    "search-two-matches": (FoundSeveral, ""),
    "search-four-genders": (FoundSeveral, ""),
    "search-too-many-matches": (Declined, "TOO_MANY_MATCHES"),
    "search-sandbox-has-no-answer": (Unreadable, ""),
}
IN_A_SEARCH = ("invalid-search-data", "invalid-value", "additional-properties", "missing-value", "max-results")


def serving(status: str, body: bytes, etag: str = "") -> ScriptedServer:
    """Answers everything with one body, and echoes the request id."""

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            sent = next(line for line in request.decode().split("\r\n") if line.lower().startswith("x-request-id:"))
            headers = f"{sent}\r\n" + (f"ETag: {etag}\r\n" if etag else "")
            peer.send(http_answer(body, f"{status} X", content_type="application/fhir+json", headers=headers))

    return ScriptedServer(script)


def connector_to(server: ScriptedServer) -> PDSFHIRConnector:
    transport = HTTPTransport(server.url(path="/FHIR/R4"), RealClock())
    settings = PDSFHIRSettings(repeats=0)
    return PDSFHIRConnector(settings, transport, None, RealClock(), RealIds(), time.sleep, lambda: 0.5)


def became(name: str, status: str, etag: str = "") -> tuple[type[object], str]:
    body = shared_file(f"{FOLDER}/examples/{name}.json").read_bytes()
    searched = name.startswith("search-") or name.endswith(IN_A_SEARCH)
    number = NHSNumber(json.loads(body)["id"]) if '"Patient"' in body.decode()[:400] and not searched else FULL
    query = TRACE if searched else Retrieval(number)
    with serving(status, body, etag) as server:
        try:
            found = admit(query, connector_to(server).ask(query, SENDER, Deadline(time.monotonic() + 60)))
        except SpineFailure as failure:
            return type(failure), failure.codes[0] if isinstance(failure, Refused) else ""
    if isinstance(found, Found):
        return Found, found.nhs_number.digits if EXPECTED[name][1] else ""
    return type(found), found.issues[0].code if isinstance(found, Declined) else ""


@pytest.mark.rule("SMSP-ERR-004", "SMSP-ERR-005")
@pytest.mark.parametrize("scenario", ROWS)
def test_each_scenario_of_the_sandbox_is_understood(scenario: str) -> None:
    row = ROWS[scenario]
    name = row["example_file"].removesuffix(".json")
    assert became(name, row["http_status"], row["etag"]) == EXPECTED[name]


def test_all_scenarios_with_a_body_are_replayed() -> None:
    shared_file(f"{FOLDER}/sandbox-scenarios.csv")
    assert len(ROWS) == 23
    folder = shared_file(f"{FOLDER}/examples")
    assert sorted(EXPECTED) == sorted(file.stem for file in folder.glob("*.json"))


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.startswith(("error-", "derived"))])
def test_each_error_body_is_understood_under_the_status_of_its_name(name: str) -> None:
    status = name.split("-")[1] if name.startswith("error-") else "200"
    assert became(name, status) == EXPECTED[name]


# The whole product over a stub that answers by path and parameters, as the sandbox does


def sandbox(peer: Peer) -> None:
    folder = shared_file(f"{FOLDER}/examples")
    while (request := peer.read_request()) is not None:
        first, *lines = request.decode().split("\r\n")
        parts = urlsplit(first.split(" ")[1])
        number = parts.path.rpartition("/")[2]
        status, name = "404", "error-404-resource-not-found"
        if parts.path.endswith("/Patient"):
            family = dict(parse_qsl(parts.query)).get("family", "")
            names = {"Smith": "one-match", "Smythe": "restricted", "Spiderman": "no-match", "Sm*": "too-many-matches"}
            status, name = "200", f"search-{names.get(family, 'sandbox-has-no-answer')}"
        else:
            found = [file.stem for file in folder.glob(f"patient-*{number}.json")]
            if found:
                status, name = "200", found[0]
        sent = next(line for line in lines if line.lower().startswith("x-request-id:"))
        body = (folder / f"{name}.json").read_bytes()
        peer.send(http_answer(body, f"{status} X", content_type="application/fhir+json", headers=f"{sent}\r\n"))


@pytest.fixture(scope="module")
def stub() -> Iterator[ScriptedServer]:
    with ScriptedServer(sandbox) as server:
        yield server


def search(**changes: str | None) -> Fields:
    plain = {"date_of_birth": "20101022", "gender": "2", "family": "Smith", "given": "Jane"}
    return Fields(**(plain | changes))  # type: ignore[arg-type]  # the names of fields


def by_number(**changes: str | None) -> Fields:
    plain = {"nhs_number": "9000000009", "date_of_birth": "20101022", "family": "Smith", "given": "Jane"}
    return Fields(**(plain | changes))  # type: ignore[arg-type]  # the names of fields


RESTRICTED = {"family": "Smythe", "given": "Janet", "date_of_birth": "20050616"}
CALLS: dict[str, tuple[Service, Fields, str, str | None]] = {
    "verify": (Service.VERIFY_NHS_NUMBER, by_number(), "SMSP-0000", "9000000009"),
    "not verified": (Service.VERIFY_NHS_NUMBER, by_number(date_of_birth="20111123"), "DEMOG-0040", None),
    "unknown": (Service.VERIFY_NHS_NUMBER, by_number(nhs_number="9111231130"), "DEMOG-0001", None),
    "refused number": (Service.VERIFY_NHS_NUMBER, by_number(nhs_number="9000000000"), "SMSP-0001", None),
    "minimal": (Service.VERIFY_NHS_NUMBER, by_number(nhs_number="9000000033"), "DEMOG-0040", None),
    "get number": (Service.GET_NHS_NUMBER, search(), "SMSP-0000", "9000000009"),
    # The sandbox's search and retrieval do not agree on this patient's date of birth: the gate refuses (W5).
    "get number of a restricted": (Service.GET_NHS_NUMBER, search(**RESTRICTED), "SMSP-0002", None),
    "nobody": (Service.GET_NHS_NUMBER, search(family="Spiderman"), "DEMOG-0001", None),
    "too many": (Service.GET_NHS_NUMBER, search(family="Sm*"), "DEMOG-0007", None),
    "no answer": (Service.GET_NHS_NUMBER, search(family="Nobody"), "SMSP-0002", None),
    "another gender": (Service.GET_NHS_NUMBER, search(gender="1"), "SMSP-0002", None),
    "details by number": (Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER, by_number(), "SMSP-0000", "9000000009"),
    "details by search": (Service.GET_PATIENT_DETAILS_BY_SEARCH, search(), "SMSP-0000", "9000000009"),
    "details": (Service.GET_PATIENT_DETAILS, by_number(), "SMSP-0000", "9000000009"),
}


@pytest.mark.rule("SMSP-PDS-001", "SMSP-PDS-002")
def test_the_whole_product_answers_over_the_stub(stub: ScriptedServer, tmp_path: Path) -> None:
    shared_file(f"{FOLDER}/examples")
    provider = provider_over_fhir(tmp_path, {"base_url": stub.url(path="/FHIR/R4"), "access": "none"})
    try:
        answers = {name: provider.ask(service, fields) for name, (service, fields, _, _) in CALLS.items()}
    finally:
        provider.close()
    said = {name: (answer.said, answer.numbers) for name, answer in answers.items()}
    assert said == {name: (code, (number,) if number else ()) for name, (_, _, code, number) in CALLS.items()}
    for name, answer in answers.items():
        if name.startswith("details"):
            assert (answer.birth, answer.gender, answer.death) == ("20101022", "2", "20101022")
            # Everything that has a period ended in 2021.
            assert (answer.families, answer.telecoms, answer.practice, answer.lines) == ((), (), None, ())


def test_on_a_day_when_the_example_was_current_its_details_are_whole(stub: ScriptedServer) -> None:
    shared_file(f"{FOLDER}/examples")
    service, today = Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER, HL7Date("20210615")
    fields = RequestFields(date_of_birth="20101022", nhs_number="9000000009", family="Smith", given="Jane")
    outcome: Outcome = inquire(
        check_fields(service, fields, today),
        Policy(CODE_MAP, today),
        connector_to(stub),
        SENDER,
        Deadline(time.monotonic() + 60),
        free_leave(),
        lambda: None,
        Inquiry(),
    )
    assert VOCABULARY.codes[outcome.code] == "SMSP-0000"
    details = outcome.details
    assert details is not None
    assert details.name is not None
    assert (details.name.prefix, details.name.given, details.name.family) == ("Mrs", ("Jane",), "Smith")
    assert [address.use for address in details.addresses] == ["H", "TMP"]
    assert details.addresses[0].postal_code == "LS1 6AE"
    assert [(one.use, one.value) for one in details.telecoms] == [
        ("HP", "tel:01632960587"),
        ("HP", "mailto:jane.smith@example.com"),
    ]
    assert details.practice == "Y12345"
