"""Exceptional deletion on a real trail: what is erased, what stays, and what happens to those who die on the way."""

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deletion_world import ANN, BASIS, BOB, ONE, REASON, TWO, DeletionWorld, in_a_child, untold
from smsp_provider.audit.deletion import DeletionRefused, digest_of
from smsp_provider.audit.deletion_events import DeletionProposed, Erasure, RecordRange
from smsp_provider.audit.events import Change
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.storage.audit_database import ErasedRow
from smsp_provider.storage.audit_selection import records_at, records_of_exchanges, records_of_number
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase

pytestmark = pytest.mark.rule("SMSP-AUDIT-001")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeletionWorld]:
    made = DeletionWorld(tmp_path)
    # The first lane: opening 1, exchanges 2 and 3 (one), 4 and 5 (two), 6 and 7 (one), an act 8.
    for name, number in (("E1", ONE), ("E2", TWO), ("E3", ONE)):
        made.exchange(name, number)
    made.act("client list")
    yield made
    made.close()


def _proposed(world: DeletionWorld, *ranges: tuple[int, int]) -> DeletionProposed:
    return world.deletions().propose(ANN, world.ranges(*ranges), reason=REASON, legal_basis=BASIS)


def _approved(world: DeletionWorld, *ranges: tuple[int, int]) -> int:
    proposed = _proposed(world, *ranges)
    return world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed))


class TestWhatIsChosen:
    def test_all_records_about_a_patient(self, world: DeletionWorld) -> None:
        assert records_of_number(world.database, world.unsealer, ONE, untold) == world.ranges((2, 3), (6, 7))

    def test_an_act_that_names_the_patient_goes_too(self, world: DeletionWorld) -> None:
        world.act(f"audit search --nhs-number {ONE.digits}")
        world.act(f"a longer number {ONE.digits}0")
        assert records_of_number(world.database, world.unsealer, ONE, untold) == world.ranges((2, 3), (6, 7), (9, 9))

    def test_the_records_of_an_exchange(self, world: DeletionWorld) -> None:
        assert records_of_exchanges(world.database, ["E2"], untold) == world.ranges((4, 5))
        with pytest.raises(DeletionRefused, match="no exchange E9"):
            records_of_exchanges(world.database, ["E2", "E9"], untold)

    def test_records_by_their_places(self, world: DeletionWorld) -> None:
        token = world.database.lanes()[0].token
        assert records_at(world.database, [("1", 3, 4), (token, 8, 8)]) == world.ranges((3, 4), (8, 8))

    @pytest.mark.parametrize(
        ("place", "text"),
        [
            (("1", 1, 2), "kept for ever"),
            (("1", 8, 9), "no record 1:9"),
            (("2", 1, 1), "no lane 2"),
        ],
        ids=["the opening", "beyond the end", "another lane"],
    )
    def test_what_cannot_be_erased_is_refused(
        self, world: DeletionWorld, place: tuple[str, int, int], text: str
    ) -> None:
        with pytest.raises(DeletionRefused, match=text):
            records_at(world.database, [place])

    def test_what_was_erased_is_not_chosen_again(self, world: DeletionWorld) -> None:
        _approved(world, (2, 3))
        assert records_of_number(world.database, world.unsealer, ONE, untold) == world.ranges((6, 7))
        with pytest.raises(DeletionRefused, match="erased before"):
            records_at(world.database, [("1", 2, 2)])

    def test_a_content_that_cannot_be_read_stops_it(self, world: DeletionWorld) -> None:
        (lane,) = world.database.lanes()
        world.database.rewrap(lane, "another key", lane.wrapped_key)
        with pytest.raises(DeletionRefused, match="key is not in the key ring"):
            records_of_number(world.database, world.unsealer, ONE, untold)


