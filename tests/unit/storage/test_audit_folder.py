"""Roots are made of what moved, follow each other over restarts, and never cover what was changed."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from made_trails import RING, Listener, SteppingClock, TrailMaker, trail_file
from smsp_provider.audit.chain import Lane, SignedRoot
from smsp_provider.audit.operator_events import AlertKind
from smsp_provider.audit.roots import RootChain, parse
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.verification import Means, VerificationReport, verify
from smsp_provider.audit.witness import WitnessUnavailable
from smsp_provider.storage.audit_folder import AuditFolder, FoldRefused
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_signing_key import SigningKeyFile, make_signing_key
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_file import Synchronous
from smsp_provider.storage.witness_file import WitnessFile, read_witness_file
from smsp_provider.storage.witness_handing import WitnessHanding


@dataclass
class OutagedFile:
    """A witness in a file that can be out of reach."""

    file: WitnessFile
    reachable: bool = True
    calls: int = 0

    @property
    def name(self) -> str:
        return "file"

    def last(self) -> SignedRoot | None:
        self._pass()
        return self.file.last()

    def append(self, roots: Sequence[SignedRoot]) -> None:
        self._pass()
        self.file.append(roots)

    def _pass(self) -> None:
        self.calls += 1
        if not self.reachable:
            raise WitnessUnavailable("out of reach")


@dataclass
class World:
    """A trail, its keys and its witness in a directory."""

    directory: Path
    clock: SteppingClock = field(default_factory=SteppingClock)
    listener: Listener = field(default_factory=Listener)

    def __post_init__(self) -> None:
        self.file = trail_file(self.directory / "audit")
        self.database = SqliteAuditDatabase(self.file, synchronous=Synchronous.NORMAL)
        self.books = SqliteTrailBooks(self.file)
        self.keys = SigningKeyFile(self.directory / "keys" / "signing.key")
        make_signing_key(self.keys.file)
        self.lines = self.directory / "witness.jsonl"
        self.witness = OutagedFile(WitnessFile(self.lines))
        self.maker = TrailMaker(self.database, self.clock)

    def folder(self) -> AuditFolder:
        """A folder as a keeper makes one when it starts."""
        handing = WitnessHanding(self.witness, self.database, self.clock, self.listener)
        return AuditFolder(self.database, self.books, self.keys, [handing], self.clock, self.listener)

    def roots(self) -> list[SignedRoot]:
        return list(self.database.roots())

    def witnessed(self) -> list[SignedRoot]:
        return list(read_witness_file(self.lines)) if self.lines.exists() else []

    def verified(self) -> VerificationReport:
        means = Means(KeyRingUnsealer(RING), self.books, read_witness_file(self.lines), self.keys.current().public_key)
        return verify(self.database, means)

    def alerts(self) -> list[tuple[AlertKind, str]]:
        return [(alert.kind, alert.reason) for alert in self.listener.alerts]

    def by_hand(self, *statements: str) -> None:
        """What somebody does to the file who owns it."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
                if not name.startswith("row_"):
                    connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_root_binds_what_moved_since_the_one_before(world: World) -> None:
    folder = world.folder()
    folder.run()
    assert world.roots() == []
    first = world.maker.begin("writer-a")
    second = world.maker.begin("writer-b", first)
    folder.run()
    world.maker.exchange(second)
    folder.run()
    folder.run()
    one, two = (parse(root.statement) for root in world.roots())
    assert [(lane.token, lane.n) for lane in one.lanes] == [(first.lane.token, 1), (second.lane.token, 1)]
    assert [(lane.token, lane.n, lane.link) for lane in two.lanes] == [(second.lane.token, 3, second.link)]
    assert (one.records, two.records) == (2, 4)
    assert world.witnessed() == world.roots()
    assert world.alerts() == []
    assert folder.last == two


def test_an_idle_trail_gets_a_root_now_and_then(world: World) -> None:
    folder = world.folder()
    world.maker.begin("writer-a")
    folder.run()
    world.clock.at += timedelta(minutes=9)
    folder.run()
    assert len(world.roots()) == 1
    world.clock.at += timedelta(minutes=1)
    folder.run()
    assert parse(world.roots()[-1].statement).lanes == ()
    assert world.verified().whole


