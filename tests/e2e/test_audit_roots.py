"""Roots and verification from outside: a provider over HTTP, its keeper, its witness, and the commands."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from audit_trails import chain_rows
from sandbox_process import COMMAND, environment, members, run_smsp
from served_provider import PATH, ServedProvider, served
from smsp_provider.audit.roots import parse
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.serve import check_roots
from smsp_provider.config.settings import Environment, load_settings
from smsp_provider.storage.witness_file import read_witness_file
from smsp_provider.wiring.audit import build_audit_database

_WAIT_SECONDS = 60.0


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings by the environment, for provider and commands; the witness's file."""
    file = tmp_path / "witness" / "roots.jsonl"
    file.parent.mkdir()
    monkeypatch.setenv("SMSP_AUDIT__WITNESS_FILE", str(file))
    monkeypatch.setenv("SMSP_AUDIT__FOLD_SECONDS", "0.1")
    monkeypatch.setenv("SMSP_OPERATORS__POLICY", "os-user")
    return file


def witnessed(file: Path) -> int:
    """How many records the witness's last root binds."""
    roots = list(read_witness_file(file)) if file.exists() else []
    return parse(roots[-1].statement).records if roots else 0


def written(folder: Path) -> int:
    """How many records there are."""
    with closing(sqlite3.connect(folder / "audit" / "audit.db")) as connection:
        days = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'chain_2*'")]
        tables = [day for day in days if day.count("_") == 1]
        return sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)  # noqa: S608 - names of day tables


