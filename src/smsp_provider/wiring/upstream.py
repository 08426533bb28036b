"""The way to PDS that the settings choose, put together: one connector, or one for each organisation."""

import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smsp_provider.audit.trail import AuditTrail
from smsp_provider.config.settings import FHIRAccess, FHIRSettings, Settings, SpineSettings, Upstream
from smsp_provider.config.upstream import SmartcardPolicy
from smsp_provider.connectors.by_organisation import ByOrganisation
from smsp_provider.connectors.comparing import Comparing, ComparisonPolicy
from smsp_provider.connectors.hl7v3 import HL7v3Connector, HL7v3Settings
from smsp_provider.connectors.http import (
    ClientTLS,
    HTTPTransport,
    SpineTransport,
    TransportLimits,
    client_context,
    server_only_context,
)
from smsp_provider.connectors.pds_fhir import PDSFHIRConnector, PDSFHIRSettings
from smsp_provider.connectors.pds_fhir_token import SigningKey, Tokens, load_signing_key
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.response_codes import PDSCodeMap
from smsp_provider.engine.admission import Admission
from smsp_provider.engine.ports import Clock, IdSource, SpineConnector
from smsp_provider.engine.token_share import TokenShare
from smsp_provider.storage.comparison_file import ComparisonFile
from smsp_provider.storage.token_file import TokenFile

__all__ = ["ForComparisons", "build_connector", "comparison_file", "fhir_context", "signing_keys"]


@dataclass(frozen=True, slots=True)
class ForComparisons:
    """What comparing two ways needs besides: the budget of the way compared with, the audit trail, the map of codes."""

    admission: Admission
    audit: AuditTrail
    code_map: PDSCodeMap


def build_connector(
    settings: Settings,
    clock: Clock,
    ids: IdSource,
    admission: Admission,
    for_comparisons: Callable[[], ForComparisons],
) -> SpineConnector:
    """The connector of this provider; nothing is connected to yet.

    Raises:
        OSError, ValueError: a key or certificate is missing or unusable.
    """
    upstream = settings.upstream
    made = {way: _one(way, settings, clock, ids, admission) for way in Upstream if upstream.uses(way)}
    default = made[upstream.kind]
    if upstream.compare_with is not None:
        default = _comparing(default, settings, clock, ids, for_comparisons())
    own = {ODSCode(code): made[way] for code, way in upstream.by_organisation.items()}
    return ByOrganisation(default, own) if own else default


def _comparing(
    used: SpineConnector, settings: Settings, clock: Clock, ids: IdSource, means: ForComparisons
) -> SpineConnector:
    upstream = settings.upstream
    if upstream.compare_with is None or upstream.compare_until is None:
        return used
    return Comparing(
        used,
        _one(upstream.compare_with, settings, clock, ids, means.admission),
        ComparisonPolicy(upstream.compare_part, upstream.compare_until, upstream.compare_approval),
        admission=means.admission,
        audit=means.audit,
        sink=comparison_file(settings),
        code_map=means.code_map,
        clock=clock,
        ids=ids,
        chance=random.random,
    )


def comparison_file(settings: Settings) -> ComparisonFile:
    """Where comparisons are kept: beside the audit trail."""
    return ComparisonFile(settings.audit.database.with_name("comparisons.jsonl"))


def _one(way: Upstream, settings: Settings, clock: Clock, ids: IdSource, admission: Admission) -> SpineConnector:
    if way is Upstream.HL7V3:
        return _hl7v3(settings.spine, clock, ids, admission)
    fhir = settings.pds_fhir
    share = TokenFile(settings.audit.database.with_name("pds-fhir.token"), f"{fhir.api_key} at {fhir.token_url}")
    return _pds_fhir(fhir, clock, ids, admission, share)


def signing_keys(fhir: FHIRSettings) -> list[SigningKey]:
    """The keys that sign assertions, the first to be tried first.

    Raises:
        OSError, ValueError: a file is missing or holds something else.
    """
    named = ((fhir.key_id, fhir.key), (fhir.other_key_id, fhir.other_key))
    return [load_signing_key(kid, file) for kid, file in named if file is not None]


def fhir_context(fhir: FHIRSettings) -> ssl.SSLContext:
    """The TLS context towards PDS FHIR and its token endpoint.

    Raises:
        OSError: the file of authorities is missing or holds something else.
    """
    return server_only_context(fhir.ca)


def _hl7v3(spine: SpineSettings, clock: Clock, ids: IdSource, admission: Admission) -> HL7v3Connector:
    limits = TransportLimits(spine.max_in_flight, spine.connect_seconds, spine.max_answer_bytes)
    slots = threading.BoundedSemaphore(spine.max_in_flight)
    context = _client_context(spine.ca, spine.certificate, spine.key)
    transports = {url: SpineTransport(url, clock, context, limits, slots) for url in spine.urls()}
    settings = HL7v3Settings(ASID(spine.pds_asid or ""), spine.own_address or None)
    elsewhere = {interaction: transports[url] for interaction, url in spine.endpoints.items()}
    return HL7v3Connector(
        settings, transports[spine.endpoint], clock, ids, time.sleep, elsewhere, admission.admit_repeat
    )


def _client_context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if ca is None or certificate is None or key is None:
        return None
    return client_context(ClientTLS(ca, certificate, key))


def _pds_fhir(
    fhir: FHIRSettings, clock: Clock, ids: IdSource, admission: Admission, share: TokenShare
) -> PDSFHIRConnector:
    limits = TransportLimits(fhir.max_in_flight, fhir.connect_seconds, fhir.max_answer_bytes)
    context = fhir_context(fhir)
    tokens = None
    if fhir.access is FHIRAccess.SIGNED_JWT:
        endpoint = HTTPTransport(fhir.token_url, clock, context, limits)
        tokens = Tokens(fhir.api_key, signing_keys(fhir), endpoint, clock, ids, share)
    # What is sent again counts towards the budget: the connector does it, by leave.
    transport = HTTPTransport(fhir.base_url, clock, context, limits, resend=False)
    settings = PDSFHIRSettings(fhir.home_phone.value, fhir.smartcard is SmartcardPolicy.UNATTENDED)
    return PDSFHIRConnector(settings, transport, tokens, clock, ids, time.sleep, random.random, admission.admit_repeat)
