"""The audit trail in one SQLite file, written by many threads of several processes.

Source: SMSP-AUDIT-001, 004, 009, 011; safety.md section 5; serving.md section 4 (group commit).
"""

import errno
import os
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from smsp_provider.audit.decoding import UnreadableRecord, decode
from smsp_provider.audit.encoding import encode, kind_of, timestamp
from smsp_provider.audit.events import Change, Closure, Ending, Intent, OperatorAct, Record, Refusals, Start
from smsp_provider.audit.trail import AuditUnavailable, Entry
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.group_commit import BatchFailed, CommitTimeout, GroupCommit
from smsp_provider.storage.sqlite_file import StorageUnsafe, Synchronous, connect_reader, connect_writer, has_room
from smsp_provider.storage.writer_lock import WriterLock

__all__ = ["SqliteAuditTrail", "keep_to"]

_INSERT: Final = "INSERT INTO record (writer, kind, exchange, at, body) VALUES (?, ?, ?, ?, ?)"
_OPEN_INTENTS: Final = (
    "SELECT exchange FROM record WHERE seq > ?1 AND writer = ?2 AND kind = 'intent' EXCEPT"
    " SELECT exchange FROM record WHERE seq > ?1 AND writer = ?2 AND kind IN ('ending', 'closure')"
)
_UNENDED: Final = "SELECT id, token, after FROM writer WHERE id NOT IN (SELECT writer FROM writer_end)"

_RETRY_SECONDS: Final = 0.0003

Row = tuple[str, str | None, str, str]
"""kind, exchange, at, body."""


