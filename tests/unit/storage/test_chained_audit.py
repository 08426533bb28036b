"""The lane of a process: its days, its end, and what it does when the database did not say what became of a batch."""

import os
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_samples import SystemClock, intent_of, run_program, start_of
from audit_trails import FACTS, happened, keys_of, make_trail
from smsp_provider.audit.chain import Lane
from smsp_provider.audit.events import Change, Closure, Ending, EndingKind, Intent, Record
from smsp_provider.audit.lane_events import Closing, LaneEnded, Opening
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.storage.audit_database import NewLane, Row, StorageUnsafe
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_file import Synchronous
from soak.crash import CrashReport, walk

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
pytestmark = pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")


@dataclass
class Hands:
    """A clock that is set by hand."""

    at: datetime = MIDNIGHT - timedelta(seconds=5)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Unreliable(SqliteAuditDatabase):
    """Fails where it is told to, before or after it did what it was asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, synchronous=Synchronous.NORMAL)
        self.plan: list[str] = []

    def _fail(self, when: str) -> None:
        if self.plan and self.plan[0] == when:
            self.plan.pop(0)
            raise AuditUnavailable("as planned")
        if when == "after" and self.plan and self.plan[0] == "not":
            self.plan.pop(0)

    def append(self, lane: Lane, rows: Sequence[Row], *, ended: Iterable[Lane] = ()) -> None:
        self._fail("before")
        super().append(lane, rows, ended=ended)
        self._fail("after")

    def begin_lane(self, lane: NewLane, opening: Row, *, closing: tuple[Lane, Row] | None = None) -> Lane:
        self._fail("before")
        made = super().begin_lane(lane, opening, closing=closing)
        self._fail("after")
        return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "audit.db"


def _unreliable(path: Path, clock: Hands | None = None) -> tuple[ChainedAuditTrail, Unreliable]:
    database = Unreliable(path)
    return ChainedAuditTrail(database, keys_of(path), clock or SystemClock(), FACTS), database


def _whole(path: Path) -> list[Record]:
    report = CrashReport()
    records = walk(path, report)
    assert report.problems == []
    return records


def _intent(name: str, at: datetime) -> Intent:
    sample = intent_of(name)
    return Intent(name, at, sample.request, sample.asid)


def _ending(name: str, at: datetime) -> Ending:
    return Ending(name, at, EndingKind.ANSWERED, 7)


def test_the_first_record_of_a_day_closes_one_lane_and_opens_the_next(path: Path) -> None:
    clock = Hands()
    trail = make_trail(path, clock)
    trail.open_intent(_intent("E1", clock.at))
    clock.at = MIDNIGHT + timedelta(seconds=5)
    trail.close(_ending("E1", clock.at))
    first, second = trail.database.lanes()
    assert (first.day, second.day) == (date(2026, 11, 21), date(2026, 11, 22))
    assert first.writer == second.writer
    assert first.token != second.token
    assert trail.database.ends() == [first.id]
    by_lane = {lane: [e.record for e in trail.read() if e.lane == lane] for lane in (first.id, second.id)}
    assert [type(record) for record in by_lane[first.id]] == [Opening, Intent, Closing]
    opening, ending = by_lane[second.id]
    assert isinstance(opening, Opening)
    assert isinstance(ending, Ending)
    head = trail.database.head(first)
    assert head is not None
    assert opening.previous is not None
    assert opening.previous == (first.token, head.n, head.link.hex())
    trail.close_session()
    _whole(path)


def test_a_record_of_yesterday_that_comes_late_stands_in_the_lane_of_today(path: Path) -> None:
    clock = Hands(MIDNIGHT)
    trail = make_trail(path, clock)
    trail.close(_ending("in time", MIDNIGHT))
    trail.close(_ending("late", MIDNIGHT - timedelta(seconds=1)))
    assert [lane.day for lane in trail.database.lanes()] == [MIDNIGHT.date()]


def test_a_record_that_waited_for_too_long_is_not_written(path: Path) -> None:
    clock = Hands(MIDNIGHT)
    trail = make_trail(path, clock)
    trail.close(_ending("at once", clock.at))
    clock.at += timedelta(seconds=120)
    trail.close(_ending("late", MIDNIGHT))
    clock.at += timedelta(microseconds=1)
    with pytest.raises(AuditUnavailable, match="a record waited for too long"):
        trail.close(_ending("too late", MIDNIGHT))
    trail.close(_ending("the next", clock.at))
    trail.close_session()
    names = [record.exchange_id for record in _whole(path) if isinstance(record, Ending)]
    assert names == ["at once", "late", "the next"]


def test_a_record_that_waited_for_too_long_begins_no_lane(path: Path) -> None:
    clock = Hands(MIDNIGHT + timedelta(hours=7))
    trail = make_trail(path, clock)
    with pytest.raises(AuditUnavailable, match="a record waited for too long"):
        trail.close(_ending("asleep", MIDNIGHT))
    assert not trail.database.lanes()
    trail.close(_ending("awake", clock.at))
    trail.close_session()
    assert [record.at for record in _whole(path) if isinstance(record, Opening)] == [clock.at]


def test_an_intent_of_yesterday_is_closed_when_its_writer_dies_today(path: Path) -> None:
    program = """
