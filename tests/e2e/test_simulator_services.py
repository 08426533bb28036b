"""The right half of the population's table: every service asks the running Spine, through the real connector and gate.

The left half (what Spine answers) is proven beside the population itself.
"""

import ssl
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from smsp_provider.config.vocabulary import load_vocabulary
from smsp_provider.connectors.hl7v3 import HL7v3Connector, HL7v3Settings
from smsp_provider.connectors.http import ClientTLS, SpineTransport, client_context
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.requests import RequestFields, check_fields
from smsp_provider.domain.service import Service
from smsp_provider.engine.asking import Inquiry, inquire
from smsp_provider.engine.disposition import dispose
from smsp_provider.engine.ports import Deadline, SpineSender
from smsp_provider.services.procedure import Policy
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.pki import make_pki
from smsp_provider.simulator.population import Ask, Scenario, load_population, patients, scenarios
from smsp_provider.simulator.server import EmbeddedSpine, SpineTLS
from throttles import free_leave

VOCABULARY, CODE_MAP = load_vocabulary(Path(__file__).parents[2] / "config" / "vocabulary.toml")
PATIENCE, LITTLE_PATIENCE = 10.0, 0.4
"""Seconds for a whole request; little where the table says that Spine takes longer than any provider waits."""

STUCK = {patient.nhs_number for patient in patients() if patient.fault is not None and patient.fault.seconds > 10}

SERVICES = {
    "verify": Service.VERIFY_NHS_NUMBER,
    "get_number": Service.GET_NHS_NUMBER,
    "by_number": Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER,
    "by_search": Service.GET_PATIENT_DETAILS_BY_SEARCH,
    "details": Service.GET_PATIENT_DETAILS,
}


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Ids:
    def new_uuid(self) -> str:
        return str(uuid.uuid4()).upper()


@dataclass(frozen=True)
class Provider:
    """Everything between the request's fields and the response code, as the product has it."""

    connector: HL7v3Connector

    def answer(self, service: Service, ask: Ask, patience: float) -> Outcome:
        today = HL7Date(f"{datetime.now(ZoneInfo('Europe/London')):%Y%m%d}")
        by_search = service in (Service.GET_NHS_NUMBER, Service.GET_PATIENT_DETAILS_BY_SEARCH)
        fields = RequestFields(
            ask.date_of_birth,
            ask.gender,
            None if by_search else ask.nhs_number,
            ask.family,
            ask.given,
            ask.postcode if by_search else None,
        )
        deadline = Deadline(time.monotonic() + patience)
        sender = SpineSender(ASID("200000000205"))
        try:
            request = check_fields(service, fields, today)
            policy = Policy(CODE_MAP, today)
            return inquire(request, policy, self.connector, sender, deadline, free_leave(), lambda: None, Inquiry())
        except Exception as failure:  # noqa: BLE001 - as the pipeline does once the payload is understood
            disposition = dispose(failure)
            assert disposition.code is not None
            return Outcome.without_data(disposition.code, disposition.reason)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    pki = make_pki(tmp_path_factory.mktemp("pki"))
    tls = SpineTLS(pki.spine_server.certificate, pki.spine_server.key, pki.ca.certificate)
    context: ssl.SSLContext = client_context(
        ClientTLS(pki.ca.certificate, pki.provider_client.certificate, pki.provider_client.key)
    )
    with PatientStore() as store:
        load_population(store)
        for patient in patients():
            if patient.fault is not None and 0 < patient.fault.seconds < 10:
                store.add(replace(patient, fault=replace(patient.fault, seconds=0.02)))
        with EmbeddedSpine(store, tls=tls) as spine:
            transport = SpineTransport(spine.url, Clock(), context)
            settings = HL7v3Settings(ASID("100000000104"), fault_retries=1, fault_pause_seconds=0.01)
            yield Provider(HL7v3Connector(settings, transport, Clock(), Ids(), time.sleep))
            transport.close_idle()


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: f"{scenario.theme}: {scenario.title}")
def test_the_table_says_what_the_services_answer(provider: Provider, scenario: Scenario) -> None:
    answered: dict[str, str] = {}
    numbers: dict[str, str | None] = {}
    patience = LITTLE_PATIENCE if scenario.ask.nhs_number in STUCK else PATIENCE
    expected = {name: getattr(scenario.expected, name) for name in SERVICES}
    for name, service in SERVICES.items():
        if expected[name] is not None:
            outcome = provider.answer(service, scenario.ask, patience)
            answered[name] = VOCABULARY.codes[outcome.code]
            numbers[name] = None if outcome.nhs_number is None else outcome.nhs_number.digits
    assert answered == {name: code for name, code in expected.items() if code is not None}
    by_number = scenario.expected.number or scenario.ask.nhs_number
    by_search = (scenario.expected.trace or "").split(" ")[1:2]
    for name, number in numbers.items():
        if number is None:
            assert answered[name] not in ("SMSP-0000", "DEMOG-0017")
        elif name in ("get_number", "by_search"):
            assert [number] == by_search or (scenario.expected.trace or "").startswith("fault")
        else:
            assert number == by_number
