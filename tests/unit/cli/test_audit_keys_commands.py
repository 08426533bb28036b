"""`smsp audit keys`: made once, rotated, wrapped anew, listed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from audit_samples import intent_of
from audit_trails import happened
from command_line import Done, run_main
from signed_in import ADMINISTRATOR, Desk, write_configuration
from smsp_provider.audit.events import Change, Intent
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.cli.os_user import os_user
from smsp_provider.config.settings import load_settings
from smsp_provider.domain.operators import Account, Role
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_keys import key_ring_from_environment, read_key_ring, rotate_key_ring
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.wiring.audit import build_audit, build_audit_database

pytestmark = pytest.mark.rule("SMSP-AUDIT-001")

Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *arguments: run_main(monkeypatch, capsys, "audit", "keys", *arguments)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "provider.toml"
    write_configuration(file, 'policy = "os-user"\n')
    return file


def _write(config: Path) -> None:
    trail = build_audit(load_settings(config), SystemClock())
    trail.open_intent(intent_of("E1"))
    trail.close_session()


def test_the_first_key_is_made_once_and_never_over_another(config: Path, run: Run) -> None:
    file = config.parent / "state" / "audit.keys"
    done = run("init", "--config", config)
    assert (done.code, str(file) in done.out) == (0, True)
    before = file.read_bytes()
    assert run("init", "--config", config).code == ExitCode.CANNOT_START
    assert file.read_bytes() == before
    ring = read_key_ring(file)
    assert ring.keys[ring.current].hex() not in done.out + done.err


def test_for_the_environment_it_is_printed(config: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSP_AUDIT__KEYS_VARIABLE", "AUDIT_KEYS")
    done = run("init", "--config", config)
    assert done.code == 0
    assert not (config.parent / "state").exists()
    monkeypatch.setenv("AUDIT_KEYS", done.out)
    _write(config)
    assert not (config.parent / "state" / "audit.keys").exists()
    assert len(happened(build_audit(load_settings(config), SystemClock()).read())) == 1
    assert "AUDIT_KEYS" in run("rotate", "--config", config).err
    another = run("init", "--config", config).out.splitlines()[-1].replace("1 ", "2 ", 1)
    monkeypatch.setenv("AUDIT_KEYS", f"{done.out}{another}\n")
    current = key_ring_from_environment("AUDIT_KEYS").current
    assert run("rewrap", "--config", config).code == 0
    assert {lane.key_id for lane in build_audit_database(load_settings(config)).lanes()} == {current}


def test_a_rotation_wraps_every_lane_and_the_index_anew(config: Path, run: Run) -> None:
    _write(config)
    _write(config)
    done = run("rotate", "--config", config)
    assert done.code == 0
    # Two of exchanges, one of the command, one of the change.
    assert "4 lanes" in done.out
    old, new = read_key_ring(config.parent / "state" / "audit.keys").keys
    listed = run("list", "--config", config).out.splitlines()
    assert [line.split() for line in listed[2:]] == [[old, "0"], [new, "current", "5"]]
    records = happened(build_audit(load_settings(config), SystemClock()).read())
    assert sum(isinstance(record, Intent) for record in records) == 2


@pytest.mark.rule("SMSP-AUDIT-008")
def test_a_rotation_is_on_record_by_the_ids_of_the_keys_before_the_new_one_is_there(
    config: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(config)
    file = config.parent / "state" / "audit.keys"
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise AuditUnavailable("SQLITE_FULL")

    with monkeypatch.context() as patched:
        patched.setattr(ChainedAuditTrail, "record_change", full)
        assert run("rotate", "--config", config).code == ExitCode.CANNOT_START
    assert file.read_bytes() == before
    assert run("rotate", "--config", config).code == 0
    old, new = read_key_ring(file).keys
    records = happened(build_audit(load_settings(config), SystemClock()).read())
    (change,) = (record for record in records if isinstance(record, Change))
    assert (change.what, change.name, change.before, change.after) == ("audit trail", "keys", f'"{old}"', f'"{new}"')
    assert (change.who, change.version) == (os_user(), 0)


@pytest.mark.parametrize("command", ["rotate", "rewrap", "list"])
def test_before_the_first_start_it_is_said_how_the_keys_come_to_be(config: Path, run: Run, command: str) -> None:
    done = run(command, "--config", config)
    assert done.code == ExitCode.CANNOT_START
    assert "audit.keys: is not there: `smsp audit keys init` makes it" in done.err
    assert not (config.parent / "state").exists()


def test_a_lane_whose_key_is_lost_is_told_of(config: Path, run: Run) -> None:
    _write(config)
    file = config.parent / "state" / "audit.keys"
    lost = read_key_ring(file).current
    rotate_key_ring(file, SystemClock().now(), lambda _before, _after: None)
    _write(config)
    kept = [line for line in file.read_text(encoding="ascii").splitlines(keepends=True) if lost not in line]
    file.write_text("".join(kept), encoding="ascii")
    assert [lost, "MISSING", "1"] in [line.split() for line in run("list", "--config", config).out.splitlines()]
    done = run("rewrap", "--config", config)
    assert done.code == ExitCode.CANNOT_START
    assert "a lane has a key that is not there" in done.err


def test_with_the_keys_of_another_trail_nothing_can_be_put_on_record_so_nothing_runs(config: Path, run: Run) -> None:
    _write(config)
    (config.parent / "state" / "audit.keys").unlink()
    run("init", "--config", config)
    for command in ("list", "rewrap", "rotate"):
        done = run(command, "--config", config)
        assert done.code == ExitCode.CANNOT_START
        assert "the keys are not those that the audit trail was written with" in done.err


def test_keys_are_changed_by_administrators_and_seen_by_whoever_verifies(tmp_path: Path, run: Run) -> None:
    desk = Desk(tmp_path)
    desk.prepare()
    assert run("list", "--config", desk.config).code == ExitCode.NOT_ALLOWED
    assert run("rotate", "--config", desk.config).code == 0
    desk.sit_down(Account("second.one", "Grace Hopper", frozenset({Role.AUDITOR})))
    for command in ("rotate", "rewrap"):
        assert run(command, "--config", desk.config).code == ExitCode.NOT_ALLOWED
    assert run("list", "--config", desk.config).code == 0
    commands = [(act.operator, act.kind.value, act.detail) for act in desk.acts() if act.detail.startswith("audit")]
    assert commands == [
        (ADMINISTRATOR.name, "command-refused", "audit keys list"),
        (ADMINISTRATOR.name, "command", "audit keys rotate"),
        ("second.one", "command-refused", "audit keys rotate"),
        ("second.one", "command-refused", "audit keys rewrap"),
        ("second.one", "command", "audit keys list"),
    ]
