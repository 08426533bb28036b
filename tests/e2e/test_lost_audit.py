"""A provider as processes whose audit trail is taken away: it stops to answer, and no later start hides the loss."""

import os
import signal
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from audit_trails import chain_rows
from sandbox_process import members, run_smsp, running_sandbox
from soak.outages import lose_the_store, may_mount

ASK = ("call", "verifyNHSNumber", "--nhs-number", "9990000034", "--dob", "19791103", "--url")


def _workers(database: Path, tree: int) -> list[int]:
    """The processes that serve: writers of the trail, but for those above them, which wrote start and registrations."""
    rows = chain_rows(database)
    known = {row.pid for row in rows} - {row.pid for row in rows if row.kind in ("start", "change", "act")}
    return [pid for pid in members(tree) if pid in known]


def _ready(url: str) -> int:
    """The status of /readyz; 0 while nobody listens."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    with closing(connection), suppress(OSError):
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    return 0


@pytest.mark.rule("SMSP-AUDIT-001")
def test_workers_begin_no_trail_of_their_own_after_the_directory_was_moved(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "state") as sandbox:
        url = sandbox.url("http")
        database = tmp_path / "state" / "audit" / "audit.db"
        assert run_smsp(*ASK, url).returncode == 0
        workers = _workers(database, sandbox.process.pid)
        assert workers
        moved = database.parent.rename(database.parent.with_name("moved"))
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while _ready(url) != 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _ready(url) == 503
        assert run_smsp(*ASK, url).returncode != 0
        assert not database.exists()
        assert moved.with_name("moved").joinpath("audit.db").exists(), "what was moved is untouched"


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("loss", ["log removed", "cut short"])
def test_nothing_is_answered_after_a_part_of_the_trail_was_destroyed(tmp_path: Path, loss: str) -> None:
    with running_sandbox(tmp_path / "state") as sandbox:
        url = sandbox.url("http")
        database = tmp_path / "state" / "audit" / "audit.db"
        assert run_smsp(*ASK, url).returncode == 0
        if loss == "cut short":
            os.truncate(database, 0)
        else:
            database.with_name("audit.db-wal").unlink()
        assert run_smsp(*ASK, url).returncode != 0
        assert _ready(url) == 503


@pytest.mark.slow
@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("outage", ["file system full", "no file may grow"])
def test_nothing_is_answered_while_the_store_takes_nothing_and_then_it_goes_on_by_itself(
    tmp_path: Path, outage: str
) -> None:
    if outage == "file system full" and not may_mount():
        pytest.skip("no right to mount a small file system")
    report = lose_the_store(outage, tmp_path / "state", 0.5)
    assert report.problems == []
    assert set(report.meanwhile) == {"fault 2100"}
    assert report.after["SMSP-0000"] > 0
    assert report.without_record == 0
