"""`smsp serve` and `smsp simulate serve` as processes: signals, deaths, and what they leave on the audit trail."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from audit_trails import chain_rows
from free_ports import free_port
from kept_output import keep
from sandbox_process import COMMAND, RunningSandbox, any_ports, environment, members, run_smsp, running_sandbox

GRACE_SECONDS = 3
PERSON = ("--nhs-number", "9990000034", "--dob", "19791103")


def records(database: Path) -> list[tuple[str, str | None]]:
    return [(row.kind, row.exchange) for row in chain_rows(database)]


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def provider_of(sandbox: RunningSandbox) -> int:
    """The process of the provider, once it has all of its own: two listeners of a master and two workers, a keeper."""

    def found() -> list[int]:
        return [pid for pid in members(sandbox.process.pid) if len(members(pid)) == 8 and pid != sandbox.process.pid]

    assert eventually(lambda: len(found()) == 1)
    log = sandbox.state / "provider.log"
    assert eventually(lambda: log.read_text().count("Booting worker") >= 4)
    return found()[0]


def number_of(family: str) -> str:
    """The NHS number of somebody of the shipped population."""
    done = run_smsp("simulate", "list", "--family", family)
    return next(word for word in done.stdout.split() if re.fullmatch(r"999[0-9]{7}", word))


@contextmanager
def verification(url: str, number: str, born: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A `smsp call` under way."""
    process = subprocess.Popen(
        [*COMMAND, "call", "verifyNHSNumber", "--url", url, "--nhs-number", number, "--dob", born],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def test_a_killed_worker_is_replaced_and_its_open_request_is_closed_on_the_audit_trail(tmp_path: Path) -> None:
    stuck = number_of("STUCKLEY")  # Spine takes a minute over this one
    with running_sandbox(tmp_path / "state") as sandbox:
        database = tmp_path / "state" / "audit" / "audit.db"
        before = len(records(database))
        with verification(sandbox.url("http"), stuck, "19120601") as caller:
            assert eventually(lambda: len(records(database)) > before)
            kind, exchange = records(database)[-1]
            assert kind == "intent"
            (worker,) = {row.pid for row in chain_rows(database) if row.exchange == exchange}
            assert worker in members(sandbox.process.pid)
            os.kill(worker, signal.SIGKILL)
            assert eventually(lambda: ("closure", exchange) in records(database))
            assert caller.wait(60) == 5
        assert run_smsp("call", "verifyNHSNumber", *PERSON, "--url", sandbox.url("http")).returncode == 0


def test_a_request_under_way_is_answered_before_the_provider_stops(tmp_path: Path) -> None:
    slow = number_of("SLOWCOMBE")  # a second for every query
    born = f"19{801 % 80 + 10}0601"
    for state in (tmp_path / "first", tmp_path / "second", tmp_path / "third"):
        with running_sandbox(state) as sandbox:
            database = state / "audit" / "audit.db"
            before = len(records(database))
            with verification(sandbox.url("http"), slow, born) as caller:
                assert eventually(lambda database=database, before=before: len(records(database)) > before)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                told = time.monotonic()
                sandbox.signal(signal.SIGTERM)
                answered = caller.wait(60)
                in_time = time.monotonic() < told + GRACE_SECONDS
            stopped = sandbox.process.wait(60)
        if answered == 0 or in_time:
            break
        # The machine stood still for all the time that a sandbox gives to what is under way.
    assert (answered, stopped) == (0, 0)
    assert [kind for kind, _ in records(database)[before:]] == ["intent", "ending"]


def test_a_listener_that_dies_ends_everything_with_exit_code_3(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "state") as sandbox:
        provider_of(sandbox)
        family = members(sandbox.process.pid)
        # A master and its two workers.
        masters = [pid for pid in family if pid != sandbox.process.pid and len(members(pid)) == 3]
        assert len(masters) == 2
        os.kill(masters[0], signal.SIGKILL)
        assert sandbox.process.wait(60) == 3
        assert sandbox.all_gone(family)
        assert "listener ended by itself (-9)" in (tmp_path / "state" / "provider.log").read_text()


def test_nothing_outlives_a_killed_provider(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "state") as sandbox:
        provider = provider_of(sandbox)
        family = members(provider)
        os.kill(provider, signal.SIGKILL)
        assert sandbox.all_gone(family)
        assert sandbox.process.wait(60) == 3


def test_sigusr1_switches_the_log_level_of_all_processes(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "state") as sandbox:
        log = tmp_path / "state" / "provider.log"
        assert '"level":"debug"' not in log.read_text()
        os.kill(provider_of(sandbox), signal.SIGUSR1)
        # Two listeners, each with a master and two workers.
        assert eventually(lambda: log.read_text().count("The log level is now debug.") == 6)
        assert run_smsp("call", "verifyNHSNumber", *PERSON, "--url", sandbox.url("http")).returncode == 0
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        # The engine's own events, not only those of the server around it.
        assert any(line["level"] == "debug" and line["event"] == "edge-answered" for line in lines)


def test_serve_runs_from_a_file_alone_and_its_log_goes_to_standard_output(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert run_smsp("sandbox", "--once", *any_ports(), "--state", state).returncode == 0
    process = subprocess.Popen(
        [*COMMAND, "serve", "--config", str(state / "provider.toml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        address = re.search(r'http = "([^"]+)"', (state / "provider.toml").read_text())
        assert address is not None
        host, _, port = address.group(1).rpartition(":")

        def is_ready() -> bool:
            connection = HTTPConnection(host, int(port), timeout=60)
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            except OSError:
                return False
            finally:
                connection.close()

        assert eventually(is_ready)
        # Nobody is behind the provider's Spine address now.
        done = run_smsp("call", "verifyNHSNumber", *PERSON, "--url", f"http://{address.group(1)}/smsp/pds")
        assert done.returncode == 1
        assert "SMSP-0004" in done.stdout
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        keep("log", out + err)
    assert process.returncode == 0
    assert f"smsp: serving on http://{address.group(1)}" in err
    assert "service.accepted_to is empty" in err
    codes = [line["code"] for line in map(json.loads, out.splitlines()) if line["event"] == "request-answered"]
    assert codes == ["SMSP-0004"]


def test_an_audit_trail_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert run_smsp("sandbox", "--once", *any_ports(), "--state", state).returncode == 0
    (state / "audit").chmod(0o755)
    done = run_smsp("serve", "--config", state / "provider.toml")
    assert done.returncode == 3
    assert "audit.database: " in done.stderr
    assert "must have mode 0700" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_embedded_spine_serves_alone_until_it_is_told_to_stop() -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    with socket.create_server(("127.0.0.1", port)):
        taken = run_smsp("simulate", "serve", "--listen", address)
        assert taken.returncode == 3
        assert f"cannot listen on {address}: Address already in use" in taken.stderr
    process = subprocess.Popen(
        [*COMMAND, "simulate", "serve", "--listen", address], stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        assert process.stdout is not None
        assert f"http://{address}/" in process.stdout.readline()
        connection = HTTPConnection(address, timeout=60)
        connection.request("GET", "/_simulator/faults")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
