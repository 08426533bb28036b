"""Which files may hold an audit trail."""

import os
import sqlite3
import stat
import threading
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.sqlite_audit_schema import day_statements
from smsp_provider.storage.sqlite_file import Synchronous, connect_reader, connect_writer, has_room, is_in_memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "audit.sqlite"


def _make(path: Path) -> None:
    connect_writer(path, Synchronous.FULL, wait_s=1).close()


_INSERT = "INSERT INTO row_20261121 VALUES (1, ?, 'start', 0, NULL, x'', x'', ?)"


def _begin_lane(connection: sqlite3.Connection) -> None:
    for statement in day_statements(date(2026, 11, 21)):
        connection.execute(statement)
    connection.execute("INSERT INTO lane VALUES (1, 'L', '2026-11-21', 'W', 1, 0, 'K', x'00')")


@pytest.mark.rule("SMSP-AUDIT-001", "IFC-LOG-02")
def test_files_and_directory_are_for_this_user_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(connect_writer(path, Synchronous.FULL, wait_s=1)):
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"audit.sqlite": 0o600, "audit.sqlite-wal": 0o600, "audit.sqlite-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("open_one", ["file", "directory"])
def test_a_trail_open_to_others_is_refused(path: Path, open_one: str) -> None:
    _make(path)
    (path if open_one == "file" else path.parent).chmod(0o750)
    with pytest.raises(StorageUnsafe, match="open to other users"):
        _make(path)


