"""Reading an audit trail in PostgreSQL, in short queries over one connection.

Whoever reads a lane from end to end does so page by page: rows never change, so pages need no common transaction, and
none keeps the server from cleaning up.

Source: SMSP-AUDIT-009.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, Final, LiteralString

import psycopg

from smsp_provider.audit.chain import ChainedRecord, Lane, SealedContent, SignedRoot
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.storage.audit_database import ErasedRow, Head
from smsp_provider.storage.postgres_session import BoundedConnection, NotReplicated, connect, reason_of

__all__ = ["PostgresTrailReader", "telling_why"]

_PAGE: Final = 2000
_READ_SECONDS: Final = 60.0
"""How long one query may take: no request waits for it."""


class PostgresTrailReader:
    """The reading side of a trail at ``url``; see :class:`smsp_provider.audit.chain.TrailReader` for the methods.

    Connects within ``wait_s`` seconds for each host of the URL.
    """

    def __init__(self, url: str, *, wait_s: float) -> None:
        self._url = url
        self._wait_s = wait_s
        self._reader: BoundedConnection | None = None
        self._reading = threading.RLock()

    def trail_id(self) -> str:
        """See :meth:`smsp_provider.audit.chain.TrailReader.trail_id`."""
        rows = self._fetch("SELECT id FROM smsp_audit.trail")
        if len(rows) != 1:
            raise AuditUnavailable("the database holds no audit trail")
        return str(rows[0][0])

    def lanes(self, *, since: date | None = None, until: date | None = None) -> Sequence[Lane]:
        """See :meth:`smsp_provider.audit.chain.TrailReader.lanes`."""
        rows = self._fetch(
            "SELECT l.id, l.token, l.day, l.writer, l.key_id, l.wrapped_key FROM smsp_audit.lane AS l"
            " WHERE l.day >= coalesce(%s, '-infinity'::date) AND l.day <= coalesce(%s, 'infinity'::date) ORDER BY l.id",
            since,
            until,
        )
        return [Lane(*row) for row in rows]

    def chain(self, lane: Lane, *, after: int = 0) -> Iterator[ChainedRecord]:
        """See :meth:`smsp_provider.audit.chain.TrailReader.chain`."""
        query: LiteralString = (
            "SELECT n, lane, kind, at, exchange, commitment, link FROM smsp_audit.chain"
            " WHERE day = %s AND lane = %s AND n > %s ORDER BY n LIMIT %s"
        )
        last: LiteralString = "SELECT max(n) FROM smsp_audit.chain WHERE day = %s AND lane = %s"
        for n, number, *rest in self._pages(query, last, lane.day, lane.id, after=after):
            yield ChainedRecord(number, n, *rest)

    def contents(self, lane: Lane, *, after: int = 0) -> Iterator[SealedContent]:
        """See :meth:`smsp_provider.audit.chain.TrailReader.contents`."""
        query: LiteralString = (
            "SELECT n, lane, sealed FROM smsp_audit.content WHERE day = %s AND lane = %s AND n > %s ORDER BY n LIMIT %s"
        )
        last: LiteralString = "SELECT max(n) FROM smsp_audit.content WHERE day = %s AND lane = %s"
        for n, number, sealed in self._pages(query, last, lane.day, lane.id, after=after):
            yield SealedContent(number, n, sealed)

    def content(self, lane: Lane, n: int) -> SealedContent | None:
        """See :meth:`smsp_provider.audit.chain.TrailReader.content`."""
        rows = self._fetch(
            "SELECT lane, n, sealed FROM smsp_audit.content WHERE day = %s AND lane = %s AND n = %s",
            lane.day,
            lane.id,
            n,
        )
        return SealedContent(*rows[0]) if rows else None

    def record(self, lane: Lane, n: int) -> ChainedRecord | None:
        """See :meth:`smsp_provider.audit.chain.TrailReader.record`."""
        rows = self._fetch(
            "SELECT lane, n, kind, at, exchange, commitment, link FROM smsp_audit.chain"
            " WHERE day = %s AND lane = %s AND n = %s",
            lane.day,
            lane.id,
            n,
        )
        return ChainedRecord(*rows[0]) if rows else None

    def roots(self, *, after: int = 0) -> Iterator[SignedRoot]:
        """See :meth:`smsp_provider.audit.chain.TrailReader.roots`."""
        query: LiteralString = (
            "SELECT number, statement, signature FROM smsp_audit.root WHERE number > %s ORDER BY number LIMIT %s"
        )
        for row in self._pages(query, "SELECT max(number) FROM smsp_audit.root", after=after):
            yield SignedRoot(*row)

    def last_root(self) -> SignedRoot | None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.last_root`."""
        rows = self._fetch("SELECT number, statement, signature FROM smsp_audit.root ORDER BY number DESC LIMIT 1")
        return SignedRoot(*rows[0]) if rows else None

    def head(self, lane: Lane) -> Head | None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.head`."""
        rows = self._fetch(
            "SELECT lane, n, link FROM smsp_audit.chain WHERE day = %s AND lane = %s ORDER BY n DESC LIMIT 1",
            lane.day,
            lane.id,
        )
        return Head(*rows[0]) if rows else None

    def last_lane(self) -> Lane | None:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.last_lane`."""
        rows = self._fetch(
            "SELECT id, token, day, writer, key_id, wrapped_key FROM smsp_audit.lane ORDER BY id DESC LIMIT 1"
        )
        return Lane(*rows[0]) if rows else None

    def heads(self, *, since: date | None = None) -> Sequence[Head]:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.heads`."""
        rows = self._fetch(
            "SELECT l.id, h.n, h.link FROM smsp_audit.lane AS l CROSS JOIN LATERAL"
            " (SELECT c.n, c.link FROM smsp_audit.chain AS c WHERE c.day = l.day AND c.lane = l.id"
            " ORDER BY c.n DESC LIMIT 1) AS h WHERE l.day >= coalesce(%s, '-infinity'::date) ORDER BY l.id",
            since,
        )
        return [Head(*row) for row in rows]

    def unended(self) -> Sequence[Lane]:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.unended`."""
        rows = self._fetch(
            "SELECT l.id, l.token, l.day, l.writer, l.key_id, l.wrapped_key FROM smsp_audit.lane AS l"
            " WHERE NOT EXISTS (SELECT FROM smsp_audit.lane_end AS e WHERE e.lane = l.id) ORDER BY l.id"
        )
        return [Lane(*row) for row in rows]

    def open_intents(self, writer: str) -> Sequence[str]:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.open_intents`."""
        rows = self._fetch(
            "WITH last AS (SELECT id, day FROM smsp_audit.lane WHERE writer = %s ORDER BY id DESC LIMIT 2),"
            " written AS (SELECT c.kind, c.exchange FROM last CROSS JOIN LATERAL"
            " (SELECT * FROM smsp_audit.chain AS c WHERE c.day = last.day AND c.lane = last.id) AS c)"
            " SELECT exchange FROM written WHERE kind = 'intent' EXCEPT"
            " SELECT exchange FROM written WHERE kind IN ('ending', 'closure') ORDER BY exchange",
            writer,
        )
        return [exchange for (exchange,) in rows]

    def ends(self, *, since: date | None = None) -> Sequence[int]:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.ends`."""
        rows = self._fetch(
            "SELECT l.id FROM smsp_audit.lane AS l JOIN smsp_audit.lane_end AS e ON e.lane = l.id"
            " WHERE l.day >= coalesce(%s, '-infinity'::date) ORDER BY l.id",
            since,
        )
        return [lane for (lane,) in rows]

    def erased(self, lane: Lane) -> Iterator[ErasedRow]:
        """See :meth:`smsp_provider.storage.audit_database.AuditDatabase.erased`."""
        query: LiteralString = (
            "SELECT n, lane, tombstone_lane, tombstone_n FROM smsp_audit.erased"
            " WHERE lane = %s AND n > %s ORDER BY n LIMIT %s"
        )
        last: LiteralString = "SELECT max(n) FROM smsp_audit.erased WHERE lane = %s"
        for n, number, *tombstone in self._pages(query, last, lane.id, after=0):
            yield ErasedRow(number, n, *tombstone)

    def _pages(
        self, query: LiteralString, last: LiteralString, *values: object, after: int
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of a query whose last two values are what the first column is above, and how many.

        ``last`` asks for the highest value of that column. It is read up to what there is at the beginning: what is
        appended meanwhile is left to the next iteration. So who reads two tables side by side, and begins with the
        second one later, finds all there that belongs to the rows of the first.
        """
        rows = self._fetch(query, *values, after, _PAGE)
        if len(rows) < _PAGE:
            yield from rows
            return
        ((until,),) = self._fetch(last, *values)
        while rows and until is not None:
            yield from (row for row in rows if row[0] <= until)
            if len(rows) < _PAGE or rows[-1][0] >= until:
                return
            rows = self._fetch(query, *values, rows[-1][0], _PAGE)

    def _fetch(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        with self._reading, telling_why():
            fresh = self._reader is None or self._reader.is_cut()
            try:
                return self._ask(query, values)
            except psycopg.OperationalError:
                if fresh:
                    raise
            # The connection was lost since it was used last: reading twice does no harm.
            return self._ask(query, values)

    def _ask(self, query: LiteralString, values: Sequence[object]) -> list[tuple[Any, ...]]:
        if self._reader is None or self._reader.is_cut():
            self._close_reader()
            self._reader = connect(self._url, bound_s=self._wait_s)
            self._reader.bound_s = _READ_SECONDS
            self._reader.execute("SELECT set_config('default_transaction_read_only', 'on', false)")
            self._reader.execute("SELECT set_config('TimeZone', 'UTC', false)")
        return self._reader.execute(query, values, binary=True).fetchall()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


@contextmanager
def telling_why() -> Iterator[None]:
    """What PostgreSQL raises becomes :class:`AuditUnavailable`, with a word for what happened.

    Raises:
        AuditUnavailable: instead.
    """
    try:
        yield
    except (psycopg.Error, NotReplicated) as error:
        # "from None": what PostgreSQL says may quote values.
        raise AuditUnavailable(reason_of(error)) from None
