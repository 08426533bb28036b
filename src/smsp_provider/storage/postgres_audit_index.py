"""The search index in the PostgreSQL database of the trail: tables of its own, with the day first in every key."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any, Final

import psycopg

from smsp_provider.audit.exchanges import Place
from smsp_provider.audit.search_index import DayRows, IndexBatch, IndexUnusable, LaneProgress, Range
from smsp_provider.audit.traffic import Traffic
from smsp_provider.storage.audit_index_keys import IndexKeys, KeptKey
from smsp_provider.storage.audit_index_sql import Overtaken, PostingTable, select_places
from smsp_provider.storage.postgres_session import BoundedConnection, NotReplicated, connect, reason_of

__all__ = ["PostgresSearchIndex"]

_CONNECT_SECONDS: Final = 5.0
_CALL_SECONDS: Final = 60.0
_PAGE: Final = 10_000

_PROGRESS: Final = """
INSERT INTO smsp_audit.index_progress AS p (lane, n, link, done) SELECT %(lane)s, %(n)s, %(link)s, %(done)s
WHERE %(before)s = 0 OR EXISTS (SELECT FROM smsp_audit.index_progress WHERE lane = %(lane)s)
ON CONFLICT (lane) DO UPDATE SET n = excluded.n, link = excluded.link, done = excluded.done WHERE p.n = %(before)s
"""
_TERMS: Final = """
INSERT INTO smsp_audit.index_term (day, term, at, lane, n)
SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) ON CONFLICT DO NOTHING
"""
_PARTS: Final = """
INSERT INTO smsp_audit.index_part (day, lane, n, part_at, part_lane, part_n)
SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) ON CONFLICT DO NOTHING
"""
_TRAFFIC: Final = """
INSERT INTO smsp_audit.index_traffic AS t (hour, service, client, outcome, day, times) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (hour, day, service, client, outcome) DO UPDATE SET times = t.times + excluded.times
"""
_PARTS_OF: Final = """
SELECT a.at, a.lane, a.n, p.part_at, p.part_lane, p.part_n
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS a (at, lane, n)
JOIN smsp_audit.index_part AS p ON p.day = %s AND p.lane = a.lane AND p.n = a.n
"""
_FORGET: Final = tuple(
    f"DELETE FROM smsp_audit.index_{table} AS t USING unnest(%s::bigint[], %s::bigint[]) AS a (lane, n)"  # noqa: S608 - as below
    " WHERE t.day = %s AND t.lane = a.lane AND t.n = a.n"
    for table in ("term", "part")
)
_DROP: Final = tuple(
    f"DELETE FROM smsp_audit.index_{table} WHERE day = %s"  # noqa: S608 - names of our own
    for table in ("term", "part", "traffic", "day")
)
_POSTINGS: Final = """
SELECT term, at, lane, n FROM smsp_audit.index_term
WHERE day = %s AND (term, at, lane, n) > (%s, %s, %s, %s) ORDER BY term, at, lane, n LIMIT %s
"""


class PostgresSearchIndex:
    """The index in the database at ``url``; see :class:`smsp_provider.audit.search_index.SearchIndex`.

    Usable from any thread. After a fork a new one is needed.
    """

    def __init__(self, url: str, keys: IndexKeys) -> None:
        self._url: Final = url
        self._index_keys: Final = keys
        self._guard: Final = threading.Lock()
        self._connection: BoundedConnection | None = None

    def close(self) -> None:
        """See :meth:`SearchIndex.close`."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def day_keys(self) -> Mapping[date, bytes]:
        """See :meth:`SearchIndex.day_keys`."""
        rows = self._fetch("SELECT day, key_id, wrapped_key FROM smsp_audit.index_day ORDER BY day")
        return {kept.day: self._index_keys.unwrap(kept) for kept in map(KeptKey._make, rows)}

    def begin_day(self, day: date, key: bytes | None = None) -> bytes:
        """See :meth:`SearchIndex.begin_day`."""
        with self._transaction() as connection:
            self._begin_day(connection, day, key, complete=True)
        return self.day_keys()[day]

    def progress(self) -> Mapping[int, LaneProgress]:
        """See :meth:`SearchIndex.progress`."""
        rows = self._fetch("SELECT lane, n, link, done FROM smsp_audit.index_progress")
        return {lane: LaneProgress(n, link, done) for lane, n, link, done in rows}

    def write(self, batch: IndexBatch) -> bool:
        """See :meth:`SearchIndex.write`."""
        with suppress(Overtaken), self._transaction() as connection:
            for lane, (before, after) in sorted(batch.progress.items()):
                values = {"lane": lane, "before": before.n, "n": after.n, "link": after.link, "done": after.done}
                if connection.execute(_PROGRESS, values).rowcount != 1:
                    raise Overtaken
            for day, rows in sorted(batch.days.items()):
                self._insert(connection, day, rows)
            with connection.cursor() as cursor:
                cursor.executemany(
                    _TRAFFIC, [(*traffic, day, times) for (day, traffic), times in sorted(batch.traffic.items())]
                )
            return True
        return False

    def select(self, day: date, clauses: Sequence[Sequence[int]], wanted: Range, limit: int) -> Sequence[Place]:
        """See :meth:`SearchIndex.select`."""
        table = PostingTable("smsp_audit.index_term", f"day = '{day.isoformat()}'")
        with self._open() as connection:

            def query(statement: str, values: Sequence[object]) -> Sequence[Sequence[int]]:
                return connection.execute(statement.replace("?", "%s").encode("ascii"), values, binary=True).fetchall()

            return select_places(query, table, clauses, wanted, limit)

    def parts(self, day: date, anchors: Iterable[Place]) -> Mapping[Place, Sequence[Place]]:
        """See :meth:`SearchIndex.parts`."""
        found: dict[Place, list[Place]] = {}
        for at, lane, n, *part in self._fetch(_PARTS_OF, *_columns(anchors, 3), day):
            found.setdefault(Place(at, lane, n), []).append(Place(*part))
        return found

    def replace(self, day: date, anchors: Iterable[Place], rows: DayRows) -> bool:
        """See :meth:`SearchIndex.replace`."""
        _, lanes, numbers = _columns(anchors, 3)
        with suppress(Overtaken), self._transaction() as connection:
            for statement in _FORGET:
                connection.execute(statement.encode("ascii"), (lanes, numbers, day))
            self._insert(connection, day, rows)
            return True
        return False

    def drop_day(self, day: date, lanes: Iterable[int]) -> None:
        """See :meth:`SearchIndex.drop_day`."""
        with self._transaction() as connection:
            for statement in _DROP:
                connection.execute(statement.encode("ascii"), (day,))
            connection.execute("DELETE FROM smsp_audit.index_progress WHERE lane = ANY(%s)", (list(lanes),))
            self._begin_day(connection, day, None, complete=False)

    def incomplete_days(self) -> Sequence[date]:
        """See :meth:`SearchIndex.incomplete_days`."""
        return [day for (day,) in self._fetch("SELECT day FROM smsp_audit.index_day WHERE NOT complete ORDER BY day")]

    def complete_day(self, day: date) -> None:
        """See :meth:`SearchIndex.complete_day`."""
        with self._transaction() as connection:
            connection.execute("UPDATE smsp_audit.index_day SET complete = true WHERE day = %s", (day,))

    def traffic(self, first_hour: int, last_hour: int) -> Mapping[Traffic, int]:
        """See :meth:`SearchIndex.traffic`."""
        rows = self._fetch(
            "SELECT hour, service, client, outcome, sum(times)::bigint FROM smsp_audit.index_traffic"
            " WHERE hour BETWEEN %s AND %s GROUP BY hour, service, client, outcome ORDER BY hour",
            first_hour,
            last_hour,
        )
        return {Traffic(*row[:-1]): row[-1] for row in rows}

    def postings(self, day: date) -> Iterator[tuple[int, Place]]:
        """See :meth:`SearchIndex.postings`."""
        last: Sequence[int] = (-(2**63), 0, 0, 0)
        while rows := self._fetch(_POSTINGS, day, *last, _PAGE):
            for term, *place in rows:
                yield term, Place(*place)
            last = rows[-1]

    def rewrap(self) -> int:
        """See :meth:`SearchIndex.rewrap`."""
        with self._transaction() as connection:
            stale = connection.execute(
                "SELECT day, key_id, wrapped_key FROM smsp_audit.index_day WHERE key_id <> %s FOR UPDATE",
                (self._index_keys.current,),
            ).fetchall()
            for row in stale:
                kept = self._index_keys.wrap_anew(KeptKey._make(row))
                connection.execute(
                    "UPDATE smsp_audit.index_day SET key_id = %s, wrapped_key = %s WHERE day = %s",
                    (kept.key_id, kept.wrapped, kept.day),
                )
        return len(stale)

    def _insert(self, connection: BoundedConnection, day: date, rows: DayRows) -> None:
        """Add rows to a day.

        Raises:
            Overtaken: its key is another one than that of the rows.
        """
        found = connection.execute(
            "SELECT day, key_id, wrapped_key FROM smsp_audit.index_day WHERE day = %s FOR SHARE", (day,)
        ).fetchone()
        if found is None or self._index_keys.unwrap(KeptKey._make(found)) != rows.key:
            raise Overtaken
        terms = [(term, *place) for term, place in rows.postings]
        parts = [(anchor.lane, anchor.n, part.at, part.lane, part.n) for anchor, part in rows.parts]
        connection.execute(_TERMS, (day, *_columns(terms, 4)))
        connection.execute(_PARTS, (day, *_columns(parts, 5)))

    def _begin_day(self, connection: BoundedConnection, day: date, key: bytes | None, *, complete: bool) -> None:
        connection.execute(
            "INSERT INTO smsp_audit.index_day (day, key_id, wrapped_key, complete) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (*self._index_keys.wrap(day, key), complete),
        )

    def _fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._open() as connection:
            return connection.execute(statement.encode("ascii"), values or None, binary=True).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[BoundedConnection]:
        with self._open() as connection, connection.transaction():
            yield connection

    @contextmanager
    def _open(self) -> Iterator[BoundedConnection]:
        with self._guard:
            try:
                if self._connection is None or self._connection.is_cut():
                    self._connection = connect(self._url, bound_s=_CONNECT_SECONDS)
                    self._connection.bound_s = _CALL_SECONDS
                yield self._connection
            except (psycopg.Error, NotReplicated) as error:
                # "from None": what PostgreSQL says may quote values.
                raise IndexUnusable(f"the search index: {reason_of(error)}") from None


def _columns(rows: Iterable[Sequence[int]], width: int) -> list[list[int]]:
    """Rows as one list a column, as ``unnest`` takes them."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