def test_lanes_that_begin_and_end_between_two_looks_are_bound(world: World) -> None:
    folder = world.folder()
    first = world.maker.begin("writer-a")
    folder.run()
    second = world.maker.begin("writer-b", first)
    world.maker.close(second)
    folder.run()
    assert [(lane.token, lane.n) for lane in parse(world.roots()[-1].statement).lanes] == [(second.lane.token, 2)]


def test_a_lane_that_begins_while_the_folder_looks_is_followed_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, begun = world.folder(), []
    world.maker.begin("writer-a")
    folder.run()
    ask = world.database.unended

    def ask_and_begin() -> Sequence[Lane]:
        lanes = ask()
        begun.append(world.maker.begin("writer-b"))
        return lanes

    with monkeypatch.context() as patch:
        patch.setattr(world.database, "unended", ask_and_begin)
        folder.run()
    (lane,) = begun
    world.maker.exchange(lane)
    world.maker.close(lane)
    folder.run()
    assert parse(world.roots()[-1].statement).records == 5
    assert world.verified().unbound == 0


def test_another_folder_goes_on_where_the_last_one_was(world: World) -> None:
    first = world.maker.begin("writer-a")
    idle = world.maker.begin("writer-b", first)
    world.folder().run()
    for _ in range(3):
        world.maker.exchange(first)
        world.folder().run()
    # Nobody keeps the trail for three days, and a lane of the first day gets its last record on the third.
    world.clock.at += timedelta(days=3)
    world.maker.begin("writer-b", idle, closing=True)
    world.maker.close(first)
    world.folder().run()
    report = world.verified()
    assert (report.findings, report.unbound) == ((), 0)
    assert report.records == parse(world.roots()[-1].statement).records


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("has_roots", [True, False], ids=["after a root", "before the first root"])
def test_a_folder_that_stood_still_for_days_binds_what_began_and_ended_meanwhile(world: World, has_roots: bool) -> None:
    folder = world.folder()
    if has_roots:
        world.maker.begin("writer-a")
    folder.run()
    assert len(world.roots()) == has_roots
    # As a keeper that hangs, or one of another host that leads again: nobody else made a root.
    world.clock.at += timedelta(days=2)
    between = world.maker.begin("writer-b")
    world.maker.exchange(between)
    world.maker.close(between)
    world.clock.at += timedelta(days=3)
    world.maker.begin("writer-c")
    folder.run()
    bound = {lane.token: lane.n for lane in parse(world.roots()[-1].statement).lanes}
    assert bound[between.lane.token] == 4
    report = world.verified()
    assert (report.findings, report.unbound) == ((), 0)


def test_a_root_that_is_made_while_the_others_are_verified_is_no_finding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, folder = world.maker.begin("writer-a"), world.folder()
    folder.run()
    read, is_to_come = world.database.roots, [True]

    def read_and_make_another(*, after: int = 0) -> Iterator[SignedRoot]:
        found = list(read(after=after))
        if is_to_come:
            is_to_come.clear()
            world.maker.exchange(lane)
            folder.run()
        return iter(found)

    monkeypatch.setattr(world.database, "roots", read_and_make_another)
    report = world.verified()
    assert (report.findings, report.roots, report.witnessed) == ((), 2, 2)


def test_the_first_root_binds_what_was_done_days_before_it(world: World) -> None:
    command = world.maker.begin("operator")
    world.maker.close(command)
    world.clock.at += timedelta(days=3)
    served = world.maker.begin("provider")
    world.maker.exchange(served)
    world.folder().run()
    report = world.verified()
    assert (report.findings, report.unbound, report.records) == ((), 0, 5)


