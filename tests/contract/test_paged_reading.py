"""A trail that changes between two pages of a reading: what is lawful is no finding, and what is not is found."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deletion_world import ANN, BASIS, BOB, ONE, REASON, TWO, DeletionWorld, untold
from operator_samples import Listener
from postgres_audit import new_audit_url, superuser_of
from smsp_provider.audit.chain import ChainedRecord, Lane
from smsp_provider.audit.deletion import digest_of
from smsp_provider.storage.audit_archive import new_manifest, write_archive
from smsp_provider.storage.audit_archive_file import ArchiveFile
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.audit_signing_key import SigningKeyFile, make_signing_key, read_signing_key
from smsp_provider.storage.postgres_audit_books import PostgresTrailBooks
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from tamper.hands import Hand, PostgresHand, SqliteHand

pytestmark = pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")

PAGE = 7
PAGED = ("sqlite_audit_reading", "sqlite_audit_books", "postgres_audit_reader", "postgres_audit_books")
EXCHANGES = 15
RECORDS = 1 + 2 * EXCHANGES
WAIT_SECONDS = 10.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    return new_audit_url() if request.param == "postgresql" else None


@pytest.fixture
def world(tmp_path: Path, url: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeletionWorld]:
    for module in PAGED:
        monkeypatch.setattr(f"smsp_provider.storage.{module}._PAGE", PAGE)
    if url is None:
        made = DeletionWorld(tmp_path)
    else:
        database = PostgresAuditDatabase(url, durable=False, wait_s=WAIT_SECONDS)
        made = DeletionWorld(tmp_path, None, database, PostgresTrailBooks(url, wait_s=WAIT_SECONDS))
    for number in range(EXCHANGES):
        made.exchange(f"E{number}", ONE if number % 2 else TWO)
    yield made
    made.close()


@pytest.fixture
def hand(world: DeletionWorld, url: str | None) -> Iterator[Hand]:
    made = SqliteHand(world.file) if url is None else PostgresHand(superuser_of(url))
    yield made
    made.close()


def _between_pages(
    monkeypatch: pytest.MonkeyPatch, database: AuditDatabase, act: Callable[[], object], *, every: int = RECORDS
) -> None:
    """Have something happen when the third record of a chain was read, and after each ``every`` further ones."""
    chain = database.chain

    def interrupted(lane: Lane, *, after: int = 0) -> Iterator[ChainedRecord]:
        for record in chain(lane, after=after):
            yield record
            if record.n <= RECORDS and record.n % every == 3 % every:
                act()

    monkeypatch.setattr(database, "chain", interrupted)


def _erase(world: DeletionWorld, *wanted: tuple[int, int]) -> None:
    deletions = world.deletions()
    proposed = deletions.propose(ANN, world.ranges(*wanted), reason=REASON, legal_basis=BASIS)
    deletions.approve(proposed.proposal_id, BOB, digest_of(proposed))


def test_a_reading_ends_where_the_trail_ended_when_it_began(world: DeletionWorld) -> None:
    (lane,) = world.database.lanes()
    chain, contents = world.database.chain(lane), world.database.contents(lane)
    first, one = next(chain), next(contents)
    for number in range(PAGE):
        world.exchange(f"later {number}")
    assert [first.n, *(record.n for record in chain)] == list(range(1, RECORDS + 1))
    assert [one.n, *(content.n for content in contents)] == list(range(1, RECORDS + 1))
    later = [record.n for record in world.database.chain(lane, after=RECORDS)]
    assert later == list(range(RECORDS + 1, RECORDS + 1 + 2 * PAGE))


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_last_page_of_any_length_is_read(world: DeletionWorld, more: int) -> None:
    (lane,) = world.database.lanes()
    after = RECORDS - 2 * PAGE - more
    assert [record.n for record in world.database.chain(lane, after=after)] == list(range(after + 1, RECORDS + 1))
    assert [content.n for content in world.database.contents(lane, after=after)] == list(range(after + 1, RECORDS + 1))


def test_what_is_written_between_two_pages_is_no_finding(world: DeletionWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def exchange() -> None:
        written.append(len(written))
        world.exchange(f"meanwhile {len(written)}")

    _between_pages(monkeypatch, world.database, exchange, every=2)
    report = world.verified()
    assert report.findings == ()
    assert (report.records, report.contents, report.erased) == (RECORDS + 2 * len(written),) * 2 + (0,)
    assert len(written) > PAGE


def test_what_is_erased_between_two_pages_is_no_finding(world: DeletionWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[bool] = []

    def erase() -> None:
        if not done:
            done.append(True)
            _erase(world, (2, 3), (6, 11), (20, 31))

    _between_pages(monkeypatch, world.database, erase)
    report = world.verified()
    assert done
    assert report.findings == ()
    assert 12 <= report.erased <= 20, "what was read before it went is counted as being there"
    assert world.verified().erased == 20


def test_an_archive_does_without_what_is_erased_between_two_pages(
    world: DeletionWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "signing.key"
    make_signing_key(key)
    AuditFolder(world.database, world.books, SigningKeyFile(key), (), world.clock, Listener()).run()
    done: list[bool] = []

    def erase() -> None:
        if not done:
            done.append(True)
            _erase(world, (10, 11), (20, 23))

    _between_pages(monkeypatch, world.database, erase)
    day, output = world.database.lanes()[0].day, world.file.with_name("a.tar.gz")
    manifest = new_manifest(day, day, world.clock.now(), ANN.name)
    write_archive(world.database, world.books, output, manifest, read_signing_key(key), told=untold)
    written, _ = ArchiveFile(output).manifest()
    assert done
    assert written.records == RECORDS
    assert written.records - 6 <= written.contents < written.records


CHANGES: dict[str, tuple[Callable[[Hand, Lane], None], int]] = {
    "a link": (lambda hand, lane: hand.set("chain", lane, 20, {"link": bytes(32)}), 20),
    "a moment": (lambda hand, lane: hand.set("chain", lane, 20, {"at": 1}), 20),
    "the first record of the next page": (lambda hand, lane: hand.set("chain", lane, PAGE + 1, {"at": 1}), PAGE + 1),
    "a record that goes": (lambda hand, lane: hand.remove("chain", lane, 20, 20), 20),
    "records that go up to the end of a page": (lambda hand, lane: hand.remove("chain", lane, 9, 2 * PAGE), 9),
    "all records that follow": (lambda hand, lane: hand.remove("chain", lane, PAGE + 1, RECORDS), PAGE + 1),
    "a content": (
        lambda hand, lane: hand.set("content", lane, 20, {"sealed": hand.get("content", lane, 22)["sealed"]}),
        20,
    ),
    "a content that goes": (lambda hand, lane: hand.remove("content", lane, 20, 20), 20),
    "contents of a whole page that go": (lambda hand, lane: hand.remove("content", lane, 16, 16 + PAGE), 16),
}
"""What somebody does to a lane while its first page is read, and the first record that is not as it was written."""


@pytest.mark.parametrize(("change", "n"), CHANGES.values(), ids=CHANGES)
def test_what_is_changed_between_two_pages_is_found_and_named(
    world: DeletionWorld,
    hand: Hand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Hand, Lane], None],
    n: int,
) -> None:
    key = tmp_path / "signing.key"
    make_signing_key(key)
    AuditFolder(world.database, world.books, SigningKeyFile(key), (), world.clock, Listener()).run()
    (lane,) = world.database.lanes()

    def tamper() -> None:
        change(hand, lane)
        hand.hide()

    _between_pages(monkeypatch, world.database, tamper)
    found = world.verified().findings
    assert [(finding.lane, finding.n) for finding in found] == [(lane.token, n)], found


def test_a_verification_beside_writers_finds_nothing(world: DeletionWorld) -> None:
    over = threading.Event()

    def write(number: int) -> None:
        turn = 0
        while not over.is_set():
            world.exchange(f"writer {number}, {turn}")
            turn += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    try:
        reports = [world.verified() for _ in range(4)]
    finally:
        over.set()
        for writer in writers:
            writer.join(60)
    assert [report.findings for report in reports] == [()] * 4
    assert [(report.contents, report.erased) for report in reports] == [(report.records, 0) for report in reports]
    assert reports[0].records < reports[-1].records
