"""Which exchanges were begun under a build, its rules or a configuration, by the real records of a real trail."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit_samples import ending_of, intent_of
from audit_trails import keys_of
from smsp_provider.audit.events import Ending, RequestFacts, Source
from smsp_provider.audit.exchanges import OPEN, Happening
from smsp_provider.audit.incident import Suspicion, spans
from smsp_provider.audit.terms import UNKNOWN_OUTCOME
from smsp_provider.storage.audit_lane import ProcessFacts
from smsp_provider.storage.audit_lanes import AuditLanes
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_file import Synchronous

GOOD = ProcessFacts("1.0.0+aaaa", "aa" * 32, "cc" * 32)
BAD = ProcessFacts("1.1.0+bbbb", "bb" * 32, "cc" * 32)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Hands:
    """A clock that is set by hand."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Trail:
    """One file that processes of several releases write to, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.db"
        self.clock = Hands()
        self.database = SqliteAuditDatabase(self.path, synchronous=Synchronous.NORMAL)

    def process(self, facts: ProcessFacts) -> ChainedAuditTrail:
        database = SqliteAuditDatabase(self.path, synchronous=Synchronous.NORMAL)
        return ChainedAuditTrail(database, keys_of(self.path), self.clock, facts)

    def lanes(self) -> AuditLanes:
        self.database.open()
        ring = keys_of(self.path).load(self.clock.now(), is_new=False)
        return AuditLanes(self.database, KeyRingUnsealer(ring))

    def affected(self, suspicion: Suspicion) -> dict[str, str]:
        """The outcomes by exchange."""
        return {name(found): found.outcome for found in self.lanes().affected(suspicion)}

    def ask(self, trail: ChainedAuditTrail, exchange: str, client: str = "ward") -> None:
        """An exchange that asked Spine."""
        intent = intent_of(exchange)
        trail.open_intent(replace(intent, at=self.clock.at, request=replace(intent.request, client=client)))
        trail.close(replace(ending_of(exchange), at=self.clock.at, wire_code="SMSP-0000"))


def name(happening: Happening) -> str:
    (exchange,) = {part.exchange for part in happening.parts}
    return str(exchange)


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    made = Trail(tmp_path)
    yield made
    made.database.close()


@pytest.mark.rule("SMSP-AUDIT-008")
def test_what_a_build_answered_is_told_from_what_others_did(trail: Trail) -> None:
    for facts, exchange in ((GOOD, "E1"), (BAD, "E2"), (GOOD, "E3")):
        process = trail.process(facts)
        trail.ask(process, exchange)
        process.close_session()
    assert trail.affected(Suspicion(build="1.1")) == {"E2": "SMSP-0000"}
    assert trail.affected(Suspicion(rules="aa")) == {"E1": "SMSP-0000", "E3": "SMSP-0000"}
    assert set(trail.affected(Suspicion(configuration="cc"))) == {"E1", "E2", "E3"}
    assert trail.affected(Suspicion(build="1.1", rules="aa")) == {}


@pytest.mark.rule("SMSP-AUDIT-008")
def test_the_releases_are_told_with_their_times(trail: Trail) -> None:
    for facts in (GOOD, BAD, GOOD):
        process = trail.process(facts)
        trail.ask(process, f"E{trail.clock.at.hour}")
        trail.clock.at += timedelta(hours=1)
        process.close_session()
    found = spans(trail.lanes().spans().values())
    assert [(span.release.build, span.first, span.last, span.processes) for span in found] == [
        (GOOD.build, NOON, NOON + timedelta(hours=3), 2),
        (BAD.build, NOON + timedelta(hours=1), NOON + timedelta(hours=2), 1),
    ]


def test_two_releases_that_answer_side_by_side_are_kept_apart(trail: Trail) -> None:
    old, new = trail.process(GOOD), trail.process(BAD)
    for number in range(6):
        trail.ask((old, new)[number % 2], f"E{number}")
    assert set(trail.affected(Suspicion(build=BAD.build))) == {"E1", "E3", "E5"}
    old.close_session()
    new.close_session()


def test_a_time_and_a_client_narrow_it_down(trail: Trail) -> None:
    process = trail.process(BAD)
    for number, client in enumerate(("ward", "lab", "ward", "lab")):
        trail.ask(process, f"E{number}", client)
        trail.clock.at += timedelta(minutes=10)
    process.close_session()
    between = Suspicion(since=NOON + timedelta(minutes=10), until=NOON + timedelta(minutes=30))
    assert set(trail.affected(between)) == {"E1", "E2"}
    assert set(trail.affected(replace(between, client="lab"))) == {"E1"}


def test_an_exchange_that_went_on_over_midnight_is_found_once_and_whole(trail: Trail) -> None:
    trail.clock.at = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    process = trail.process(BAD)
    process.open_intent(replace(intent_of("E1"), at=trail.clock.at))
    trail.clock.at += timedelta(seconds=2)
    process.close(replace(ending_of("E1"), at=trail.clock.at, wire_code="SMSP-0000"))
    process.close_session()
    assert trail.affected(Suspicion(build=BAD.build)) == {"E1": "SMSP-0000"}
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    assert trail.affected(Suspicion(until=midnight)) == {"E1": "SMSP-0000"}
    assert trail.affected(Suspicion(since=midnight)) == {}


def test_a_request_that_asked_nothing_is_among_them(trail: Trail) -> None:
    process = trail.process(BAD)
    ending: Ending = replace(
        ending_of("E1"), at=NOON, source=Source.NONE, wire_code="SMSP-0001", request=RequestFacts("192.0.2.7")
    )
    process.close(ending)
    process.close_session()
    assert trail.affected(Suspicion(build=BAD.build)) == {"E1": "SMSP-0001"}


def test_what_was_under_way_when_its_process_died_is_the_dead_ones_whoever_closed_it(trail: Trail) -> None:
    bad = trail.process(BAD)
    bad.open_intent(replace(intent_of("E1"), at=NOON))
    assert trail.affected(Suspicion(build=BAD.build)) == {"E1": OPEN}
    bad.close_session()
    good = trail.process(GOOD)
    assert good.recover() == 1
    good.close_session()
    assert trail.affected(Suspicion(build=BAD.build)) == {"E1": UNKNOWN_OUTCOME}
    assert trail.affected(Suspicion(build=GOOD.build)) == {}


def test_a_lane_whose_opening_was_erased_is_named_and_not_passed_over(trail: Trail) -> None:
    process = trail.process(BAD)
    trail.ask(process, "E1")
    process.close_session()
    with closing(sqlite3.connect(trail.path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM content_20260301 WHERE n = 1")
        connection.commit()
    lanes = trail.lanes()
    assert list(lanes.affected(Suspicion(build=BAD.build))) == []
    assert [lane.day for lane in lanes.untold] == [NOON.date()]


def test_what_is_written_while_a_lane_is_begun_is_not_told_as_missing(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = trail.process(BAD)
    trail.ask(process, "E1")
    lanes = trail.lanes()
    begun: list[str] = []

    def interrupted(read: Callable[..., Iterator[object]]) -> Callable[..., Iterator[object]]:
        def reading(*arguments: object) -> Iterator[object]:
            rows = read(*arguments)
            first = next(rows)
            if not begun:
                begun.append(read.__name__)
                trail.ask(process, "E2")
            yield first
            yield from rows

        return reading

    for kind in ("chain", "contents"):
        monkeypatch.setattr(trail.database, kind, interrupted(getattr(trail.database, kind)))
    found = list(lanes.affected(Suspicion(build=BAD.build)))
    assert [part.problem for happening in found for part in happening.parts] == ["", ""]
    assert len(begun) == 1
    process.close_session()
