"""Which files may hold an audit trail."""

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from smsp_provider.storage.sqlite_file import StorageUnsafe, Synchronous, connect_reader, connect_writer, has_room


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "audit.sqlite"


def _make(path: Path) -> None:
    connect_writer(path, Synchronous.FULL, wait_s=1).close()


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
        before = path.stat().st_size
        for number in range(9000):
            connection.execute(
                "INSERT INTO record (writer, kind, at, body) VALUES (1, 'start', '', ?)", (f"{number:900}",)
            )
            if path.stat().st_size != before:
                moved.append(number)
                before = path.stat().st_size
        assert len(moved) == 1
        assert moved[0] > 4000
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
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StorageUnsafe, match="form"):
        _make(path)


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("table", ["record", "writer", "writer_end"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET at = 'later'"])
def test_what_is_on_record_cannot_be_changed_or_removed(path: Path, table: str, change: str) -> None:
    with closing(connect_writer(path, Synchronous.FULL, wait_s=1)) as connection:
        connection.execute("INSERT INTO writer (token, pid, at, after) VALUES ('W', 1, 'now', 0)")
        connection.execute("INSERT INTO writer_end (writer, at) VALUES (1, 'now')")
        connection.execute("INSERT INTO record (writer, kind, at, body) VALUES (1, 'start', 'now', '{}')")
        read = "SELECT at FROM {}"
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(change.format(table))
        assert connection.execute(read.format(table)).fetchall() == [("now",)]


def test_a_reader_cannot_write(path: Path) -> None:
    _make(path)
    with closing(connect_reader(path, wait_s=1)) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("INSERT INTO writer (token, pid, at, after) VALUES ('W', 1, 'now', 0)")


def test_a_file_system_that_takes_no_more_is_told_from_one_with_room(path: Path) -> None:
    path.parent.mkdir()
    assert has_room(path)
    assert not has_room(Path("/proc/audit.sqlite")), "a real one without room, wherever this runs"
    with pytest.raises(OSError, match="No such file"):
        has_room(path.parent / "none" / "audit.sqlite")


@pytest.mark.rule("SMSP-AUDIT-001")
def test_several_that_start_at_once_make_one_file_between_them(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def start(path: Path, together: threading.Barrier) -> None:
        together.wait(20)
        try:
            connect_writer(path, Synchronous.NORMAL, wait_s=20).close()
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