def test_lanes_that_ended_long_ago_are_not_read_when_a_keeper_starts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        world.maker.close(world.maker.begin("writer-a"))
    dead = world.maker.begin("writer-b")
    world.folder().run()
    world.clock.at += timedelta(days=3)
    world.maker.begin("writer-a")
    world.folder().run()
    asked: list[Lane] = []

    def noting(method: Callable[..., object], lane: Lane, *args: object, **options: object) -> object:
        asked.append(lane)
        return method(lane, *args, **options)

    for name in ("record", "head", "chain"):
        monkeypatch.setattr(world.database, name, partial(noting, getattr(world.database, name)))
    world.folder().run()
    assert {lane.id for lane in asked} == {dead.lane.id, 5}


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize(
    "damage",
    [
        'UPDATE chain_20260304 SET "exchange" = NULL WHERE n = 4',
        "UPDATE chain_20260304 SET link = zeroblob(32) WHERE n = 3",
        "DELETE FROM chain_20260304 WHERE n = 3",
        "DELETE FROM chain_20260304 WHERE n > 2",
    ],
    ids=["a record after the last root", "the last bound record", "the last bound record gone", "the tail gone"],
)
@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "next process"])
def test_nothing_is_signed_over_a_change(world: World, damage: str, restarted: bool) -> None:
    folder = world.folder()
    changed = world.maker.begin("writer-a")
    world.maker.exchange(changed)
    folder.run()
    before = len(world.roots())
    world.maker.exchange(changed)
    other = world.maker.begin("writer-b")
    world.by_hand(damage.replace("WHERE", f"WHERE lane = {changed.lane.id} AND"))
    folder = world.folder() if restarted else folder
    folder.run()
    folder.run()
    ((kind, reason),) = world.alerts()
    assert kind is AlertKind.CHAIN_FAILED
    assert changed.lane.token in reason
    # The other lanes are bound as ever.
    (root,) = world.roots()[before:]
    assert [lane.token for lane in parse(root.statement).lanes] == [other.lane.token]


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM root WHERE number = 2",
        "UPDATE root SET signature = zeroblob(64) WHERE number = 2",
        "INSERT INTO root SELECT 3, statement, signature FROM root WHERE number = 1",
    ],
    ids=["removed", "another signature", "replayed"],
)
def test_no_root_follows_roots_that_were_changed(world: World, damage: str) -> None:
    folder = world.folder()
    lane = world.maker.begin("writer-a")
    folder.run()
    world.maker.exchange(lane)
    folder.run()
    world.by_hand(damage)
    before = len(world.roots())
    world.maker.exchange(lane)
    for _ in range(2):
        with pytest.raises(FoldRefused):
            folder.run()
    assert len(world.roots()) == before
    assert [kind for kind, _ in world.alerts()] == [AlertKind.CHAIN_FAILED]


def test_a_witness_that_was_out_of_reach_gets_all_it_missed_in_order(world: World) -> None:
    folder = world.folder()
    lane = world.maker.begin("writer-a")
    folder.run()
    world.witness.reachable = False
    for _ in range(30):
        world.maker.exchange(lane)
        folder.run()
    assert len(world.witnessed()) == 1
    # It was asked now and then, not with every root; and who looks after it was told once.
    assert world.witness.calls < 30
    assert [kind for kind, _ in world.alerts()] == [AlertKind.WITNESS_UNAVAILABLE]
    world.witness.reachable = True
    world.clock.at += timedelta(minutes=1)
    folder.run()
    assert world.witnessed() == world.roots()
    assert world.alerts()[-1][1].startswith("over:")


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_slow_witness_catches_up_in_small_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, lane = world.folder(), world.maker.begin("writer-a")
    folder.run()
    world.witness.reachable = False
    for _ in range(30):
        world.maker.exchange(lane)
        folder.run()
    world.witness.reachable = True
    world.clock.at += timedelta(seconds=10)
    seconds = 2.0
    append = WitnessFile.append

    def slow(file: WitnessFile, roots: Sequence[SignedRoot]) -> None:
        world.clock.at += timedelta(seconds=seconds * len(roots))
        append(file, roots)

    monkeypatch.setattr(WitnessFile, "append", slow)
    folder.run()
    assert 2 <= len(world.witnessed()) <= 5
    seconds = 0.0
    folder.run()
    assert world.witnessed() == world.roots()


