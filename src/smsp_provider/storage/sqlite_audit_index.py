"""The search index as a SQLite file of its own beside the trail, so that those who write the trail never wait for it.

A table of postings and one of further records for each day, without row ids: the key is all there is. A commit is with
the operating system, not on the disk: what a power cut takes is read from the trail again.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Final

from smsp_provider.audit.exchanges import Place
from smsp_provider.audit.search_index import DayRows, IndexBatch, IndexUnusable, LaneProgress, Range
from smsp_provider.audit.traffic import Traffic
from smsp_provider.storage.audit_index_keys import IndexKeys, KeptKey
from smsp_provider.storage.audit_index_sql import Overtaken, PostingTable, select_places
from smsp_provider.storage.private_file import make_private
from smsp_provider.storage.sqlite_connection import to_log_mode, writing

__all__ = ["SqliteSearchIndex"]

_APPLICATION_ID: Final = 0x534D5349
"""``SMSI`` in ASCII: tells this file from any other SQLite database."""
_FORM: Final = 1
_WAIT_SECONDS: Final = 5.0
_CACHE_KIB: Final = 65_536
_MADE_ANEW: Final = "move it away and run `smsp audit reindex`"

_FIRST_FORM: Final = (
    "CREATE TABLE trail (id TEXT NOT NULL)",
    """CREATE TABLE day (
        day TEXT PRIMARY KEY, key_id TEXT NOT NULL, wrapped_key BLOB NOT NULL, complete INTEGER NOT NULL
    )""",
    "CREATE TABLE progress (lane INTEGER PRIMARY KEY, n INTEGER NOT NULL, link BLOB NOT NULL, done INTEGER NOT NULL)",
    """CREATE TABLE traffic (
        hour INTEGER, day TEXT, service TEXT, client TEXT, outcome TEXT, times INTEGER NOT NULL,
        PRIMARY KEY (hour, day, service, client, outcome)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_FORM}",
)


