"""An audit trail in PostgreSQL: written by many processes of several hosts, each through one connection.

That connection holds the locks of its process too. So a writer that is cut off from the database loses its locks and
its way to write in the same moment, and nobody who took it for dead finds it writing later. A commit that ends without
an answer is settled before anything else is written: the session that it was in is ended first, since it may be alive
and still commit.

Source: SMSP-AUDIT-001, 009; safety.md section 5; PostgreSQL documentation, 13.3.5 (advisory locks).
"""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import groupby
from typing import Final

import psycopg

from smsp_provider.audit.chain import Lane, SignedRoot
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.storage.audit_database import ErasedRow, Head, LaneClosed, NewLane, Row, StorageUnsafe
from smsp_provider.storage.postgres_audit_reader import PostgresTrailReader, telling_why
from smsp_provider.storage.postgres_audit_safety import check_form, check_safe, prepare_session
from smsp_provider.storage.postgres_session import BoundedConnection, connect

__all__ = ["PostgresAuditDatabase"]

_CHANGED: Final = "the chain was changed under its writer"
_ENDED: Final = "the lane was ended by a recovery"
_OTHER_TRAIL: Final = "the database holds another audit trail than before"

_kept_to: dict[str, str] = {}

_N: Final = 0
_AT: Final = 2
_LINK: Final = 5