def test_a_database_that_is_behind_its_witness_gets_no_roots(world: World) -> None:
    lane = world.maker.begin("writer-a")
    world.folder().run()
    world.maker.exchange(lane)
    world.folder().run()
    world.by_hand("DELETE FROM root WHERE number = 2", "DELETE FROM chain_20260304 WHERE n > 1")
    with pytest.raises(FoldRefused, match="root 2, which the database has not"):
        world.folder().run()
    ((kind, _),) = world.alerts()
    assert kind is AlertKind.CHAIN_FAILED
    assert len(world.roots()) == 1


def test_a_witness_without_roots_is_not_begun_for_a_trail_that_has_some(world: World) -> None:
    """Else whoever rewrites the trail had only to remove the witness's file."""
    lane = world.maker.begin("writer-a")
    folder = world.folder()
    folder.run()
    world.maker.exchange(lane)
    world.lines.unlink()
    world.folder().run()
    assert world.witnessed() == []
    ((kind, reason),) = world.alerts()
    assert kind is AlertKind.WITNESS_UNAVAILABLE
    assert "witness begin" in reason


def test_a_witness_that_was_out_of_reach_when_the_trail_began_waits_for_an_operator_who_is_told_at_once(
    world: World,
) -> None:
    folder, lane = world.folder(), world.maker.begin("writer-a")
    world.witness.reachable = False
    folder.run()
    ((kind, reason),) = world.alerts()
    assert kind is AlertKind.WITNESS_UNAVAILABLE
    assert "out of reach; the trail begins without it" in reason
    assert "`smsp audit witness begin`" in reason
    world.witness.reachable = True
    for _ in range(5):
        world.clock.at += timedelta(seconds=20)
        world.maker.exchange(lane)
        folder.run()
    assert world.witnessed() == []
    reasons = [reason for _, reason in world.alerts()]
    assert len(reasons) == 2
    assert "it has no root although the trail has: `smsp audit witness begin`" in reasons[-1]
    world.witness.append(world.roots()[:1])
    world.clock.at += timedelta(seconds=20)
    folder.run()
    assert world.witnessed() == world.roots()
    assert world.alerts()[-1][1].startswith("over:")


def test_the_key_that_follows_is_named_and_takes_over(world: World) -> None:
    folder = world.folder()
    lane = world.maker.begin("writer-a")
    folder.run()
    before = world.keys.current().public_key
    make_signing_key(world.keys.next_file)
    following = world.keys.following()
    assert following is not None
    folder.run()
    world.maker.exchange(lane)
    folder.run()
    world.maker.exchange(lane)
    world.folder().run()
    assert not world.keys.next_file.exists()
    assert world.keys.current().public_key == following.public_key
    chain = RootChain(world.database.trail_id())
    statements = [chain.accept(root) for root in world.roots()]
    assert [statement.key for statement in statements] == [before, before, following.public_key, following.public_key]
    assert world.verified().whole


def test_a_change_of_keys_that_was_broken_off_is_brought_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = world.maker.begin("writer-a")
    folder = world.folder()
    folder.run()
    make_signing_key(world.keys.next_file)

    def die() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.keys, "advance", die)
        with pytest.raises(KeyboardInterrupt):
            folder.run()
    world.maker.exchange(lane)
    world.folder().run()
    assert not world.keys.next_file.exists()
    assert world.verified().whole


def test_another_signing_key_makes_no_roots(world: World) -> None:
    lane = world.maker.begin("writer-a")
    world.folder().run()
    world.keys.file.unlink()
    make_signing_key(world.keys.file)
    world.maker.exchange(lane)
    with pytest.raises(FoldRefused, match="not the key that root 1 wants"):
        world.folder().run()
    assert len(world.roots()) == 1


def test_after_a_failure_of_the_database_the_folder_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = world.maker.begin("writer-a")
    folder = world.folder()
    folder.run()
    write: Callable[[SignedRoot], None] = world.database.write_root

    def fail_after_writing(root: SignedRoot) -> None:
        write(root)
        raise AuditUnavailable("no answer")

    world.maker.exchange(lane)
    with monkeypatch.context() as patch:
        patch.setattr(world.database, "write_root", fail_after_writing)
        with pytest.raises(AuditUnavailable):
            folder.run()
    world.maker.exchange(lane)
    folder.run()
    assert [root.number for root in world.roots()] == [1, 2, 3]
    assert world.verified().whole
    assert world.witnessed() == world.roots()
