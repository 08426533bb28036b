"""The search index in SQL, as far as SQLite and PostgreSQL understand the same.

One table of postings (term, at, lane, n) for a day, or one for all days whose key begins with the day: a
:class:`PostingTable` hides which. Every lookup is a range of the primary key.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from smsp_provider.audit.exchanges import Place
from smsp_provider.audit.search_index import Range

__all__ = ["Overtaken", "PostingTable", "Query", "select_places"]

Query = Callable[[str, Sequence[object]], Iterable[Sequence[int]]]
"""Runs a statement with ``?`` for its values and returns its rows."""

_FIRST_LOOK: Final = 64
_LONGEST_LOOK: Final = 16_384
_LOOK_FACTOR: Final = 16


class Overtaken(Exception):
    """Somebody else has written, or made the day anew, since a batch was put together: nothing of it is kept."""


class PostingTable(NamedTuple):
    """Where the postings of a day stand: a table, and what else its rows have to meet (``day = 7``), or nothing."""

    table: str
    condition: str = ""

    def where(self, alias: str = "a") -> str:
        """The beginning of a condition on rows of the day."""
        return f"{alias}.{self.condition} AND " if self.condition else ""


def select_places(
    query: Query, table: PostingTable, clauses: Sequence[Sequence[int]], wanted: Range, limit: int
) -> Sequence[Place]:
    """The first ``limit`` places at which a term of each clause stands.

    The rarest clause drives: its postings are read in order, and looked up under the terms of the other clauses.
    """
    driver, *others = _rarest_first(query, table, clauses, wanted)
    runs = [_run(query, table, term, others, wanted, limit) for term in driver]
    merged = heapq.merge(*runs, reverse=wanted.newest_first) if len(runs) > 1 else runs[0]
    # (A dictionary keeps the order: one place can stand under several terms of the clause.)
    return list(islice(dict.fromkeys(merged), limit))


def _rarest_first(
    query: Query, table: PostingTable, clauses: Sequence[Sequence[int]], wanted: Range
) -> list[Sequence[int]]:
    """The clauses by how many postings they have, counted no further than needed to tell which has the fewest."""
    if len(clauses) == 1:
        return list(clauses)
    look = _FIRST_LOOK
    while True:
        counts = [sum(_count(query, table, term, wanted, look) for term in clause) for clause in clauses]
        if min(counts) < look or look >= _LONGEST_LOOK:
            return [clause for _, clause in sorted(zip(counts, clauses, strict=True), key=lambda item: item[0])]
        look *= _LOOK_FACTOR


def _count(query: Query, table: PostingTable, term: int, wanted: Range, look: int) -> int:
    statement = (
        f"SELECT count(*) FROM (SELECT 1 FROM {table.table} a WHERE {table.where()}a.term = ?"  # noqa: S608 - our names
        " AND a.at >= ? AND a.at < ? LIMIT ?) AS looked"
    )
    return next(iter(query(statement, (term, wanted.since, wanted.until, look))))[0]


def _run(
    query: Query, table: PostingTable, term: int, others: Sequence[Sequence[int]], wanted: Range, limit: int
) -> list[Place]:
    conditions, values = ["a.term = ?", "a.at >= ?", "a.at < ?"], [term, wanted.since, wanted.until]
    order = "DESC" if wanted.newest_first else "ASC"
    if wanted.after is not None:
        conditions.append(f"(a.at, a.lane, a.n) {'<' if wanted.newest_first else '>'} (?, ?, ?)")
        values += wanted.after
    for clause in others:
        marks = ", ".join("?" * len(clause))
        conditions.append(
            f"EXISTS (SELECT 1 FROM {table.table} b WHERE {table.where('b')}b.term IN ({marks})"  # noqa: S608 - our names
            " AND b.at = a.at AND b.lane = a.lane AND b.n = a.n)"
        )
        values += clause
    statement = (
        f"SELECT a.at, a.lane, a.n FROM {table.table} a WHERE {table.where()}{' AND '.join(conditions)}"  # noqa: S608 - our names
        f" ORDER BY a.at {order}, a.lane {order}, a.n {order} LIMIT ?"
    )
    return [Place(*row) for row in query(statement, (*values, limit))]
