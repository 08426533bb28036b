"""What the sandbox does differently for each way to PDS: how its Spine lets the provider in, and what is configured."""

from pathlib import Path
from typing import Final, Protocol

from smsp_provider.cli.addresses import HostPort
from smsp_provider.cli.pds_fhir import make_key_pair
from smsp_provider.config.settings import Upstream
from smsp_provider.simulator.fhir import FHIR_PATH, TOKEN_PATH
from smsp_provider.simulator.fhir_token import Application, public_keys
from smsp_provider.simulator.pki import Pki
from smsp_provider.simulator.server import SpineTLS

__all__ = ["SandboxUpstream", "quoted", "sandbox_upstream"]

_API_KEY: Final = "sandbox-api-key"
_KID: Final = "sandbox-1"
_KEY_BITS: Final = 2048
"""Made at every start of a sandbox; a real key has 4096."""


class SandboxUpstream(Protocol):
    """One way to PDS."""

    def tls(self) -> SpineTLS:
        """Whom the embedded Spine lets in."""
        ...

    def application(self) -> Application | None:
        """The application that may ask over PDS FHIR, where that is the way."""
        ...

    def settings(self, spine: HostPort) -> str:
        """The settings of the provider, in TOML, without those of organisations."""
        ...


def sandbox_upstream(upstream: Upstream, pki: Pki, keys: Path) -> SandboxUpstream:
    """The way to PDS of a sandbox; ``keys`` is its directory of throw-away keys.

    Raises:
        OSError: a key cannot be written.
    """
    return _FHIR(pki, keys) if upstream is Upstream.PDS_FHIR else _HL7V3(pki)


def quoted(path: Path) -> str:
    """A TOML basic string."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _HL7V3:
    """Over mutual TLS."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki

    def tls(self) -> SpineTLS:
        server = self._pki.spine_server
        return SpineTLS(server.certificate, server.key, self._pki.ca.certificate)

    def application(self) -> Application | None:
        return None

    def settings(self, spine: HostPort) -> str:
        client = self._pki.provider_client
        return f"""\
[spine]
endpoint = "https://{spine}/sync-service"
certificate = {quoted(client.certificate)}
key = {quoted(client.key)}
ca = {quoted(self._pki.ca.certificate)}
pds_asid = "928942012545"
"""


class _FHIR:
    """With tokens for signed assertions, as the real API; the key of an earlier sandbox of this directory is kept."""

    def __init__(self, pki: Pki, keys: Path) -> None:
        self._pki = pki
        self._key, self._jwks = keys / f"{_KID}.key", keys / "jwks.json"
        if not self._key.exists() or not self._jwks.exists():
            self._key.unlink(missing_ok=True)
            self._jwks.unlink(missing_ok=True)
            make_key_pair(keys, _KID, _KEY_BITS)

    def tls(self) -> SpineTLS:
        server = self._pki.spine_server
        return SpineTLS(server.certificate, server.key, None)

    def application(self) -> Application | None:
        return Application(_API_KEY, public_keys(self._jwks.read_bytes()))

    def settings(self, spine: HostPort) -> str:
        return f"""\
[upstream]
kind = "pds-fhir"

[pds_fhir]
base_url = "https://{spine}{FHIR_PATH}"
token_url = "https://{spine}{TOKEN_PATH}"
api_key = "{_API_KEY}"
key = {quoted(self._key)}
key_id = "{_KID}"
ca = {quoted(self._pki.ca.certificate)}
# As in the records of the embedded Spine, so that the answers are those of HL7 V3.
home_phone = "H"

[spine]
"""
