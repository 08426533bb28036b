"""A SQLite file that may hold an audit trail: private, in WAL mode, synchronous, of a known form.

Source: SQLite documentation (WAL, PRAGMA synchronous); SMSP-AUDIT-001 (always on, entries cannot be altered).
"""

import errno
import os
import sqlite3
import stat
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Final

from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.private_file import make_private
from smsp_provider.storage.sqlite_audit_schema import APPLICATION_ID, FORM, TRAIL
from smsp_provider.storage.sqlite_connection import to_log_mode, writing

__all__ = ["Synchronous", "connect_reader", "connect_writer", "has_room", "is_in_memory"]

_UNCHAINED: Final = 1
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SMALLEST_PAGE: Final = 512
_LEAST_ROOM: Final = 8_000_000
"""What the write-ahead log may take before it is moved into the file, and as much for the file, in bytes."""
_LOG_PAGES: Final = 8192
"""How long the write-ahead log gets before a commit moves it into the database: 33 MB, of some 2,000 requests.

Nobody commits meanwhile, for some ten milliseconds and however long the disk takes. At SQLite's own 1000 pages these
pauses took more of the time than the commits themselves.
"""
_IN_MEMORY: Final = ("tmpfs", "ramfs", "devtmpfs")
_LOOKS: Final = 4
_BETWEEN_LOOKS_SECONDS: Final = 0.005
_BEGIN_ANEW: Final = "although there was one here: restore it, or move away all that is left of it"


class Synchronous(Enum):
    """When a commit counts as durable; the value is SQLite's level.

    ``FULL``: on the disk, survives a power cut. ``NORMAL``: with the operating system, survives the death of the
    process only; for tests and a sandbox.
    """

    NORMAL = 1
    FULL = 2


def connect_writer(path: Path, synchronous: Synchronous, *, wait_s: float, create: bool = True) -> sqlite3.Connection:
    """Open the database at ``path``, and with ``create`` make it on first use; autocommit, usable from any thread.

    A statement waits up to ``wait_s`` seconds for the write lock of another process.

    Raises:
        StorageUnsafe: others may read it, it is another kind of database, it is not in WAL mode, its write-ahead log
            is lost, or without ``create`` there is nothing in its place.
        sqlite3.Error, OSError: it cannot be opened.
    """
    if create:
        # SQLite gives its -wal and -shm files the rights of the database file.
        make_private(path)
    _check_place(path, create=create)
    # (mode=rw: what went away since the check is not made anew either.)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=wait_s, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, wait_s=wait_s, create=create)
        _check_form(connection)
        _check_modes(connection, synchronous)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, wait_s: float) -> sqlite3.Connection:
    """Open an existing database for reading only, usable from any thread.

    Raises:
        StorageUnsafe: it is another kind of database.
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=wait_s, isolation_level=None, check_same_thread=False
    )
    try:
        _check_form(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def has_room(path: Path) -> bool:
    """Whether the file system of ``path`` takes more for some time to come; quotas are not looked at.

    Raises:
        OSError: its directory cannot be looked at.
    """
    found = os.statvfs(path.parent)
    return not found.f_flag & os.ST_RDONLY and found.f_bavail * found.f_frsize >= _LEAST_ROOM


def is_in_memory(path: Path) -> bool:
    """Whether the file system of ``path`` is lost with the machine's memory, as far as the system tells (Linux).

    Raises:
        OSError: its directory cannot be looked at.
    """
    device = path.parent.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(FileNotFoundError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            mount, _, kind = line.partition(" - ")
            if mount.split()[2] == number:
                return kind.split()[0] in _IN_MEMORY
    return False


def _check_place(path: Path, *, create: bool) -> None:
    """What can be told without SQLite, which removes the log of a file of no length, and with it the last records."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise StorageUnsafe(f"the audit trail is missing, {_BEGIN_ANEW}") from None
    if path.parent.stat().st_mode & _OTHERS:
        raise StorageUnsafe("the directory of the audit trail is open to other users: it must have mode 0700")
    if found.st_mode & _OTHERS:
        raise StorageUnsafe("the audit trail is open to other users: it must have mode 0600")
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, "not readable and writable")
    if found.st_size < _SMALLEST_PAGE and not create:
        raise StorageUnsafe(f"the audit trail is empty, {_BEGIN_ANEW}")
    if not _has_its_log(path):
        raise StorageUnsafe("the write-ahead log of the audit trail (-wal) is lost, and records with it")


def _has_its_log(path: Path) -> bool:
    """Whether there is a -wal wherever there is a -shm.

    SQLite makes the -wal first and removes it last, so the -shm alone is left by nothing but the loss of the log. We
    look more than once since another process may come or go between two looks.
    """
    log, shared_memory = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    for _ in range(_LOOKS):
        if log.exists() or not shared_memory.exists():
            return True
        time.sleep(_BETWEEN_LOOKS_SECONDS)
    return False


def _value(connection: sqlite3.Connection, pragma: str) -> object:
    row = connection.execute(f"PRAGMA {pragma}").fetchone()
    return None if row is None else row[0]


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None


def _prepare(connection: sqlite3.Connection, *, wait_s: float, create: bool) -> None:
    """Give an empty file its mode and form. An existing one is never converted: it is refused by the checks."""
    if not _is_empty(connection):
        return
    if not create:
        raise StorageUnsafe(f"the audit trail is empty, {_BEGIN_ANEW}")
    # (Whether it is: see _check_modes.)
    to_log_mode(connection, wait_s=wait_s)
    with writing(connection):
        # Two processes may start at once; the second one finds the work done.
        if _is_empty(connection):
            naming, *others = TRAIL
            connection.execute(naming)
            made_at = datetime.now(UTC).isoformat(timespec="microseconds")
            connection.execute("INSERT INTO trail VALUES (?, ?, ?)", (str(uuid.uuid4()).upper(), made_at, FORM))
            for statement in others:
                connection.execute(statement)


def _check_form(connection: sqlite3.Connection) -> None:
    if _value(connection, "application_id") != APPLICATION_ID:
        raise StorageUnsafe("the file is a database of another application")
    form = _value(connection, "user_version")
    if form == _UNCHAINED:
        raise StorageUnsafe(
            "the audit trail is of an earlier version, without a chain (form 1): keep it, but move its directory away,"
            " and let this version begin a new one"
        )
    if form != FORM:
        raise StorageUnsafe("the audit trail has a form that this version does not know")


def _check_modes(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    if _value(connection, "journal_mode") != "wal":
        raise StorageUnsafe("the audit trail is not in WAL mode, or its file system cannot hold it")
    connection.execute(f"PRAGMA synchronous = {synchronous.value}")
    if _value(connection, "synchronous") != synchronous.value:
        raise StorageUnsafe("the synchronous level of the audit trail cannot be set")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    # Not only while something is erased: a page that is split would keep copies of what was moved to another one.
    connection.execute("PRAGMA secure_delete = ON")
