"""A trail that is written, bound and verified at the same time, and keepers of several hosts, on both databases."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from made_trails import RING, Listener, SteppingClock, TrailMaker, trail_file
from postgres_audit import new_audit_url, superuser_of
from smsp_provider.audit.trail_books import TrailBooks
from smsp_provider.audit.verification import Means, verify
from smsp_provider.cli.keeper import Keeper, KeeperTask
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_signing_key import SigningKeyFile, make_signing_key
from smsp_provider.storage.postgres_audit_books import PostgresTrailBooks
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_file import Synchronous


class Trail:
    """A trail that several processes open, each with objects of its own."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.file = trail_file(directory / "audit")
        self.url = new_audit_url() if kind == "postgresql" else ""
        self._open: list[AuditDatabase] = []

    def database(self) -> AuditDatabase:
        made: AuditDatabase
        if self.url:
            made = PostgresAuditDatabase(self.url, durable=False, live=False, wait_s=60.0)
        else:
            made = SqliteAuditDatabase(self.file, synchronous=Synchronous.NORMAL, wait_s=60.0)
        self._open.append(made)
        return made

    def books(self) -> TrailBooks:
        return PostgresTrailBooks(self.url, wait_s=60.0) if self.url else SqliteTrailBooks(self.file, wait_s=60.0)

    def close(self) -> None:
        for database in self._open:
            database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def trail(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trail]:
    made = Trail(tmp_path, request.param)
    yield made
    made.close()


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_trail_that_is_written_meanwhile_is_whole(trail: Trail, tmp_path: Path) -> None:
    keys = SigningKeyFile(tmp_path / "keys" / "signing.key")
    make_signing_key(keys.file)
    listener, done, now = Listener(), threading.Event(), datetime.now(UTC)
    writing, folding = trail.database(), trail.database()
    maker = TrailMaker(writing, SteppingClock(now, timedelta(milliseconds=1)))
    folder = AuditFolder(folding, trail.books(), keys, [], SteppingClock(now, timedelta(milliseconds=1)), listener)

    def write() -> None:
        lane = maker.begin("writer-a")
        for turn in range(25):
            maker.exchange(lane)
            if turn % 5 == 4:
                # A lane ends, another one begins, and a content is erased.
                before, lane = lane, maker.begin("writer-a", lane, closing=True)
                maker.erase(lane, [(before, 4)])
        done.set()

    def fold() -> None:
        while not done.is_set():
            folder.run()
        folder.run()

    threads = [threading.Thread(target=work) for work in (write, fold)]
    for thread in threads:
        thread.start()
    reports = 0
    reader = trail.database()
    while not done.is_set() or reports == 0:
        report = verify(reader, Means(KeyRingUnsealer(RING), trail.books()))
        assert list(report.findings) == []
        reports += 1
    for thread in threads:
        thread.join()
    last = verify(reader, Means(KeyRingUnsealer(RING), trail.books(), public_key=keys.current().public_key))
    assert (last.findings, last.unbound, last.erased) == ((), 0, 5)
    assert listener.alerts == []


@pytest.mark.rule("SMSP-AUDIT-001")
def test_of_several_keepers_one_leads_and_another_takes_its_place(trail: Trail) -> None:
    turns = {"one": 0, "two": 0}

    def keeper(name: str) -> Keeper:
        database = trail.database()
        database.open()

        def count() -> None:
            turns[name] += 1

        return Keeper([KeeperTask("count", count)], lambda: database.take("keeper"), Listener())

    one, two = keeper("one"), keeper("two")
    for each in (one, two, one, two):
        each.turn()
    assert turns == {"one": 2, "two": 0}
    one.end()
    two.turn()
    one.turn()
    assert turns == {"one": 2, "two": 1}
    two.end()


def test_a_keeper_whose_connection_is_cut_does_not_lead_any_more(tmp_path: Path) -> None:
    trail = Trail(tmp_path, "postgresql")
    database, other = trail.database(), trail.database()
    database.open()
    other.open()
    one = Keeper([], lambda: database.take("keeper"), Listener())
    two = Keeper([], lambda: other.take("keeper"), Listener())
    one.turn()
    two.turn()
    assert (one.leads, two.leads) == (True, False)
    with psycopg.connect(superuser_of(trail.url), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(l.pid, 30000) FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND a.datname = current_database()"
        )
    two.turn()
    one.turn()
    assert (one.leads, two.leads) == (False, True)
    trail.close()
