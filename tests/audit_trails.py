"""Audit trails in a file for tests, and what is in them."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from audit_samples import SystemClock
from smsp_provider.audit.events import Record
from smsp_provider.audit.lane_events import Closing, LaneEnded, Opening
from smsp_provider.audit.trail import Entry
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_keys import KeySource
from smsp_provider.storage.audit_lane import ProcessFacts
from smsp_provider.storage.audit_records import AuditRecords
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_file import Synchronous

__all__ = ["FACTS", "ChainRow", "TrailTail", "chain_rows", "happened", "keys_of", "make_trail"]

FACTS = ProcessFacts("0.1.0+test", "00" * 32, "11" * 32)


def keys_of(path: Path) -> KeySource:
    """The keys of a trail's file, beside it."""
    return KeySource(path.with_name("audit.keys"), may_begin=True)


def make_trail(
    path: Path, clock: Clock | None = None, *, synchronous: Synchronous = Synchronous.NORMAL, wait_s: float = 60.0
) -> ChainedAuditTrail:
    """The trail of this process in the file ``path``, or in PostgreSQL where the URL is what ``path`` holds (.url)."""
    database: AuditDatabase
    if path.suffix == ".url":
        url, durable = path.read_text(encoding="ascii"), synchronous is Synchronous.FULL
        database = PostgresAuditDatabase(url, durable=durable, wait_s=wait_s)
    else:
        database = SqliteAuditDatabase(path, synchronous=synchronous, wait_s=wait_s)
    return ChainedAuditTrail(database, keys_of(path), clock or SystemClock(), FACTS, wait_s=3 * wait_s)


def happened(entries: Iterable[Entry]) -> list[Record]:
    """The records of entries, without those that a lane is made of."""
    return [entry.record for entry in entries if not isinstance(entry.record, Opening | Closing | LaneEnded)]


class TrailTail:
    """Reads what was added to a trail since it was last asked, without what a lane is made of."""

    def __init__(self, trail: ChainedAuditTrail, path: Path) -> None:
        self._database = trail.database
        self._keys = keys_of(path)
        self._seen: dict[int, int] = {}

    def read(self) -> list[Entry]:
        """The new entries, ordered as the trail orders them."""
        found = []
        records: AuditRecords | None = None
        for lane in self._database.lanes():
            for chained in self._database.chain(lane, after=self._seen.get(lane.id, 0)):
                records = records or AuditRecords(
                    self._database, KeyRingUnsealer(self._keys.load(SystemClock().now(), is_new=False))
                )
                entry = records.opened(lane, chained)
                assert entry is not None
                found.append((chained.at, entry))
                self._seen[lane.id] = chained.n
        found.sort(key=lambda pair: (pair[0], pair[1].lane, pair[1].n))
        kept = {id(record) for record in happened(entry for _, entry in found)}
        return [entry for _, entry in found if id(entry.record) in kept]


class ChainRow(NamedTuple):
    """A record as anybody sees it who has the file and no keys; ``pid`` is the process that wrote it."""

    kind: str
    exchange: str | None
    pid: int


def chain_rows(path: Path) -> list[ChainRow]:
    """The chain of a file, by moment, without what a lane is made of; empty while there is no trail."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'chain_%'")
        parts = [f"SELECT kind, exchange, lane, n, at FROM {name}" for (name,) in tables]  # noqa: S608 - the file's own names
        if not parts:
            return []
        rows = connection.execute(
            f"SELECT kind, exchange, pid FROM ({' UNION ALL '.join(parts)}) r JOIN lane ON lane.id = r.lane"  # noqa: S608 - as above
            " WHERE kind NOT IN ('opening', 'closing', 'lane-ended') ORDER BY r.at, r.lane, r.n"
        )
        return [ChainRow(*row) for row in rows]