def verified(folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return run_smsp("audit", "verify", "--config", folder / "provider.toml", *arguments)


def keeper_of(provider: ServedProvider) -> int:
    """The child that runs with a low priority."""
    found: list[int] = []

    def is_there() -> bool:
        found.clear()
        for pid in members(provider.process.pid) - {provider.process.pid}:
            # (It may have ended since.)
            with suppress(ProcessLookupError):
                if os.getpriority(os.PRIO_PROCESS, pid) == 10:
                    found.append(pid)
        return len(found) == 1

    until(is_there)
    return found[0]


@pytest.mark.rule("SMSP-AUDIT-001")
def test_every_record_of_a_provider_gets_into_a_root_and_a_changed_one_is_named(tmp_path: Path, witness: Path) -> None:
    folder = tmp_path / "provider"
    with served(folder) as (provider, _):
        assert provider.ask().status == 200
        until(lambda: witnessed(witness) == written(folder))
        until(lambda: b"smsp_audit_unbound_records 0.0" in provider.ops_get("/metrics").body)
        assert b"smsp_audit_root_age_seconds" in provider.ops_get("/metrics").body
        live = verified(folder)
        assert live.returncode == 0, live.stdout + live.stderr
        assert provider.ask().status == 200
        assert provider.stop() == 0
    # The keeper goes last: what the workers wrote at their end is bound too.
    assert witnessed(witness) == written(folder)
    copy = tmp_path / "copy.db"
    shutil.copy(folder / "audit" / "audit.db", copy)
    whole = verified(folder, "--database", copy, "--json")
    assert json.loads(whole.stdout)["whole"], whole.stdout
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'chain_????????'").fetchone()
        connection.execute(f"DROP TRIGGER {table}_no_update")
        token, n, row = connection.execute(
            f"SELECT token, n, {table}.id FROM {table} JOIN lane ON lane.id = lane WHERE kind = 'ending'"  # noqa: S608 - the name of a day table
        ).fetchone()
        connection.execute(f"UPDATE {table} SET at = at + 1 WHERE id = ?", (row,))  # noqa: S608 - as above
    changed = verified(folder, "--database", copy, "--json")
    assert changed.returncode == 1
    first = json.loads(changed.stdout)["findings"][0]
    assert (first["lane"], first["record"]) == (token, n)
    shown = verified(folder, "--database", copy)
    assert token in shown.stdout
    assert "not as it was written" in shown.stdout


def unended(folder: Path) -> list[int]:
    """The processes whose lanes go on."""
    with closing(sqlite3.connect(folder / "audit" / "audit.db")) as connection:
        return [
            pid for (pid,) in connection.execute("SELECT pid FROM lane WHERE id NOT IN (SELECT lane FROM lane_end)")
        ]


@pytest.mark.rule("SMSP-AUDIT-001")
def test_who_ended_the_lanes_of_killed_workers_ends_its_own_at_the_stop(tmp_path: Path, witness: Path) -> None:
    folder = tmp_path / "provider"
    with served(folder) as (provider, _):
        assert provider.ask().status == 200
        (killed,) = unended(folder)
        os.kill(killed, signal.SIGKILL)
        until(lambda: killed not in unended(folder))
        assert len(unended(folder)) == 1
        assert provider.stop() == 0
    assert unended(folder) == []
    assert witnessed(witness) == written(folder)


def refused(provider: ServedProvider, times: int) -> None:
    """Send what is no message: the first of a minute is on record by itself, the others are counted."""
    for _ in range(times):
        with closing(provider.connection()) as connection:
            connection.request("POST", PATH, b"<", {"Content-Type": "text/xml; charset=utf-8"})
            assert connection.getresponse().status == 500


def kinds(folder: Path) -> list[str]:
    return [row.kind for row in chain_rows(folder / "audit" / "audit.db")]


@pytest.mark.rule("SMSP-AUDIT-001")
def test_what_was_refused_in_the_last_minute_and_the_end_of_the_keepers_lane_are_in_the_last_root(
    tmp_path: Path, witness: Path
) -> None:
    folder = tmp_path / "provider"
    with served(folder) as (provider, _):
        refused(provider, 5)
        assert provider.stop() == 0
    assert "refusals" in kinds(folder)
    assert unended(folder) == []
    assert witnessed(witness) == written(folder)


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_to_all_processes_of_a_provider_stops_it_in_order(
    tmp_path: Path, witness: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "provider"
    with served(folder, drain_seconds=0.5) as (provider, spine), ThreadPoolExecutor(1) as pool:
        refused(provider, 5)
        with spine.silent():
            under_way = pool.submit(provider.ask)
            until(lambda: bool(spine.arrivals))
            below = members(provider.process.pid) - {provider.process.pid}
            for pid in below:
                os.kill(pid, number)
            # The signal was meant for their parent: without one of its own it serves on, and so do they.
            assert provider.ops_get("/readyz").status == 200
            refused(provider, 5)
            assert members(provider.process.pid) - {provider.process.pid} == below
            for pid in below | {provider.process.pid}:
                os.kill(pid, number)
            until(lambda: b'"draining": "yes"' in provider.ops_get("/readyz").body)
        assert under_way.result(_WAIT_SECONDS).code == "SMSP-0000"
        assert provider.process.wait(_WAIT_SECONDS) == 0
    assert "ended by itself" not in provider.log.read_text()
    assert unended(folder) == []
    assert witnessed(witness) == written(folder)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_witness_that_is_silent_keeps_no_record_out_of_the_last_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "provider"
    monkeypatch.setenv("SMSP_AUDIT__FOLD_SECONDS", "0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It takes connections, and never says anything.
        monkeypatch.setenv("SMSP_AUDIT__WITNESS_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/roots")
        with served(folder) as (provider, _):
            until(lambda: "audit-witness-unavailable" in provider.log.read_text())
            refused(provider, 5)
            assert provider.stop() == 0
    assert "refusals" in kinds(folder)
    assert unended(folder) == []
    with closing(sqlite3.connect(folder / "audit" / "audit.db")) as connection:
        (statement,) = connection.execute("SELECT statement FROM root ORDER BY number DESC LIMIT 1").fetchone()
    assert parse(statement).records == written(folder)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_the_provider_serves_on_without_its_keeper_and_gets_another(tmp_path: Path, witness: Path) -> None:
    folder = tmp_path / "provider"
    with served(folder) as (provider, _):
        until(lambda: witnessed(witness) > 0)
        killed = keeper_of(provider)
        os.kill(killed, signal.SIGKILL)
        assert provider.ask().status == 200
        until(lambda: "audit-keeper-down" in provider.log.read_text())
        until(lambda: witnessed(witness) == written(folder))
        assert keeper_of(provider) != killed
        assert provider.stop() == 0
    assert verified(folder).returncode == 0


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_restored_backup_is_found_out_and_goes_on_only_when_somebody_says_so(tmp_path: Path, witness: Path) -> None:
    folder = tmp_path / "provider"
    config = folder / "provider.toml"
    with served(folder) as (provider, _):
        assert provider.ask().status == 200
        assert provider.stop() == 0
    backup = tmp_path / "backup"
    shutil.copytree(folder / "audit", backup)
    with served(folder) as (provider, _):
        assert provider.ask().status == 200
        assert provider.stop() == 0
    lost = witnessed(witness)
    shutil.rmtree(folder / "audit")
    shutil.copytree(backup, folder / "audit")

    behind = verified(folder)
    assert behind.returncode == 1
    assert "the database ends before it" in behind.stdout
    live = load_settings(config).model_copy(update={"environment": Environment.LIVE})
    with pytest.raises(CannotStart, match="which the database has not"):
        check_roots(live, build_audit_database(live))
    # A provider that is not live serves, and makes no roots.
    with served(folder) as (provider, _):
        assert provider.ask().status == 200
        until(lambda: "audit-chain-failed" in provider.log.read_text())
        assert provider.stop() == 0
    assert witnessed(witness) == lost

    resume: list[str | Path] = ["audit", "witness", "resume", witness, "--config", config, "--reason", "the disk broke"]
    resumed = run_smsp(*resume)
    assert resumed.returncode == 0, resumed.stderr
    assert "has all roots" in run_smsp(*resume).stdout
    with served(folder) as (provider, _):
        assert provider.ask().status == 200
        assert provider.stop() == 0
    assert witnessed(witness) > lost
    # What was lost is named ever after, and nothing else is.
    after = verified(folder, "--json")
    findings = json.loads(after.stdout)["findings"]
    assert after.returncode == 1
    assert findings
    assert {finding["what"].partition(",")[0] for finding in findings} <= {"the lane is gone", "it is missing"}


@pytest.mark.usefixtures("witness")
def test_a_keeper_alone_makes_the_roots_and_changes_keys(tmp_path: Path) -> None:
    folder = tmp_path / "provider"
    with served(folder) as (provider, _):
        assert provider.stop() == 0
    config = folder / "provider.toml"
    before = run_smsp("audit", "signing-key", "show", "--config", config).stdout
    rotated = run_smsp("audit", "signing-key", "rotate", "--config", config)
    assert rotated.returncode == 0, rotated.stderr
    assert rotated.stdout != before
    public = tmp_path / "old.pem"
    public.write_text(before)
    keeper = subprocess.Popen(
        [*COMMAND, "audit", "keep", "--config", str(config)], stdout=subprocess.PIPE, env=environment()
    )
    try:
        until(lambda: not (folder / "audit" / "audit-signing.key.next").exists())
    finally:
        keeper.send_signal(signal.SIGTERM)
        out, _ = keeper.communicate(timeout=60)
    assert keeper.returncode == 0
    assert b"alert" not in out
    assert run_smsp("audit", "signing-key", "show", "--config", config).stdout == rotated.stdout
    # Whoever has the old key follows it to the new one.
    for arguments in ((), ("--public-key", public)):
        assert verified(folder, *arguments).returncode == 0


def test_a_witness_for_a_trail_that_is_there_already_is_begun_on_purpose(
    tmp_path: Path, witness: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "provider"
    monkeypatch.delenv("SMSP_AUDIT__WITNESS_FILE")
    with served(folder) as (provider, _):
        assert provider.stop() == 0
    monkeypatch.setenv("SMSP_AUDIT__WITNESS_FILE", str(witness))
    missing = verified(folder)
    assert (missing.returncode, missing.stdout) == (3, "")
    assert "`smsp audit witness begin` begins it" in missing.stderr
    witness.touch()
    empty = verified(folder)
    assert empty.returncode == 0
    assert "it has no root although the trail has: `smsp audit witness begin` begins it" in empty.stderr
    assert "which has not got the last" in empty.stdout
    with served(folder) as (provider, _):
        # At the start, and by the keeper.
        until(lambda: provider.log.read_text().count("witness begin") == 2)
        begun = run_smsp("audit", "witness", "begin", "--config", folder / "provider.toml")
        assert begun.returncode == 0, begun.stderr
        until(lambda: witnessed(witness) == written(folder))
        assert provider.stop() == 0
    assert verified(folder).returncode == 0
