"""One suite for all ways to PDS: the same question gets the same outcome, for everybody of the population.

What PDS FHIR cannot say, or says by one answer where HL7 V3 has two, is the list of differences: each is a case, and
the reference page shows the same list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from connectors_under_test import FHIR, HL7, IN_PROCESS, VOCABULARY, ConnectorWorld, connector_worlds
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.engine.asking import Inquiry
from smsp_provider.simulator.http import HTTPRequest
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import Ask, Scenario, load_population, patients, scenarios

PATIENCE, LITTLE_PATIENCE = 60.0, 0.15
"""Seconds for a whole request; little where the table says that Spine takes longer than any provider waits."""

STUCK = {patient.nhs_number for patient in patients() if patient.fault is not None and patient.fault.seconds > 10}
SERVICES = {
    "verify": Service.VERIFY_NHS_NUMBER,
    "get_number": Service.GET_NHS_NUMBER,
    "by_number": Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER,
    "by_search": Service.GET_PATIENT_DETAILS_BY_SEARCH,
    "details": Service.GET_PATIENT_DETAILS,
}
_ONE_READ = "Faults of the retrieval only"
DIFFERENCES: dict[str, dict[str, str]] = {
    # A search looks at usual, temporary and nicknames; at former ones only with history, which is not asked for.
    "Several names: maiden name that has not ended: found by it": {
        "get_number": "DEMOG-0001",
        "by_search": "DEMOG-0001",
    },
    # "Too many" is no answer about one number, where HL7 V3 lets any query be refused by any reason.
    "Refusals: code 2": {"verify": "SMSP-0002", "by_number": "SMSP-0002", "details": "SMSP-0002"},
    # Cross-check and retrieval are one request: what goes wrong with the one goes wrong with the other.
    f"{_ONE_READ}: SOAP fault 200": {"verify": "SMSP-0004"},
    f"{_ONE_READ}: connection reset": {"verify": "SMSP-0004"},
    f"{_ONE_READ}: an HTML page": {"verify": "SMSP-0002"},
    f"{_ONE_READ}: the number is suddenly unknown": {
        "verify": "DEMOG-0001",
        "by_number": "DEMOG-0001",
        "details": "DEMOG-0001",
    },
    f"{_ONE_READ}: the record of somebody else": {
        "verify": "DEMOG-0040",
        "by_number": "DEMOG-0040",
        "details": "DEMOG-0040",
    },
}
"""What PDS FHIR makes the services answer in place of what the table says."""

DIFFERENT_DETAILS = {
    # Blank and absent cannot be told apart in FHIR (SMSP-PDS-006).
    "Names missing: an empty second forename": {"name"},
    "Names missing: an empty surname": {"name"},
    # Only mail at home has a use.
    "Telecoms: mail for home and work": {"telecoms"},
    # FHIR holds the number without a scheme, so that it cannot lack one.
    "Telecoms: no scheme (breaks Spine's own schema)": {"telecoms"},
}
"""What is told differently, by the same code."""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, ConnectorWorld]]:
    with PatientStore() as store:
        load_population(store)
        for patient in patients():
            if patient.fault is not None and 0 < patient.fault.seconds < 10:
                store.add(replace(patient, fault=replace(patient.fault, seconds=0.02)))
        with connector_worlds(tmp_path_factory.mktemp("pki"), store) as made:
            yield made


@pytest.mark.parametrize("name", [IN_PROCESS, HL7, FHIR])
@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: f"{scenario.theme}: {scenario.title}")
def test_the_services_answer_as_the_table_says(
    worlds: Mapping[str, ConnectorWorld], name: str, scenario: Scenario
) -> None:
    answered: dict[str, str] = {}
    numbers: dict[str, str | None] = {}
    patience = LITTLE_PATIENCE if scenario.ask.nhs_number in STUCK else PATIENCE
    expected = {service: getattr(scenario.expected, service) for service in SERVICES}
    if name == FHIR:
        expected |= DIFFERENCES.get(f"{scenario.theme}: {scenario.title}", {})
    for key, service in SERVICES.items():
        if expected[key] is not None:
            outcome = worlds[name].answer(service, scenario.ask, patience)
            answered[key] = VOCABULARY.codes[outcome.code]
            numbers[key] = None if outcome.nhs_number is None else outcome.nhs_number.digits
    assert answered == {key: code for key, code in expected.items() if code is not None}
    by_number = scenario.expected.number or scenario.ask.nhs_number
    by_search = (scenario.expected.trace or "").split(" ")[1:2]
    for key, number in numbers.items():
        if number is None:
            assert answered[key] not in ("SMSP-0000", "DEMOG-0017")
        elif key in ("get_number", "by_search"):
            assert [number] == by_search or (scenario.expected.trace or "").startswith("fault")
        else:
            assert number == by_number


def _told(outcome: Outcome) -> dict[str, object]:
    """The details of an answer as plain values; telephones at home have one use, whichever of the two was sent."""
    assert outcome.details is not None
    details = outcome.details
    telecoms = tuple((("H" if one.use == "HP" else one.use), one.value) for one in details.telecoms)
    return {
        "code": outcome.code,
        "number": details.nhs_number.digits,
        "name": None if details.name is None else (details.name.prefix, details.name.given, details.name.family),
        "addresses": tuple((one.use, one.lines, one.postal_code) for one in details.addresses),
        "telecoms": telecoms,
        "gender": details.gender,
        "born": None if details.date_of_birth is None else details.date_of_birth.digits,
        "died": None if details.date_of_death is None else details.date_of_death.digits,
        "practice": details.practice,
    }


def test_the_details_are_the_same(worlds: Mapping[str, ConnectorWorld]) -> None:
    differing: dict[str, set[str]] = {}
    compared = 0
    for scenario in scenarios():
        if scenario.expected.by_number not in ("SMSP-0000", "DEMOG-0017"):
            continue
        ask = scenario.ask
        answers = {
            name: worlds[name].answer(Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER, ask, PATIENCE) for name in (HL7, FHIR)
        }
        one, other = _told(answers[HL7]), _told(answers[FHIR])
        fields = {field for field in one if one[field] != other[field]}
        if fields:
            differing[f"{scenario.theme}: {scenario.title}"] = fields
        compared += 1
    assert compared > 100
    assert differing == DIFFERENT_DETAILS


WILDCARDS = {
    "a wildcard in the surname": Ask(family="RAVENSCA*", given="LYSANDER", gender="1", date_of_birth="19950528"),
    "wildcards in surname and forename": Ask(family="RAVENSC*", given="LY*", gender="1", date_of_birth="19950528"),
    "a wildcard in the middle": Ask(family="RAV*TH", gender="1", date_of_birth="19950528"),
    "year and month of birth": Ask(family="RAVENSCARTH", given="LYSANDER", gender="1", date_of_birth="199505"),
    "year of birth": Ask(family="RAVENSCARTH", given="LYSANDER", gender="1", date_of_birth="1995"),
}


@pytest.mark.rule("SMSP-PDS-010")
@pytest.mark.parametrize("what", WILDCARDS)
def test_wildcards_and_partial_dates_are_asked_natively_over_fhir(
    worlds: Mapping[str, ConnectorWorld], what: str
) -> None:
    outcome = worlds[FHIR].answer(Service.GET_NHS_NUMBER, WILDCARDS[what], PATIENCE)
    assert outcome.code is ResponseCode.SUCCESS
    assert outcome.nhs_number is not None
    (holder,) = [patient for patient in patients() if patient.nhs_number == outcome.nhs_number.digits]
    assert holder.names[0].family == "RAVENSCARTH"


def test_a_wildcard_that_many_satisfy_is_several_matches(worlds: Mapping[str, ConnectorWorld]) -> None:
    ask = Ask(family="GOSFORTH*", given="ED*", gender="2", date_of_birth="198802")
    outcome = worlds[FHIR].answer(Service.GET_NHS_NUMBER, ask, PATIENCE)
    assert outcome.code is ResponseCode.MULTIPLE_MATCHES


@pytest.mark.rule("SMSP-AUDIT-004")
def test_a_number_is_asked_for_once_and_a_search_takes_two_requests(worlds: Mapping[str, ConnectorWorld]) -> None:
    world = worlds[FHIR]
    assert world.spine is not None
    for service, requests in (
        (Service.VERIFY_NHS_NUMBER, 1),
        (Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER, 1),
        (Service.GET_NHS_NUMBER, 2),
        (Service.GET_PATIENT_DETAILS_BY_SEARCH, 2),
    ):
        heard: list[HTTPRequest] = []
        world.spine.fhir.heard = heard.append
        inquiry = Inquiry()
        assert world.answer(service, scenarios()[0].ask, PATIENCE, inquiry).code is ResponseCode.SUCCESS
        # (Before them it may have asked for a token: who asks first does.)
        questions = [request for request in heard if request.path != "/oauth2/token"]
        sent = [request.headers["x-request-id"] for request in questions]
        assert len(set(sent)) == len(questions) == requests
        assert {request.headers["x-correlation-id"] for request in questions} == {inquiry.exchanges[0].sent[1]}
        assert {request.headers["nhsd-end-user-organisation-ods"] for request in questions} == {"X26"}
        assert [ids.sent[0] for ids in inquiry.exchanges if ids.sent] == sent
        assert all(ids.received == ids.sent for ids in inquiry.exchanges)
