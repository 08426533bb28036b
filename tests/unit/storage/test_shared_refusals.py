"""What all workers refuse before they know whose it is: counted together, and on record minute by minute."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit_samples import start_program
from audit_trails import make_trail
from edge_endpoint import EventList
from smsp_provider.audit.events import RefusalCount, RefusalMark, Refusals
from smsp_provider.audit.operator_events import Alert, AlertKind
from smsp_provider.domain.clients import PeerCertificate
from smsp_provider.engine.exchange import Peer
from smsp_provider.engine.refusals import RefusedRequest
from smsp_provider.storage.refusal_rows import NAMED_PEERS
from smsp_provider.storage.shared_refusals import SharedRefusals

MINUTE = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
CERTIFICATE = PeerCertificate("ab" * 32, "CN=x", "CN=y", "stranger.example", b"")
PEER = Peer("192.0.2.7", over_tls=True, certificate=CERTIFICATE)


@dataclass
class Hands:
    """A clock that is set by hand."""

    at: datetime = MINUTE + timedelta(seconds=5)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class World:
    """A table, a trail and a clock in a folder."""

    folder: Path
    clock: Hands = field(default_factory=Hands)
    events: EventList = field(default_factory=EventList)

    def __post_init__(self) -> None:
        self.trail = make_trail(self.folder / "audit.db", self.clock, wait_s=60.0)
        self.trail.open()
        self.refusals = SharedRefusals(self.folder / "refusals.table", self.trail, self.clock, self.events, wait_s=60.0)

    def refuse(self, refused: RefusedRequest) -> bool:
        """As the engine does; says whether it was only counted."""
        counted = self.refusals.count(refused)
        if not counted:
            self.refusals.begin(refused)
        return counted

    def written(self) -> list[Refusals]:
        return [entry.record for entry in self.trail.read() if isinstance(entry.record, Refusals)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.trail.close_session()


def junk(number: int, peer: Peer = PEER, code: str = "1000", rule: str = "WS-STD-01") -> RefusedRequest:
    return RefusedRequest(peer, code, rule, f"X{number}", f"E{number}")


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
def test_the_first_of_a_minute_stands_for_itself_and_the_others_are_counted(world: World) -> None:
    counted = [world.refuse(junk(number)) for number in range(5)]
    assert counted == [False, True, True, True, True]
    world.refuse(junk(5, code="3000", rule="WS-SEC-08"))
    assert world.written() == []
    world.clock.at += timedelta(minutes=1)
    world.refusals.run()
    assert world.written() == [
        Refusals(
            world.clock.at,
            MINUTE,
            "192.0.2.7",
            (RefusalCount("1000", "WS-STD-01", 4), RefusalCount("3000", "WS-SEC-08", 1)),
            "stranger.example",
            "ab" * 32,
            RefusalMark("X1", "E1"),
            RefusalMark("X5", "E5"),
        )
    ]


def test_nothing_is_counted_before_the_first_is_on_record(world: World) -> None:
    assert [world.refusals.count(junk(number)) for number in range(3)] == [False, False, False]
    world.clock.at += timedelta(minutes=1)
    world.refusals.run()
    assert world.written() == []


def test_each_minute_and_each_peer_has_a_first_of_its_own(world: World) -> None:
    other = replace(PEER, address="192.0.2.8")
    bare = Peer("192.0.2.7")
    assert [world.refuse(junk(1, peer)) for peer in (PEER, other, bare)] == [False] * 3
    assert [world.refuse(junk(2, peer)) for peer in (PEER, other, bare)] == [True] * 3
    world.clock.at += timedelta(minutes=1)
    assert [world.refuse(junk(3, peer)) for peer in (PEER, other, bare)] == [False] * 3


def test_at_the_end_the_minute_that_runs_is_written_too(world: World) -> None:
    for number in range(3):
        world.refuse(junk(number))
    world.refusals.run()
    assert world.written() == []
    world.refusals.finish()
    world.refusals.finish()
    (one,) = world.written()
    assert (one.minute, [count.times for count in one.counts]) == (MINUTE, [2])
    # Who is refused in the rest of the minute, by a provider that was started again, begins anew.
    assert [world.refuse(junk(number)) for number in (3, 4)] == [False, True]


def test_a_minute_is_written_once(world: World) -> None:
    for number in range(3):
        world.refuse(junk(number))
    world.clock.at += timedelta(minutes=1)
    world.refusals.run()
    world.refusals.run()
    SharedRefusals(world.folder / "refusals.table", world.trail, world.clock, world.events).run()
    assert len(world.written()) == 1


def test_the_minute_that_runs_is_not_written(world: World) -> None:
    for number in range(3):
        world.refuse(junk(number))
    world.refusals.run()
    assert world.written() == []


def test_without_a_keeper_the_next_refused_request_writes_what_waits(world: World) -> None:
    for number in range(3):
        world.refuse(junk(number))
    world.clock.at = MINUTE + timedelta(seconds=75)
    world.refuse(junk(3))
    assert world.written() == [], "the keeper has half a minute"
    world.clock.at = MINUTE + timedelta(seconds=95)
    world.refuse(junk(4))
    assert [sum(count.times for count in record.counts) for record in world.written()] == [2]


def test_beyond_so_many_peers_the_rest_is_counted_together(world: World) -> None:
    peers = [replace(PEER, address=f"192.0.{number // 250}.{number % 250}") for number in range(NAMED_PEERS + 40)]
    for time in range(3):
        firsts = sum(not world.refuse(junk(time, peer)) for peer in peers)
        assert firsts == (NAMED_PEERS + 1 if time == 0 else 0)
    world.clock.at += timedelta(minutes=1)
    world.refusals.run()
    written = {record.address: sum(count.times for count in record.counts) for record in world.written()}
    assert len(written) == NAMED_PEERS + 1
    assert written.pop(None) == 40 * 3 - 1
    assert set(written.values()) == {2}


def test_many_kinds_of_refusal_are_counted_as_others(world: World) -> None:
    for number in range(101):
        world.refuse(junk(number, rule=f"RULE-{number}"))
    world.clock.at += timedelta(minutes=1)
    world.refusals.run()
    (record,) = world.written()
    assert len(record.counts) == 16
    assert sum(count.times for count in record.counts) == 100
    assert record.counts[-1] == RefusalCount("", "other", 85)


def test_what_is_refused_below_soap_is_counted_without_a_first(world: World) -> None:
    for status in (404, 404, 405):
        world.refusals.count_below(PEER, status)
    assert world.refuse(junk(1)) is False, "of SOAP's own there is none on record yet"
    assert world.refuse(junk(2)) is True
    world.clock.at += timedelta(minutes=1)
    world.refusals.run()
    (record,) = world.written()
    assert record.counts == (
        *(RefusalCount("HTTP 404", "", 2), RefusalCount("HTTP 405", "", 1), RefusalCount("1000", "WS-STD-01", 1)),
    )
    assert (record.first, record.last) == (RefusalMark("X2", "E2"), RefusalMark("X2", "E2"))


def test_a_table_that_cannot_be_used_leaves_each_on_record_by_itself_and_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "refusals.table").mkdir()
    world = World(tmp_path)
    assert [world.refuse(junk(number)) for number in range(3)] == [False] * 3
    world.refusals.count_below(PEER, 404)
    assert [record.counts for record in world.written()] == [(RefusalCount("HTTP 404", "", 1),)]
    alerts = [event for event in world.events.events if isinstance(event, Alert)]
    assert [alert.kind for alert in alerts] == [AlertKind.REFUSALS_NOT_COUNTED]
    world.trail.close_session()


def test_what_comes_into_a_minute_that_is_being_written_is_written_later(world: World) -> None:
    for number in range(4):
        world.refuse(junk(number))
    world.clock.at += timedelta(minutes=1)
    record_refusals = world.trail.record_refusals

    def while_a_clock_goes_back(refusals: Refusals) -> None:
        record_refusals(refusals)
        world.clock.at -= timedelta(minutes=1)
        assert world.refuse(junk(9)) is True
        world.clock.at += timedelta(minutes=1)

    world.trail.record_refusals = while_a_clock_goes_back  # type: ignore[method-assign]  # the moment in between
    world.refusals.run()
    world.trail.record_refusals = record_refusals  # type: ignore[method-assign]  # as it was
    world.refusals.run()
    world.refusals.run()
    assert [(sum(count.times for count in found.counts), found.first) for found in world.written()] == [
        (3, RefusalMark("X1", "E1")),
        (1, RefusalMark("X9", "E9")),
    ]


_COUNT_AND_DIE = """
sys.path.insert(0, sys.argv[2])
from test_shared_refusals import *
world = World(Path(sys.argv[1]).parent)
for number in range(501):
    world.refuse(junk(number))
print("counted", flush=True)
time.sleep(60)
"""

_COUNT = """
sys.path.insert(0, sys.argv[2])
from test_shared_refusals import *
world = World(Path(sys.argv[1]).parent)
for number in range(500):
    world.refuse(junk(number))
world.trail.close_session()
"""


def test_who_is_killed_takes_no_counts_along(tmp_path: Path) -> None:
    with start_program(_COUNT_AND_DIE, tmp_path / "audit.db", str(Path(__file__).parent)) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "counted\n"
        program.kill()
    world = World(tmp_path)
    world.clock.at += timedelta(minutes=1)
    world.refusals.run()
    assert [sum(count.times for count in record.counts) for record in world.written()] == [500]
    world.trail.close_session()


def test_processes_count_into_one_minute(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.refuse(junk(0))
    with ExitStack() as running:
        programs = [
            running.enter_context(start_program(_COUNT, tmp_path / "audit.db", str(Path(__file__).parent)))
            for _ in range(3)
        ]
        assert [program.wait() for program in programs] == [0, 0, 0]
    world.clock.at += timedelta(minutes=1)
    world.refusals.run()
    assert [sum(count.times for count in record.counts) for record in world.written()] == [1500]
    world.trail.close_session()
