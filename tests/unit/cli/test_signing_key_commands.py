"""`smsp audit signing-key` and `witness`: nothing takes over that nobody put on record."""

from pathlib import Path

import pytest

from audit_samples import start_of
from audit_trails import happened
from command_line import Done, run_main
from operator_samples import Listener
from signed_in import write_configuration
from smsp_provider.audit.events import Change
from smsp_provider.audit.roots import parse
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.config.settings import load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_signing_key import SigningKeyFile, public_pem
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.witness_file import read_witness_file
from smsp_provider.wiring.audit import build_audit
from smsp_provider.wiring.roots import build_folder, have_signing_key


@pytest.mark.rule("SMSP-AUDIT-008")
def test_a_rotation_is_on_record_before_its_key_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "provider.toml"
    write_configuration(config, 'policy = "os-user"\n')
    state = config.parent / "state"

    def run(command: str) -> tuple[int, str]:
        done = run_main(monkeypatch, capsys, "audit", "signing-key", command, "--config", config)
        return done.code, done.err

    assert run("init")[0] == ExitCode.OK
    trail = build_audit(load_settings(config), SystemClock())
    trail.record_start(start_of())
    trail.close_session()
    (current,) = state.glob("*signing.key")
    keys = SigningKeyFile(current)

    def full(*_: object) -> None:
        raise AuditUnavailable("SQLITE_FULL")

    with monkeypatch.context() as patched:
        patched.setattr(ChainedAuditTrail, "record_change", full)
        assert run("rotate")[0] == ExitCode.CANNOT_START
    assert keys.following() is None
    assert run("rotate") == (ExitCode.OK, "")
    following = keys.following()
    assert following is not None
    records = happened(build_audit(load_settings(config), SystemClock()).read())
    changes = [record for record in records if isinstance(record, Change)]
    assert [following.public_key.hex() in (change.after or "") for change in changes] == [True]


def test_before_the_first_start_a_key_that_is_there_is_rotated_and_one_that_is_not_is_told_how_to_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "provider.toml"
    write_configuration(config, 'policy = "os-user"\n')

    def run(command: str) -> Done:
        return run_main(monkeypatch, capsys, "audit", "signing-key", command, "--config", config)

    for command in ("show", "rotate"):
        done = run(command)
        assert done.code == ExitCode.CANNOT_START
        assert "audit-signing.key: is not there: `smsp audit signing-key init` makes it" in done.err
    assert not (tmp_path / "state").exists()
    assert run("init").code == ExitCode.OK
    done = run("rotate")
    assert (done.code, done.err) == (ExitCode.OK, "")
    # The first root is signed with the key of before, and names the new one.
    settings = load_settings(config)
    trail = build_audit(settings, SystemClock())
    build_folder(settings, trail.database, SystemClock(), Listener()).run()
    (root,) = trail.database.roots()
    trail.database.close()
    statement = parse(root.statement)
    assert statement.next_key is not None
    assert public_pem(statement.next_key) == done.out == run("show").out


def test_a_witness_is_begun_where_there_is_one_and_something_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "provider.toml"
    write_configuration(config, 'policy = "os-user"\n')
    trail = build_audit(load_settings(config), SystemClock())
    trail.record_start(start_of())
    trail.close_session()

    def begin() -> Done:
        return run_main(monkeypatch, capsys, "audit", "witness", "begin", "--config", config)

    missing = begin()
    assert (missing.code, "there is no witness" in missing.err) == (ExitCode.USAGE, True)
    lines = tmp_path / "witness" / "roots.jsonl"
    monkeypatch.setenv("SMSP_AUDIT__WITNESS_FILE", str(lines))
    early = begin()
    assert (early.code, "no root yet" in early.err) == (ExitCode.CANNOT_START, True)
    settings = load_settings(config)
    have_signing_key(settings)
    build_folder(settings, trail.database, SystemClock(), Listener()).run()
    away = begin()
    assert (away.code, "its directory is not there" in away.err) == (ExitCode.CANNOT_START, True)
    lines.parent.mkdir()
    assert begin().out == f"{lines}: has 1 roots now\n"
    assert list(read_witness_file(lines)) == list(trail.database.roots())
    assert begin().out == f"{lines}: has roots already\n"
    changes = [record for record in happened(trail.read()) if isinstance(record, Change)]
    assert [(change.name, change.before, change.after) for change in changes] == [("witness", None, f'"{lines}"')]
    trail.database.close()