@pytest.mark.parametrize("level", Synchronous)
def test_the_synchronous_level_is_the_one_asked_for(path: Path, level: Synchronous) -> None:
    with closing(connect_writer(path, level, wait_s=1)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level.value,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_commits_are_seldom_held_up_by_the_move_of_the_log_and_the_log_stays_bounded(path: Path) -> None:
    moved: list[int] = []
    with closing(connect_writer(path, Synchronous.NORMAL, wait_s=1)) as connection:
        _begin_lane(connection)
        before = path.stat().st_size
        for number in range(6000):
            connection.execute(_INSERT, (number + 1, f"{number:900}".encode()))
            if path.stat().st_size != before:
                moved.append(number)
                before = path.stat().st_size
        assert len(moved) in (1, 2)
        assert moved[0] > 2000
        assert path.with_name("audit.sqlite-wal").stat().st_size < 64_000_000


def test_a_trail_that_lost_its_write_ahead_log_is_refused_and_not_converted(path: Path) -> None:
    _make(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with pytest.raises(StorageUnsafe, match="WAL"):
        _make(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_the_database_of_another_application_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    path.chmod(0o600)
    with pytest.raises(StorageUnsafe, match="another application"):
        _make(path)
    with pytest.raises(StorageUnsafe, match="another application"):
        connect_reader(path, wait_s=1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_a_form_of_a_later_version_is_refused(path: Path) -> None:
    with closing(connect_writer(path, Synchronous.FULL, wait_s=1)) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(StorageUnsafe, match="does not know"):
        _make(path)


def test_a_trail_without_a_chain_is_refused_with_what_to_do(path: Path) -> None:
    with closing(connect_writer(path, Synchronous.FULL, wait_s=1)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StorageUnsafe, match="move its directory away"):
        _make(path)


_CHANGES = {
    "the trail": ("UPDATE trail SET id = 'X'", "DELETE FROM trail", "INSERT INTO trail VALUES ('X', '', 2)"),
    "a lane": ("UPDATE lane SET writer = 'X'", "DELETE FROM lane", "REPLACE INTO lane SELECT * FROM lane"),
    "the end of a lane": (
        "UPDATE lane_end SET at = 1",
        "DELETE FROM lane_end",
        "REPLACE INTO lane_end VALUES (2, 1)",
    ),
    "what was erased": ("UPDATE erased SET n = 7", "DELETE FROM erased", "REPLACE INTO erased VALUES (1, 1, 9, 9)"),
    "a root": ("UPDATE root SET statement = x'00'", "DELETE FROM root", "REPLACE INTO root VALUES (1, x'00', x'00')"),
    "a record": (
        "UPDATE chain_20261121 SET kind = 'X'",
        "DELETE FROM chain_20261121",
        "REPLACE INTO chain_20261121 SELECT * FROM chain_20261121",
    ),
    "a content": (
        "UPDATE content_20261121 SET sealed = x'00'",
        "DELETE FROM content_20261121 WHERE n = 2",
        "REPLACE INTO content_20261121 SELECT * FROM content_20261121",
    ),
}


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("changes", _CHANGES.values(), ids=_CHANGES)
def test_what_is_on_record_cannot_be_changed_or_removed(path: Path, changes: tuple[str, ...]) -> None:
    with closing(connect_writer(path, Synchronous.FULL, wait_s=1)) as connection:
        _begin_lane(connection)
        connection.execute(_INSERT, (1, b"erased"))
        connection.execute(_INSERT, (2, b"kept"))
        connection.execute("INSERT INTO lane_end VALUES (2, 0)")
        connection.execute("INSERT INTO erased VALUES (1, 1, 1, 2)")
        connection.execute("INSERT INTO root VALUES (1, x'', x'')")
        before = list(connection.iterdump())
        for change in changes:
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(change)
        assert list(connection.iterdump()) == before


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_content_goes_only_where_it_was_erased_and_a_key_may_be_wrapped_anew(path: Path) -> None:
    with closing(connect_writer(path, Synchronous.FULL, wait_s=1)) as connection:
        _begin_lane(connection)
        connection.execute(_INSERT, (1, b"erased"))
        connection.execute("INSERT INTO erased VALUES (1, 1, 1, 2)")
        connection.execute("DELETE FROM content_20261121 WHERE n = 1")
        connection.execute("UPDATE lane SET key_id = 'new', wrapped_key = x'01'")
        assert connection.execute("SELECT n, sealed FROM row_20261121").fetchall() == [(1, None)]


@pytest.mark.rule("SMSP-AUDIT-009")
def test_a_record_is_the_next_of_a_lane_that_goes_on(path: Path) -> None:
    with closing(connect_writer(path, Synchronous.FULL, wait_s=1)) as connection:
        _begin_lane(connection)
        connection.execute(_INSERT, (1, b""))
        for number in (0, 1, 3):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(_INSERT, (number, b""))
        connection.execute("INSERT INTO lane_end VALUES (1, 0)")
        with pytest.raises(sqlite3.IntegrityError, match="the lane is ended"):
            connection.execute(_INSERT, (2, b""))
        assert connection.execute("SELECT count(*) FROM row_20261121").fetchone() == (1,)


def test_a_reader_cannot_write(path: Path) -> None:
    _make(path)
    with closing(connect_reader(path, wait_s=1)) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("INSERT INTO root VALUES (1, x'', x'')")


def test_a_file_system_that_takes_no_more_is_told_from_one_with_room(path: Path) -> None:
    path.parent.mkdir()
    assert has_room(path)
    assert not has_room(Path("/proc/audit.sqlite")), "a real one without room, wherever this runs"
    with pytest.raises(OSError, match="No such file"):
        has_room(path.parent / "none" / "audit.sqlite")


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="only Linux tells of its mounts like that")
def test_a_file_system_in_memory_is_told_from_a_disk() -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    kinds = {line.split(" - ")[1].split()[0]: line.split()[4] for line in mounts.splitlines()}
    assert not is_in_memory(Path("/proc/audit.sqlite"))
    if "tmpfs" in kinds:
        assert is_in_memory(Path(kinds["tmpfs"], "audit.sqlite"))


@pytest.mark.rule("SMSP-AUDIT-001")
def test_several_that_start_at_once_make_one_file_between_them(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def start(path: Path, together: threading.Barrier) -> None:
        together.wait(60)
        try:
            connect_writer(path, Synchronous.NORMAL, wait_s=60).close()
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the test must tell
            failures.append(failure)

    for turn in range(30):
        together = threading.Barrier(4)
        path = tmp_path / str(turn) / "audit.sqlite"
        threads = [threading.Thread(target=start, args=(path, together)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert failures == []
