"""A provider wired up for PDS FHIR by its settings, and the embedded Spine's FHIR door behind TLS and tokens.

As :mod:`e2e.world`, for the other way to PDS; tokens, TLS, audit trail and log are real here too.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.world import ProviderUnderTest
from smsp_provider.cli.pds_fhir import make_key_pair
from smsp_provider.config.settings import (
    AuditSettings,
    BreakerSettings,
    ClientPolicy,
    ClientSettings,
    Environment,
    FHIRSettings,
    Limits,
    LogSettings,
    Server,
    Settings,
    SpineSettings,
    ThrottleSettings,
    Upstream,
    UpstreamSettings,
)
from smsp_provider.simulator.fhir_token import Application, public_keys
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.pki import make_pki
from smsp_provider.simulator.records import SpinePatient
from smsp_provider.simulator.server import EmbeddedSpine, SpineTLS
from smsp_provider.wiring.provider import build_provider

__all__ = ["FHIRWorld", "make_fhir_world", "provider_over_fhir"]

_API_KEY = "an-api-key"
_KID = "test-1"


@dataclass
class FHIRWorld(ProviderUnderTest):
    """A Spine with a FHIR door, and a provider."""

    spine: EmbeddedSpine = field(kw_only=True)
    store: PatientStore = field(kw_only=True)

    def calm(self) -> None:
        """Take back every fault and lie."""
        self.spine.faults.clear()
        self.spine.fhir.mutate = lambda _, reply: reply
        self.spine.fhir.per_second = None
        self.spine.delay = 0.0


@contextmanager
def make_fhir_world(folder: Path, *patients: SpinePatient, **changes: Any) -> Iterator[FHIRWorld]:
    """A running world in ``folder``; ``changes`` as in :func:`provider_over_fhir`."""
    pki = make_pki(folder / "pki")
    key, jwks = make_key_pair(folder / "keys", _KID, bits=2048)
    application = Application(_API_KEY, public_keys(jwks.read_bytes()))
    tls = SpineTLS(pki.spine_server.certificate, pki.spine_server.key, None)
    with PatientStore() as store:
        store.add_all(patients)
        with EmbeddedSpine(store, tls=tls, application=application) as spine:
            reach = {
                "base_url": spine.fhir_url,
                "token_url": f"{spine.base_url}/oauth2/token",
                "api_key": _API_KEY,
                "key": key,
                "key_id": _KID,
                "ca": pki.ca.certificate,
            }
            made = provider_over_fhir(folder / "provider", reach, **changes)
            world = FHIRWorld(made.provider, made.settings, made._log, spine=spine, store=store)
            try:
                yield world
            finally:
                world.close()


def provider_over_fhir(
    folder: Path,
    reach: Mapping[str, Any],
    *,
    limits: Mapping[str, Any] | None = None,
    throttle: Mapping[str, Any] | None = None,
    breaker: Mapping[str, Any] | None = None,
    fhir: Mapping[str, Any] | None = None,
    asids: Mapping[str, str] | None = None,
) -> ProviderUnderTest:
    """A provider in this process that asks PDS FHIR as ``reach`` says."""
    settings = Settings(
        environment=Environment.TEST,
        server=Server(http="127.0.0.1:0"),
        upstream=UpstreamSettings(kind=Upstream.PDS_FHIR),
        spine=SpineSettings(default_asid="200000000205", ods_to_asid=dict(asids or {})),
        pds_fhir=FHIRSettings(**{**reach, **(fhir or {})}),
        audit=AuditSettings(database=folder / "audit" / "audit.db", synchronous="NORMAL"),
        limits=Limits(**(limits or {})),
        # The tests that want a breaker say so: here PDS fails on purpose all the time.
        breaker=BreakerSettings(**(breaker or {"failures": 1_000_000})),
        throttle=ThrottleSettings(**(throttle or {})),
        clients=ClientSettings(policy=ClientPolicy.ANY),
        log=LogSettings(level="debug"),
    )
    log = io.BytesIO()
    # The log goes to standard output, which the provider takes hold of when it is built.
    with redirect_stdout(io.TextIOWrapper(log, write_through=True)) as shown:
        provider = build_provider(settings)
    shown.detach()
    return ProviderUnderTest(provider, settings, log)
