"""What a trail in PostgreSQL holds beside its records, for whoever verifies it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString

from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.trail_books import BookedErasure, BookedLane
from smsp_provider.storage.postgres_audit_guards import guard_findings
from smsp_provider.storage.postgres_audit_reader import telling_why
from smsp_provider.storage.postgres_session import connect

__all__ = ["PostgresTrailBooks"]

_PAGE: Final = 10_000
_MOST_STRAYS: Final = 100
_QUERY_SECONDS: Final = 600.0


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
        """See :meth:`TrailBooks.strays`; besides, what guards the tables of this form and is not as it was made."""
        yield from guard_findings(self._ask)
        yield from self._stray_rows("chain")
        yield from self._stray_rows("content")

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
                # (Whatever is set for the role: nothing else may stand for the catalogue.)
                connection.execute("SET search_path = pg_catalog")
                connection.execute("SELECT set_config('default_transaction_read_only', 'on', false)")
                return connection.execute(query, values).fetchall()
            finally:
                connection.close()
