"""The client registry under running providers: two of them on one PostgreSQL, and one whose SQLite file goes away."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.world import read_answer
from free_ports import free_port
from kept_output import keep_file
from postgres_server import new_database
from sandbox_process import COMMAND, environment, run_smsp
from served_provider import UNATTENDED, request_with
from smsp_provider.audit.events import Change
from smsp_provider.config.settings import load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import load_population
from smsp_provider.simulator.server import EmbeddedSpine
from smsp_provider.wiring.audit import build_audit

IN_FORCE_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
_ENOUGH = 12
CLIENT = (
    "ward-system",
    *("--ods=X26", "--organisation=X26=200000000205", "--contact=service desk", "--username=client.example.nhs.uk"),
    *("--approval=DARS-1", "--legal-basis=direct care", "--use-case=tests", "--review-on=2099-01-01"),
)


@dataclass
class Host:
    """A provider with two workers, that is reached over plain HTTP on this machine."""

    config: Path
    port: int
    log: Path

    def ask(self) -> str:
        """Ask over a connection of its own; the response code or the fault."""
        request = request_with(UNATTENDED)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": request.soap_action}
            connection.request("POST", "/smsp/pds", request.body(), headers)
            response = connection.getresponse()
            return read_answer(response.status, response.read()).said
        finally:
            connection.close()

    def client(self, *arguments: str) -> None:
        done = run_smsp("client", *arguments, "--config", self.config)
        assert done.returncode == 0, done.stderr

    def changes(self) -> list[tuple[int, str]]:
        """Version and name of each change on the audit trail of this host."""
        trail = build_audit(load_settings(self.config), SystemClock())
        records = [entry.record for entry in trail.read()]
        return [(record.version, record.name) for record in records if isinstance(record, Change)]

    def alerts(self) -> list[str]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line["kind"] for line in lines if line["event"] == "alert"]


@pytest.fixture(scope="module")
def spine() -> Iterator[str]:
    with PatientStore() as store:
        load_population(store)
        with EmbeddedSpine(store) as running:
            yield running.url


@contextmanager
def _host(folder: Path, spine: str, clients: str) -> Iterator[Host]:
    folder.mkdir(mode=0o700)
    port = free_port()
    config = folder / "provider.toml"
    config.write_text(
        f"""
        environment = "test"
        server = {{ http = "127.0.0.1:{port}", workers = 2, threads = 8, graceful_stop_seconds = 3 }}
        spine = {{ endpoint = "{spine}", pds_asid = "100000000104" }}
        audit = {{ database = "{folder}/audit/audit.db", synchronous = "NORMAL" }}
        clients = {{ {clients} }}
        operators = {{ policy = "os-user" }}
        """,
        encoding="utf-8",
    )
    host = Host(config, port, folder / "log")
    host.client("init")
    with host.log.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--config", str(config)], stdout=log, stderr=log, env=environment()
        )
    try:
        assert _within(PATIENCE_SECONDS, lambda: _is_served(host)), host.log.read_text()
        yield host
    finally:
        process.terminate()
        process.wait(60)
        keep_file("log", host.log)


def _is_served(host: Host) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return bool(host.ask())
    return False


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _stays(host: Host, code: str) -> bool:
    """Whether so many answers in a row say so that each of two workers gave some."""
    return all(host.ask() == code for _ in range(_ENOUGH))


def _in_force(host: Host, code: str, changed: float) -> bool:
    """Whether the change comes into force, and nothing that is asked from five seconds on is answered as before it.

    A worker that could not look at the registry for so long, as on a machine that stands still, lets nobody in.
    """
    in_a_row = 0
    while in_a_row < _ENOUGH and time.monotonic() < changed + PATIENCE_SECONDS:
        is_due = time.monotonic() > changed + IN_FORCE_SECONDS
        answer = host.ask()
        in_a_row = in_a_row + 1 if answer == code else 0
        if is_due and answer not in (code, "fault 2100"):
            return False
    return in_a_row >= _ENOUGH


@pytest.mark.slow
@pytest.mark.rule("SMSP-SEC-001", "SMSP-AUDIT-008", "WS-SEC-08")
def test_a_change_on_one_host_is_in_force_on_all_hosts_of_one_registry(tmp_path: Path, spine: str) -> None:
    with ExitStack() as running:
        settings = f'database = "{new_database()}"'
        one, other = (running.enter_context(_host(tmp_path / name, spine, settings)) for name in ("one", "other"))
        hosts = (one, other)
        assert [host.ask() for host in hosts] == ["fault 3000"] * 2
        one.client("add", *CLIENT)
        changed = time.monotonic()
        assert [_in_force(host, "SMSP-0000", changed) for host in hosts] == [True, True]
        other.client("disable", "ward-system", "--reason=key reported stolen")
        changed = time.monotonic()
        assert [_in_force(host, "fault 3000", changed) for host in hosts] == [True, True]
        assert (one.changes(), other.changes()) == ([(1, "ward-system")], [(2, "ward-system")])
        assert one.alerts() == other.alerts() == []


@pytest.mark.slow
@pytest.mark.rule("SMSP-SEC-001", "WS-SEC-08")
def test_without_its_registry_a_provider_soon_lets_nobody_in_and_recovers_by_itself(tmp_path: Path, spine: str) -> None:
    with _host(tmp_path / "host", spine, "stale_seconds = 1, refresh_seconds = 0.2") as host:
        host.client("add", *CLIENT)
        assert _in_force(host, "SMSP-0000", time.monotonic())
        file = tmp_path / "host" / "audit" / "clients.db"
        away = file.rename(file.with_name("away.db"))
        assert _within(PATIENCE_SECONDS, lambda: _stays(host, "fault 2100"))
        assert set(host.alerts()) == {"client-registry-unavailable"}
        away.rename(file)
        assert _within(PATIENCE_SECONDS, lambda: _stays(host, "SMSP-0000"))
