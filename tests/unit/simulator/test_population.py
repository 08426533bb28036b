"""Every line of the population's table, asked of a running Spine; and the page that shows the table."""

import http.client
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from simulator_client import SpineAsk, SpineClient, cross_check, retrieval, said, trace, xpath
from smsp_provider.domain.nhs_number import is_nhs_number
from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import Ask, Scenario, load_population, patients, scenarios
from smsp_provider.simulator.population.table import reference_table
from smsp_provider.simulator.server import EmbeddedSpine

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "simulator.md"
MARK = "<!-- from here on made from the population: UPDATE_DOCS=1 pytest tests/unit/simulator/test_population.py -->\n"


@pytest.fixture(scope="module")
def store() -> Iterator[PatientStore]:
    with PatientStore() as filled:
        load_population(filled)
        # The page says a minute; the tests have not got it. The faults themselves are tested with the server.
        for patient in patients():
            if patient.fault is not None and patient.fault.seconds:
                filled.add(replace(patient, fault=replace(patient.fault, seconds=0.01)))
        yield filled


@pytest.fixture(scope="module")
def spine(store: PatientStore) -> Iterator[EmbeddedSpine]:
    with EmbeddedSpine(store) as running:
        yield running


def _queries(ask: Ask) -> dict[str, SpineAsk]:
    born = ask.date_of_birth or ""
    queries = {}
    if ask.family:
        queries["trace"] = trace(ask.family, ask.gender or "", born, ask.given or (), ask.postcode)
    if ask.nhs_number:
        queries["cross_check"] = cross_check(ask.nhs_number, born, ask.family, ask.given)
        queries["retrieval"] = retrieval(ask.nhs_number)
    return queries


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: f"{scenario.theme}: {scenario.title}")
def test_the_table_says_what_spine_answers(spine: EmbeddedSpine, scenario: Scenario) -> None:
    asked = 0
    for query, request in _queries(scenario.ask).items():
        expected = getattr(scenario.expected, query)
        if expected is None:
            continue
        asked += 1
        client = SpineClient(spine.port)
        try:
            if expected.startswith("fault "):
                _check_fault(expected.removeprefix("fault "), lambda: client.send(request), scenario)  # noqa: B023 - called at once
            else:
                status, _, body = client.send(request)
                assert (status, said(body)) == (200, expected), query
        finally:
            client.close()
    assert asked


def _check_fault(kind: str, send: Callable[[], tuple[int, str, bytes]], scenario: Scenario) -> None:
    if kind in ("drop-after-reading", "cut"):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            send()
        return
    status, content_type, body = send()
    number = scenario.ask.nhs_number or ""
    fault = next(patient.fault for patient in patients() if patient.nhs_number == number)
    assert fault is not None
    seen = {
        "delay": lambda: number in said(body),
        "late": lambda: number in said(body),
        "duplicated": lambda: number in said(body),
        "http-status": lambda: status == fault.http_status and not body.startswith(b"<"),
        "html": lambda: status == fault.http_status and content_type.startswith("text/html"),
        "soap-fault": lambda: status == 500 and tuple(xpath(body, "//n:errorCode")) == fault.codes,
        "refusal": lambda: said(body) == " ".join(("AE", *fault.codes)),
        "general-refusal": lambda: said(body) == "AE GE002",
        "rejection": lambda: said(body) == "AR",
        "truncated-xml": lambda: status == 200 and not body.rstrip().endswith(b"Envelope>"),
        "wrong-charset": lambda: "charset=utf-8" in content_type and body.startswith(b"\xff\xfe"),
        "uncorrelated": lambda: number in said(body),
        "wrong-interaction": lambda: number in said(body),
        "wrong-patient": lambda: number not in said(body) and said(body).startswith("AA 999"),
    }
    assert seen[kind]()


def test_the_population_is_large_enough_and_its_numbers_are_test_numbers() -> None:
    numbers = [patient.nhs_number for patient in patients()]
    assert len(numbers) >= 150
    assert len(set(numbers)) == len(numbers)
    assert all(number.startswith("999") and is_nhs_number(number) for number in numbers)


def test_every_patient_stands_in_the_table_or_belongs_to_somebody_who_does() -> None:
    asked = {scenario.ask.nhs_number for scenario in scenarios()}
    named = " ".join(str(scenario.expected) for scenario in scenarios())
    doubles = {
        (name.family, patient.birth_time)
        for patient in patients()
        for name in patient.names
        if patient.nhs_number in asked
    }
    for patient in patients():
        is_double = any((name.family, patient.birth_time) in doubles for name in patient.names)
        is_chained = any(other.superseded_by == patient.nhs_number for other in patients())
        assert patient.nhs_number in asked or patient.nhs_number in named or is_double or is_chained


def test_every_outcome_and_every_kind_of_fault_is_reachable() -> None:
    codes = {
        code
        for scenario in scenarios()
        for code in (scenario.expected.verify, scenario.expected.by_number, scenario.expected.by_search)
    }
    outcomes = {"0000", "0001", "0002", "0004", "9999"}
    assert {f"SMSP-{code}" for code in outcomes} <= codes
    assert {f"DEMOG-{code}" for code in ("0001", "0007", "0017", "0022", "0040", "0042", "9999")} <= codes
    kinds = {patient.fault.kind for patient in patients() if patient.fault is not None}
    assert kinds == set(FaultKind) - {FaultKind.DROP_BEFORE_READING}


def test_a_patients_fault_survives_the_store() -> None:
    fault = Fault(FaultKind.REFUSAL, codes=("1", "RT003"), interaction="QUPA_IN000008UK02", seconds=1.5, status=503)
    with PatientStore() as store:
        store.add(replace(patients()[0], fault=fault))
        found = store.get(patients()[0].nhs_number)
        assert found is not None
        assert found.fault == fault


def test_loading_twice_changes_nothing() -> None:
    with PatientStore() as store:
        assert load_population(store) == load_population(store) == store.count()
        assert [store.get(patient.nhs_number) for patient in patients()] == list(patients())


def test_the_page_shows_the_population() -> None:
    written, mark, table = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark, "the page has lost its mark"
    made = reference_table(scenarios())
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(written + MARK + made, encoding="utf-8")
        return
    assert table == made, "stale: run UPDATE_DOCS=1 pytest tests/unit/simulator/test_population.py"


def test_the_page_names_every_kind_of_fault() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind in FaultKind:
        assert f"| `{kind.value}` |" in page
