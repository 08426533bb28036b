"""The keeper's part for the search index: tells of damage once, and begins anew after a failure."""

from pathlib import Path

import pytest

from made_trails import Listener
from searched_trail import exchange
from signed_in import write_configuration
from smsp_provider.audit.operator_events import AlertKind
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.audit_index_task import IndexTask
from smsp_provider.config.settings import Settings, load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.wiring.audit import build_audit, build_audit_database
from smsp_provider.wiring.search import build_index


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "provider.toml"
    write_configuration(file, 'policy = "os-user"')
    return load_settings(file)


def _written(settings: Settings, *names: str) -> ChainedAuditTrail:
    trail = build_audit(settings, SystemClock())
    for name in names:
        intent, ending = exchange(name, SystemClock().now())
        trail.open_intent(intent)
        trail.close(ending)
    return trail


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-007")
def test_damage_of_a_lane_is_an_alert_once_and_the_rest_is_indexed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = _written(settings, "one", "two")
    database, listener = build_audit_database(settings), Listener()
    # (The database refuses such a record: what was written is read otherwise than it is.)
    original = database.contents
    monkeypatch.setattr(
        database,
        "contents",
        lambda lane, *, after=0: (
            found._replace(sealed=bytes(len(found.sealed))) if found.n in (2, 4) else found
            for found in original(lane, after=after)
        ),
    )
    task = IndexTask(settings, database, SystemClock(), listener)
    task.run()
    task.run()
    task.close()
    assert [(alert.kind, alert.reason) for alert in listener.alerts] == [
        (AlertKind.CHAIN_FAILED, "record 1:2: the seal is broken")
    ]
    index = build_index(settings, database, SystemClock())
    assert {lane: progress.n for lane, progress in index.progress().items()} == {1: 5}
    index.close()
    trail.close_session()
    database.close()


@pytest.mark.rule("SMSP-AUDIT-007")
@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_an_index_that_is_taken_away_is_made_anew(settings: Settings, *, replaced: bool) -> None:
    trail = _written(settings, "one")
    database = build_audit_database(settings)
    task = IndexTask(settings, database, SystemClock(), Listener())
    task.run()
    file = settings.audit.database.with_name("audit-index.db")
    for part in file.parent.glob("audit-index.db*"):
        part.unlink()
    if replaced:
        file.touch(mode=0o600)
    with pytest.raises(AuditUnavailable, match="audit-index"):
        task.run()
    task.run()
    index = build_index(settings, database, SystemClock())
    assert {lane: progress.n for lane, progress in index.progress().items()} == {1: 3}
    index.close()
    task.close()
    trail.close_session()
    database.close()


@pytest.mark.rule("SMSP-AUDIT-007")
def test_an_index_that_cannot_be_used_is_tried_again(settings: Settings) -> None:
    trail = _written(settings, "one")
    database = build_audit_database(settings)
    task = IndexTask(settings, database, SystemClock(), Listener())
    file = settings.audit.database.with_name("audit-index.db")
    file.mkdir()
    with pytest.raises(AuditUnavailable, match="audit-index"):
        task.run()
    file.rmdir()
    task.run()
    task.close()
    assert file.is_file()
    trail.close_session()
    database.close()
