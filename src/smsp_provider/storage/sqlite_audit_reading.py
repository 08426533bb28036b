"""What is kept in an audit trail in SQLite, read: also from a copy of the file, which is never written to.

SQLite cannot begin its write-ahead log anew while somebody is in the middle of a statement. So whoever reads from end
to end does so page by page, each page a statement of its own: a log that grows for as long as a lane of millions of
records is read would fill the disk, and what is erased meanwhile would stay in it.

Source: SMSP-AUDIT-001, 009; SQLite documentation (WAL).
"""

import errno
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from smsp_provider.audit.chain import ChainedRecord, Lane, SealedContent, SignedRoot
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.storage.audit_database import ErasedRow, Head, LaneClosed, StorageUnsafe
from smsp_provider.storage.sqlite_audit_schema import LANE_ENDED, MOST_LANES, MOST_RECORDS, first_id, last_id, suffix_of
from smsp_provider.storage.sqlite_file import connect_reader

__all__ = ["SqliteTrailReader", "connect_tolerant", "unavailable"]

_LANE: Final = "SELECT id, token, day, writer, key_id, wrapped_key FROM lane"
_CHAINED: Final = 'lane, n, kind, at, exchange, "commitment", link'
_OPEN_INTENTS: Final = (
    "SELECT exchange FROM ({rows}) WHERE kind = 'intent' EXCEPT"
    " SELECT exchange FROM ({rows}) WHERE kind IN ('ending', 'closure')"
)
_OF_A_WRITER: Final = 2
_OTHER_LANE: Final = "a lane is not what this version writes"
_PAGE: Final = 500
"""Keys of one statement, and rows at most that an iteration holds in memory."""
_LAST_NUMBER: Final = (1 << 63) - 1
"""The greatest that SQLite has."""

Row = TypeVar("Row")


class _Rows(NamedTuple):
    """What is read in pages: some columns of a table, by ascending ``key``; ``source`` goes on with a condition."""

    columns: str
    source: str
    key: str


def unavailable(error: BaseException) -> AuditUnavailable:
    """The failure as the trail tells it: SQLite's or the system's own name of the error, or our own fixed text."""
    match error:
        case AuditUnavailable():
            return error
        case StorageUnsafe():
            return AuditUnavailable(str(error))
        case sqlite3.IntegrityError() if str(error) == LANE_ENDED:
            return LaneClosed(LANE_ENDED)
        case sqlite3.Error():
            return AuditUnavailable(getattr(error, "sqlite_errorname", None) or type(error).__name__)
        case OSError():
            return AuditUnavailable(errno.errorcode.get(error.errno or 0, "EUNKNOWN"))
        case _:
            return AuditUnavailable(type(error).__name__)


def connect_tolerant(path: Path, *, wait_s: float) -> sqlite3.Connection:
    """A connection that reads what the trail's own writers never write, so that whoever verifies can say where it is.

    SQLite takes anything in any column. A text that is none, as when the bytes of a BLOB are called one, comes with
    replacement characters: so it is not equal to anything that was written.

    Raises:
        sqlite3.Error, OSError, StorageUnsafe: as :func:`smsp_provider.storage.sqlite_file.connect_reader` does.
    """
    connection = connect_reader(path, wait_s=wait_s)
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    return connection


