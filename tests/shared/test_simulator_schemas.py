"""Every answer of the embedded Spine is valid against the schemas, and the pack's own requests are understood."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from lxml import etree

from reference import shared_file
from simulator_client import SpineAsk, cross_check, message_of, retrieval, said, trace, xpath
from smsp_provider.simulator.faults import Fault, FaultKind, FaultPlan
from smsp_provider.simulator.generate import watermarked
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import Scenario, load_population, scenarios
from smsp_provider.simulator.population.book import number
from smsp_provider.simulator.records import RelatedPerson
from smsp_provider.simulator.spine import Spine

pytestmark = pytest.mark.shared

BREAKS_THE_SCHEMA = {number(539), number(540)}
"""People whose telecoms no schema accepts: real PDS data has such values."""

QUIET = {FaultKind.DELAY, FaultKind.LATE, FaultKind.WRONG_INTERACTION, FaultKind.WRONG_PATIENT, FaultKind.UNCORRELATED}


@cache
def schema(message: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(shared_file(f"spec/spine/xsd/mim-6.3.01/Schemas/{message}.xsd")))


@pytest.fixture(scope="module")
def spine() -> Iterator[Spine]:
    with PatientStore() as store:
        load_population(store)
        yield Spine(store)


def check_valid(answer: bytes) -> None:
    message = message_of(answer)
    checked = schema(etree.QName(message).localname)
    assert checked.validate(message), str(checked.error_log)


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: f"{scenario.theme}: {scenario.title}")
def test_every_answer_about_the_population_is_valid(spine: Spine, scenario: Scenario) -> None:
    ask = scenario.ask
    born = ask.date_of_birth or ""
    requests: list[SpineAsk] = []
    if ask.family:
        requests.append(trace(ask.family, ask.gender or "", born, ask.given or (), ask.postcode))
    if ask.nhs_number:
        requests.append(cross_check(ask.nhs_number, born))
        requests += [retrieval(ask.nhs_number), retrieval(ask.nhs_number, history=True)]
    for request in requests:
        reply = spine.answer(request.body(), request.soap_action)
        if reply.status != 200 or not reply.content_type.startswith("text/xml"):
            continue
        patient = spine.store.get(ask.nhs_number or "")
        if patient is not None and patient.fault is not None and patient.fault.kind not in QUIET:
            continue
        if ask.nhs_number not in BREAKS_THE_SCHEMA:
            check_valid(reply.body)


def test_the_people_who_break_the_schema_do(spine: Spine) -> None:
    for broken in BREAKS_THE_SCHEMA:
        request = retrieval(broken)
        message = message_of(spine.answer(request.body(), request.soap_action).body)
        assert not schema("QUPA_IN000009UK03").validate(message)


@pytest.mark.parametrize("kind", [FaultKind.REFUSAL, FaultKind.GENERAL_REFUSAL, FaultKind.REJECTION])
def test_refusals_are_valid(kind: FaultKind) -> None:
    plan = FaultPlan()
    with PatientStore() as store:
        plan.once(Fault(kind, codes=("1", "XY99")))
        request = retrieval(number(1))
        check_valid(Spine(store, plan).answer(request.body(), request.soap_action).body)


def test_watermarked_people_and_their_relations_are_valid() -> None:
    person, mother = watermarked(12), watermarked(13)
    related = RelatedPerson("12", mother.names[0], mother.addresses[0], mother.telecoms[0])
    with PatientStore() as store:
        store.add(replace(person, related=(related,)))
        for request in (retrieval(person.nhs_number), cross_check(person.nhs_number, "19000101")):
            check_valid(Spine(store).answer(request.body(), request.soap_action).body)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("request_QUPA_IN000005UK01_simple-trace.soap.xml", "AE 1 ST004"),
        ("request_QUPA_IN000005UK01_simple-trace_no-author.soap.xml", "AE 1 ST004"),
        ("request_QUPA_IN000008UK02_retrieval.soap.xml", "AE 1 RT003"),
        ("request_QUPA_IN000014UK01_cross-check.soap.xml", "AE 1 NHSNCC002"),
        ("request_QUPA_IN000014UK01_cross-check_dob-only.soap.xml", "AE 1 NHSNCC002"),
    ],
)
def test_the_sample_requests_are_understood(spine: Spine, sample: str, expected: str) -> None:
    body = shared_file(f"spec/spine/samples/authored/{sample}").read_bytes()
    (action,) = xpath(body, "//w:Action")
    reply = spine.answer(body, action)
    assert said(reply.body) == expected
    check_valid(reply.body)


@pytest.mark.parametrize("interaction", ["QUPA_IN000005UK01", "QUPA_IN000008UK02", "QUPA_IN000014UK01"])
def test_the_tests_own_requests_are_valid(interaction: str) -> None:
    """Else the tests above would prove something about messages that nobody may send."""
    request = {
        "QUPA_IN000005UK01": trace("A", "1", "19800101", "B", "ZZ10 1AA"),
        "QUPA_IN000008UK02": retrieval(number(1)),
        "QUPA_IN000014UK01": cross_check(number(1), "19800101", "A", "B"),
    }[interaction]
    found = etree.fromstring(request.body()).xpath(f"//*[local-name() = '{interaction}']")
    assert isinstance(found, list)
    (message,) = found
    assert isinstance(message, etree._Element)
    checked = etree.XMLSchema(etree.parse(shared_file(f"spec/spine/xsd/mim-6.2.02/Schemas/{interaction}.xsd")))
    assert checked.validate(message), str(checked.error_log)