class TestTwoOfficers:
    def test_the_contents_go_and_everything_else_stays(self, world: DeletionWorld) -> None:
        before = world.sealed()
        gone = [before[1, n] for n in (2, 3, 6, 7)]
        assert world.traces_of(gone) > 20
        proposed = world.deletions().propose(ANN, world.ranges((2, 3), (6, 7)), reason=REASON, legal_basis=BASIS)
        assert world.sealed().keys() >= before.keys(), "a proposal erases nothing"

        assert world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed)) == 4

        assert before.keys() - world.sealed().keys() == {(1, 2), (1, 3), (1, 6), (1, 7)}
        assert world.traces_of(gone) == 0
        assert world.index.forgotten == [(1, 2), (1, 3), (1, 6), (1, 7)]
        report = world.verified()
        assert (report.findings, report.erased) == ((), 4)
        tombstones = [entry.record for entry in world.trail.read() if isinstance(entry.record, Erasure)]
        assert [(one.proposed_by, one.approved_by, one.reason, one.legal_basis) for one in tombstones] == [
            (ANN, BOB, REASON, BASIS)
        ]
        assert list(world.marks.iterdir()) == []

    def test_no_trace_of_a_content_is_left_where_pages_were_split(self, world: DeletionWorld) -> None:
        # Two writers by turns: their records stand between each other's, and SQLite moves contents from page to page.
        other = DeletionWorld(world.file.parents[1], world.clock)
        for number in range(60):
            world.exchange(f"A{number}", TWO)
            other.exchange(f"B{number}", ONE)
            document = "x" * (number % 7 * 1_500)
            world.trail.record_change(Change(world.clock.now(), "jsmith", "client", "ward", number, document, None))
        first, second = world.database.lanes()
        ranges = [RecordRange(first.token, 2, 150), RecordRange(second.token, 2, 100)]
        gone = [sealed for (lane, n), sealed in world.sealed().items() if n in range(2, 151 if lane == 1 else 101)]
        proposed = world.deletions().propose(ANN, ranges, reason=REASON, legal_basis=BASIS)
        assert world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed)) == len(gone) == 248
        assert world.traces_of(gone) == 0
        other.close()

    def test_nothing_of_the_patient_is_in_what_is_kept_for_ever(self, world: DeletionWorld) -> None:
        found = records_of_number(world.database, world.unsealer, ONE, untold)
        proposed = world.deletions().propose(ANN, found, reason=REASON, legal_basis=BASIS)
        world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed))
        (lane,) = world.database.lanes()
        kept = [world.unsealer.unseal(lane, content)[1] for content in world.database.contents(lane)]
        assert not any(ONE.digits.encode() in text for text in kept)

    def test_a_proposal_approved_twice_erases_once(self, world: DeletionWorld) -> None:
        proposed = _proposed(world, (2, 3))
        assert world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed)) == 2
        assert world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed)) == 0
        assert sum(isinstance(entry.record, Erasure) for entry in world.trail.read()) == 1

    def test_another_record_than_the_named_ones_is_found(self, world: DeletionWorld) -> None:
        _approved(world, (2, 3))
        (lane,) = world.database.lanes()
        # (With the table of erasures filled by hand as well: it names the tombstone of the others.)
        tombstone = next(entry for entry in world.trail.read() if isinstance(entry.record, Erasure))
        world.database.erase([ErasedRow(lane.id, 4, tombstone.lane, tombstone.n)])
        findings = world.verified().findings
        assert [(finding.lane, finding.n) for finding in findings[:1]] == [(lane.token, 4)]
        assert "content is missing" in findings[0].what

    def test_no_erasure_without_the_table_naming_it(self, world: DeletionWorld) -> None:
        with closing(sqlite3.connect(world.file, isolation_level=None)) as connection:
            table = f"content_{world.database.lanes()[0].day:%Y%m%d}"
            for change in (
                "DELETE FROM {} WHERE n = 2",
                "UPDATE {} SET sealed = x'' WHERE n = 2",
                "DELETE FROM erased",
            ):
                if "erased" in change:
                    _approved(world, (4, 4))
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    connection.execute(change.format(table))

    def test_one_officer_is_not_enough(self, world: DeletionWorld) -> None:
        proposed = _proposed(world, (2, 3))
        with pytest.raises(DeletionRefused, match="you proposed it"):
            world.deletions().approve(proposed.proposal_id, ANN, digest_of(proposed))
        assert len(world.sealed()) == len(list(world.database.chain(world.database.lanes()[0])))

    def test_after_seven_days_it_is_over(self, world: DeletionWorld) -> None:
        proposed = _proposed(world, (2, 3))
        world.clock.pass_by(days=7)
        with pytest.raises(DeletionRefused, match="7 days"):
            world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed))
        with pytest.raises(DeletionRefused, match="over"):
            world.deletions().withdraw(proposed.proposal_id, ANN)

    def test_within_seven_days_it_is_found_from_another_lane(self, world: DeletionWorld) -> None:
        proposed = _proposed(world, (2, 3))
        world.clock.pass_by(days=6, hours=23)
        assert world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed)) == 2
        assert len(world.database.lanes()) == 2
        assert world.verified().erased == 2

    def test_what_was_withdrawn_stays(self, world: DeletionWorld) -> None:
        proposed = _proposed(world, (2, 3))
        world.deletions().withdraw(proposed.proposal_id, BOB)
        with pytest.raises(DeletionRefused, match="withdrawn"):
            world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed))
        with pytest.raises(DeletionRefused, match="withdrawn"):
            world.deletions().withdraw(proposed.proposal_id, ANN)

    @pytest.mark.parametrize("name", ["20260301-0123456789AB", "20269901-0123456789AB", "../../etc/passwd", ""])
    def test_no_proposal(self, world: DeletionWorld, name: str) -> None:
        with pytest.raises(DeletionRefused):
            world.deletions().proposal(name)
        with pytest.raises(DeletionRefused):
            world.deletions().approve(name, BOB, "")

    def test_one_at_a_time(self, world: DeletionWorld) -> None:
        proposed = _proposed(world, (2, 3))
        lock = world.database.take(f"deletion-{proposed.proposal_id}")
        assert lock is not None
        with pytest.raises(DeletionRefused, match="somebody works on"):
            world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed))
        world.marks.mkdir()
        (world.marks / proposed.proposal_id).touch()
        assert world.erasing.finish() == 0
        assert (world.marks / proposed.proposal_id).exists()
        lock.discard()


