"""Exceptional deletion on each database: what goes, what stays, and that nothing else can go."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from deletion_world import ANN, BASIS, BOB, ONE, REASON, TWO, DeletionWorld, untold
from operator_samples import Listener
from postgres_audit import new_audit_url, superuser_of
from smsp_provider.audit.deletion import digest_of
from smsp_provider.audit.deletion_events import Erasure
from smsp_provider.audit.verification import Means, verify
from smsp_provider.storage.audit_archive import new_manifest, write_archive
from smsp_provider.storage.audit_archive_file import ArchiveFile
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.audit_selection import records_of_number
from smsp_provider.storage.audit_signing_key import SigningKeyFile, make_signing_key, read_signing_key
from smsp_provider.storage.postgres_audit_books import PostgresTrailBooks
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_reading import SqliteTrailReader
from smsp_provider.storage.sqlite_audit_restore import restore_archive

pytestmark = pytest.mark.rule("SMSP-AUDIT-001")


class Somebody:
    """Who changes the database by hand: as the provider may, as the owner of all may, and without its triggers."""

    def __init__(self, world: DeletionWorld, url: str | None) -> None:
        self._world = world
        self._url = url

    def content(self) -> str:
        return f"content_{self._world.database.lanes()[0].day:%Y%m%d}" if self._url is None else "smsp_audit.content"

    def erased(self) -> str:
        return "erased" if self._url is None else "smsp_audit.erased"

    def tries(self, statement: str) -> str:
        """What the database says to the provider's own role."""
        return self._said(statement, self._url)

    def tries_as_superuser(self, statement: str) -> str:
        return self._said(statement, None if self._url is None else superuser_of(self._url))

    def _said(self, statement: str, url: str | None) -> str:
        try:
            if url is None:
                with closing(sqlite3.connect(self._world.file, isolation_level=None)) as connection:
                    connection.execute(statement)
            else:
                with psycopg.connect(url) as server:
                    server.execute(statement.encode())
        except (sqlite3.Error, psycopg.Error) as error:
            return str(error)
        return ""

    def takes_away(self, n: int) -> None:
        """Delete a content without the triggers in the way."""
        statement = f"DELETE FROM {self.content()} WHERE lane = 1 AND n = {n}"  # noqa: S608 - a number of the test's own
        if self._url is None:
            assert self.tries(f"DROP TRIGGER {self.content()}_no_delete") == ""
            assert self.tries(statement) == ""
            return
        with psycopg.connect(superuser_of(self._url)) as server:
            server.execute(b"ALTER TABLE smsp_audit.content DISABLE TRIGGER ALL")
            assert server.execute(statement.encode()).rowcount == 1


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    return new_audit_url() if request.param == "postgresql" else None


@pytest.fixture
def world(tmp_path: Path, url: str | None) -> Iterator[DeletionWorld]:
    if url is None:
        made = DeletionWorld(tmp_path)
    else:
        made = DeletionWorld(
            tmp_path, None, PostgresAuditDatabase(url, durable=False, wait_s=60.0), PostgresTrailBooks(url, wait_s=60.0)
        )
    for name, number in (("E1", ONE), ("E2", TWO), ("E3", ONE)):
        made.exchange(name, number)
    yield made
    made.close()


@pytest.fixture
def somebody(world: DeletionWorld, url: str | None) -> Somebody:
    return Somebody(world, url)


def _erase(world: DeletionWorld) -> int:
    found = records_of_number(world.database, world.unsealer, ONE, untold)
    assert found == world.ranges((2, 3), (6, 7))
    proposed = world.deletions().propose(ANN, found, reason=REASON, legal_basis=BASIS)
    return world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed))


def test_the_named_contents_go_and_the_chain_stays(world: DeletionWorld) -> None:
    before = world.sealed()
    assert _erase(world) == 4
    assert before.keys() - world.sealed().keys() == {(1, 2), (1, 3), (1, 6), (1, 7)}
    (lane,) = world.database.lanes()
    tombstones = {(row.tombstone_lane, row.tombstone_n) for row in world.database.erased(lane)}
    (tombstone,) = [entry for entry in world.trail.read() if isinstance(entry.record, Erasure)]
    assert tombstones == {(tombstone.lane, tombstone.n)}
    report = world.verified()
    assert (report.findings, report.erased) == ((), 4)


def test_to_erase_again_changes_nothing(world: DeletionWorld) -> None:
    _erase(world)
    (lane,) = world.database.lanes()
    rows = list(world.database.erased(lane))
    assert world.database.erase([row._replace(tombstone_n=1) for row in rows]) == 0
    assert list(world.database.erased(lane)) == rows


def test_nobody_takes_another_one_away(world: DeletionWorld, somebody: Somebody) -> None:
    _erase(world)
    delete = f"DELETE FROM {somebody.content()} WHERE lane = 1 AND n = 4"  # noqa: S608 - a name of the test's own
    for said in (somebody.tries(delete), somebody.tries_as_superuser(delete)):
        assert "append-only" in said or "permission denied" in said
    for change in (f"UPDATE {somebody.content()} SET sealed = sealed", f"DELETE FROM {somebody.erased()}"):  # noqa: S608 - names of the test's own
        for said in (somebody.tries(change), somebody.tries_as_superuser(change)):
            assert "append-only" in said or "permission denied" in said
    assert len(world.sealed()) == len(list(world.database.chain(world.database.lanes()[0]))) - 4
    assert world.verified().findings == ()


def test_somebody_without_triggers_is_found(world: DeletionWorld, somebody: Somebody) -> None:
    _erase(world)
    somebody.takes_away(5)
    findings = world.verified(books=None).findings
    assert [(finding.lane, finding.n) for finding in findings] == [(world.database.lanes()[0].token, 5)]
    assert "content is missing" in findings[0].what


def test_an_archive_of_it_verifies_by_itself(world: DeletionWorld, tmp_path: Path) -> None:
    _erase(world)
    key = tmp_path / "signing.key"
    make_signing_key(key)
    AuditFolder(world.database, world.books, SigningKeyFile(key), (), world.clock, Listener()).run()
    day = world.database.lanes()[0].day
    output, restored = world.file.with_name("a.tar.gz"), tmp_path / "restored" / "audit.db"
    manifest = new_manifest(day, day, world.clock.now(), ANN.name)
    write_archive(world.database, world.books, output, manifest, read_signing_key(key), told=untold)
    archive = ArchiveFile(output)
    restore_archive(archive, archive.manifest()[0], restored, told=untold)
    means = Means(world.unsealer, SqliteTrailBooks(restored), list(world.database.roots()), part=True)
    report = verify(SqliteTrailReader(restored), means)
    assert (report.findings, report.erased, report.unbound) == ((), 4, 0)
    assert report.witnessed == report.roots == 1
