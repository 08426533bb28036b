"""`smsp call` and `smsp serve` against real processes: answers, exit codes, signals, and what a death leaves behind."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox_process import COMMAND, RunningSandbox, environment, members, run_smsp, running_sandbox

PERSON = ("--nhs-number", "9990000034", "--dob", "19791103")
SEARCH = ("--family", "CORRIEHILL", "--given", "TAMSIN", "--gender", "2", "--dob", "19791103")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox") / "state") as running:
        yield running


def call(sandbox: RunningSandbox, *arguments: str, scheme: str = "http") -> "subprocess.CompletedProcess[str]":
    return run_smsp("call", *arguments, "--url", sandbox.url(scheme))


def with_certificate(sandbox: RunningSandbox, name: str = "client-sandbox-client") -> tuple[str, ...]:
    keys = sandbox.state / "keys"
    return "--cert", str(keys / f"{name}.crt"), "--key", str(keys / f"{name}.key"), "--ca", str(keys / "ca.crt")


def table(text: str) -> dict[str, str]:
    """The rows of the answer's table: what, and its value."""
    rows = (re.split(r"\s{2,}", line, maxsplit=1) for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


class TestCall:
    def test_a_verified_number_is_exit_code_0(self, sandbox: RunningSandbox) -> None:
        done = call(sandbox, "verifyNHSNumber", *PERSON)
        assert done.returncode == 0, done.stderr
        assert table(done.stdout)["response code"].split() == ["SMSP-0000", "Success"]
        assert table(done.stdout)["NHS number"] == "9990000034"

    def test_details_over_mutual_tls_with_the_local_identifier_reflected(self, sandbox: RunningSandbox) -> None:
        done = call(
            sandbox,
            *("getPatientDetails", *SEARCH, "--local-id", "A-1", "--username", "sandbox-client"),
            *with_certificate(sandbox),
            scheme="https",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        rows = table(done.stdout)
        assert rows["name"] == "MS TAMSIN CORRIEHILL"
        assert rows["local identifier"] == "A-1"
        assert rows["date of birth"] == "19791103"
        assert rows["practice"] == "Z90003"

    def test_another_response_code_is_exit_code_1(self, sandbox: RunningSandbox) -> None:
        done = call(sandbox, "verifyNHSNumber", "--nhs-number", "9990000034", "--dob", "19010101")
        assert done.returncode == 1
        assert table(done.stdout)["response code"].split()[0] == "DEMOG-0040"
        assert "NHS number" not in table(done.stdout)

    def test_a_fault_is_exit_code_4_and_tells_what_is_wrong(self, sandbox: RunningSandbox) -> None:
        done = call(
            sandbox,
            *("verifyNHSNumber", *PERSON, "--username", "somebody-else"),
            *with_certificate(sandbox),
            scheme="https",
        )
        assert done.returncode == 4
        assert table(done.stdout)["error code"] == "3000"
        assert "wsse:Username" in table(done.stdout)["error text"]

    def test_a_request_without_any_audit_identity_is_answered_as_the_rules_say(self, sandbox: RunningSandbox) -> None:
        done = call(sandbox, "verifyNHSNumber", *PERSON, "--ods", "")
        assert done.returncode == 1
        assert table(done.stdout)["response code"].split()[0] == "SMSP-0001"

    def test_what_xml_cannot_carry_is_not_sent(self, sandbox: RunningSandbox) -> None:
        done = call(sandbox, "verifyNHSNumber", "--nhs-number", "999\x01", "--dob", "19791103")
        assert done.returncode == 2
        assert "a character that XML cannot carry" in done.stderr

    def test_raw_shows_both_messages(self, sandbox: RunningSandbox) -> None:
        done = call(sandbox, "getNHSNumber", *SEARCH, "--raw", "--packaged-wsdl")
        request, response = done.stdout.split("--- response")
        assert "getNHSNumberRequest-v1-0" in request
        assert "<family>CORRIEHILL</family>" in request
        assert "UsernameToken" in request
        assert "getNHSNumberResponse-v1-0" in response
        assert 'extension="9990000034"' in response

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_nobody_there_is_exit_code_5(self, scheme: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        done = run_smsp("call", "verifyNHSNumber", *PERSON, "--url", f"{scheme}://127.0.0.1:{port}/smsp/pds")
        assert done.returncode == 5
        assert "connection refused" in done.stderr
        assert "Traceback" not in done.stderr

    def test_tls_that_is_refused_is_exit_code_5(self, sandbox: RunningSandbox) -> None:
        unknown = call(sandbox, "verifyNHSNumber", *PERSON, scheme="https")
        assert unknown.returncode == 5
        assert "TLS failed" in unknown.stderr
        anonymous = call(
            sandbox, "verifyNHSNumber", *PERSON, "--ca", str(sandbox.state / "keys" / "ca.crt"), scheme="https"
        )
        assert anonymous.returncode == 5
        assert "Traceback" not in unknown.stderr + anonymous.stderr

    def test_what_is_no_service_is_exit_code_5(self, sandbox: RunningSandbox) -> None:
        done = run_smsp("call", "verifyNHSNumber", *PERSON, "--url", sandbox.url("http") + "/nothing")
        assert done.returncode == 5
        assert "HTTP status 404" in done.stderr
        done = run_smsp(
            "call", "verifyNHSNumber", *PERSON, "--packaged-wsdl", "--url", sandbox.url("http") + "/nothing"
        )
        assert done.returncode == 5
        assert "HTTP status 404" in done.stderr


def records(database: Path) -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(database)) as audit:
        return list(audit.execute("SELECT kind, exchange FROM record ORDER BY seq"))


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def is_worker(pid: int, sandbox: RunningSandbox) -> bool:
    """A process with no children below a process that has only such ones is a worker of a listener."""
    return members(pid) == {pid} and pid in members(sandbox.process.pid)


class TestServe:
    def test_a_killed_worker_is_replaced_and_its_open_request_is_closed_on_the_audit_trail(
        self, tmp_path: Path
    ) -> None:
        with running_sandbox(tmp_path / "state") as sandbox:
            database = tmp_path / "state" / "audit" / "audit.db"
            before = len(records(database))
            # A person for whom Spine takes a minute: the request hangs in one worker.
            stuck = subprocess.Popen(
                [
                    *(*COMMAND, "call", "verifyNHSNumber", "--url", sandbox.url("http")),
                    *("--nhs-number", population_number("STUCKLEY"), "--dob", "19120601"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(),
            )
            assert eventually(lambda: len(records(database)) > before)
            kind, exchange = records(database)[-1]
            assert kind == "intent"
            with closing(sqlite3.connect(database)) as audit:
                (worker,) = audit.execute(
                    "SELECT pid FROM writer JOIN record ON writer.id = record.writer WHERE exchange = ?", (exchange,)
                ).fetchone()
            assert is_worker(worker, sandbox)
            os.kill(worker, signal.SIGKILL)
            assert eventually(lambda: ("closure", exchange) in records(database))
            assert stuck.wait(20) == 5
            assert call(sandbox, "verifyNHSNumber", *PERSON).returncode == 0

    def test_a_listener_that_dies_ends_everything_with_exit_code_3(self, tmp_path: Path) -> None:
        with running_sandbox(tmp_path / "state") as sandbox:
            family = members(sandbox.process.pid)
            arbiters = [
                pid
                for pid in family
                if pid != sandbox.process.pid and len(members(pid)) == 3  # an arbiter and its two workers
            ]
            assert len(arbiters) == 2
            os.kill(arbiters[0], signal.SIGKILL)
            assert sandbox.process.wait(15) == 3
            assert sandbox.all_gone(family, 5)
            assert "listener ended by itself (-9)" in (tmp_path / "state" / "provider.log").read_text()

    def test_sigusr1_switches_the_log_level_of_all_processes(self, tmp_path: Path) -> None:
        with running_sandbox(tmp_path / "state") as sandbox:
            log = tmp_path / "state" / "provider.log"
            assert '"level":"debug"' not in log.read_text()
            (provider,) = (pid for pid in members(sandbox.process.pid) if len(members(pid)) == 7)
            os.kill(provider, signal.SIGUSR1)
            # Two listeners, each with a master and two workers.
            assert eventually(lambda: log.read_text().count("The log level is now debug.") == 6)
            assert run_smsp("call", "verifyNHSNumber", *PERSON, "--url", sandbox.url("http")).returncode == 0
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
            # The engine's own events, not only those of the server around it.
            assert any(line["level"] == "debug" and line["event"] == "edge-answered" for line in lines)


def population_number(family: str) -> str:
    done = run_smsp("simulate", "list", "--family", family)
    return next(word for word in done.stdout.split() if re.fullmatch(r"999[0-9]{7}", word))
