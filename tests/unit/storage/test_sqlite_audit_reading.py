"""Whoever reads a trail in SQLite from end to end does not keep its write-ahead log from being begun anew."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from audit_samples import intent_of
from made_trails import RING, MadeLane, SteppingClock, TrailMaker, trail_file
from smsp_provider.audit.chain import ChainedRecord, Lane, SignedRoot
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.verification import Means, verify
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_audit_reading import SqliteTrailReader
from smsp_provider.storage.sqlite_audit_schema import first_id, suffix_of
from smsp_provider.storage.sqlite_file import Synchronous

pytestmark = pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")

RECORDS = 1200
ERASED = 600


class Written(NamedTuple):
    file: Path
    maker: TrailMaker
    made: MadeLane


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    """A trail with a lane of more records, roots and erased contents than a page has."""
    file = trail_file(tmp_path)
    with closing(SqliteAuditDatabase(file, synchronous=Synchronous.NORMAL)) as database:
        maker = TrailMaker(database, SteppingClock())
        made = maker.begin("writer")
        now = maker.clock.at
        maker.write(made, [replace(intent_of(f"E{number}"), at=now) for number in range(1, RECORDS)])
        yield Written(file, maker, made)


def _empties_its_log(file: Path) -> bool:
    with closing(sqlite3.connect(file, timeout=0)) as other:
        busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy and file.with_name(file.name + "-wal").stat().st_size == 0


def _add_roots(written: Written) -> None:
    for number in range(1, RECORDS + 1):
        written.maker.database.write_root(SignedRoot(number, b"statement", b"signature"))


def _erase(written: Written) -> None:
    written.maker.erase(written.made, [(written.made, n) for n in range(2, ERASED + 2)])


def _put_strays(written: Written) -> None:
    """Rows of a lane that is not there: more than one, so that the second one is yet to be read."""
    day = suffix_of(written.made.lane.day)
    with closing(sqlite3.connect(written.file, isolation_level=None)) as connection:
        connection.executemany(
            f"INSERT INTO content_{day} VALUES (?, 99, ?, x'00')",  # noqa: S608 - a day's table
            [(first_id(99, n), n) for n in (1, 2)],
        )


def _nothing(_: Written) -> None:
    """The lane is enough."""


READINGS: dict[str, tuple[Callable[[Written], object], Callable[[Path, Lane], Iterator[object]], int]] = {
    "a chain": (_nothing, lambda file, lane: SqliteTrailReader(file).chain(lane), RECORDS),
    "contents": (_nothing, lambda file, lane: SqliteTrailReader(file).contents(lane), RECORDS),
    "roots": (_add_roots, lambda file, _: SqliteTrailReader(file).roots(), RECORDS),
    "erased records": (_erase, lambda file, lane: SqliteTrailReader(file).erased(lane), ERASED),
    "the table of erasures": (_erase, lambda file, _: SqliteTrailBooks(file).erasures(), ERASED),
    "rows without a place": (_put_strays, lambda file, _: SqliteTrailBooks(file).strays(), 2),
}
"""What has to be there, what is read, and how many rows."""


@pytest.mark.parametrize(("prepare", "read", "rows"), READINGS.values(), ids=READINGS)
def test_the_log_is_emptied_between_two_rows_of_a_reading(
    written: Written, prepare: Callable[[Written], object], read: Callable[[Path, Lane], Iterator[object]], rows: int
) -> None:
    prepare(written)
    reading = read(written.file, written.made.lane)
    next(reading)
    written.maker.exchange(written.made)
    assert _empties_its_log(written.file)
    assert sum(1 for _ in reading) == rows - 1


def test_the_log_is_emptied_while_a_verification_is_under_way(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = SqliteTrailReader(written.file)
    chain, emptied = reader.chain, []

    def interrupted(lane: Lane, *, after: int = 0) -> Iterator[ChainedRecord]:
        for record in chain(lane, after=after):
            yield record
            if record.n in (1, ERASED):
                written.maker.exchange(written.made)
                emptied.append(_empties_its_log(written.file))

    monkeypatch.setattr(reader, "chain", interrupted)
    report = verify(reader, Means(KeyRingUnsealer(RING), SqliteTrailBooks(written.file)))
    assert emptied == [True, True]
    assert (report.findings, report.records, report.contents) == ((), RECORDS + 4, RECORDS + 4)


def test_what_is_erased_waits_for_no_verification(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SqliteTrailReader(written.file)
    chain, sealed = reader.chain, reader.content(written.made.lane, ERASED)
    assert sealed is not None

    def interrupted(lane: Lane, *, after: int = 0) -> Iterator[ChainedRecord]:
        for record in chain(lane, after=after):
            yield record
            if record.n == 1:
                _erase(written)

    monkeypatch.setattr(reader, "chain", interrupted)
    assert verify(reader, Means(KeyRingUnsealer(RING), SqliteTrailBooks(written.file))).findings == ()
    for file in written.file.parent.iterdir():
        assert sealed.sealed not in file.read_bytes()


@pytest.mark.parametrize("number", [1 << 31, 1 << 40, 0, -(1 << 40)], ids=["too great", "far too great", "0", "less"])
def test_a_lane_of_a_number_that_none_can_have_is_named_and_read_by_nobody(written: Written, number: int) -> None:
    with closing(sqlite3.connect(written.file, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO lane SELECT ?, 'token', day, 'writer', pid, at, key_id, wrapped_key FROM lane", (number,)
        )
    reader = SqliteTrailReader(written.file)
    report = verify(reader, Means(KeyRingUnsealer(RING), SqliteTrailBooks(written.file)))
    assert f"lane {number} has a number that no lane can have" in [finding.what for finding in report.findings]
    assert report.records == RECORDS
    with pytest.raises(AuditUnavailable, match="a lane is not what this version writes"):
        reader.unended()
