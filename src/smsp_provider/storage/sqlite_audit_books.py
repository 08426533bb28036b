"""What a trail in SQLite holds beside its records, for whoever verifies it; also of a copy of the file.

Tables that grow with the records are read page by page, as :mod:`smsp_provider.storage.sqlite_audit_reading` says.
"""

import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.trail_books import BookedErasure, BookedLane
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.sqlite_audit_reading import connect_tolerant, unavailable
from smsp_provider.storage.sqlite_audit_schema import FORM, MOST_LANES, TRAIL, day_statements

__all__ = ["SqliteTrailBooks"]

_DAY_TABLE: Final = re.compile(r"(chain|content)_([0-9]{8})")
_OTHER_FORM: Final = "SELECT 1 FROM trail WHERE form IS NOT ?"
_NUMBERED: Final = " AND ".join(
    f"typeof({column}) = 'integer'" for column in ("lane", "n", "tombstone_lane", "tombstone_n")
)
_PAGE: Final = 10_000
"""Rows of one statement at most."""
_FIRST_ID: Final = -(1 << 63)
"""The least that SQLite has."""
_MADE: Final = re.compile(r"\s*CREATE (TABLE|INDEX|VIEW|TRIGGER) ([a-z0-9_]+)")


class SqliteTrailBooks:
    """Implements :class:`smsp_provider.audit.trail_books.TrailBooks` on a file; it waits ``wait_s`` for others."""

    def __init__(self, path: Path, *, wait_s: float = 3.0) -> None:
        self._path: Final = path
        self._wait_s: Final = wait_s

    def made_at(self) -> str:
        """See :meth:`TrailBooks.made_at`."""
        found = [made_at for (made_at,) in self._rows("SELECT made_at FROM trail")]
        if len(found) != 1:
            raise AuditUnavailable("the audit trail has no beginning of its own")
        return str(found[0])

    def lanes(self) -> Iterator[BookedLane]:
        """See :meth:`TrailBooks.lanes`."""
        query = (
            "SELECT lane.id, pid, lane.at, lane_end.at FROM lane LEFT JOIN lane_end ON lane_end.lane = lane.id"
            " ORDER BY lane.id"
        )
        return map(BookedLane._make, self._rows(query))

    def erasures(self) -> Iterator[BookedErasure]:
        """See :meth:`TrailBooks.erasures`."""
        query = (
            f"SELECT lane, n, tombstone_lane, tombstone_n FROM erased WHERE (lane, n) > (?, ?) AND {_NUMBERED}"  # noqa: S608 - a constant
            " ORDER BY lane, n LIMIT ?"
        )
        after: tuple[float, float] = (-math.inf, -math.inf)
        while rows := self._rows(query, (*after, _PAGE)):
            yield from map(BookedErasure._make, rows)
            after = rows[-1][0], rows[-1][1]

    def strays(self) -> Iterator[str]:
        """See :meth:`TrailBooks.strays`; besides, the triggers and tables of this form that are gone or changed."""
        wanted = self._wanted()
        kept = dict(self._rows("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
        for name, statement in wanted.items():
            if name not in kept:
                yield f"{name} is gone from the database"
            elif kept[name] != statement:
                yield f"{name} is not as the provider made it"
        # (Asked again: a day may have begun since.)
        known = self._wanted()
        yield from (f"{name} is nothing of the provider's" for name in kept if name not in known)
        yield from ("the trail has another form than its file" for _ in self._rows(_OTHER_FORM, (FORM,)))
        for (lane,) in self._rows("SELECT lane FROM lane_end WHERE lane NOT IN (SELECT id FROM lane)"):
            yield f"lane {lane} is marked as ended, and is not there"
        for (lane,) in self._rows("SELECT id FROM lane WHERE day IS NOT date(day)"):
            yield f"lane {lane} is one of no day"
        for (lane,) in self._rows("SELECT id FROM lane WHERE id NOT BETWEEN 1 AND ?", (MOST_LANES,)):
            yield f"lane {lane} has a number that no lane can have"
        for lane, n in self._rows(f"SELECT lane, n FROM erased WHERE NOT ({_NUMBERED})"):  # noqa: S608 - a constant
            yield f"erased: a row of lane {lane!r}, record {n!r}, which has no place there"
        yield from self._stray_rows([name for name in kept if _DAY_TABLE.fullmatch(name)])

    def _wanted(self) -> dict[str, str]:
        """What the file has to hold for the days that there are lanes of: the statements by what they make."""
        days = sorted(
            date.fromisoformat(day) for (day,) in self._rows("SELECT DISTINCT day FROM lane WHERE day IS date(day)")
        )
        return _objects([*TRAIL, *(statement for day in days for statement in day_statements(day))])

    def _stray_rows(self, tables: Sequence[str]) -> Iterator[str]:
        for table in tables:
            digits = table[-8:]
            day = f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
            query = (
                f"SELECT lane, n FROM {table} WHERE id >= ? AND id <= ?"  # noqa: S608 - a name of the shape above
                " AND (lane NOT IN (SELECT id FROM lane WHERE day = ?)"
                " OR id <> (lane << 32 | n) OR typeof(n) <> 'integer' OR n < 1)"
            )
            with self._asking() as connection:
                for first, last in _pages(connection, table):
                    for lane, n in connection.execute(query, (first, last, day)).fetchall():
                        yield f"{table}: a row of lane {lane!r}, record {n!r}, which has no place there"

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows of one statement, which is over."""
        with self._asking() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(connect_tolerant(self._path, wait_s=self._wait_s)) as connection:
                yield connection
        except (sqlite3.Error, OSError, StorageUnsafe) as error:
            raise unavailable(error) from None


def _pages(connection: sqlite3.Connection, table: str) -> Iterator[tuple[int, int]]:
    """The first and the last id of each page of a day's table, up to where it ends now."""
    ((end,),) = connection.execute(f"SELECT max(id) FROM {table}").fetchall()  # noqa: S608 - a name of the provider's shape
    query = f"SELECT id FROM {table} WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1"  # noqa: S608 - as above
    first = _FIRST_ID
    # (Of another type only in a table that the provider did not make.)
    while isinstance(end, int) and first <= end:
        found = connection.execute(query, (first, end)).fetchall()
        if not found:
            return
        first = found[0][0]
        yield first, min(first + _PAGE - 1, end)
        first += _PAGE


def _objects(statements: Sequence[str]) -> dict[str, str]:
    """The things that statements make, by name."""
    found = {}
    for statement in statements:
        made = _MADE.match(statement)
        if made is not None:
            found[made[2]] = statement
    return found
