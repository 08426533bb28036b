"""What a trail in PostgreSQL holds beside its records, for whoever verifies it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString

from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.trail_books import BookedErasure, BookedLane
from smsp_provider.storage.postgres_audit_reader import telling_why
from smsp_provider.storage.postgres_session import connect

__all__ = ["PostgresTrailBooks"]

_OF_A_DAY: Final = re.compile(r"_[0-9]{8}$")
_PAGE: Final = 10_000
_MOST_STRAYS: Final = 100
_QUERY_SECONDS: Final = 600.0
_TABLES: Final = ("trail", "lane", "lane_end", "chain", "content", "erased", "root")
_GUARDS: Final = (
    *((table, "no_change") for table in _TABLES),
    *((table, "no_truncate") for table in _TABLES),
    ("lane", "no_delete"),
    ("content", "no_delete"),
)


class PostgresTrailBooks:
    """Implements :class:`smsp_provider.audit.trail_books.TrailBooks` on the database at ``url``."""

    def __init__(self, url: str, *, wait_s: float = 3.0) -> None:
        self._url: Final = url
        self._wait_s: Final = wait_s

    def made_at(self) -> str:
        """See :meth:`TrailBooks.made_at`."""
        found = self._ask("SELECT made_at FROM smsp_audit.trail")
        if len(found) != 1:
            raise AuditUnavailable("the database holds no audit trail")
        return str(found[0][0])

    def lanes(self) -> Iterator[BookedLane]:
        """See :meth:`TrailBooks.lanes`."""
        query: LiteralString = (
            "SELECT l.id, l.pid, l.at, e.at FROM smsp_audit.lane AS l"
            " LEFT JOIN smsp_audit.lane_end AS e ON e.lane = l.id ORDER BY l.id"
        )
        return map(BookedLane._make, self._ask(query))

    def erasures(self) -> Iterator[BookedErasure]:
        """See :meth:`TrailBooks.erasures`."""
        query: LiteralString = (
            "SELECT lane, n, tombstone_lane, tombstone_n FROM smsp_audit.erased WHERE (lane, n) > (%s, %s)"
            " ORDER BY lane, n LIMIT %s"
        )
        after: tuple[int, int] = (0, 0)
        while True:
            rows = self._ask(query, *after, _PAGE)
            yield from map(BookedErasure._make, rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0], rows[-1][1]

    def strays(self) -> Iterator[str]:
        """See :meth:`TrailBooks.strays`; besides, the guards of this form that are gone or off."""
        guards: LiteralString = (
            "SELECT c.relname, t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid"
            " WHERE c.relnamespace = 'smsp_audit'::regnamespace AND t.tgenabled = 'A'"
        )
        there = set(self._ask(guards))
        for table, guard in _GUARDS:
            if (table, guard) not in there:
                yield f"the trigger {guard} of {table} is gone, or not always on"
        yield from self._strange_doings()
        yield from self._stray_rows("chain")
        yield from self._stray_rows("content")

    def _strange_doings(self) -> Iterator[str]:
        """What somebody has put on the tables, so that they keep or show something else than what is written."""
        query: LiteralString = (
            "SELECT c.relname, 'trigger ' || t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid"
            " WHERE c.relnamespace = 'smsp_audit'::regnamespace AND NOT t.tgisinternal AND t.tgparentid = 0"
            " UNION ALL SELECT c.relname, 'rule ' || r.rulename FROM pg_rewrite AS r JOIN pg_class AS c"
            " ON c.oid = r.ev_class WHERE c.relnamespace = 'smsp_audit'::regnamespace"
            " UNION ALL SELECT relname, 'row level security' FROM pg_class"
            " WHERE relnamespace = 'smsp_audit'::regnamespace AND relrowsecurity"
        )
        ours = {(table, f"trigger {guard}") for table, guard in _GUARDS}
        for table, what in self._ask(query):
            if (_OF_A_DAY.sub("", table), what) not in ours:
                yield f"the {what} of {table} is nothing of the provider's"

    def _stray_rows(self, table: LiteralString) -> Iterator[str]:
        query: LiteralString = (
            "SELECT r.day, r.lane, r.n FROM smsp_audit." + table + " AS r"  # noqa: S608 - one of two constants
            " WHERE r.n < 1 OR NOT EXISTS (SELECT FROM smsp_audit.lane AS l WHERE l.id = r.lane AND l.day = r.day)"
            " LIMIT %s"
        )
        for day, lane, n in self._ask(query, _MOST_STRAYS):
            yield f"{table} of {day}: a row of lane {lane}, record {n}, which has no place there"

    def _ask(self, query: LiteralString, *values: object) -> Sequence[tuple[Any, ...]]:
        with telling_why():
            connection = connect(self._url, bound_s=self._wait_s)
            try:
                connection.bound_s = _QUERY_SECONDS
                connection.execute("SELECT set_config('default_transaction_read_only', 'on', false)")
                return connection.execute(query, values).fetchall()
            finally:
                connection.close()