class SqliteTrailReader:
    """Implements :class:`smsp_provider.audit.chain.TrailReader` on a file; safe for threads.

    Nothing is opened until it is needed. One connection stays open, and nothing is under way on it between two calls
    or two rows of an iteration. ``wait_s`` bounds the wait for the work of others.
    """

    def __init__(self, path: Path, *, wait_s: float = 3.0) -> None:
        self._path = path
        self._wait_s = wait_s
        self.begin_reading()
        _readers.add(self)

    def begin_reading(self) -> None:
        """The state of one process: nothing is open yet. Called by the hooks at the end of this module too."""
        self._reading = threading.RLock()
        self._reader: sqlite3.Connection | None = None
        self._reader_inode = 0

    def pause_reading(self) -> None:
        """Before a fork: a child must not inherit a connection, not even an idle one, because its locks would not."""
        self._reading.acquire()
        self.close_reader()

    def resume_reading(self) -> None:
        """After a fork, in the parent."""
        self._reading.release()

    def __del__(self) -> None:
        # Readers come and go with whoever asks; Python 3.13 complains of a connection that nobody closed.
        if self._reader is not None:
            self._reader.close()

    def close_reader(self) -> None:
        """Close what stays open for reading; the next call opens it again."""
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def trail_id(self) -> str:
        """See :meth:`TrailReader.trail_id`."""
        found = self._ask("SELECT id FROM trail")
        if len(found) != 1:
            raise AuditUnavailable("the audit trail has no name of its own")
        return str(found[0][0])

    def lanes(self, *, since: date | None = None, until: date | None = None) -> Sequence[Lane]:
        """See :meth:`TrailReader.lanes`.

        A lane of no day is none, and one of a number that none can have: their records have no place in any table.
        """
        where = " WHERE day >= ? AND day <= ? AND day IS date(day) AND id BETWEEN 1 AND ? ORDER BY id"
        return self._lanes(where, (_day(since, date.min), _day(until, date.max), MOST_LANES))

    def chain(self, lane: Lane, *, after: int = 0) -> Iterator[ChainedRecord]:
        """See :meth:`TrailReader.chain`."""
        return self._of_lane(lane, after, "chain", _CHAINED, ChainedRecord._make)

    def contents(self, lane: Lane, *, after: int = 0) -> Iterator[SealedContent]:
        """See :meth:`TrailReader.contents`."""
        return self._of_lane(lane, after, "content", "lane, n, sealed", SealedContent._make)

    def content(self, lane: Lane, n: int) -> SealedContent | None:
        """See :meth:`TrailReader.content`."""
        if not 0 < n <= MOST_RECORDS:
            return None
        found = self._of_day(lane, "content", "SELECT lane, n, sealed FROM {} WHERE id = ?", (first_id(lane.id, n),))
        return SealedContent._make(found[0]) if found else None

    def record(self, lane: Lane, n: int) -> ChainedRecord | None:
        """See :meth:`TrailReader.record`."""
        if not 0 < n <= MOST_RECORDS:
            return None
        found = self._of_day(lane, "chain", f"SELECT {_CHAINED} FROM {{}} WHERE id = ?", (first_id(lane.id, n),))  # noqa: S608 - constants
        return ChainedRecord._make(found[0]) if found else None

    def roots(self, *, after: int = 0) -> Iterator[SignedRoot]:
        """See :meth:`TrailReader.roots`."""
        rows = _Rows("number, statement, signature", "root WHERE", "number")
        return _paged(self._ask, rows, (after, _LAST_NUMBER), SignedRoot._make)

    def last_root(self) -> SignedRoot | None:
        """See :meth:`AuditDatabase.last_root`."""
        found = self._ask("SELECT number, statement, signature FROM root ORDER BY number DESC LIMIT 1")
        return SignedRoot._make(found[0]) if found else None

    def heads(self, *, since: date | None = None) -> Sequence[Head]:
        """See :meth:`AuditDatabase.heads`."""
        heads = (self.head(lane) for lane in self.lanes(since=since))
        return [head for head in heads if head is not None]

    def head(self, lane: Lane) -> Head | None:
        """Where a lane ends at this moment; None where it has no record."""
        query = "SELECT lane, n, link FROM {} WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
        found = self._of_day(lane, "chain", query, (first_id(lane.id), last_id(lane.id)))
        return Head._make(found[0]) if found else None

    def last_lane(self) -> Lane | None:
        """See :meth:`AuditDatabase.last_lane`."""
        found = self._lanes(" ORDER BY id DESC LIMIT 1", ())
        return found[0] if found else None

    def unended(self) -> Sequence[Lane]:
        """See :meth:`AuditDatabase.unended`."""
        return self._lanes(" WHERE id NOT IN (SELECT lane FROM lane_end) ORDER BY id", ())

    def ends(self, *, since: date | None = None) -> Sequence[int]:
        """See :meth:`AuditDatabase.ends`."""
        query = "SELECT lane FROM lane_end JOIN lane ON lane.id = lane WHERE day >= ? ORDER BY lane"
        return [int(lane) for (lane,) in self._ask(query, (_day(since, date.min),))]

    def open_intents(self, writer: str) -> Sequence[str]:
        """See :meth:`AuditDatabase.open_intents`."""
        lanes = self._lanes(" WHERE writer = ? ORDER BY id DESC LIMIT ?", (writer, _OF_A_WRITER))
        present = [lane for lane in lanes if self._has_table(f"chain_{suffix_of(lane.day)}")]
        if not present:
            return []
        rows = " UNION ALL ".join(
            f"SELECT kind, exchange FROM chain_{suffix_of(lane.day)} WHERE id BETWEEN {first_id(lane.id)} AND"  # noqa: S608 - numbers and a date
            f" {last_id(lane.id)}"
            for lane in present
        )
        return [str(exchange) for (exchange,) in self._ask(_OPEN_INTENTS.format(rows=rows))]

    def erased(self, lane: Lane) -> Iterator[ErasedRow]:
        """See :meth:`AuditDatabase.erased`."""
        rows = _Rows("lane, n, tombstone_lane, tombstone_n", f"erased WHERE lane = {lane.id:d} AND", "n")
        return _paged(self._ask, rows, (0, MOST_RECORDS), ErasedRow._make)

    def _lanes(self, where: str, values: Sequence[object]) -> list[Lane]:
        try:
            lanes = [
                Lane(int(number), token, date.fromisoformat(day), writer, key_id, wrapped_key)
                for number, token, day, writer, key_id, wrapped_key in self._ask(_LANE + where, values)
            ]
        except (TypeError, ValueError):
            raise AuditUnavailable(_OTHER_LANE) from None
        if any(not 0 < lane.id <= MOST_LANES for lane in lanes):
            raise AuditUnavailable(_OTHER_LANE)
        return lanes

    def _has_table(self, name: str) -> bool:
        """A day's table that is gone is a finding of those who verify, and no failure of reading."""
        return bool(self._ask("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)))

    def _of_day(self, lane: Lane, kind: str, query: str, values: Sequence[object]) -> list[Any]:
        table = f"{kind}_{suffix_of(lane.day)}"
        with self._asking() as connection:
            try:
                return connection.execute(query.format(table), values).fetchall()
            except sqlite3.OperationalError:
                # (Not asked beforehand: with the tables of some months that takes longer than the query.)
                if self._has_table(table):
                    raise
                return []

    def _of_lane(self, lane: Lane, after: int, kind: str, columns: str, make: Callable[[Any], Row]) -> Iterator[Row]:
        span = first_id(lane.id, after), last_id(lane.id)
        return _paged(partial(self._of_day, lane, kind), _Rows(columns, "{} WHERE", "id"), span, make)

    def _ask(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._asking() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        """The connection that stays open; anew after any failure, and where the file is another one by now."""
        with self._reading:
            try:
                inode = self._path.stat().st_ino
                if inode != self._reader_inode:
                    self.close_reader()
                if self._reader is None:
                    self._reader, self._reader_inode = connect_tolerant(self._path, wait_s=self._wait_s), inode
                yield self._reader
            except (sqlite3.Error, OSError, StorageUnsafe) as error:
                self.close_reader()
                raise unavailable(error) from None


def _paged(
    ask: Callable[[str, Sequence[object]], list[Any]],
    rows: _Rows,
    span: tuple[int, int],
    make: Callable[[Any], Row],
) -> Iterator[Row]:
    """The rows with a key above the first and up to the second number of ``span``, by ascending key, page by page.

    They are read up to the last key that there is at the beginning: what is appended meanwhile is left to the next
    iteration. So who reads two tables side by side, and begins with the second one later, finds all there that belongs
    to the rows of the first.
    """
    after, until = span
    where = f"FROM {rows.source} {rows.key} > ? AND {rows.key} <= ? ORDER BY {rows.key}"
    page_query, key_query = f"SELECT {rows.columns} {where}", f"SELECT {rows.key} {where}"
    last = ask(f"{key_query} DESC LIMIT 1", span)
    until = last[0][0] if last else after
    while after < until:
        begin, after = after, min(after + _PAGE, until)
        page = ask(page_query, (begin, after))
        yield from map(make, page)
        if not page:
            # (Millions of contents in a row may be erased.)
            following = ask(f"{key_query} LIMIT 1", (after, until))
            after = following[0][0] - 1 if following else until


_readers: "weakref.WeakSet[SqliteTrailReader]" = weakref.WeakSet()
_paused: list[SqliteTrailReader] = []


def _before_fork() -> None:
    for reader in list(_readers):
        reader.pause_reading()
        _paused.append(reader)


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().resume_reading()


def _after_fork_in_child() -> None:
    while _paused:
        _paused.pop().begin_reading()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _day(day: date | None, default: date) -> str:
    return (day or default).isoformat()
