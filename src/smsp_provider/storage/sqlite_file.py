"""A SQLite file that may hold an audit trail: private, in WAL mode, synchronous, of a known form.

Source: SQLite documentation (WAL, PRAGMA synchronous); SMSP-AUDIT-001 (always on, entries cannot be altered).
"""

import os
import sqlite3
import stat
from enum import Enum
from pathlib import Path
from typing import Final

__all__ = ["StorageUnsafe", "Synchronous", "connect_reader", "connect_writer"]

_APPLICATION_ID: Final = 0x534D5350
"""``SMSP`` in ASCII: tells this file from any other SQLite database."""
_FORM: Final = 1
_PRIVATE_FILE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_FIRST_FORM: Final = (
    """CREATE TABLE writer (
        id INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, pid INTEGER NOT NULL, at TEXT NOT NULL,
        after INTEGER NOT NULL
    )""",
    "CREATE TABLE writer_end (writer INTEGER PRIMARY KEY REFERENCES writer (id), at TEXT NOT NULL)",
    """CREATE TABLE record (
        seq INTEGER PRIMARY KEY, writer INTEGER NOT NULL REFERENCES writer (id), kind TEXT NOT NULL, exchange TEXT,
        at TEXT NOT NULL, body TEXT NOT NULL
    )""",
    *(
        f"CREATE TRIGGER {table}_no_{action} BEFORE {action} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        for table in ("writer", "writer_end", "record")
        for action in ("UPDATE", "DELETE")
    ),
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_FORM}",
)


class StorageUnsafe(Exception):
    """The file must not hold an audit trail as it is; the text says why and needs an operator."""


class Synchronous(Enum):
    """When a commit counts as durable; the value is SQLite's level.

    ``FULL``: on the disk, survives a power cut. ``NORMAL``: with the operating system, survives the death of the
    process only; for tests and a sandbox.
    """

    NORMAL = 1
    FULL = 2


def connect_writer(path: Path, synchronous: Synchronous, *, wait_s: float) -> sqlite3.Connection:
    """Open, and on first use make, the database at ``path``; autocommit, usable from any thread.

    A statement waits up to ``wait_s`` seconds for the write lock of another process.

    Raises:
        StorageUnsafe: others may read it, it is another kind of database, or it is not in WAL mode.
        sqlite3.Error, OSError: it cannot be opened.
    """
    _make_private(path)
    connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
        _check_form(connection)
        _check_modes(connection, synchronous)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, wait_s: float) -> sqlite3.Connection:
    """Open an existing database for reading only.

    Raises:
        StorageUnsafe: it is another kind of database.
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=wait_s, isolation_level=None)
    try:
        _check_form(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    """The directory is the trail's own; SQLite gives its -wal and -shm files the rights of the database file."""
    path.parent.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if path.parent.stat().st_mode & _OTHERS:
        raise StorageUnsafe("the directory of the audit trail is open to other users: it must have mode 0700")
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE))
    if path.stat().st_mode & _OTHERS:
        raise StorageUnsafe("the audit trail is open to other users: it must have mode 0600")


def _value(connection: sqlite3.Connection, pragma: str) -> object:
    row = connection.execute(f"PRAGMA {pragma}").fetchone()
    return None if row is None else row[0]


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None


def _prepare(connection: sqlite3.Connection) -> None:
    """Give an empty file its mode and form. An existing one is never converted: it is refused by the checks."""
    if not _is_empty(connection):
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Two processes may start at once; the second one finds the work done.
        if _is_empty(connection):
            for statement in _FIRST_FORM:
                connection.execute(statement)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _check_form(connection: sqlite3.Connection) -> None:
    if _value(connection, "application_id") != _APPLICATION_ID:
        raise StorageUnsafe("the file is a database of another application")
    if _value(connection, "user_version") != _FORM:
        raise StorageUnsafe("the audit trail has a form that this version does not know")


def _check_modes(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    if _value(connection, "journal_mode") != "wal":
        raise StorageUnsafe("the audit trail is not in WAL mode, or its file system cannot hold it")
    connection.execute(f"PRAGMA synchronous = {synchronous.value}")
    if _value(connection, "synchronous") != synchronous.value:
        raise StorageUnsafe("the synchronous level of the audit trail cannot be set")
    connection.execute("PRAGMA foreign_keys = OFF")
