"""Loads an archive into an audit trail of its own, in a new SQLite file: for reading, verifying and searching.

The trail has the name of the one that the archive is of, and its lanes have their numbers, so that places named
elsewhere are found. It is a part of that trail and never goes on.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Final

from smsp_provider.audit.archive import ArchivedLane, ArchivedRecord, ArchiveInvalid, Manifest
from smsp_provider.storage.audit_archive_file import ArchiveFile
from smsp_provider.storage.private_file import make_private
from smsp_provider.storage.sqlite_audit_schema import FORM, TRAIL, day_statements, first_id, suffix_of
from smsp_provider.storage.sqlite_connection import writing

__all__ = ["restore_archive"]

_LANE: Final = "INSERT INTO lane (id, token, day, writer, pid, at, key_id, wrapped_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_CHAIN: Final = "INSERT INTO chain_{} VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_CONTENT: Final = "INSERT INTO content_{} VALUES (?, ?, ?, ?)"
_ERASED: Final = "INSERT INTO erased VALUES (?, ?, ?, ?)"
_ROOT: Final = "INSERT INTO root (number, statement, signature) VALUES (?, ?, ?)"
_END: Final = "INSERT INTO lane_end (lane, at) VALUES (?, ?)"


def restore_archive(archive: ArchiveFile, manifest: Manifest, path: Path, *, told: Callable[[date], None]) -> None:
    """Make the file ``path`` (0600) with all that an archive holds; ``told`` hears of each day that begins.

    The archive is taken as it is: ``manifest`` is what :meth:`ArchiveFile.manifest` gave.

    Raises:
        ArchiveInvalid: a line is none, or a record does not stand where it must.
        FileExistsError: there is a file at ``path``.
        OSError: a file cannot be read or written.
        sqlite3.Error: the database cannot be written.
    """
    if path.exists():
        raise FileExistsError(str(path))
    make_private(path)
    lanes = archive.lanes()
    by_token = {one.lane.token: one.lane for one in lanes}
    by_id = {one.lane.id: one.lane for one in lanes}
    if not len(by_token) == len(by_id) == len(lanes):
        raise ArchiveInvalid("a lane is in it twice")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with _transaction(connection):
            _begin(connection, manifest, lanes)
            connection.executemany(_ROOT, archive.roots())
        records = archive.records(by_token)
        for day, of_day in groupby(records, key=lambda one: by_id[one.record.lane].day):
            told(day)
            with _transaction(connection):
                _fill(connection, day, of_day)
        with _transaction(connection):
            ends = [(one.lane.id, one.ended_at) for one in lanes if one.ended_at is not None]
            connection.executemany(_END, ends)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        with writing(connection):
            yield
    except sqlite3.IntegrityError as error:
        # A trigger or a key: what the text says is the schema's own.
        raise ArchiveInvalid(f"a record does not stand where it must: {error}") from None


def _begin(connection: sqlite3.Connection, manifest: Manifest, lanes: Iterable[ArchivedLane]) -> None:
    naming, *others = TRAIL
    connection.execute(naming)
    connection.execute("INSERT INTO trail VALUES (?, ?, ?)", (manifest.trail, manifest.trail_made_at, FORM))
    for statement in others:
        connection.execute(statement)
    connection.executemany(_LANE, map(_lane_row, lanes))
    for day in sorted({one.lane.day for one in lanes}):
        for statement in day_statements(day):
            connection.execute(statement)


def _lane_row(archived: ArchivedLane) -> tuple[object, ...]:
    lane = archived.lane
    return (
        lane.id,
        lane.token,
        lane.day.isoformat(),
        lane.writer,
        archived.pid,
        archived.at,
        lane.key_id,
        lane.wrapped_key,
    )


def _fill(connection: sqlite3.Connection, day: date, records: Iterable[ArchivedRecord]) -> None:
    chain, content = _CHAIN.format(suffix_of(day)), _CONTENT.format(suffix_of(day))
    for record, sealed, tombstone in records:
        number = first_id(record.lane, record.n)
        connection.execute(chain, (number, *record))
        if sealed is not None:
            connection.execute(content, (number, record.lane, record.n, sealed))
        elif tombstone is not None:
            connection.execute(_ERASED, (record.lane, record.n, *tombstone))
