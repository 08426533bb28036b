"""The audit trail's database as one SQLite file, written by several processes of one host.

Source: SMSP-AUDIT-001, 004, 009, 011; safety.md section 5; serving.md section 4 (group commit).
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Final

from smsp_provider.audit.chain import Lane, SignedRoot
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.storage.audit_database import ErasedRow, Head, LaneClosed, NewLane, Row, StorageUnsafe
from smsp_provider.storage.sqlite_audit_reading import SqliteTrailReader, unavailable
from smsp_provider.storage.sqlite_audit_schema import LANE_ENDED, day_statements, first_id, suffix_of
from smsp_provider.storage.sqlite_file import Synchronous, connect_writer, has_room, is_in_memory
from smsp_provider.storage.writer_lock import WriterLock

__all__ = ["SqliteAuditDatabase", "keep_to"]

_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?)"
_IN_ONE: Final = 32
"""Records in one statement. Each step of SQLite lets go of the interpreter, and busy threads give it back slowly."""
_RETRY_SECONDS: Final = 0.0003
_BETWEEN_CHECKPOINTS_SECONDS: Final = 0.01
_FAILURES: Final = (sqlite3.Error, OSError, StorageUnsafe)


class SqliteAuditDatabase(SqliteTrailReader):
    """Implements :class:`smsp_provider.storage.audit_database.AuditDatabase` on the file ``path``.

    Its directory is the trail's own (0700, files 0600). Durable as ``synchronous`` says, within ``wait_s`` seconds of
    waiting for others. The file is opened by the first call, and again by each process after a fork. With
    ``on_disk_only`` a file system in memory is refused.

    A trail that does not exist is begun, but not where there are traces of an earlier one (the directory of the
    writers' locks), nor where this process or an ancestor was told by :func:`keep_to` which one it is.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: Synchronous = Synchronous.FULL,
        wait_s: float = 3.0,
        on_disk_only: bool = False,
    ) -> None:
        super().__init__(path, wait_s=wait_s)
        self._name = os.fspath(path)
        self._log_name = self._name + "-wal"
        self._locks = path.with_name(path.name + "-writers")
        self._synchronous = synchronous
        self._on_disk_only = on_disk_only
        self._inserts: dict[tuple[date, int], str] = {}
        self._begin()

    def _begin(self) -> None:
        """The state of one process: nothing is open yet."""
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = _kept_to.get(self._name)
        self._size = 0
        self._log_inode: int | None = None
        self._guard = threading.RLock()

    def open(self) -> str:
        """See :meth:`AuditDatabase.open`; the mark is the file's inode."""
        try:
            with self._guard:
                self._connected()
                return str(self._path.stat().st_ino)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from None

    def close(self) -> None:
        """See :meth:`AuditDatabase.close`."""
        # In this order: the last connection moves the log into the file, and one for reading cannot.
        self.close_reader()
        with self._guard:
            self._disconnect()

    def before_fork(self) -> None:
        """See :meth:`AuditDatabase.before_fork`.

        SQLite keeps a process-wide account of its locks on a file, which a forked child would inherit without the locks
        themselves. So no connection may be open at that moment, not even an idle one.
        """
        self._guard.acquire()
        self._disconnect()

    def after_fork_in_parent(self) -> None:
        """See :meth:`AuditDatabase.after_fork_in_parent`."""
        self._guard.release()

    def after_fork_in_child(self) -> None:
        """See :meth:`AuditDatabase.after_fork_in_child`."""
        inode, size = self._inode, self._size
        self._begin()
        self._inode, self._size = inode, size

    def has_room(self) -> bool:
        """See :meth:`AuditDatabase.has_room`; not while somebody keeps the lock for writing for too long."""
        try:
            if not has_room(self._path):
                return False
        except OSError as error:
            raise unavailable(error) from None
        with self._transaction():
            return True

    def take(self, name: str) -> WriterLock | None:
        """See :meth:`AuditDatabase.take`."""
        try:
            with self._guard:
                # The directory of the locks tells that there is a trail: none is made where the trail is gone.
                self._check_in_place()
            return WriterLock.take(self._locks, name)
        except (OSError, StorageUnsafe) as error:
            raise unavailable(error) from None

    def begin_lane(self, lane: NewLane, opening: Row, *, closing: tuple[Lane, Row] | None = None) -> Lane:
        """See :meth:`AuditDatabase.begin_lane`."""
        with self._transaction() as connection:
            if not connection.execute(
                "SELECT 1 FROM sqlite_schema WHERE name = ?", (f"row_{suffix_of(lane.day)}",)
            ).fetchone():
                for statement in day_statements(lane.day):
                    connection.execute(statement)
            if closing is not None:
                before, row = closing
                connection.execute(self._insert(before), (before.id, *row))
                self._end(connection, before, lane.at)
            (number,) = connection.execute(
                "INSERT INTO lane (token, day, writer, pid, at, key_id, wrapped_key) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " RETURNING id",
                (lane.token, lane.day.isoformat(), lane.writer, lane.pid, lane.at, lane.key_id, lane.wrapped_key),
            ).fetchone()
            made = Lane(number, lane.token, lane.day, lane.writer, lane.key_id, lane.wrapped_key)
            connection.execute(self._insert(made), (made.id, *opening))
        return made

    def append(self, lane: Lane, rows: Sequence[Row], *, ended: Iterable[Lane] = ()) -> None:
        """See :meth:`AuditDatabase.append`."""
        if len(rows) <= _IN_ONE and not ended:
            # One statement is a transaction of its own, and nearly all records come alone or in small groups.
            insert = self._insert(lane, len(rows))
            try:
                with self._guard:
                    connection = self._connected()
                    try:
                        self._insert_at_once(connection, insert, _values(lane, rows))
                    except BaseException as error:
                        self._after_failure(connection, error)
                        raise
            except _FAILURES as error:
                raise unavailable(error) from None
            return
        with self._transaction() as connection:
            connection.executemany(self._insert(lane), [(lane.id, *row) for row in rows])
            for one in ended:
                self._end(connection, one, rows[-1][2])

    def settled_head(self, lane: Lane) -> Head | None:
        """See :meth:`AuditDatabase.settled_head`: SQLite settles a transaction before its connection is closed."""
        if self._ask("SELECT 1 FROM lane_end WHERE lane = ?", (lane.id,)):
            raise LaneClosed(LANE_ENDED)
        return self.head(lane)

    def write_root(self, root: SignedRoot) -> None:
        """See :meth:`AuditDatabase.write_root`."""
        with self._transaction() as connection:
            connection.execute("INSERT INTO root (number, statement, signature) VALUES (?, ?, ?)", root)

    def erase(self, rows: Sequence[ErasedRow]) -> int:
        """See :meth:`AuditDatabase.erase`."""
        days = {lane.id: lane.day for lane in self.lanes()}
        gone = 0
        with self._guard:
            with self._transaction(before="PRAGMA secure_delete = ON") as connection:
                for row in rows:
                    connection.execute(
                        "INSERT INTO erased SELECT ?1, ?2, ?3, ?4"
                        " WHERE NOT EXISTS (SELECT 1 FROM erased WHERE lane = ?1 AND n = ?2)",
                        row,
                    )
                    table = f"content_{suffix_of(days[row.lane])}"
                    gone += connection.execute(
                        f"DELETE FROM {table} WHERE id = ?",  # noqa: S608 - the name of a day's table
                        (first_id(row.lane, row.n),),
                    ).rowcount
            self._empty_the_log(connection)
        return gone

    def _empty_the_log(self, connection: sqlite3.Connection) -> None:
        """Move the log into the file: what was erased stands in the one still, and in the other until then.

        Raises:
            AuditUnavailable: somebody reads what was there before, for longer than we wait.
        """
        give_up = time.monotonic() + self._wait_s
        try:
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > give_up:
                    raise AuditUnavailable("somebody reads the audit trail for long: what was erased is in its log yet")
                time.sleep(_BETWEEN_CHECKPOINTS_SECONDS)
        except sqlite3.Error as error:
            raise unavailable(error) from None

    def rewrap(self, lane: Lane, key_id: str, wrapped_key: bytes) -> None:
        """See :meth:`AuditDatabase.rewrap`."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE lane SET key_id = ?, wrapped_key = ? WHERE id = ?", (key_id, wrapped_key, lane.id)
            )

    def _insert_at_once(self, connection: sqlite3.Connection, insert: str, values: tuple[object, ...]) -> None:
        try:
            connection.execute(insert, values)
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            self._wait_for(connection, lambda: connection.execute(insert, values))

    def _insert(self, lane: Lane, records: int = 1) -> str:
        statement = self._inserts.get((lane.day, records))
        if statement is None:
            values = ", ".join([_ROW] * records)
            statement = f"INSERT INTO row_{suffix_of(lane.day)} VALUES {values}"  # noqa: S608 - our name, and marks
            self._inserts[lane.day, records] = statement
        return statement

    def _end(self, connection: sqlite3.Connection, lane: Lane, at: int) -> None:
        if connection.execute("SELECT 1 FROM lane_end WHERE lane = ?", (lane.id,)).fetchone() is not None:
            raise LaneClosed(LANE_ENDED)
        connection.execute("INSERT INTO lane_end (lane, at) VALUES (?, ?)", (lane.id, at))

    @contextmanager
    def _transaction(self, *, before: str | None = None) -> Iterator[sqlite3.Connection]:
        """One durable transaction of several statements; ``before`` is a PRAGMA for it.

        Raises:
            AuditUnavailable: it did not happen.
        """
        try:
            with self._guard:
                connection = self._connected()
                try:
                    if before is not None:
                        connection.execute(before)
                    self._wait_for(connection, lambda: connection.execute("BEGIN IMMEDIATE"))
                    yield connection
                    connection.execute("COMMIT")
                except BaseException as error:
                    self._after_failure(connection, error)
                    raise
        except _FAILURES as error:
            raise unavailable(error) from None

    def _wait_for(self, connection: sqlite3.Connection, work: Callable[[], object]) -> None:
        """Do ``work``, waiting for the write lock of another process in short steps.

        SQLite's own waiting grows to 100 ms a step, and misses the short gaps that a busy process leaves.
        """
        give_up: float | None = None
        while True:
            try:
                work()
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                give_up = give_up or now + self._wait_s
                if not _is_busy(error) or connection.in_transaction or now > give_up:
                    raise
            else:
                return
            time.sleep(_RETRY_SECONDS)

    def _after_failure(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """Leave no transaction open; after anything but a lock held elsewhere start from a new connection."""
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if not _is_busy(error):
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connected(self) -> sqlite3.Connection:
        self._check_in_place()
        if self._connection is None:
            create = self._inode is None and not self._locks.exists()
            connection = connect_writer(self._path, self._synchronous, wait_s=self._wait_s, create=create)
            try:
                self._check_disk()
                connection.execute("PRAGMA busy_timeout = 0")  # from here on _wait_for waits
                found = self._path.stat()
            except BaseException:
                connection.close()
                raise
            self._connection, self._inode, self._size = connection, found.st_ino, found.st_size
            self._log_inode = self._find_log()
        return self._connection

    def _check_disk(self) -> None:
        if self._on_disk_only and is_in_memory(self._path):
            raise StorageUnsafe("the audit trail is on a file system in memory, and would be lost with it")

    def _check_in_place(self) -> None:
        """A file that was moved away, replaced or emptied would still take records, and nobody would ever see them."""
        if self._inode is None:
            return
        # (os.stat with a plain string: twice a request, and Path.stat costs several times as much.)
        found = os.stat(self._name)  # noqa: PTH116 - see above
        if found.st_ino != self._inode:
            raise StorageUnsafe("the file of the audit trail was replaced while in use")
        if found.st_size < self._size:
            raise StorageUnsafe("the file of the audit trail was cut short while in use")
        self._size = found.st_size
        # SQLite removes the log with the last connection to the file, so not while this one is open.
        if self._connection is not None and self._find_log() != self._log_inode:
            raise StorageUnsafe("the write-ahead log of the audit trail was removed or replaced while in use")

    def _find_log(self) -> int | None:
        try:
            return os.stat(self._log_name).st_ino  # noqa: PTH116 - as in _check_in_place
        except FileNotFoundError:
            return None


_kept_to: dict[str, int] = {}


def keep_to(path: Path, mark: str) -> None:
    """From here on this process and its children write at ``path`` to the existing file of that mark and to no other.

    For the workers of a provider: only its start may begin a trail, since only the start puts itself on record. It is
    a fact about the process and so outlives forks, and any trail that is made later is bound by it.
    """
    _kept_to[os.fspath(path)] = int(mark)


def _values(lane: Lane, rows: Sequence[Row]) -> tuple[object, ...]:
    if len(rows) == 1:
        return lane.id, *rows[0]
    return tuple(value for row in rows for value in (lane.id, *row))


def _is_busy(error: BaseException) -> bool:
    """Whether another connection held a lock; nothing is wrong with the file or this connection then."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