class PostgresAuditDatabase(PostgresTrailReader):
    """Keeps a trail in the database at ``url``, as :mod:`.postgres_audit_form` prepared it.

    Implements :class:`smsp_provider.storage.audit_database.AuditDatabase`. ``durable`` says whether a commit waits for
    the disk, ``live`` whether server, connection and role must be safe. Nothing takes longer than ``wait_s`` seconds,
    plus as much again for each host of the URL where it has to connect first.
    """

    def __init__(self, url: str, *, durable: bool = True, live: bool = False, wait_s: float = 3.0) -> None:
        super().__init__(url, wait_s=wait_s)
        self._durable = durable
        self._live = live
        self._mark = _kept_to.get(url)
        self._begin()

    @staticmethod
    def keep_to(url: str, mark: str) -> None:
        """From here on this process and its children write at ``url`` to the trail of that mark and to no other.

        It is a fact about the process and so outlives forks, and any trail that is made later is bound by it.
        """
        _kept_to[url] = mark

    def _begin(self) -> None:
        """The state of one process: nothing is open yet."""
        self._process = os.getpid()
        self._guard = threading.RLock()
        self._writer: BoundedConnection | None = None
        self._session: tuple[int, datetime] | None = None
        """Which session of the server the writer has, or had: it is ended before another one writes."""
        self._locks: dict[str, AdvisoryLock] = {}
        self._lost: set[str] = set()
        """The names of locks that somebody else took while this process was cut off: their writer is taken for dead."""
        self._heads: dict[int, Head] = {}
        """Where the lanes end that this process writes, as far as that is certain."""
        self._seen: set[int] = set()
        """Those of them that were looked up, or written, on this very connection."""

    def open(self) -> str:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.open`; the mark is the trail's name."""
        with self._guard, telling_why():
            self._connect()
            return self._mark or ""

    def close(self) -> None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.close`."""
        with self._guard:
            self._drop()
            self._session = None
            self._locks.clear()
            self._lost.clear()
        with self._reading:
            self._close_reader()

    def before_fork(self) -> None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.before_fork`; connections stay the parent's."""
        self._guard.acquire()
        self._reading.acquire()

    def after_fork_in_parent(self) -> None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.after_fork_in_parent`."""
        self._reading.release()
        self._guard.release()

    def after_fork_in_child(self) -> None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.after_fork_in_child`."""
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.abandon()
        self._reader = None
        self._reading = threading.RLock()
        self._begin()

    def has_room(self) -> bool:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.has_room`; a replica takes no records."""
        with self._writing() as connection:
            row = connection.execute(
                "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'"
            ).fetchone()
            return row == (False,)

    def take(self, name: str) -> "AdvisoryLock | None":
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.take`."""
        with self._writing() as connection:
            if name in self._locks or not _try_lock(connection, name):
                return None
            self._lost.discard(name)
            lock = self._locks[name] = AdvisoryLock(self, name)
            return lock

    def begin_lane(self, lane: NewLane, opening: Row, *, closing: tuple[Lane, Row] | None = None) -> Lane:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.begin_lane`."""
        with self._writing() as connection:
            # A transaction of its own, so that nobody waits for ours to use the tables of this day.
            connection.execute("SELECT smsp_audit.open_day(%s)", (lane.day,))
            if closing is not None:
                self._expect_at(connection, closing[0], closing[1][_N])
            with connection.durable():
                if closing is not None:
                    self._insert(connection, closing[0], [closing[1]])
                    self._end(connection, [closing[0]], lane.at)
                made = connection.execute(
                    "INSERT INTO smsp_audit.lane (token, day, writer, pid, at, key_id, wrapped_key)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
                    (lane.token, lane.day, lane.writer, lane.pid, lane.at, lane.key_id, lane.wrapped_key),
                ).fetchone()
                if made is None:
                    raise psycopg.InternalError("no number of the new lane")
                begun = Lane(made[0], lane.token, lane.day, lane.writer, lane.key_id, lane.wrapped_key)
                self._insert(connection, begun, [opening])
            self._know(begun, opening)
            if closing is not None:
                self._forget(closing[0])
            return begun

    def append(self, lane: Lane, rows: Sequence[Row], *, ended: Iterable[Lane] = ()) -> None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.append`."""
        over = tuple(ended)
        if rows[-1][_N] - rows[0][_N] != len(rows) - 1:
            raise AuditUnavailable("records of a lane are numbered without gaps")
        with self._writing() as connection:
            if lane.id not in self._seen:
                self._expect_at(connection, lane, rows[0][_N])
            self._forget(lane)
            if not over:
                taken = connection.append(lane.id, lane.day, rows)
                if not taken:
                    self._refuse(connection, lane)
            else:
                with connection.durable():
                    self._insert(connection, lane, rows)
                    self._end(connection, over, rows[-1][_AT])
            self._know(lane, rows[-1])

    def settled_head(self, lane: Lane) -> Head | None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.settled_head`."""
        with self._writing() as connection:
            head = self._head_of_mine(connection, lane)
            if head is not None:
                self._heads[lane.id] = head
                self._seen.add(lane.id)
            return head

    def open_intents(self, writer: str) -> Sequence[str]:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.open_intents`."""
        # It may take long. But whoever ends asks this too, and is not to wait as long for a server that hangs.
        with self._writing() as connection:
            connection.execute("SELECT")
        return super().open_intents(writer)

    def write_root(self, root: SignedRoot) -> None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.write_root`."""
        with self._writing() as connection, connection.durable():
            connection.execute("INSERT INTO smsp_audit.root (number, statement, signature) VALUES (%s, %s, %s)", root)

    def erase(self, rows: Sequence[ErasedRow]) -> int:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.erase`.

        The space is cleared and used again by the server's own VACUUM; what archived logs and backups hold is theirs.
        """
        erased = 0
        with self._writing() as connection, connection.durable():
            connection.cursor().executemany(
                "INSERT INTO smsp_audit.erased (lane, n, tombstone_lane, tombstone_n) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                rows,
            )
            for number, group in groupby(sorted(rows), key=lambda row: row.lane):
                erased += connection.execute(
                    "DELETE FROM smsp_audit.content WHERE day = (SELECT day FROM smsp_audit.lane WHERE id = %(lane)s)"
                    " AND lane = %(lane)s AND n = ANY(%(numbers)s)",
                    {"lane": number, "numbers": [row.n for row in group]},
                ).rowcount
        return erased

    def rewrap(self, lane: Lane, key_id: str, wrapped_key: bytes) -> None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.rewrap`."""
        with self._writing() as connection, connection.durable():
            connection.execute(
                "UPDATE smsp_audit.lane SET key_id = %s, wrapped_key = %s WHERE id = %s", (key_id, wrapped_key, lane.id)
            )

    def holds(self, lock: "AdvisoryLock") -> bool:
        """Whether a lock is held by this process still. One of which this said no is lost for good."""
        with self._guard:
            if self._locks.get(lock.name) is not lock:
                return False
            try:
                with self._writing():
                    return self._locks.get(lock.name) is lock
            except AuditUnavailable:
                if self._locks.pop(lock.name, None) is not None:
                    self._lost.add(lock.name)
                return False

    def let_go(self, lock: "AdvisoryLock") -> None:
        """Give a lock back, where it is held; not that of a parent, in a forked child."""
        with self._guard:
            if self._locks.get(lock.name) is not lock:
                return
            del self._locks[lock.name]
            if self._writer is not None and os.getpid() == self._process:
                # (Where that fails the connection is lost, and the lock with it.)
                with suppress(psycopg.Error):
                    self._writer.execute("SELECT pg_advisory_unlock(%s)", (_key(lock.name),))

    @contextmanager
    def _writing(self) -> Iterator[BoundedConnection]:
        """The connection, for this thread alone."""
        with self._guard, telling_why():
            try:
                connection = self._connect()
            except StorageUnsafe as unsafe:
                raise AuditUnavailable(str(unsafe)) from None
            yield connection

    def _connect(self) -> BoundedConnection:
        if self._writer is not None and not self._writer.is_cut():
            return self._writer
        self._drop()
        connection = connect(self._url, bound_s=self._wait_s)
        try:
            prepare_session(connection, durable=self._durable)
            check_form(connection)
            if self._live:
                check_safe(connection)
            self._check_trail(connection)
            self._end_session_before(connection)
            self._take_again(connection)
        except BaseException:
            connection.close()
            raise
        self._writer = connection
        return connection

    def _drop(self) -> None:
        self._seen.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _check_trail(self, connection: BoundedConnection) -> None:
        row = connection.execute("SELECT id FROM smsp_audit.trail").fetchone()
        if row is None:
            raise StorageUnsafe("the database holds no audit trail")
        if self._mark not in (None, row[0]):
            raise StorageUnsafe(_OTHER_TRAIL)
        self._mark = row[0]

    def _end_session_before(self, connection: BoundedConnection) -> None:
        """No commit of the connection that was lost may come after this, and its locks must be free."""
        if self._session is not None:
            row = connection.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s",
                (round(self._wait_s * 500), *self._session),
            ).fetchone()
            if row == (False,):
                raise psycopg.OperationalError("the session before does not end")
        row = connection.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchone()
        if row is not None:
            self._session = row[0], row[1]

    def _take_again(self, connection: BoundedConnection) -> None:
        """The locks of this process hang on its connection; one that somebody else took meanwhile is lost."""
        for name in list(self._locks):
            if not _try_lock(connection, name):
                del self._locks[name]
                self._lost.add(name)

    def _expect_at(self, connection: BoundedConnection, lane: Lane, n: int) -> None:
        """On a connection that has not seen this lane yet: it must end where this process left it."""
        head = self._head_of_mine(connection, lane)
        known = self._heads.get(lane.id)
        if (known is not None and head != known) or head is None or head.n != n - 1:
            raise AuditUnavailable(_CHANGED)

    def _head_of_mine(self, connection: BoundedConnection, lane: Lane) -> Head | None:
        """Where a lane ends that this process writes.

        Raises:
            LaneClosed: a recovery ended it, or is about to.
        """
        if lane.writer in self._lost:
            raise LaneClosed(_ENDED)
        row = connection.execute(
            "SELECT n, link, EXISTS (SELECT FROM smsp_audit.lane_end AS e WHERE e.lane = c.lane)"
            " FROM smsp_audit.chain AS c WHERE c.day = %s AND c.lane = %s ORDER BY n DESC LIMIT 1",
            (lane.day, lane.id),
        ).fetchone()
        if row is None:
            return None
        n, link, is_over = row
        if is_over:
            raise LaneClosed(_ENDED)
        return Head(lane.id, n, link)

    def _insert(self, connection: BoundedConnection, lane: Lane, rows: Sequence[Row]) -> None:
        """Within a transaction."""
        if not connection.insert(lane.id, lane.day, rows):
            self._refuse(connection, lane)

    def _end(self, connection: BoundedConnection, lanes: Sequence[Lane], at: int) -> None:
        """Within a transaction."""
        for lane in lanes:
            try:
                connection.execute("INSERT INTO smsp_audit.lane_end (lane, at) VALUES (%s, %s)", (lane.id, at))
            except psycopg.errors.UniqueViolation:
                raise LaneClosed(_ENDED) from None

    def _refuse(self, connection: BoundedConnection, lane: Lane) -> None:
        """Why a lane took no record.

        Raises:
            LaneClosed: it was ended.
            AuditUnavailable: the record is not the next of the lane.
        """
        self._head_of_mine(connection, lane)
        raise AuditUnavailable(_CHANGED)

    def _know(self, lane: Lane, row: Row) -> None:
        self._heads[lane.id] = Head(lane.id, row[_N], row[_LINK])
        self._seen.add(lane.id)

    def _forget(self, lane: Lane) -> None:
        self._heads.pop(lane.id, None)
        self._seen.discard(lane.id)


class AdvisoryLock:
    """A lock of :class:`PostgresAuditDatabase`, which ends with the connection at the latest.

    Implements :class:`smsp_provider.storage.audit_database.HeldLock`.
    """

    def __init__(self, database: PostgresAuditDatabase, name: str) -> None:
        self._database = database
        self.name = name

    def is_held(self) -> bool:
        """See :meth:`smsp_provider.storage.audit_database.HeldLock.is_held`."""
        return self._database.holds(self)

    def release(self) -> None:
        """See :meth:`smsp_provider.storage.audit_database.HeldLock.release`."""
        self._database.let_go(self)

    def discard(self) -> None:
        """See :meth:`smsp_provider.storage.audit_database.HeldLock.discard`; it leaves no traces in any case."""
        self._database.let_go(self)


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(b"smsp-audit|" + name.encode()).digest()[:8], signed=True)


def _try_lock(connection: BoundedConnection, name: str) -> bool:
    return connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(name),)).fetchone() == (True,)