class SqliteSearchIndex:
    """The index of the trail ``trail_id`` in the file at ``path``, which is made when it is not there.

    Usable from any thread. After a fork a new one is needed.
    """

    def __init__(self, path: Path, trail_id: str, keys: IndexKeys) -> None:
        self._path: Final = path
        self._trail_id: Final = trail_id
        self._index_keys: Final = keys
        self._guard: Final = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def day_keys(self) -> Mapping[date, bytes]:
        """See :meth:`SearchIndex.day_keys`."""
        with self._open() as connection:
            rows = connection.execute("SELECT day, key_id, wrapped_key FROM day ORDER BY day").fetchall()
        return {kept.day: self._index_keys.unwrap(kept) for kept in map(_kept, rows)}

    def begin_day(self, day: date, key: bytes | None = None) -> bytes:
        """See :meth:`SearchIndex.begin_day`."""
        with self._transaction() as connection:
            self._begin_day(connection, day, key, complete=True)
        return self.day_keys()[day]

    def progress(self) -> Mapping[int, LaneProgress]:
        """See :meth:`SearchIndex.progress`."""
        with self._open() as connection:
            rows = connection.execute("SELECT lane, n, link, done FROM progress").fetchall()
        return {lane: LaneProgress(n, link, bool(done)) for lane, n, link, done in rows}

    def write(self, batch: IndexBatch) -> bool:
        """See :meth:`SearchIndex.write`."""
        with suppress(Overtaken), self._transaction() as connection:
            for lane, (before, after) in batch.progress.items():
                row = connection.execute("SELECT n FROM progress WHERE lane = ?", (lane,)).fetchone()
                if (0 if row is None else row[0]) != before.n:
                    raise Overtaken
                connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?)", (lane, *after))
            for day, rows in batch.days.items():
                self._insert(connection, day, rows)
            connection.executemany(
                "INSERT INTO traffic (hour, service, client, outcome, day, times) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET times = times + excluded.times",
                [(*traffic, day.isoformat(), times) for (day, traffic), times in batch.traffic.items()],
            )
            return True
        return False

    def select(self, day: date, clauses: Sequence[Sequence[int]], wanted: Range, limit: int) -> Sequence[Place]:
        """See :meth:`SearchIndex.select`."""
        with self._open() as connection:
            return select_places(connection.execute, PostingTable(_postings(day)), clauses, wanted, limit)

    def parts(self, day: date, anchors: Iterable[Place]) -> Mapping[Place, Sequence[Place]]:
        """See :meth:`SearchIndex.parts`."""
        statement = f"SELECT part_at, part_lane, part_n FROM {_parts(day)} WHERE lane = ? AND n = ?"  # noqa: S608 - our name
        with self._open() as connection:
            found = {
                anchor: [Place(*row) for row in connection.execute(statement, (anchor.lane, anchor.n))]
                for anchor in anchors
            }
        return {anchor: places for anchor, places in found.items() if places}

    def replace(self, day: date, anchors: Iterable[Place], rows: DayRows) -> bool:
        """See :meth:`SearchIndex.replace`."""
        with suppress(Overtaken), self._transaction() as connection:
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS forgotten (at, lane, n, PRIMARY KEY (lane, n))")
            connection.execute("DELETE FROM forgotten")
            connection.executemany("INSERT OR IGNORE INTO forgotten VALUES (?, ?, ?)", anchors)
            for table in (_postings(day), _parts(day)):
                connection.execute(f"DELETE FROM {table} WHERE (lane, n) IN (SELECT lane, n FROM forgotten)")  # noqa: S608 - our names
            self._insert(connection, day, rows)
            return True
        return False

    def drop_day(self, day: date, lanes: Iterable[int]) -> None:
        """See :meth:`SearchIndex.drop_day`."""
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM day WHERE day = ?", (day.isoformat(),)).fetchone() is not None:
                connection.execute(f"DROP TABLE {_postings(day)}")
                connection.execute(f"DROP TABLE {_parts(day)}")
            connection.execute("DELETE FROM day WHERE day = ?", (day.isoformat(),))
            connection.execute("DELETE FROM traffic WHERE day = ?", (day.isoformat(),))
            connection.executemany("DELETE FROM progress WHERE lane = ?", [(lane,) for lane in lanes])
            self._begin_day(connection, day, None, complete=False)

    def incomplete_days(self) -> Sequence[date]:
        """See :meth:`SearchIndex.incomplete_days`."""
        with self._open() as connection:
            return [
                date.fromisoformat(day)
                for (day,) in connection.execute("SELECT day FROM day WHERE NOT complete ORDER BY day")
            ]

    def complete_day(self, day: date) -> None:
        """See :meth:`SearchIndex.complete_day`."""
        with self._transaction() as connection:
            connection.execute("UPDATE day SET complete = 1 WHERE day = ?", (day.isoformat(),))

    def traffic(self, first_hour: int, last_hour: int) -> Mapping[Traffic, int]:
        """See :meth:`SearchIndex.traffic`."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT hour, service, client, outcome, sum(times) FROM traffic WHERE hour BETWEEN ? AND ?"
                " GROUP BY hour, service, client, outcome ORDER BY hour",
                (first_hour, last_hour),
            ).fetchall()
        return {Traffic(*row[:-1]): row[-1] for row in rows}

    def postings(self, day: date) -> Iterator[tuple[int, Place]]:
        """See :meth:`SearchIndex.postings`."""
        # (A connection of its own: the rows of a day are read while others go on.)
        with closing(self._connect()) as connection:
            query = f"SELECT term, at, lane, n FROM {_postings(day)} ORDER BY 1, 2, 3, 4"  # noqa: S608 - our name
            for term, *place in connection.execute(query):
                yield term, Place(*place)

    def rewrap(self) -> int:
        """See :meth:`SearchIndex.rewrap`."""
        with self._transaction() as connection:
            stale = connection.execute(
                "SELECT day, key_id, wrapped_key FROM day WHERE key_id <> ?", (self._index_keys.current,)
            ).fetchall()
            for row in stale:
                kept = self._index_keys.wrap_anew(_kept(row))
                connection.execute(
                    "UPDATE day SET key_id = ?, wrapped_key = ? WHERE day = ?",
                    (kept.key_id, kept.wrapped, kept.day.isoformat()),
                )
        return len(stale)

    def _insert(self, connection: sqlite3.Connection, day: date, rows: DayRows) -> None:
        """Add rows to a day.

        Raises:
            Overtaken: its key is another one than that of the rows.
        """
        found = connection.execute(
            "SELECT day, key_id, wrapped_key FROM day WHERE day = ?", (day.isoformat(),)
        ).fetchone()
        if found is None or self._index_keys.unwrap(_kept(found)) != rows.key:
            raise Overtaken
        connection.executemany(
            f"INSERT OR IGNORE INTO {_postings(day)} VALUES (?, ?, ?, ?)",  # noqa: S608 - our name
            [(term, *place) for term, place in rows.postings],
        )
        connection.executemany(
            f"INSERT OR IGNORE INTO {_parts(day)} VALUES (?, ?, ?, ?, ?)",  # noqa: S608 - our name
            [(anchor.lane, anchor.n, part.lane, part.n, part.at) for anchor, part in rows.parts],
        )

    def _begin_day(self, connection: sqlite3.Connection, day: date, key: bytes | None, *, complete: bool) -> None:
        if connection.execute("SELECT 1 FROM day WHERE day = ?", (day.isoformat(),)).fetchone() is not None:
            return
        kept = self._index_keys.wrap(day, key)
        connection.execute(
            "INSERT INTO day VALUES (?, ?, ?, ?)", (day.isoformat(), kept.key_id, kept.wrapped, complete)
        )
        connection.execute(
            f"CREATE TABLE {_postings(day)} (term INTEGER, at INTEGER, lane INTEGER, n INTEGER,"
            " PRIMARY KEY (term, at, lane, n)) WITHOUT ROWID"
        )
        connection.execute(
            f"CREATE TABLE {_parts(day)} (lane INTEGER, n INTEGER, part_lane INTEGER, part_n INTEGER, part_at INTEGER,"
            " PRIMARY KEY (lane, n, part_lane, part_n)) WITHOUT ROWID"
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._open() as connection, writing(connection):
            yield connection

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                    self._inode = self._path.stat().st_ino
                elif self._inode != self._path.stat().st_ino:
                    # (What goes into a file without a name, nobody finds.)
                    raise IndexUnusable(f"the search index {self._path.name} was replaced while in use")
                yield self._connection
            except sqlite3.Error as error:
                reason = getattr(error, "sqlite_errorname", None) or type(error).__name__
                raise IndexUnusable(f"the search index {self._path.name}: {reason}") from None
            except OSError as error:
                raise IndexUnusable(f"the search index {self._path.name}: {error.strerror}") from None

    def _connect(self) -> sqlite3.Connection:
        make_private(self._path)
        connection = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            to_log_mode(connection, wait_s=_WAIT_SECONDS)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        with writing(connection):
            if connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
                for statement in _FIRST_FORM:
                    connection.execute(statement)
                connection.execute("INSERT INTO trail VALUES (?)", (self._trail_id,))
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if found != [_APPLICATION_ID, _FORM]:
            raise IndexUnusable(f"{self._path.name} is no search index of this version: {_MADE_ANEW}")
        if connection.execute("SELECT id FROM trail").fetchone() != (self._trail_id,):
            raise IndexUnusable(f"{self._path.name} is the search index of another trail: {_MADE_ANEW}")


def _kept(row: tuple[str, str, bytes]) -> KeptKey:
    day, key_id, wrapped = row
    return KeptKey(date.fromisoformat(day), key_id, wrapped)


def _postings(day: date) -> str:
    return f"term_{day:%Y%m%d}"


def _parts(day: date) -> str:
    return f"part_{day:%Y%m%d}"
