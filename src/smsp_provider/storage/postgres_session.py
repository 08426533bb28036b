"""A connection to PostgreSQL on which nothing waits for longer than its bound.

The server's own limits (``statement_timeout``, ``lock_timeout``) do not help where the server hangs, and TCP's do not
on a unix socket. So the waiting itself has a deadline here, and a connection that missed it is closed: what became of
its statement is not known then.

Source: psycopg documentation (connection classes, pq module); PostgreSQL documentation, 32.4 (asynchronous commands).
"""

import os
import select
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, Final, TypeVar

import psycopg
from psycopg import pq
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.waiting import Ready, Wait

from smsp_provider.storage.audit_database import Row
from smsp_provider.storage.postgres_audit_schema import APPEND, APPEND_TYPES

__all__ = ["BoundedConnection", "NotReplicated", "connect", "reason_of"]

_RV = TypeVar("_RV")

_LEAST_CONNECT_SECONDS: Final = 2
"""libpq knows no shorter bound for connecting."""
_EVENTS: Final = {
    Wait.R: select.POLLIN,
    Wait.W: select.POLLOUT,
    Wait.RW: select.POLLIN | select.POLLOUT,
}
_GOING_DOWN: Final = "57P02"
"""The server ends all sessions, since it crashed or was told to stop at once."""
_APPEND_NAME: Final = b"smsp_append"
_DAY_ZERO: Final = date(2000, 1, 1).toordinal()
_BINARY: Final = (1,) * len(APPEND_TYPES)
_bigint: Final = struct.Struct("!q").pack
_integer: Final = struct.Struct("!i").pack
_array_head: Final = struct.Struct("!iiiii").pack
_BIGINT: Final = 20
_TEXT: Final = 25
_BYTEA: Final = 17
_NULL: Final = _integer(-1)


class NotReplicated(Exception):
    """The server said that it committed but gave up waiting for its replicas."""


class BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection in autocommit mode. Whoever uses it sees to it that only one thread does at a time.

    ``bound_s`` is how long one call may take, in seconds.
    """

    bound_s: float = 3.0
    _warned: bool = False
    _can_append: bool = False

    def __del__(self, _warn: object = None, /) -> None:
        """No warning, unlike psycopg: who reads a trail lets go of it, and the driver closes what is left."""

    def wait(self, gen: PQGen[_RV], interval: float = 0.1, timeout: float | None = None) -> _RV:
        """Run one of psycopg's generators to its end, or until the bound.

        Raises:
            psycopg.errors.ConnectionTimeout: the bound was reached; the connection is closed.
        """
        del interval
        deadline = time.monotonic() + (self.bound_s if timeout is None else min(timeout, self.bound_s))
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(self._ready(_EVENTS[wanted], deadline))
        except StopIteration as done:
            value: _RV = done.value
            return value
        except psycopg.Error:
            raise
        except BaseException:
            # Whatever it was that interrupted: the connection is in the middle of something.
            self.pgconn.finish()
            raise

    def _ready(self, events: int, deadline: float) -> Ready:
        poll = select.poll()
        poll.register(self.pgconn.socket, events)
        found = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not found:
            self.pgconn.finish()
            raise psycopg.errors.ConnectionTimeout("the server does not answer in time")
        happened = found[0][1]
        ready = 0
        if happened & ~select.POLLOUT:
            # (An error or the end of the connection is something to be read.)
            ready |= Ready.R
        if happened & select.POLLOUT:
            ready |= Ready.W
        return Ready(ready)

    def is_cut(self) -> bool:
        """Whether the other side has closed the connection, as far as this one has been told; nothing is sent."""
        if self.closed:
            return True
        try:
            # (Twice: what the server says as it goes comes before the end of the connection.)
            self.pgconn.consume_input()
            self.pgconn.consume_input()
        except psycopg.Error:
            return True
        return self.pgconn.status != pq.ConnStatus.OK

    def append(self, lane: int, day: date, rows: Sequence[Row]) -> bool:
        """Insert records in one transaction and one round trip; returns whether the lane took them.

        Raises:
            psycopg.Error: it is not known whether they are there; where the connection is closed now, they still may
                come to be. Where it is open they are not there.
            NotReplicated: they are there, but perhaps not on the replicas; the connection is closed.
        """
        self._warned = False
        taken = self.insert(lane, day, rows)
        self._expect_replicated()
        return taken

    @contextmanager
    def durable(self) -> Iterator[None]:
        """A transaction that is committed, and replicated where the server waits for that, at the end.

        Raises:
            psycopg.Error, NotReplicated: as :meth:`append`.
        """
        self._warned = False
        with self.transaction():
            yield
        self._expect_replicated()

    def insert(self, lane: int, day: date, rows: Sequence[Row]) -> bool:
        """As :meth:`append`, in the transaction that there is, if any; of replication nothing is known."""
        connection = self.pgconn
        deadline = time.monotonic() + self.bound_s
        numbers, kinds, moments, exchanges, commitments, links, sealed = zip(*rows, strict=True)
        values = (
            _bigint(lane),
            _integer(day.toordinal() - _DAY_ZERO),
            _bigint(numbers[0]),
            _array(_TEXT, [kind.encode() for kind in kinds]),
            _array(_BIGINT, [_bigint(at) for at in moments]),
            _array(_TEXT, [None if exchange is None else exchange.encode() for exchange in exchanges]),
            _array(_BYTEA, commitments),
            _array(_BYTEA, links),
            _array(_BYTEA, sealed),
        )
        try:
            self._prepare(deadline)
            connection.send_query_prepared(_APPEND_NAME, values, _BINARY, pq.Format.TEXT)
            result = self._outcome(deadline)
        except BaseException as error:
            if not (isinstance(error, psycopg.Error) and self._is_settled()):
                connection.finish()
            raise
        return result.command_tuples == len(rows)

    def _prepare(self, deadline: float) -> None:
        if not self._can_append:
            self.pgconn.send_prepare(_APPEND_NAME, APPEND, APPEND_TYPES)
            self._outcome(deadline)
            self._can_append = True

    def _expect_replicated(self) -> None:
        if self._warned:
            self.pgconn.finish()
            raise NotReplicated

    def _outcome(self, deadline: float) -> pq.abc.PGresult:
        """The result of the one statement that was sent."""
        self._flush(deadline)
        result = self._next_result(deadline)
        # (The end of the statement: there is no other result.)
        while result is not None and self._next_result(deadline) is not None:
            pass
        if result is None or result.status != pq.ExecStatus.COMMAND_OK:
            raise _error_of(result)
        return result

    def _flush(self, deadline: float) -> None:
        connection = self.pgconn
        while connection.flush():
            # The server may wait for us to read before it reads on.
            if self._ready(select.POLLIN | select.POLLOUT, deadline) & Ready.R:
                connection.consume_input()

    def _next_result(self, deadline: float) -> pq.abc.PGresult | None:
        connection = self.pgconn
        while connection.is_busy():
            self._ready(select.POLLIN, deadline)
            connection.consume_input()
        return connection.get_result()

    def _is_settled(self) -> bool:
        """Whether the failed statement is over and the connection can go on."""
        connection = self.pgconn
        return connection.status == pq.ConnStatus.OK and connection.transaction_status not in (
            pq.TransactionStatus.ACTIVE,
            pq.TransactionStatus.UNKNOWN,
        )

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """Take notice of what the server says beside its answers."""
        # Of an INSERT that ends well: that the waiting for replicas was cut short. Or that the server goes down in this
        # moment, which changes nothing about a commit that is on the disk.
        if notice.severity_nonlocalized == "WARNING" and notice.sqlstate != _GOING_DOWN:
            self._warned = True

    def abandon(self) -> None:
        """In a forked child: give up the copy of the parent's connection without a word to the server."""
        if self.closed:
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(nowhere, self.pgconn.socket, inheritable=False)
        finally:
            os.close(nowhere)
        self.close()


def connect(url: str, *, bound_s: float) -> BoundedConnection:
    """Connect to ``postgresql://ROLE@HOST/DATABASE``; its options stand over the ones given here.

    Raises:
        psycopg.Error: that is not possible within ``bound_s`` seconds for each host that the URL names.
    """
    options = {
        "application_name": "smsp-provider",
        "gssencmode": "disable",
        "connect_timeout": str(max(_LEAST_CONNECT_SECONDS, round(bound_s))),
        "tcp_user_timeout": str(round(bound_s * 1000)),
        "keepalives_idle": str(max(1, round(bound_s))),
        "keepalives_interval": "1",
        "keepalives_count": "3",
        **{name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None},
    }
    connection = BoundedConnection.connect(make_conninfo("", **options), autocommit=True)
    connection.bound_s = bound_s
    connection.add_notice_handler(connection.note)
    return connection


def _array(element: int, values: Sequence[bytes | None]) -> bytes:
    """An array in binary: number of dimensions, whether there are NULLs, type, length, first index; then the values."""
    parts = [_array_head(1, None in values, element, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts += (_integer(len(value)), value)
    return b"".join(parts)


def reason_of(error: BaseException) -> str:
    """A word for what happened: PostgreSQL's own name of the error, never its text, which may quote values."""
    match error:
        case NotReplicated():
            return "the replicas did not confirm in time"
        case psycopg.errors.ConnectionTimeout():
            return "the database does not answer in time"
        case psycopg.OperationalError() if error.sqlstate is None:
            return "the database cannot be reached"
        case _:
            return type(error).__name__


def _error_of(result: pq.abc.PGresult | None) -> psycopg.Error:
    if result is None:
        return psycopg.OperationalError("the connection was lost")
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    try:
        return psycopg.errors.lookup(state)()
    except KeyError:
        return psycopg.OperationalError("the connection was lost")
