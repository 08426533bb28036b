"""The three ways to PDS over one store of patients, and a provider's decisions on top of each.

with connector_worlds(tmp_path, store) as worlds:
    outcome = worlds["PDS FHIR"].answer(Service.VERIFY_NHS_NUMBER, ask, patience=10.0)
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric import rsa

from scripted_server import RealClock, RealIds
from smsp_provider.config.vocabulary import load_vocabulary
from smsp_provider.connectors.hl7v3 import HL7v3Connector, HL7v3Settings
from smsp_provider.connectors.http import (
    ClientTLS,
    HTTPAnswer,
    HTTPTransport,
    SpineTransport,
    client_context,
    server_only_context,
)
from smsp_provider.connectors.pds_fhir import PDSFHIRConnector, PDSFHIRSettings
from smsp_provider.connectors.pds_fhir_token import OneProcess, SigningKey, Tokens
from smsp_provider.domain.failures import Refused, SentNoAnswer
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.requests import RequestFields, check_fields
from smsp_provider.domain.service import Service
from smsp_provider.engine.asking import Inquiry, inquire
from smsp_provider.engine.disposition import dispose
from smsp_provider.engine.ports import Deadline, SpineConnector, SpineSender
from smsp_provider.services.procedure import Policy
from smsp_provider.simulator.fhir_token import Application
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.pki import make_pki
from smsp_provider.simulator.population import Ask
from smsp_provider.simulator.server import EmbeddedSpine, SpineTLS
from smsp_provider.simulator.spine import Ending, Spine
from throttles import free_leave

__all__ = ["FHIR", "HL7", "IN_PROCESS", "SENDER", "VOCABULARY", "ConnectorWorld", "connector_worlds", "fhir_connector"]

IN_PROCESS, HL7, FHIR = "embedded in process", "HL7 V3 over TLS", "PDS FHIR"
VOCABULARY, CODE_MAP = load_vocabulary(Path(__file__).parents[1] / "config" / "vocabulary.toml")
SENDER: Final = SpineSender(ASID("200000000205"), ods_code=ODSCode("X26"))
API_KEY: Final = "an-api-key"


@dataclass(frozen=True)
class ConnectorWorld:
    """A connector and the Spine behind it; everything between a request's fields and the outcome, as the product is."""

    name: str
    connector: SpineConnector
    spine: EmbeddedSpine | None = None

    def answer(self, service: Service, ask: Ask, patience: float, inquiry: Inquiry | None = None) -> Outcome:
        """Ask as a service would, and let failures become codes as they do."""
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
        try:
            request = check_fields(service, fields, today)
            policy = Policy(CODE_MAP, today)
            leave, record = free_leave(), inquiry or Inquiry()
            return inquire(request, policy, self.connector, SENDER, deadline, leave, lambda: None, record)
        except Exception as failure:  # noqa: BLE001 - as the pipeline does once the payload is understood
            disposition = dispose(failure)
            assert disposition.code is not None, disposition.reason
            return Outcome.without_data(disposition.code, disposition.reason)


class _NoNetwork(SpineTransport):
    """Hands messages to an embedded Spine without a socket; what would break a connection is said in its place."""

    def __init__(self, spine: Spine) -> None:
        super().__init__("http://localhost/sync-service", RealClock())
        self._spine = spine

    def post(self, body: bytes, headers: dict[str, str], deadline: Deadline) -> HTTPAnswer:
        left = deadline.remaining(RealClock())
        self._spine.wait = lambda seconds: time.sleep(min(seconds, max(left, 0)))
        reply = self._spine.answer(body, headers["SOAPAction"])
        if reply.ending in (Ending.RESET, Ending.CUT) or reply.wait > left or deadline.remaining(RealClock()) <= 0:
            raise SentNoAnswer("the connection broke before a whole answer")
        if 300 <= reply.status < 500:
            raise Refused(f"HTTP status {reply.status}")
        return HTTPAnswer(reply.status, reply.body)


def fhir_connector(
    spine: EmbeddedSpine, ca: Path | None, key: SigningKey | None, settings: PDSFHIRSettings | None = None
) -> PDSFHIRConnector:
    """A connector to the FHIR door of a running Spine; with a key it asks with tokens."""
    context = server_only_context(ca) if ca is not None else None
    tokens = None
    if key is not None:
        endpoint = HTTPTransport(f"{spine.base_url}/oauth2/token", RealClock(), context)
        tokens = Tokens(API_KEY, [key], endpoint, RealClock(), RealIds(), OneProcess())
    transport = HTTPTransport(spine.fhir_url, RealClock(), context)
    quick = settings or PDSFHIRSettings(pause_seconds=0.01)
    return PDSFHIRConnector(quick, transport, tokens, RealClock(), RealIds(), time.sleep, lambda: 0.5)


@contextmanager
def connector_worlds(folder: Path, store: PatientStore) -> Iterator[Mapping[str, ConnectorWorld]]:
    """All three over the same patients."""
    pki = make_pki(folder)
    own, server = pki.provider_client, pki.spine_server
    settings = HL7v3Settings(ASID("100000000104"), fault_retries=1, fault_pause_seconds=0.01)
    key = SigningKey("test-1", rsa.generate_private_key(65537, 2048))
    application = Application(API_KEY, {key.kid: key.key.public_key()})
    with (
        EmbeddedSpine(store, tls=SpineTLS(server.certificate, server.key, pki.ca.certificate)) as mutual,
        EmbeddedSpine(store, tls=SpineTLS(server.certificate, server.key, None), application=application) as open_door,
    ):
        context = client_context(ClientTLS(pki.ca.certificate, own.certificate, own.key))
        transports = _NoNetwork(Spine(store)), SpineTransport(mutual.url, RealClock(), context)
        hl7 = [HL7v3Connector(settings, transport, RealClock(), RealIds(), time.sleep) for transport in transports]
        fhir = fhir_connector(open_door, pki.ca.certificate, key)
        worlds = (
            ConnectorWorld(IN_PROCESS, hl7[0]),
            ConnectorWorld(HL7, hl7[1], mutual),
            ConnectorWorld(FHIR, fhir, open_door),
        )
        try:
            yield {world.name: world for world in worlds}
        finally:
            for world in worlds:
                world.connector.close_idle()