class SqliteAuditTrail:
    """Keeps the records at ``path``, whose directory is the trail's own (0700, files 0600).

    Durable as ``synchronous`` says, within a few times ``wait_s`` seconds, or :class:`AuditUnavailable`. The file is
    opened by the first call, and again by each process after a fork. ``close_session`` ends this process's part in it.

    A trail that does not exist is begun, but not where there are traces of an earlier one (the directory of the
    writers' locks), nor where this process or an ancestor was told by :func:`keep_to` which one it is.
    """

    def __init__(
        self, path: Path, clock: Clock, *, synchronous: Synchronous = Synchronous.FULL, wait_s: float = 3.0
    ) -> None:
        self._path = path
        self._name = os.fspath(path)
        self._log_name = self._name + "-wal"
        self._locks = path.with_name(path.name + "-writers")
        self._clock = clock
        self._synchronous = synchronous
        self._wait_s = wait_s
        self._begin()
        _trails.add(self)

    def _begin(self) -> None:
        """The state of one process: nothing is open yet."""
        self._connection: sqlite3.Connection | None = None
        self._lock: WriterLock | None = None
        self._writer = 0
        self._inode: int | None = _kept_to.get(self._name)
        self._size = 0
        self._log_inode: int | None = None
        self._guard = threading.RLock()
        # A commit may wait for another process, and a caller for the batch before its own: hence more than wait_s.
        self._group: GroupCommit[Row] = GroupCommit(self._write, wait_s=3 * self._wait_s)

    def pause(self) -> None:
        """Before a fork: close the file. Called by the hooks at the end of this module; nobody else needs it.

        SQLite keeps a process-wide account of its locks on a file, which a forked child would inherit without the locks
        themselves. So no connection may be open at that moment, not even an idle one.
        """
        self._guard.acquire()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def resume(self) -> None:
        """After a fork, in the parent: the next record opens the file again, as the same writer."""
        self._guard.release()

    def begin_anew(self) -> None:
        """After a fork, in the child: another writer, which lets go of its parent's lock without ending it."""
        if self._lock is not None:
            self._lock.release()
        inode, size = self._inode, self._size
        self._begin()
        self._inode, self._size = inode, size

    def open(self) -> int:
        """Open the file now rather than at the first record, so that an unsafe one stops the start.

        Returns the inode, for :func:`keep_to`.

        Raises:
            StorageUnsafe: it must not hold an audit trail as it is.
            AuditUnavailable: it cannot be opened.
        """
        try:
            with self._guard:
                self._connected()
                return self._path.stat().st_ino
        except (sqlite3.Error, OSError) as error:
            raise AuditUnavailable(_reason(error)) from None

    def has_room(self) -> bool:
        """Whether its file system takes more: an open file says nothing about that, and only a record would fail.

        Raises:
            AuditUnavailable: that cannot be told.
        """
        try:
            return has_room(self._path)
        except OSError as error:
            raise AuditUnavailable(_reason(error)) from None

    def open_intent(self, intent: Intent) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.open_intent`."""
        self._append(intent, intent.exchange_id)

    def close(self, ending: Ending) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.close`."""
        self._append(ending, ending.exchange_id)

    def record_refusals(self, refusals: Refusals) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.record_refusals`."""
        self._append(refusals, None)

    def record_start(self, start: Start) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.record_start`."""
        self._append(start, None)

    def record_change(self, change: Change) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.record_change`."""
        self._append(change, None)

    def record_act(self, act: OperatorAct) -> None:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.record_act`."""
        self._append(act, None)

    def recover(self) -> int:
        """See :meth:`smsp_provider.audit.trail.AuditTrail.recover`."""
        try:
            with self._guard:
                self._connected()
            with closing(
                connect_writer(self._path, self._synchronous, wait_s=self._wait_s, create=False)
            ) as connection:
                writers = connection.execute(_UNENDED).fetchall()
                return sum(self._recover_writer(connection, *writer) for writer in writers)
        except (sqlite3.Error, OSError, StorageUnsafe) as error:
            raise AuditUnavailable(_reason(error)) from None

    def read(self, *, exchange_id: str | None = None, after: int = 0) -> Iterator[Entry]:
        """See :meth:`smsp_provider.audit.trail.AuditReader.read`."""
        where, values = ("", (after,)) if exchange_id is None else (" AND exchange = ?", (after, exchange_id))
        query = f"SELECT seq, token, kind, body FROM record JOIN writer ON writer.id = writer WHERE seq > ?{where}"  # noqa: S608 - the only variable part is one of the two constants above
        try:
            with closing(connect_reader(self._path, wait_s=self._wait_s)) as connection:
                for seq, token, kind, body in connection.execute(query + " ORDER BY seq", values):
                    yield Entry(seq, token, decode(kind, body))
        except (sqlite3.Error, StorageUnsafe, UnreadableRecord) as error:
            raise AuditUnavailable(_reason(error)) from None

    def close_session(self) -> None:
        """End this process's part: what it left open counts as left behind at the next :meth:`recover`."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
            if self._lock is not None:
                self._lock.release()
            self._begin()

    def _append(self, record: Record, exchange_id: str | None) -> None:
        at = timestamp(record.at)
        row = (kind_of(record), exchange_id, at, encode(record, at))
        try:
            self._group.submit(row)
        except CommitTimeout:
            raise AuditUnavailable("the commit did not end in time") from None
        except BatchFailed as failure:
            raise AuditUnavailable(_reason(failure.cause)) from None

    def _write(self, rows: Sequence[Row]) -> None:
        """One durable transaction; run by one thread at a time."""
        with self._guard:
            connection = self._connected()
            try:
                self._insert(connection, rows)
            except BaseException as error:
                self._after_failure(connection, error)
                raise

    def _insert(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Insert, waiting for the write lock of another process in short steps.

        SQLite's own waiting grows to 100 ms a step, and misses the short gaps that a busy process leaves.
        """
        give_up: float | None = None
        while True:
            try:
                if len(rows) == 1:
                    connection.execute(_INSERT, (self._writer, *rows[0]))
                else:
                    self._insert_all(connection, rows)
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                give_up = give_up or now + self._wait_s
                if not _is_busy(error) or connection.in_transaction or now > give_up:
                    raise
            else:
                return
            time.sleep(_RETRY_SECONDS)

    def _insert_all(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, [(self._writer, *row) for row in rows])
        connection.execute("COMMIT")

    def _after_failure(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """Leave no transaction open; after anything but a lock held elsewhere start from a new connection."""
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if not _is_busy(error):
            self._connection = None
            with suppress(sqlite3.Error):
                connection.close()

    def _connected(self) -> sqlite3.Connection:
        self._check_in_place()
        if self._connection is None:
            create = self._inode is None and not self._locks.exists()
            connection = connect_writer(self._path, self._synchronous, wait_s=self._wait_s, create=create)
            try:
                self._register(connection)
                connection.execute("PRAGMA busy_timeout = 0")  # from here on _insert waits
            except BaseException:
                connection.close()
                raise
            found = self._path.stat()
            self._connection, self._inode, self._size = connection, found.st_ino, found.st_size
            self._log_inode = self._find_log()
        return self._connection

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

    def _register(self, connection: sqlite3.Connection) -> None:
        """Enter this process as a writer, after its lock is held: no recovery may take it for dead."""
        if self._lock is None:
            self._lock = WriterLock.take(self._locks, str(uuid.uuid4()).upper())
        if self._lock is None:
            raise StorageUnsafe("a new writer's lock is held by somebody else")
        connection.execute(
            "INSERT OR IGNORE INTO writer (token, pid, at, after)"
            " VALUES (?, ?, ?, (SELECT coalesce(max(seq), 0) FROM record))",
            (self._lock.token, os.getpid(), timestamp(self._clock.now())),
        )
        (self._writer,) = connection.execute("SELECT id FROM writer WHERE token = ?", (self._lock.token,)).fetchone()

    def _recover_writer(self, connection: sqlite3.Connection, writer: int, token: str, after: int) -> int:
        lock = WriterLock.take(self._locks, token)
        if lock is None:
            return 0
        now = self._clock.now()
        try:
            connection.execute("BEGIN IMMEDIATE")
            # Somebody else may have recovered it between the list and the lock.
            if connection.execute("SELECT 1 FROM writer_end WHERE writer = ?", (writer,)).fetchone() is not None:
                closures = []
            else:
                open_intents = connection.execute(_OPEN_INTENTS, (after, writer)).fetchall()
                closures = [Closure(exchange, now, token) for (exchange,) in open_intents]
                connection.execute("INSERT INTO writer_end (writer, at) VALUES (?, ?)", (writer, timestamp(now)))
            connection.executemany(
                _INSERT, [(self._writer, kind_of(c), c.exchange_id, timestamp(now), encode(c)) for c in closures]
            )
            connection.execute("COMMIT")
        except BaseException:
            lock.release()
            raise
        lock.discard()
        return len(closures)


_kept_to: dict[str, int] = {}


def keep_to(path: Path, inode: int) -> None:
    """From here on this process and its children write at ``path`` to the existing file ``inode`` and to no other.

    For the workers of a provider: only its start may begin a trail, since only the start puts itself on record. It is
    a fact about the process and so outlives forks, and any trail that is made later is bound by it.
    """
    _kept_to[os.fspath(path)] = inode


def _is_busy(error: BaseException) -> bool:
    """Whether another connection held a lock; nothing is wrong with the file or this connection then."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


_trails: "weakref.WeakSet[SqliteAuditTrail]" = weakref.WeakSet()
_paused: list[SqliteAuditTrail] = []


def _before_fork() -> None:
    for trail in list(_trails):
        trail.pause()
        _paused.append(trail)


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().resume()


def _after_fork_in_child() -> None:
    while _paused:
        _paused.pop().begin_anew()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _reason(error: BaseException) -> str:
    """A word for what happened: SQLite's or the system's own name of the error, or our own fixed text."""
    match error:
        case StorageUnsafe() | UnreadableRecord():
            return str(error)
        case sqlite3.Error():
            return getattr(error, "sqlite_errorname", None) or type(error).__name__
        case OSError():
            return errno.errorcode.get(error.errno or 0, "EUNKNOWN")
        case _:
            return type(error).__name__
