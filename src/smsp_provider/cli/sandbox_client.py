"""The one client of the sandbox: registered like any other, in the registry of its state directory."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from smsp_provider.certificates.reading import read_certificates
from smsp_provider.cli.client_session import prepare_registry, session_of
from smsp_provider.config.clients_file import client_from
from smsp_provider.config.settings import Settings
from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.clients import PinState
from smsp_provider.simulator.population import patients
from smsp_provider.storage.client_registry import ClientChange

__all__ = ["USERNAMES", "register_sandbox_client"]

USERNAMES: Final = ("my-system", "smsp-call")
"""Names that the command line and the examples of the documentation send: over plain HTTP a client is known by one."""
_REVIEW_AFTER: Final = timedelta(days=365)


def register_sandbox_client(settings: Settings, name: str, certificate: Path, organisation: str) -> None:
    """Register the client ``name`` by its certificate, for ``organisation`` and every practice of the population.

    Raises:
        CannotStart: the registry of the sandbox cannot be made or written.
    """
    der = read_certificates(certificate)[0].public_bytes(Encoding.DER)
    practices = {practice.ods_code for patient in patients() for practice in patient.practices}
    document = {
        "ods_code": organisation,
        "contact": "whoever started the sandbox",
        "authority": {
            "approval_reference": "none: everybody in it is invented",
            "legal_basis": "none is needed",
            "use_case": "trying things out",
            "review_on": datetime.now(UTC).date() + _REVIEW_AFTER,
        },
        "organisations": dict.fromkeys(sorted({organisation, *practices}), ""),
        "usernames": list(USERNAMES),
        "access_methods": [method.value for method in AccessMethod],
        "pins": [{"certificate": base64.b64encode(der).decode("ascii"), "state": PinState.CURRENT.value}],
    }
    client = client_from(name, document)
    prepare_registry(settings)
    with session_of(settings) as session:
        session.change(lambda state: [ClientChange(name, state.clients.get(name), client)])
