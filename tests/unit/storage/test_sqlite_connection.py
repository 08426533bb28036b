"""WAL mode for however many that start at once, and transactions that are made whole or not at all."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from smsp_provider.storage.sqlite_connection import to_log_mode, writing


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that does not wait by itself for others."""
    return sqlite3.connect(path, timeout=0, isolation_level=None)


def test_who_finds_another_one_writing_waits_for_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    changed: list[bool] = []
    tries = threading.Semaphore(0)

    def change() -> None:
        with closing(_connect(path)) as connection:
            connection.set_trace_callback(lambda _: tries.release())
            changed.append(to_log_mode(connection, wait_s=60))

    with closing(_connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=change)
        thread.start()
        other.execute("CREATE TABLE t (n)")
        assert tries.acquire(timeout=60)
        assert tries.acquire(timeout=60), "it did not try again"
        other.execute("COMMIT")
        thread.join(60)
    assert changed == [True]


def test_whoever_writes_for_too_long_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(_connect(path)) as other, closing(_connect(path)) as connection:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            to_log_mode(connection, wait_s=0)


def test_what_has_no_file_has_no_log() -> None:
    with closing(_connect(Path(":memory:"))) as connection:
        assert not to_log_mode(connection, wait_s=0)


def test_an_exception_takes_everything_back(tmp_path: Path) -> None:
    with closing(_connect(tmp_path / "a.db")) as connection:
        with writing(connection):
            connection.execute("CREATE TABLE t (n INTEGER UNIQUE)")
        with pytest.raises(sqlite3.IntegrityError):
            _write_twice(connection, "INSERT INTO t VALUES (1)")
        assert connection.execute("SELECT * FROM t").fetchall() == []
        # (SQLite ends the transaction itself then, and what it says is not lost behind a second error.)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            _write_twice(connection, "INSERT OR ROLLBACK INTO t VALUES (1)")
        assert not connection.in_transaction
        with writing(connection):
            connection.execute("INSERT INTO t VALUES (2)")
        assert connection.execute("SELECT * FROM t").fetchall() == [(2,)]


def _write_twice(connection: sqlite3.Connection, statement: str) -> None:
    with writing(connection):
        connection.execute(statement)
        connection.execute(statement)
