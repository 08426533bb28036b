"""A trail of made-up exchanges as a SQLite file: real chain, real seals, real tables, written in bulk.

The triggers that refuse changes are made after the rows of a day, since they ask about every row. A day is one
transaction, so that the work can be stopped and taken up again.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from generated_trail.model import FIRST_DAY, Exchange, Scale, exchanges
from smsp_provider.audit.chain import first_link, microseconds, next_link
from smsp_provider.audit.encoding import encode, kind_of
from smsp_provider.audit.events import Record
from smsp_provider.audit.lane_events import Closing, Opening
from smsp_provider.storage.audit_keys import KeyRing
from smsp_provider.storage.audit_sealing import LaneSealer
from smsp_provider.storage.sqlite_audit_schema import TRAIL, day_statements, first_id, suffix_of

__all__ = ["TRAIL_ID", "days_of", "lane_id", "write_trail"]

TRAIL_ID = str(uuid5(NAMESPACE_URL, "generated-trail")).upper()
_AT_ONCE = 20_000
_MIDNIGHT = time(tzinfo=UTC)


def days_of(scale: Scale) -> list[date]:
    return [FIRST_DAY + timedelta(days=k) for k in range(scale.days)]


def lane_id(scale: Scale, day: date, lane: int) -> int:
    """The id of a lane of a day, whose lanes count from 0."""
    return (day - FIRST_DAY).days * scale.lanes + lane + 1


def write_trail(path: Path, ring: KeyRing, scale: Scale) -> None:
    """Write the days that are not there yet."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -65536")
        if connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
            connection.execute("BEGIN")
            _run(connection, TRAIL, triggers=False)
            connection.execute("INSERT INTO trail VALUES (?, ?, 2)", (TRAIL_ID, f"{FIRST_DAY}T00:00:00Z"))
            connection.execute("COMMIT")
        for day in days_of(scale):
            if connection.execute("SELECT 1 FROM lane WHERE day = ?", (day.isoformat(),)).fetchone() is None:
                connection.execute("BEGIN")
                _write_day(connection, ring, scale, day)
                connection.execute("COMMIT")
        _run(connection, TRAIL, triggers=True)
        connection.execute("PRAGMA journal_mode = WAL")


def _run(connection: sqlite3.Connection, statements: tuple[str, ...], *, triggers: bool) -> None:
    for statement in statements:
        if statement.startswith("CREATE TRIGGER") == triggers:
            connection.execute(statement)


class _Lane:
    """A lane that is being written."""

    def __init__(self, scale: Scale, day: date, lane: int, ring: KeyRing) -> None:
        self.id = lane_id(scale, day, lane)
        self.day = day
        self.token = str(uuid5(NAMESPACE_URL, f"lane {self.id}")).upper()
        self.writer = str(uuid5(NAMESPACE_URL, f"writer {self.id}")).upper()
        self.sealer = LaneSealer(ring, self.token)
        self.n = 0
        self.link = first_link(TRAIL_ID, self.token, day)
        self.chain: list[tuple[object, ...]] = []
        self.contents: list[tuple[object, ...]] = []

    def add_record(self, record: Record) -> None:
        self.add(kind_of(record), microseconds(record.at), None, encode(record))

    def add_exchange(self, exchange: Exchange) -> None:
        intent, ending = exchange.texts()
        self.add("intent", exchange.intent_at, exchange.ids[0], intent)
        self.add("ending", exchange.ending_at, exchange.ids[0], ending)

    def add(self, kind: str, at: int, exchange: str | None, text: str) -> None:
        self.n += 1
        n = self.n
        commitment, sealed = self.sealer.seal(n, text.encode())
        self.link = next_link(self.link, n, kind, at, exchange, commitment)
        row = first_id(self.id, n)
        self.chain.append((row, self.id, n, kind, at, exchange, commitment, self.link))
        self.contents.append((row, self.id, n, sealed))

    def flush(self, connection: sqlite3.Connection) -> None:
        suffix = suffix_of(self.day)
        connection.executemany(f"INSERT INTO chain_{suffix} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self.chain)  # noqa: S608 - our name
        connection.executemany(f"INSERT INTO content_{suffix} VALUES (?, ?, ?, ?)", self.contents)  # noqa: S608 - our name
        self.chain.clear()
        self.contents.clear()


def _write_day(connection: sqlite3.Connection, ring: KeyRing, scale: Scale, day: date) -> None:
    _run(connection, day_statements(day), triggers=False)
    begin = datetime.combine(day, _MIDNIGHT)
    end = begin + timedelta(days=1, microseconds=-1)
    lanes = [_Lane(scale, day, lane, ring) for lane in range(scale.lanes)]
    for lane in lanes:
        lane.add_record(Opening(begin, lane.writer, "generated", 1, "00" * 32, "11" * 32, "22" * 32))
    for count, exchange in enumerate(exchanges(scale, day)):
        lanes[exchange.lane].add_exchange(exchange)
        if count % _AT_ONCE == 0:
            for lane in lanes:
                lane.flush(connection)
    for lane in lanes:
        lane.add_record(Closing(end, lane.writer))
        lane.flush(connection)
        connection.execute(
            "INSERT INTO lane VALUES (?, ?, ?, ?, 1, ?, ?, ?)",
            (
                *(lane.id, lane.token, day.isoformat(), lane.writer, microseconds(begin)),
                *(lane.sealer.key_id, lane.sealer.wrapped_key),
            ),
        )
        connection.execute("INSERT INTO lane_end VALUES (?, ?)", (lane.id, microseconds(end)))
    _run(connection, day_statements(day), triggers=True)