class _Step:
    """Kills this process before or after one of its steps."""

    def __init__(self, work: Callable[..., Any], *, before: bool) -> None:
        self._work = work
        self._before = before

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if not self._before:
            self._work(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("step", "before", "erases"),
    [
        ("tombstone", True, False),
        ("tombstone", False, True),
        ("contents", True, True),
        ("contents", False, True),
        ("checkpoint", True, True),
        ("index", True, True),
        ("index", False, True),
    ],
    ids=[
        "before the tombstone",
        "after the tombstone",
        "before the contents go",
        "after the contents went",
        "before the log is moved",
        "before the index",
        "after the index",
    ],
)
def test_whoever_dies_on_the_way_is_finished(world: DeletionWorld, step: str, before: bool, erases: bool) -> None:
    proposed = _proposed(world, (2, 3), (6, 6))
    gone = [sealed for (_, n), sealed in world.sealed().items() if n in (2, 3, 6)]

    def approve() -> None:
        if step == "tombstone":
            world.trail.record_deletion = _Step(world.trail.record_deletion, before=before)  # type: ignore[method-assign]  # a death
        elif step == "contents":
            world.database.erase = _Step(world.database.erase, before=before)  # type: ignore[method-assign]  # a death
        elif step == "index":
            world.index.forget = _Step(world.index.forget, before=before)  # type: ignore[method-assign]  # a death
        else:
            assert isinstance(world.database, SqliteAuditDatabase)
            _die_at_the_checkpoint(world.database)
        world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed))

    assert in_a_child(approve) == -signal.SIGKILL
    assert [path.name for path in world.marks.iterdir()] == [proposed.proposal_id]
    world.erasing.finish()

    assert list(world.marks.iterdir()) == []
    present = {n for lane, n in world.sealed() if lane == 1}
    if erases:
        assert present.isdisjoint({2, 3, 6})
        assert world.traces_of(gone) == 0
        assert set(world.index.forgotten) == {(1, 2), (1, 3), (1, 6)}
    else:
        assert present >= {2, 3, 6}
        assert world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed)) == 3
    world.trail.recover()
    report = world.verified()
    assert (report.findings, report.erased) == ((), 3)


def _die_at_the_checkpoint(database: SqliteAuditDatabase) -> None:
    database.open()
    connection = database._connection
    assert connection is not None

    def watch(statement: str) -> None:
        if "wal_checkpoint" in statement:
            os.kill(os.getpid(), signal.SIGKILL)

    connection.set_trace_callback(watch)


_READER = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM lane").fetchone()[0], flush=True)
sys.stdin.readline()
"""


def test_somebody_who_reads_meanwhile_delays_the_end_and_not_for_good(world: DeletionWorld) -> None:
    proposed = _proposed(world, (2, 3))
    gone = [sealed for (_, n), sealed in world.sealed().items() if n in (2, 3)]
    with subprocess.Popen(
        [sys.executable, "-c", _READER, str(world.file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        reader.stdout.readline()
        assert isinstance(world.database, SqliteAuditDatabase)
        world.database._wait_s = 0.3
        with pytest.raises(AuditUnavailable):
            world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed))
        world.database._wait_s = 60.0
        assert [path.name for path in world.marks.iterdir()] == [proposed.proposal_id]
        reader.stdin.write("\n")
    world.erasing.finish()
    assert world.traces_of(gone) == 0
    assert list(world.marks.iterdir()) == []


def test_others_write_all_the_time(world: DeletionWorld) -> None:
    proposed = _proposed(world, (2, 3))
    gone = [sealed for (_, n), sealed in world.sealed().items() if n in (2, 3)]
    child = os.fork()
    if child == 0:
        try:
            for number in itertools.count():
                world.exchange(f"C{number}", TWO)
        finally:
            os._exit(1)
    try:
        while len(world.database.lanes()) < 2:
            time.sleep(0.01)
        assert world.deletions().approve(proposed.proposal_id, BOB, digest_of(proposed)) == 2
        assert world.traces_of(gone) == 0
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the others go on"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    world.trail.recover()
    assert world.verified().findings == ()
