"""The tables of an audit trail in SQLite: those of the trail, and four things for each day.

For a day there are ``chain_YYYYMMDD`` and ``content_YYYYMMDD``, one row each for a record, and a view
``row_YYYYMMDD`` of both that takes inserts: so a record is one statement, which is a transaction of its own. ``id`` is
lane and n in one number, because SQLite finds and appends by one number fastest and in one B-tree.

Triggers refuse every change but two: a content goes where ``erased`` names its record, and the key of a lane can be
wrapped anew. What is inserted must be the next of its lane, and its lane must not be ended.

Source: SMSP-AUDIT-001, 009.
"""

from collections.abc import Iterator
from datetime import date
from typing import Final

__all__ = [
    "APPLICATION_ID",
    "FORM",
    "LANE_ENDED",
    "MOST_LANES",
    "MOST_RECORDS",
    "TRAIL",
    "day_statements",
    "first_id",
    "last_id",
    "suffix_of",
]

APPLICATION_ID: Final = 0x534D5350
"""``SMSP`` in ASCII: tells this file from any other SQLite database."""
FORM: Final = 2

_LANE_BITS: Final = 32
MOST_RECORDS: Final = (1 << _LANE_BITS) - 1
"""Of a lane: a greater n would be the place of a record of another one."""
MOST_LANES: Final = (1 << 63 - _LANE_BITS) - 1
"""Of a trail: SQLite has no ``id`` for the records of one with a greater number."""
LANE_ENDED: Final = "the lane is ended"
"""The text of the refusal of a record for an ended lane."""
_REFUSE: Final = "SELECT RAISE(ABORT, 'the audit trail is append-only');"


def suffix_of(day: date) -> str:
    """What the names of a day's tables end with."""
    return f"{day:%Y%m%d}"


def first_id(lane: int, n: int = 0) -> int:
    """The ``id`` of a record."""
    return lane << _LANE_BITS | n


def last_id(lane: int) -> int:
    """An ``id`` that no record of the lane is above."""
    return first_id(lane, MOST_RECORDS)


_UNCHANGEABLE: Final = "CREATE TRIGGER {table}_no_{name} BEFORE {action} ON {table} BEGIN {refuse} END"
# (INSERT OR REPLACE would remove a row without asking the triggers of DELETE.)
_UNIQUE: Final = (
    "CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}"
    " WHEN EXISTS (SELECT 1 FROM {table} WHERE {key}) BEGIN {refuse} END"
)
_DAY: Final = (
    """CREATE TABLE {chain} (
        id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL,
        exchange TEXT, "commitment" BLOB NOT NULL, link BLOB NOT NULL
    )""",
    """CREATE TABLE {content} (
        id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, n INTEGER NOT NULL, sealed BLOB NOT NULL
    )""",
    """CREATE VIEW {row} AS SELECT c.lane, c.n, kind, at, exchange, "commitment", link, sealed
        FROM {chain} c LEFT JOIN {content} d ON d.id = c.id""",
    """CREATE TRIGGER {row}_insert INSTEAD OF INSERT ON {row} BEGIN
        INSERT INTO {chain} VALUES (NEW.lane << {bits} | NEW.n, NEW.lane, NEW.n, NEW.kind, NEW.at, NEW.exchange,
            NEW."commitment", NEW.link);
        INSERT INTO {content} VALUES (NEW.lane << {bits} | NEW.n, NEW.lane, NEW.n, NEW.sealed);
    END""",
    # (One trigger for all three: each costs every record something.)
    """CREATE TRIGGER {chain}_next BEFORE INSERT ON {chain} WHEN EXISTS (SELECT 1 FROM {chain} WHERE id = NEW.id)
        OR (NEW.n <> 1 AND NOT EXISTS (SELECT 1 FROM {chain} WHERE id = NEW.id - 1))
        OR EXISTS (SELECT 1 FROM lane_end WHERE lane = NEW.lane)
        BEGIN
            SELECT RAISE(ABORT, '{ended}') WHERE EXISTS (SELECT 1 FROM lane_end WHERE lane = NEW.lane);
            {refuse}
        END""",
    """CREATE TRIGGER {content}_no_delete BEFORE DELETE ON {content}
        WHEN NOT EXISTS (SELECT 1 FROM erased WHERE lane = OLD.lane AND n = OLD.n) BEGIN {refuse} END""",
)


def _unchangeable(table: str, *actions: str) -> Iterator[str]:
    for action in actions:
        name = action.partition(" ")[0].lower()
        yield _UNCHANGEABLE.format(table=table, name=name, action=action, refuse=_REFUSE)


def _unique(table: str, key: str) -> str:
    return _UNIQUE.format(table=table, key=key, refuse=_REFUSE)


TRAIL: Final = (
    "CREATE TABLE trail (id TEXT NOT NULL PRIMARY KEY, made_at TEXT NOT NULL, form INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE lane (
        id INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, day TEXT NOT NULL, writer TEXT NOT NULL,
        pid INTEGER NOT NULL, at INTEGER NOT NULL, key_id TEXT NOT NULL, wrapped_key BLOB NOT NULL
    )""",
    "CREATE INDEX lane_day ON lane (day)",
    "CREATE TABLE lane_end (lane INTEGER PRIMARY KEY REFERENCES lane (id), at INTEGER NOT NULL)",
    """CREATE TABLE erased (
        lane INTEGER NOT NULL, n INTEGER NOT NULL, tombstone_lane INTEGER NOT NULL, tombstone_n INTEGER NOT NULL,
        PRIMARY KEY (lane, n)
    ) WITHOUT ROWID""",
    "CREATE TABLE root (number INTEGER PRIMARY KEY, statement BLOB NOT NULL, signature BLOB NOT NULL)",
    *_unchangeable("trail", "UPDATE", "DELETE", "INSERT"),
    *_unchangeable("lane", "UPDATE OF id, token, day, writer, pid, at", "DELETE"),
    _unique("lane", "id = NEW.id OR token = NEW.token"),
    *_unchangeable("lane_end", "UPDATE", "DELETE"),
    _unique("lane_end", "lane = NEW.lane"),
    *_unchangeable("erased", "UPDATE", "DELETE"),
    _unique("erased", "lane = NEW.lane AND n = NEW.n"),
    *_unchangeable("root", "UPDATE", "DELETE"),
    _unique("root", "number = NEW.number"),
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORM}",
)
"""The statements that make an empty database a trail, but for the one row of ``trail``, which goes before triggers."""


def day_statements(day: date) -> tuple[str, ...]:
    """The statements that make the tables of a day."""
    names = {name: f"{name}_{suffix_of(day)}" for name in ("chain", "content", "row")}
    return (
        *(statement.format(**names, bits=_LANE_BITS, refuse=_REFUSE, ended=LANE_ENDED) for statement in _DAY),
        *_unchangeable(names["chain"], "UPDATE", "DELETE"),
        *_unchangeable(names["content"], "UPDATE"),
        _unique(names["content"], "id = NEW.id"),
    )
