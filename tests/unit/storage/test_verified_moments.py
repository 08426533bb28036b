"""A record that was added later than it says is found by the moments of the roots, and one that is only late is not."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from audit_samples import ending_of
from made_trails import RING, Listener, MadeLane, SteppingClock, TrailMaker, trail_file
from smsp_provider.audit.events import Ending, OperatorAct, OperatorActKind
from smsp_provider.audit.roots import parse
from smsp_provider.audit.verification import Means, VerificationReport, verify
from smsp_provider.audit.verified_moments import LATE_SECONDS
from smsp_provider.storage.audit_folder import AuditFolder
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_signing_key import SigningKey, SigningKeyFile, make_signing_key
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_file import Synchronous

pytestmark = pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")

LATE = timedelta(seconds=LATE_SECONDS)
TOO_LATE = LATE + timedelta(microseconds=1)


class SlowKeys(SigningKeyFile):
    """Something may happen once, after the folder has looked at the lanes, and before it signs."""

    meanwhile: Callable[[], None] | None = None

    def following(self) -> SigningKey | None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().following()


class World:
    """A lane of five records that a root binds, and what is written to it afterwards."""

    lane: MadeLane

    def __init__(self, directory: Path) -> None:
        self.clock, file = SteppingClock(), trail_file(directory)
        self.keys = SlowKeys(directory / "keys" / "signing.key")
        make_signing_key(self.keys.file)
        self.database, self.books = SqliteAuditDatabase(file, synchronous=Synchronous.NORMAL), SqliteTrailBooks(file)
        self.maker = TrailMaker(self.database, self.clock)
        self.folder = AuditFolder(self.database, self.books, self.keys, [], self.clock, Listener())
        self.lane = self.maker.begin("writer")
        for _ in range(2):
            self.maker.exchange(self.lane)
        self.folder.run()

    def root_at(self) -> datetime:
        last = self.database.last_root()
        assert last is not None
        return parse(last.statement).at

    def write(self, *moments: datetime) -> None:
        self.maker.write(self.lane, [_ending(at) for at in moments])

    def command(self) -> MadeLane:
        """A command of an operator, in a process of its own."""
        lane = self.maker.begin("operator")
        self.maker.write(lane, [OperatorAct(self.clock.now(), OperatorActKind.COMMAND, "tty1", "ann.one")])
        self.maker.close(lane)
        return lane

    def verified(self) -> VerificationReport:
        return verify(self.database, Means(KeyRingUnsealer(RING), self.books))

    def found(self) -> list[tuple[str, int | None]]:
        return [(finding.what, finding.n) for finding in self.verified().findings]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _ending(at: datetime) -> Ending:
    sample = ending_of("late")
    return Ending(sample.exchange_id, at, sample.kind, sample.duration_ms)


@pytest.mark.parametrize("bound", [True, False], ids=["in the next root", "in none yet"])
def test_a_record_may_be_late_by_so_much_and_no_more(world: World, bound: bool) -> None:
    at = world.root_at()
    world.write(at - LATE)
    if bound:
        world.folder.run()
    assert world.found() == []
    at = world.root_at()
    world.write(at - TOO_LATE)
    if bound:
        world.folder.run()
    assert world.found() == [(f"it says that it is older than root {2 if bound else 1}, which does not bind it", 7)]


def test_moments_in_a_lane_go_back_by_so_much_and_no_more(world: World) -> None:
    later = world.root_at() + timedelta(hours=1)
    world.write(later, later - LATE)
    assert world.found() == []
    world.write(later - TOO_LATE)
    assert world.found() == [("it says that it is older than a record before it", 8)]


def test_the_first_of_a_lane_is_named_and_the_lane_is_followed_beyond_it(world: World) -> None:
    at = world.root_at()
    world.write(at - TOO_LATE, at, at - TOO_LATE)
    world.folder.run()
    for _ in range(3):
        world.maker.exchange(world.lane)
        world.folder.run()
    report = world.verified()
    assert [finding.n for finding in report.findings] == [6]
    assert (report.records, report.contents, report.unbound) == (14, 14, 0)


def test_a_clock_that_is_set_on_is_nobodys_fault(world: World) -> None:
    for _ in range(3):
        world.clock.at += timedelta(hours=5)
        world.maker.exchange(world.lane)
        world.folder.run()
    assert world.found() == []


def test_what_is_written_while_a_slow_keeper_makes_a_root_is_not_older_than_the_root(world: World) -> None:
    world.maker.exchange(world.lane)

    def write_and_take_long() -> None:
        world.maker.exchange(world.lane)
        world.clock.at += timedelta(minutes=10)

    world.keys.meanwhile = write_and_take_long
    world.folder.run()
    assert world.verified().unbound == 2
    world.folder.run()
    assert (world.found(), world.verified().unbound) == ([], 0)


def test_commands_while_nothing_is_served_wait_for_a_root_as_long_as_they_have_to(world: World) -> None:
    for _ in range(2):
        world.command()
        world.clock.at += timedelta(hours=1)
    world.command()
    assert world.found() == []
    assert "6 records that no root binds: none was made since, as while the provider is stopped" in (
        world.verified().not_checked
    )
    world.folder.run()
    assert (world.found(), world.verified().unbound) == ([], 0)
    assert not [text for text in world.verified().not_checked if "no root binds" in text]


def test_what_waits_for_a_root_while_requests_are_served_is_found(world: World) -> None:
    world.maker.exchange(world.lane)
    world.command()
    world.clock.at += timedelta(minutes=14)
    world.maker.exchange(world.lane)
    assert world.found() == []
    world.clock.at += timedelta(minutes=2)
    world.maker.exchange(world.lane)
    what = "no root binds it, although it is not new: no keeper ran, or roots were removed"
    assert sorted(world.found()) == [(what, 1), (what, 6)]
