"""Health, readiness and metrics of a served provider, from a process of its own."""

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandbox_process import members
from served_provider import ServedProvider, served
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.shared_throttle import current_use


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedProvider, Path]]:
    folder = tmp_path_factory.mktemp("ops") / "state"
    # One thread: it is busy as soon as anybody asks something slow.
    with served(folder, workers=1, threads=1, request_seconds=60) as (provider, _):
        yield provider, folder


def metric(provider: ServedProvider, name: str, **labels: str) -> float:
    page = provider.ops_get("/metrics").body.decode()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return 0.0


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_health_and_metrics_answer_while_every_thread_waits(running: tuple[ServedProvider, Path]) -> None:
    provider, _ = running
    before = len(provider.spine.arrivals)
    asking = threading.Thread(target=provider.ask)
    with provider.spine.silent():
        asking.start()
        assert eventually(lambda: len(provider.spine.arrivals) > before)
        assert [provider.ops_get(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
        assert metric(provider, "smsp_spine_in_flight") == 1
        assert asking.is_alive(), "the only thread was busy all the time"
    asking.join()
    assert metric(provider, "smsp_spine_in_flight") == 0


@pytest.mark.rule("SMSP-PERF-002")
def test_requests_are_counted_by_service_and_code(tmp_path: Path) -> None:
    labels = {"service": "verifyNHSNumber-v1-0", "code": "SMSP-0000"}
    # (A provider of its own: a worker that is killed takes what it counted in its last moment with it.)
    with served(tmp_path / "state", workers=2, threads=2) as (provider, _):
        assert [provider.ask().code for _ in range(3)] == ["SMSP-0000"] * 3
        # A worker hands on what it counted a little later.
        assert eventually(lambda: metric(provider, "smsp_requests_total", **labels) == 3)
        # It may have become midnight in between.
        assert metric(provider, "smsp_day_requests", day="today") in {3, 2, 1}


def test_readiness_tells_what_was_looked_at(running: tuple[ServedProvider, Path]) -> None:
    provider, _ = running
    found = provider.ops_get("/readyz")
    assert found.status == 200
    for part in (b'"ready": true', b'"draining": "no"', b'"audit-writable": "yes"', b'"breaker": "closed"'):
        assert part in found.body


def test_only_reading_of_what_there_is(running: tuple[ServedProvider, Path]) -> None:
    provider, _ = running
    assert provider.ops_get("/").status == 404
    assert provider.ops_get("/metrics", "POST").status == 405
    head = provider.ops_get("/healthz", "HEAD")
    assert (head.status, head.body) == (200, b"")


def test_callers_that_say_nothing_are_in_nobodys_way(running: tuple[ServedProvider, Path]) -> None:
    provider, _ = running
    with ExitStack() as stack:
        for beginning in (b"", b"GET /healthz", b"GET /healthz HTTP/1.1\r\nX: ", b"\x16\x03\x01 no HTTP\r\n\r\n") * 10:
            silent = stack.enter_context(socket.create_connection(provider.ops, timeout=60))
            silent.sendall(beginning)
        assert provider.ops_get("/healthz").status == 200
        huge = stack.enter_context(socket.create_connection(provider.ops, timeout=60))
        huge.sendall(b"GET /" + b"a" * 20_000)
        with suppress(ConnectionResetError):
            assert huge.recv(100) == b""
        assert provider.ops_get("/healthz").status == 200


def test_clients_without_a_registry_have_no_limits_to_show(running: tuple[ServedProvider, Path]) -> None:
    provider, folder = running
    provider.ask()
    assert current_use(folder / "audit" / "throttle.table", "nobody", SystemClock()) is None


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.rule("SMSP-PERF-001")
def test_what_a_killed_worker_had_at_spine_is_free_again(running: tuple[ServedProvider, Path]) -> None:
    provider, _ = running
    before = len(provider.spine.arrivals)

    def ask_in_vain() -> None:
        with suppress(OSError, http.client.HTTPException):
            provider.ask()

    asking = threading.Thread(target=ask_in_vain)
    with provider.spine.silent():
        asking.start()
        assert eventually(lambda: len(provider.spine.arrivals) > before)
        assert metric(provider, "smsp_spine_in_flight") == 1
        children = {pid for pid in members(provider.process.pid) if parent_of(pid) == provider.process.pid}
        (worker,) = (pid for pid in members(provider.process.pid) if parent_of(pid) in children)
        os.kill(worker, signal.SIGKILL)
        assert eventually(lambda: metric(provider, "smsp_spine_in_flight") == 0)
    asking.join()
    assert provider.ask().code == "SMSP-0000"


def test_metrics_that_cannot_be_made_are_a_status_and_a_line_of_the_log(running: tuple[ServedProvider, Path]) -> None:
    provider, folder = running
    (table,) = folder.rglob("throttle.table")
    content = table.read_bytes()
    with table.open("r+b") as file:
        file.seek(64)
        file.write(b"\xff" * 512)
    try:
        assert provider.ops_get("/metrics").status == 503
    finally:
        with table.open("r+b") as file:
            file.write(content)
    assert provider.ops_get("/metrics").status == 200
    assert "The metrics cannot be made: " in provider.log.read_text()
    assert "Traceback" not in provider.log.read_text()


def test_an_audit_trail_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    with served(tmp_path / "state", workers=1, threads=2) as (provider, _):
        audit = tmp_path / "state" / "audit"
        audit.rename(tmp_path / "state" / "moved")
        assert eventually(lambda: provider.ops_get("/readyz").status == 503)
        assert provider.ops_get("/healthz").status == 200
        assert provider.stop() == 0
