"""A provider killed as a whole between intent and outcome of a real request (safety.md, section 5)."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from audit_trails import happened, make_trail
from e2e.lies import ASKED, SHAPES
from e2e.world import CROSS_CHECK, RETRIEVAL, Answer, World, make_world, read_answer
from free_ports import free_port
from itk_messages import Request, request_for
from kept_output import keep_file
from smsp_provider.audit.events import Closure, Ending, Intent, Record
from smsp_provider.simulator.faults import Fault, FaultKind

ROOT = Path(__file__).resolve().parents[2]
DETAILS = SHAPES[2]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path / "world", ASKED) as made:
        yield made


def _config(world: World, port: int, folder: Path) -> Path:
    pki = world.pki
    spine = (
        f'endpoint = "{world.spine.url}", certificate = "{pki.provider_client.certificate}", '
        f'key = "{pki.provider_client.key}", ca = "{pki.ca.certificate}", '
        'pds_asid = "100000000104", default_asid = "200000000205"'
    )
    file = folder / "provider.toml"
    file.write_text(
        f'environment = "test"\nserver = {{ http = "127.0.0.1:{port}", workers = 1, threads = 4 }}\n'
        f'spine = {{ {spine} }}\naudit = {{ database = "{folder / "audit" / "audit.db"}" }}\n'
        'clients = { policy = "any" }\n',
        encoding="utf-8",
    )
    return file


@contextmanager
def _provider(config: Path, errors: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with errors.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "smsp_provider.cli", "serve", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            _kill(process.pid)
        process.wait(60)
        keep_file("log", errors)


def _descendants(pid: int) -> list[int]:
    """The processes below one, by the kernel's own list (Linux)."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    children = [int(child) for child in listed]
    return children + [below for child in children for below in _descendants(child)]


def _kill(pid: int) -> None:
    """A power cut for a process and all below it: nobody gets to clean up, or to hear of the others' deaths."""
    everybody = [pid, *_descendants(pid)]
    for one in everybody:
        os.kill(one, signal.SIGSTOP)
    for one in reversed(everybody):
        os.kill(one, signal.SIGKILL)


def _post(port: int, request: Request) -> Answer:
    """Ask over HTTP, waiting until the provider listens."""
    until = time.monotonic() + 60
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)
    try:
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": request.soap_action}
        connection.request("POST", "/smsp/pds", request.body(), headers)
        response = connection.getresponse()
        return read_answer(response.status, response.read())
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-004", "SMSP-AUDIT-008")
@pytest.mark.parametrize(
    "interaction", [pytest.param(CROSS_CHECK, id="cross-check"), pytest.param(RETRIEVAL, id="retrieval")]
)
def test_the_next_start_closes_what_a_killed_provider_left_open(world: World, tmp_path: Path, interaction: str) -> None:
    port = free_port()
    config, errors = _config(world, port, tmp_path), tmp_path / "errors"
    request = request_for(DETAILS.service, DETAILS.fields(ASKED), now=datetime.now(UTC))
    ended: list[Answer | Exception] = []

    def ask() -> None:
        try:
            ended.append(_post(port, request))
        except (OSError, HTTPException) as error:
            ended.append(error)

    world.spine.faults.every(1, Fault(FaultKind.DELAY, seconds=60, interaction=interaction))
    expected = DETAILS.interactions.index(interaction) + 1
    with _provider(config, errors) as first:
        asking = threading.Thread(target=ask)
        asking.start()
        until = time.monotonic() + 60
        while world.calls() < expected:
            assert time.monotonic() < until, "the query never reached Spine"
            time.sleep(0.01)
        _kill(first.pid)
        first.wait(60)
        asking.join(60)
    assert isinstance(ended[0], Exception), "the caller got no answer"
    (intent,) = [record for record in _records(tmp_path) if isinstance(record, Intent)]
    assert not [record for record in _records(tmp_path) if isinstance(record, Ending | Closure)]
    world.calm()
    # At another port: at the old one the kernel may still reset who comes too early.
    port = free_port()
    with _provider(_config(world, port, tmp_path), errors):
        answer = _post(port, request)
        assert (answer.code, answer.numbers) == ("SMSP-0000", (ASKED.nhs_number,))
        assert b"1 requests of an earlier run had no recorded ending" in errors.read_bytes()
    records = _records(tmp_path)
    (closure,) = [record for record in records if isinstance(record, Closure)]
    assert closure.exchange_id == intent.exchange_id
    assert intent.request.nhs_number is not None, "the trail still says about whom it was"
    (ending,) = [record for record in records if isinstance(record, Ending)]
    assert ending.exchange_id != intent.exchange_id
    assert ASKED.nhs_number.encode() not in errors.read_bytes()


def _records(folder: Path) -> list[Record]:
    return happened(make_trail(folder / "audit" / "audit.db").read())