from datetime import UTC, datetime, timedelta
class Hands:
    at = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
    def now(self): return self.at
    def monotonic(self): return 0.0
clock = Hands()
trail = make_trail(Path(sys.argv[1]), clock)
def intent(name):
    made = intent_of(name)
    return type(made)(name, clock.at, made.request, made.asid)
trail.open_intent(intent("over midnight"))
clock.at += timedelta(seconds=2)
trail.open_intent(intent("today"))
os._exit(0)
"""
    run_program(program, path)
    trail = make_trail(path)
    assert trail.recover() == 2
    closures = [record.exchange_id for record in happened(trail.read()) if isinstance(record, Closure)]
    assert sorted(closures) == ["over midnight", "today"]
    trail.close_session()
    _whole(path)


def test_a_lane_says_who_writes_and_as_what(path: Path) -> None:
    trail = make_trail(path)
    trail.record_start(start_of())
    (opening,) = (entry.record for entry in trail.read() if isinstance(entry.record, Opening))
    assert (opening.build, opening.rules, opening.configuration) == FACTS
    assert (opening.host, opening.pid, opening.previous) == (os.uname().nodename, os.getpid(), None)
    (lane,) = trail.database.lanes()
    assert opening.writer == lane.writer


def test_a_session_that_leaves_an_intent_open_leaves_its_lane_to_a_recovery(path: Path) -> None:
    trail = make_trail(path)
    trail.open_intent(intent_of("left"))
    trail.close_session()
    (left,) = trail.database.unended()
    head = trail.database.head(left)
    assert head is not None
    assert trail.recover() == 1
    trail.close_session()
    (ended,) = (record for record in _whole(path) if isinstance(record, LaneEnded))
    assert ended.last == (left.token, head.n, head.link.hex())
    assert ended.writer == left.writer
    assert trail.database.unended() == []


def test_a_batch_that_was_lost_only_on_its_way_back_stands_once(path: Path) -> None:
    trail, database = _unreliable(path)
    trail.open_intent(intent_of("E1"))
    database.plan = ["after", "before"]
    for name in ("stands", "does not"):
        with pytest.raises(AuditUnavailable, match="as planned"):
            trail.open_intent(intent_of(name))
    trail.open_intent(intent_of("E2"))
    names = [record.exchange_id for record in happened(trail.read()) if isinstance(record, Intent)]
    assert names == ["E1", "stands", "E2"]
    assert trail.database.heads()[0].n == 4


def test_a_lane_that_began_without_a_word_is_gone_on_with(path: Path) -> None:
    trail, database = _unreliable(path)
    database.plan = ["before", "after"]
    for _ in range(2):
        with pytest.raises(AuditUnavailable, match="as planned"):
            trail.record_start(start_of())
    trail.record_start(start_of())
    assert [head.n for head in database.heads()] == [2]
    trail.close_session()
    _whole(path)


def test_a_chain_that_somebody_changed_is_not_gone_on_with(path: Path) -> None:
    trail, database = _unreliable(path)
    trail.record_start(start_of())
    trail.record_start(start_of())
    (lane,) = database.lanes()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        (chain,) = other.execute(
            "SELECT name FROM sqlite_schema WHERE name LIKE 'chain_%' AND type = 'table'"
        ).fetchone()
        other.execute(f"DROP TRIGGER {chain}_no_delete")
        other.execute(f"DELETE FROM {chain} WHERE n = 3")  # noqa: S608 - the file's own name of a table
    database.plan = ["before"]
    with pytest.raises(AuditUnavailable, match="as planned"):
        trail.record_start(start_of())
    for _ in range(2):
        with pytest.raises(AuditUnavailable, match="the chain was changed under its writer"):
            trail.record_start(start_of())
    with pytest.raises(AuditUnavailable, match="the chain was changed"):
        trail.open()
    head = database.head(lane)
    assert head is not None
    assert head.n == 2


def test_a_writer_taken_for_dead_goes_on_as_another_one(path: Path) -> None:
    trail = make_trail(path)
    trail.open_intent(intent_of("E1"))
    assert trail._writer is not None
    assert trail._writer._lock is not None
    trail._writer._lock.release()
    other = make_trail(path)
    assert other.recover() == 1
    trail._writer._lock = None
    trail.close(_ending("E1", datetime.now(UTC)))
    lanes = trail.database.lanes()
    assert len(lanes) == 3
    assert len({lane.writer for lane in lanes}) == 3
    assert [type(record) for record in happened(trail.read())] == [Intent, Closure, Ending]
    for one in (trail, other):
        one.close_session()
    _whole(path)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["not", "before", "after"]), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_whatever_fails_what_was_confirmed_stands_once_and_the_chain_is_whole(plan: list[str], days: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, clock = Path(folder, "audit", "audit.db"), Hands()
        trail, database = _unreliable(path, clock)
        database.plan = plan
        confirmed = []
        for number, later in enumerate(days):
            clock.at += timedelta(hours=8 * later)
            with suppress(AuditUnavailable):
                trail.record_change(Change(clock.at, "x", "test", str(number), number))
                confirmed.append(number)
        database.plan = []
        trail.close_session()
        trail.recover()
        trail.close_session()
        written = [record.version for record in _whole(path) if isinstance(record, Change)]
        assert len(written) == len(set(written))
        assert set(confirmed) <= set(written)


def test_a_trail_that_must_outlast_the_machine_is_not_kept_in_its_memory(tmp_path: Path) -> None:
    SqliteAuditDatabase(tmp_path / "audit" / "audit.db").open()
    shared_memory = Path("/dev/shm")  # noqa: S108 - a file system in memory, if there is one
    if not shared_memory.is_dir() or "tmpfs /dev/shm" not in Path("/proc/mounts").read_text():
        pytest.skip("no file system in memory here")
    with tempfile.TemporaryDirectory(dir=shared_memory) as folder:
        path = Path(folder, "audit", "audit.db")
        database = SqliteAuditDatabase(path, on_disk_only=True)
        with pytest.raises(StorageUnsafe, match="in memory"):
            database.open()
        with pytest.raises(AuditUnavailable, match="in memory"):
            ChainedAuditTrail(database, keys_of(Path(folder, "audit", "audit.db")), Hands(), FACTS).record_start(
                start_of()
            )


def test_a_process_that_never_got_a_lane_leaves_no_lock_behind(path: Path) -> None:
    trail, database = _unreliable(path)
    database.plan = ["before"]
    with pytest.raises(AuditUnavailable, match="as planned"):
        trail.record_start(start_of())
    assert len(list(path.with_name("audit.db-writers").iterdir())) == 1
    trail.close_session()
    assert list(path.with_name("audit.db-writers").iterdir()) == []
