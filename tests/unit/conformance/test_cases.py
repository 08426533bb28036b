"""The packaged cases, their population, and what is said of files that are none."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from reference import shared_file
from smsp_provider.conformance.cases import InvalidCase, packaged_cases, read_cases
from smsp_provider.conformance.evidence import Verdict
from smsp_provider.conformance.expectations import InvalidExpectation, Judge
from smsp_provider.conformance.message import Caller, new_request
from smsp_provider.conformance.mutations import broken
from smsp_provider.conformance.population import InvalidPopulation, Patient, read_population
from smsp_provider.conformance.runner import Runner
from smsp_provider.conformance.services import SERVICES
from smsp_provider.conformance.transport import Answer, Exchange, Target, Transport
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.xmlcore.schemas import Schemas

CASES = packaged_cases()
JUDGE = Judge(Schemas())
ROOT = Path(__file__).resolve().parents[3]


def test_there_are_enough_cases_and_no_id_stands_for_two() -> None:
    assert len(CASES) >= 200
    assert [case for case, count in Counter(case.id for case in CASES).items() if count > 1] == []


def test_each_case_has_an_id_of_the_known_style_a_purpose_and_requirements() -> None:
    for case in CASES:
        assert case.id.split("_")[0] in ("SM", "DE", "SO", "ER")
        assert case.purpose
        assert case.requirements, case.id


@pytest.mark.shared
def test_every_requirement_that_a_case_names_is_published() -> None:
    published = shared_file("spec/itk/requirements.csv").read_text(encoding="utf-8")
    ids = {line.partition(",")[0] for line in published.splitlines()[1:]}
    assert {rule for case in CASES for rule in case.requirements} - ids == set()


def test_every_service_and_every_response_code_is_asked_for() -> None:
    assert {case.service.short for case in CASES} == set(SERVICES)
    codes = {f"SMSP-000{number}" for number in range(6)} | {"SMSP-9999", "DEMOG-9999"}
    codes |= {f"DEMOG-{number}" for number in ("0001", "0007", "0017", "0022", "0040", "0042")}
    assert {case.code for case in CASES if case.code} == codes


def test_every_expectation_is_defined_and_used() -> None:
    used = {check.id for case in CASES for check in JUDGE.checks_of(case)}
    assert set(JUDGE.checks) <= used


def test_every_case_can_be_built() -> None:
    population = read_population()
    caller = Caller("user", "http://localhost/smsp/pds", population.audit_ids, {"too_large_bytes": "10"})
    for case in CASES:
        if "signing-key" in case.needs:
            continue
        patient = population.patients.get(case.part or "")
        fields = {name: text for name, text in patient.fields.items() if name in (case.send or ())} if patient else {}
        request = new_request(case.service, caller, {**fields, **case.fields})
        changed = broken(request, case.steps)
        assert bool(case.steps) == (changed != request.body), f"{case.id}: a step that changes nothing"


def test_the_parts_of_the_cases_are_played_by_the_packaged_population() -> None:
    population = read_population()
    parts = {case.part for case in CASES if case.part}
    assert parts - set(population.patients) == {"in_local_store"}, "there is no local store in the sandbox"
    assert set(population.patients) - parts - {"cut", "short_surname", "refused_field"} == set()


def test_the_numbers_of_the_packaged_population_are_of_nobody() -> None:
    for part, patient in read_population().patients.items():
        NHSNumber(patient.fields["nhs_number"])
        assert patient.fields["nhs_number"].startswith("999"), part


CASE = 'id = "SM_1"\npurpose = "p"\nrequirements = []\nservice = "VER"\nexpect = "answer"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[[case", "mine.toml", id="no-toml"),
        pytest.param(f"[[case]]\n{CASE}purpsoe = 1", "unknown purpsoe", id="misspelt"),
        pytest.param(f"[[case]]\n{CASE}".replace('"VER"', '"VERY"'), "VERY", id="no-such-service"),
        pytest.param(f'[[case]]\n{CASE}fields = {{ surname = "x" }}', "surname", id="no-such-field"),
        pytest.param(f'[[case]]\n{CASE}omit = ["surname"]', "surname", id="no-such-field-to-omit"),
        pytest.param(f"[[case]]\n{CASE}".replace('purpose = "p"\n', ""), "purpose", id="without-a-purpose"),
        pytest.param(f'[[case]]\n{CASE}http = {{ verb = "GET" }}', "verb", id="no-such-http-field"),
        pytest.param(f'[[case]]\n{CASE}checks = [{{ says = "x", xpat = "/*" }}]', "xpat", id="no-such-key-of-a-check"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InvalidCase, match=said) as refused:
        read_cases(file)
    assert "mine.toml" in str(refused.value)


def test_cases_of_ones_own_are_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"[[case]]\n{CASE}".replace('service = "VER"', 'services = ["VER", "GET"]').replace("_1", "_{S}_1"))
    assert [case.id for case in read_cases(file)] == ["SM_VER_1", "SM_GET_1"]


def test_an_expectation_that_nobody_defined_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"[[case]]\n{CASE}".replace('"answer"', '"anything"'))
    (case,) = read_cases(file)
    with pytest.raises(InvalidExpectation, match="anything"):
        JUDGE.checks_of(case)


@pytest.mark.parametrize("xpath", ["//wsa:To[", "$nobody = 1", "//ghost:x"])
def test_an_expectation_that_cannot_be_read_is_refused(tmp_path: Path, xpath: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"[[case]]\n{CASE}checks = [{{ says = 's', xpath = '{xpath}' }}]")
    (case,) = read_cases(file)
    only_own = replace(case, expect=("A_STATUS",))
    exchange = Exchange("", (), b"", Answer(200, (), b"<x/>"), "", 0)
    with pytest.raises(InvalidExpectation):
        JUDGE.judge(only_own, exchange, {})


def test_what_was_seen_instead_is_told() -> None:
    case = replace(next(case for case in CASES if case.id == "SM_VER_001"), expect=("A_ACTION", "A_STATUS"))
    soap = b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Header>%b</soap:Header>'
    action = b'<Action xmlns="http://www.w3.org/2005/08/addressing">urn:other</Action>'
    for header, seen in ((action, "seen: urn:other"), (b"", "seen: nothing")):
        answer = Answer(503, (), soap % header + b"</soap:Envelope>")
        findings = JUDGE.judge(case, Exchange("", (), b"", answer, "", 0), {"response_action": "urn:right"})
        assert [finding.reason for finding in findings] == [seen, "HTTP 503"]


def test_what_was_seen_instead_is_told_of_an_expectation_of_one_case_alone() -> None:
    case = replace(next(case for case in CASES if case.id == "SM_GETPDNHS_060"), expect=())
    root = b'<patient xmlns="urn:hl7-org:v3"><name use="L"><family>RIGHT</family><given>WRONG</given></name></patient>'
    wanted = {f"patient_{name}": "RIGHT" for name in ("family", "given", "gender", "date_of_birth")}
    findings = JUDGE.judge(case, Exchange("", (), b"", Answer(200, (), root), "", 0), wanted)
    assert [finding.reason for finding in findings[:3]] == ["", "seen: WRONG", "seen: nothing"]


@pytest.mark.parametrize(
    ("patients", "said"),
    [
        pytest.param({}, "no patient for the part found", id="nobody-plays-it"),
        pytest.param({"nhs_number": "9990000018"}, "no date_of_birth for the part found", id="a-field-too-few"),
        pytest.param({"nhs_number": "9990000018", "date_of_birth": "19480229"}, "", id="enough"),
    ],
)
def test_a_part_that_says_too_little_leaves_its_cases_out_and_says_why(patients: dict[str, str], said: str) -> None:
    population = replace(read_population(), patients={"found": Patient("found", patients)} if patients else {})
    runner = Runner(Transport(Target("http://127.0.0.1:9/")), JUDGE, population, "user")
    result = runner.run_case(next(case for case in CASES if case.id == "SM_VER_001"))
    assert (result.verdict is Verdict.NOT_APPLICABLE, said in result.reason) == (bool(said), True)


def test_what_a_check_compares_with_must_be_in_the_population() -> None:
    patient = Patient("found", {"nhs_number": "9990000018", "date_of_birth": "19480229"})
    runner = Runner(
        Transport(Target("http://127.0.0.1:9/")), JUDGE, replace(read_population(), patients={"found": patient}), "user"
    )
    result = runner.run_case(next(case for case in CASES if case.id == "SM_GETPDNHS_061"))
    assert result.reason == "the population gives no postcode for the part found"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[", "population.toml", id="no-toml"),
        pytest.param("patients = 1", "patients", id="no-table"),
        pytest.param("[patients]\nfound = 1", "found", id="no-patient"),
        pytest.param("[patients.found]\nsurname = 'x'", "surname", id="no-such-field"),
    ],
)
def test_a_population_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "population.toml"
    file.write_text(text)
    with pytest.raises(InvalidPopulation, match=said):
        read_population(file)


def test_the_patients_of_a_population_do_not_show_in_its_text() -> None:
    assert "9990000018" not in repr(read_population())
