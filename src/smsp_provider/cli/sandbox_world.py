"""The world of the sandbox: a directory with keys, patients and a configuration, and the processes that live in it.

Everything is real but the patients and the keys: an embedded Spine behind mutual TLS, and the provider as `smsp serve`
runs it. Both are children of this process and end with it.
"""

import http.client
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from smsp_provider.cli.addresses import HostPort
from smsp_provider.cli.checks import check_files
from smsp_provider.cli.config_origin import read_settings
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.itk_client import ClientTLSFiles, ITKClient
from smsp_provider.cli.itk_request import CallerIdentity
from smsp_provider.cli.one_process import hold_alone
from smsp_provider.cli.processes import Child, StopSignals, start_child, stop_children
from smsp_provider.cli.sandbox_client import register_sandbox_client
from smsp_provider.cli.sandbox_upstream import quoted, sandbox_upstream
from smsp_provider.cli.serve import run_provider
from smsp_provider.cli.simulate import fill_store, open_store
from smsp_provider.config.settings import Upstream
from smsp_provider.simulator.pki import Pki, make_pki
from smsp_provider.simulator.server import EmbeddedSpine

__all__ = ["CLIENT_NAME", "ORGANISATION", "SandboxWorld"]

CLIENT_NAME: Final = "sandbox-client"
"""Common name of the client's certificate, and so the username of its requests."""
ORGANISATION: Final = "X26"
"""ODS code in whose name the sandbox asks."""
_ASID: Final = "200000000205"

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 10.0
_PROBE_TIMEOUT_SECONDS: Final = 10.0
_PROBE_SECONDS: Final = 0.1
_SPINE_BACKLOG: Final = 512
_GRACEFUL_SECONDS: Final = 3
_OK: Final = 200
_WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three servers listen."""

    http: HostPort
    https: HostPort
    spine: HostPort


class SandboxWorld:
    """A sandbox in ``directory``, which nobody else may use meanwhile.

    ``patients`` are CSV files whose patients are added to the shipped population, ``upstream`` is the way to PDS.

    Raises:
        CannotStart: the directory is in use or cannot be written, or a file of patients is none.
    """

    def __init__(
        self,
        directory: Path,
        http: HostPort,
        https: HostPort,
        patients: Sequence[Path],
        upstream: Upstream = Upstream.HL7V3,
    ) -> None:
        self.directory = directory.absolute()
        self._lock = hold_alone(
            self.directory / "lock", where=str(self.directory), who="sandbox", what="this directory"
        )
        names = dict.fromkeys(("localhost", "127.0.0.1", "::1", reachable(https)))
        self._pki: Pki = make_pki(self.directory / "keys", server_names=tuple(names))
        self._upstream = sandbox_upstream(upstream, self._pki, self.directory / "keys")
        self.client_keys = self._pki.client(CLIENT_NAME)
        self.ca = self._pki.ca.certificate
        self.log = self.directory / "provider.log"
        self.config = self.directory / "provider.toml"
        self._children: list[Child] = []
        self._witness = self.directory / "witness" / "roots.jsonl"
        self._witness.parent.mkdir(mode=0o700, exist_ok=True)
        self._fill(patients)
        # Listening from now on, so that nobody else gets the port before the Spine is started.
        self._spine_listener = socket.create_server(("127.0.0.1", 0), backlog=_SPINE_BACKLOG)
        self.addresses = Addresses(http, https, HostPort(*self._spine_listener.getsockname()))
        self.config.write_text(self._configuration(), encoding="utf-8")

    @property
    def http_url(self) -> str:
        """The plain HTTP address of all five services."""
        return _url("http", self.addresses.http)

    @property
    def https_url(self) -> str:
        """The mutual TLS address of all five services."""
        return _url("https", self.addresses.https)

    def start(self) -> None:
        """Register the client, start the embedded Spine and the provider, and wait until both listeners answer.

        Raises:
            CannotStart: one of them ended or did not get ready in time; the text says where to look.
            UnusableConfiguration: the configuration written here cannot be used.
        """
        settings = read_settings(self.config)
        check_files(settings)
        register_sandbox_client(settings, CLIENT_NAME, self.client_keys.certificate, ORGANISATION)
        self._children.append(self._start("embedded Spine", self._serve_spine))
        self._spine_listener.close()
        self._children.append(self._start("provider", lambda: run_provider(settings)))
        deadline = time.monotonic() + _START_SECONDS
        context = self._client_context()
        self._wait(lambda: _listens(self.addresses.spine), deadline)
        self._wait(lambda: _is_ready(self.addresses.http, None), deadline)
        self._wait(lambda: _is_ready(self.addresses.https, context), deadline)

    def _wait(self, is_ready: Callable[[], bool], deadline: float) -> None:
        while not is_ready():
            ended = self.ended()
            if ended is not None or time.monotonic() > deadline:
                what = f"the {ended} ended" if ended else "the servers are not ready in time"
                raise CannotStart(f"{what}: see {self._kept_log()}")
            time.sleep(_PROBE_SECONDS)

    def ended(self) -> str | None:
        """The name of a child that has ended by itself, or None."""
        return next((child.name for child in self._children if child.ended()), None)

    def stop(self) -> None:
        """End all children: the provider first, so that nobody misses the Spine."""
        for child in reversed(self._children):
            stop_children([child], _STOP_SECONDS)
        self._children.clear()
        self._spine_listener.close()
        os.close(self._lock)

    def client(self) -> ITKClient:
        """A client with a certificate, on the mutual TLS listener.

        Raises:
            NoAnswer: the provider's description cannot be fetched.
        """
        tls = ClientTLSFiles(self.ca, self.client_keys.certificate, self.client_keys.key)
        return ITKClient(self.https_url, CallerIdentity(CLIENT_NAME, ORGANISATION), tls=tls)

    def _fill(self, patients: Sequence[Path]) -> None:
        with open_store(self.directory / "patients.db") as store:
            fill_store(store, population=True, files=patients)
            self.patients = store.count()

    def _serve_spine(self) -> int:
        way = self._upstream
        signals = StopSignals()
        with (
            open_store(self.directory / "patients.db") as store,
            EmbeddedSpine(store, tls=way.tls(), listener=self._spine_listener, application=way.application()),
        ):
            signals.wait()
        return 0

    def _start(self, name: str, work: Callable[[], int]) -> Child:
        def logged() -> int:
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(log, stream.fileno())
            try:
                return work()
            except click.ClickException as error:
                error.show()
                return error.exit_code

        return start_child(name, logged)

    def _client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.client_keys.certificate, self.client_keys.key)
        return context

    def _kept_log(self) -> str:
        """The end of the log: its directory may be gone by the time somebody looks."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if self.log.exists() else []
        return "\n  ".join((str(self.log), *lines))

    def _configuration(self) -> str:
        """The settings of the sandbox's provider; `smsp serve` takes them too."""
        server, ca = self._pki.provider_server, self.ca
        return f"""\
# Made by `smsp sandbox`; the keys are throw-away ones. docs/reference/settings.md explains every setting.
environment = "sandbox"

[server]
http = "{self.addresses.http}"
threads = 16
graceful_stop_seconds = {_GRACEFUL_SECONDS}

[server.https]
bind = "{self.addresses.https}"
certificate = {quoted(server.certificate)}
key = {quoted(server.key)}
client_ca = {quoted(ca)}

{self._upstream.settings(self.addresses.spine)}\
default_asid = "{_ASID}"

[spine.ods_to_asid]
{ORGANISATION} = "{_ASID}"

[audit]
database = {quoted(self.directory / "audit" / "audit.db")}
synchronous = "NORMAL"
# In earnest on a volume that is another machine's: docs/how-to/verify-the-audit-trail.md.
witness_file = {quoted(self._witness)}

[operators]
policy = "os-user"
"""


def reachable(address: HostPort) -> str:
    """A name under which a server that listens on ``address`` is reached from this machine."""
    return "localhost" if address.host in _WILDCARDS else address.host


def _url(scheme: str, address: HostPort) -> str:
    return f"{scheme}://{HostPort(reachable(address), address.port)}/smsp/pds"


def _listens(address: HostPort) -> bool:
    try:
        with socket.create_connection((address.host, address.port), timeout=_PROBE_TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def _is_ready(address: HostPort, context: ssl.SSLContext | None) -> bool:
    host = reachable(address)
    connection = (
        http.client.HTTPConnection(host, address.port, timeout=_PROBE_TIMEOUT_SECONDS)
        if context is None
        else http.client.HTTPSConnection(host, address.port, timeout=_PROBE_TIMEOUT_SECONDS, context=context)
    )
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
