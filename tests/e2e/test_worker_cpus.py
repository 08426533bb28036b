"""Workers of real gunicorn processes keep to CPUs of their own, also those that take another one's place."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_process import Server, until

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")

CPUS = sorted(os.sched_getaffinity(0))[:2]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _started(folder: Path, stack: ExitStack, **options: object) -> Server:
    server = Server(folder, None, cpus=CPUS, **options)
    stack.callback(server.stop)
    return server


def _of_workers(server: Server) -> list[list[int]]:
    return sorted(sorted(os.sched_getaffinity(pid)) for pid in server.pids())


def test_each_worker_has_a_cpu_of_its_own_and_its_successor_the_one_that_is_free(
    tmp_path: Path, stack: ExitStack
) -> None:
    server = _started(tmp_path, stack, workers=2)
    apart = [[cpu] for cpu in CPUS]
    assert _of_workers(server) == apart
    for number in range(2):
        # First the older one: its successor's number alone would not tell which CPU is free.
        gone = min(server.pids())
        server.kill(gone)
        begun = 3 + number
        until(lambda: server.log().count("serves now") == begun, server.log)  # noqa: B023 - called at once
        assert _of_workers(server) == apart


def test_all_threads_of_a_worker_are_on_its_cpu(tmp_path: Path, stack: ExitStack) -> None:
    server = _started(tmp_path, stack, workers=2)
    assert server.ask("GET", "/healthz")[0] == 200
    for pid in server.pids():
        threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
        assert len({frozenset(os.sched_getaffinity(thread)) for thread in threads}) == 1


def test_workers_that_others_are_handed_over_to_share_the_cpus_evenly(tmp_path: Path, stack: ExitStack) -> None:
    server = _started(tmp_path, stack, workers=2)
    before = server.pids()
    server.process.send_signal(signal.SIGHUP)
    until(lambda: len(server.pids()) == 2 and not set(before) & set(server.pids()), server.log)
    assert _of_workers(server) == [[cpu] for cpu in CPUS]


@pytest.mark.parametrize(
    "options", [{"workers": 1}, {"workers": 2, "pinned": False}], ids=["fewer workers than CPUs", "told not to"]
)
def test_a_worker_moves_freely_where_it_should(tmp_path: Path, stack: ExitStack, options: dict[str, object]) -> None:
    server = _started(tmp_path, stack, **options)
    assert _of_workers(server) == [CPUS] * len(server.pids())
