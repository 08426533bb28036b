"""The search index of a generated trail, written in bulk: what the keeper would have made of the same records.

The terms are put together here by hand because a record that is written, opened and read again costs ten times as much.
That they are the very terms of the records is for `smsp audit verify --index` to find, and for a test.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

from generated_trail.model import Exchange, Scale, exchanges
from generated_trail.trail import TRAIL_ID, days_of, lane_id
from smsp_provider.audit.chain import microseconds
from smsp_provider.audit.search_index import hashed
from smsp_provider.audit.terms import EXCHANGE, TermKind, term
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.storage.audit_index_keys import IndexKeys
from smsp_provider.storage.audit_keys import KeyRing
from smsp_provider.storage.sqlite_audit_index import SqliteSearchIndex
from smsp_provider.storage.sqlite_audit_schema import suffix_of

__all__ = ["write_index"]

_AT_ONCE = 20_000
Posting = tuple[int, int, int, int]


def write_index(path: Path, ring: KeyRing, scale: Scale) -> None:
    """Write the days that are not there yet."""
    index = SqliteSearchIndex(path, TRAIL_ID, IndexKeys(ring))
    keys = {day: index.begin_day(day) for day in days_of(scale)}
    index.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        for day, key in keys.items():
            first = lane_id(scale, day, 0)
            if connection.execute("SELECT 1 FROM progress WHERE lane = ?", (first,)).fetchone() is None:
                connection.execute("BEGIN")
                _write_day(connection, key, scale, day)
                connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


def _write_day(connection: sqlite3.Connection, key: bytes, scale: Scale, day: date) -> None:
    @cache
    def known(kind: TermKind, value: str) -> int:
        return hashed(key, term(kind, value))

    postings: list[Posting] = []
    parts: list[tuple[int, ...]] = []

    def flush() -> None:
        connection.executemany(f"INSERT INTO term_{suffix_of(day)} VALUES (?, ?, ?, ?)", postings)  # noqa: S608 - our name
        connection.executemany(f"INSERT INTO part_{suffix_of(day)} VALUES (?, ?, ?, ?, ?)", parts)  # noqa: S608 - our name
        postings.clear()
        parts.clear()

    begin = datetime.combine(day, time(), UTC)
    last = begin + timedelta(days=1, microseconds=-1)
    heads = [1] * scale.lanes
    first = lane_id(scale, day, 0)
    for count, exchange in enumerate(exchanges(scale, day)):
        lane = first + exchange.lane
        at, n = exchange.intent_at, exchange.n
        postings += [(value, at, lane, n) for value in _terms(exchange, key, known)]
        parts.append((lane, n, lane, n + 1, exchange.ending_at))
        heads[exchange.lane] = n + 1
        if count % _AT_ONCE == 0:
            flush()
    for lane, head in enumerate(heads, first):
        postings.append((known(TermKind.RECORD_KIND, "opening"), microseconds(begin), lane, 1))
        postings.append((known(TermKind.RECORD_KIND, "closing"), microseconds(last), lane, head + 1))
        connection.execute("INSERT INTO progress VALUES (?, ?, x'', 1)", (lane, head + 1))
    flush()


def _terms(exchange: Exchange, key: bytes, known: Callable[[TermKind, str], int]) -> set[int]:
    identity = f"urn:nhs-uk:identity:ods:{exchange.organisation}:{exchange.user}"
    found = {
        known(TermKind.RECORD_KIND, EXCHANGE),
        known(TermKind.CLIENT, exchange.client),
        known(TermKind.ORGANISATION, exchange.organisation),
        known(TermKind.SERVICE, exchange.service.value),
        known(TermKind.USER, exchange.user),
        known(TermKind.IDENTITY, identity),
        hashed(key, term(TermKind.EXCHANGE, exchange.ids[0])),
        hashed(key, term(TermKind.NHS_NUMBER, exchange.patient)),
        *(hashed(key, term(TermKind.MESSAGE, message)) for message in exchange.ids[1:]),
    }
    if exchange.outcome is None:
        found |= {known(TermKind.OUTCOME, "fault"), known(TermKind.OUTCOME, "2100")}
        found.add(hashed(key, term(TermKind.ERROR_ID, exchange.ids[7])))
    else:
        code: tuple[ResponseCode, str] = exchange.outcome
        found |= {known(TermKind.OUTCOME, word) for word in ("answered", code[0].value, code[1])}
    return found
