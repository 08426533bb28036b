"""The keeper's tasks go on whatever becomes of one of them, and its process is started again."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from made_trails import Listener
from smsp_provider.audit.operator_events import AlertKind
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.keeper import Keeper, KeeperTask, SupervisedChild
from smsp_provider.cli.processes import Child, start_child, stop_children
from smsp_provider.storage.keeper_state import KeeperState, read_keeper_state, write_keeper_state


@dataclass
class Lock:
    held: bool = True
    released: int = 0

    def is_held(self) -> bool:
        return self.held

    def release(self) -> None:
        self.released += 1

    def discard(self) -> None:
        raise AssertionError


@dataclass
class Time:
    at: float = 0.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Work:
    """A task that can be made to fail."""

    failure: Exception | None = None
    runs: int = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.failure is not None:
            raise self.failure


@dataclass
class World:
    tasks: dict[str, tuple[Work, float, bool]]
    lock: Lock | None = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.time, self.listener = Time(1.0), Listener()
        tasks = [KeeperTask(name, work, every, alone) for name, (work, every, alone) in self.tasks.items()]
        self.keeper = Keeper(tasks, lambda: self.lock, self.listener, self.time)

    def turns(self, number: int) -> None:
        for _ in range(number):
            self.keeper.turn()
            self.time.at += 1

    def told(self) -> list[str]:
        assert {alert.kind for alert in self.listener.alerts} <= {AlertKind.KEEPER_TASK_FAILED}
        return [alert.reason for alert in self.listener.alerts]


def test_tasks_are_done_as_often_as_they_want() -> None:
    each, some = Work(), Work()
    World({"each": (each, 0.0, True), "some": (some, 10.0, True)}).turns(30)
    assert (each.runs, some.runs) == (30, 3)


def test_a_task_that_fails_stops_no_other_and_is_told_once_and_when_it_is_over() -> None:
    bad, good = Work(AuditUnavailable("disk full")), Work()
    world = World({"bad": (bad, 0.0, True), "good": (good, 0.0, True)})
    world.turns(60)
    assert good.runs == 60
    # It is tried less and less often.
    assert 4 < bad.runs < 12
    assert world.told() == ["bad: disk full"]
    bad.failure = None
    world.turns(20)
    assert world.told() == ["bad: disk full", "over: bad"]
    bad.failure = ValueError("9434765919")
    world.turns(1)
    # What is in an exception may be anything.
    assert world.told()[-1] == "bad: ValueError"


def test_only_who_leads_does_what_one_alone_may() -> None:
    alone, each_host = Work(), Work()
    world = World({"alone": (alone, 0.0, True), "each host": (each_host, 0.0, False)}, lock=None)
    world.turns(5)
    assert (alone.runs, each_host.runs, world.keeper.leads) == (0, 5, False)
    world.lock = Lock()
    world.turns(5)
    assert (alone.runs, each_host.runs, world.keeper.leads) == (5, 10, True)
    lost, world.lock = world.lock, None
    lost.held = False
    world.turns(5)
    assert (alone.runs, lost.released, world.keeper.leads) == (5, 1, False)


def test_at_the_end_tasks_are_done_in_order_whether_due_or_not_and_none_is_begun_too_late() -> None:
    done: list[str] = []
    world = World({})

    def task(name: str, seconds: float = 1.0, *, alone: bool = False) -> KeeperTask:
        def work() -> None:
            done.append(name)
            world.time.at += seconds

        return KeeperTask(name, work, 60.0, alone)

    def fail() -> None:
        done.append("bad")
        raise AuditUnavailable("no answer")

    bad, rare = KeeperTask("bad", fail), task("rare", alone=True)
    keeper = Keeper([bad, rare], lambda: world.lock, world.listener, world.time)
    keeper.turn()
    keeper.turn()
    assert (done, world.told()) == (["bad", "rare", "bad"], ["bad: no answer"])
    done.clear()
    keeper.do_last([task("first"), bad, rare, task("slow", 9.0), task("too late")], 3.0)
    # What was told is not told again.
    assert (done, world.told()) == (["first", "bad", "rare", "slow"], ["bad: no answer"])


def test_at_the_end_who_does_not_lead_leaves_the_rest_to_who_does() -> None:
    alone, own = Work(), Work()
    world = World({}, lock=None)
    world.keeper.do_last([KeeperTask("alone", alone), KeeperTask("own", own, alone=False)], 3.0)
    assert (alone.runs, own.runs) == (0, 1)


def test_a_keeper_that_ends_lets_another_one_lead() -> None:
    world = World({})
    world.turns(1)
    world.keeper.end()
    assert world.lock is not None
    assert world.lock.released == 1


def test_a_process_that_ends_is_started_again_after_longer_and_longer_pauses() -> None:
    listener, clock, started = Listener(), Time(100.0), []

    def start() -> Child:
        started.append(clock.at)
        return start_child("keeper", lambda: 7)

    supervised = SupervisedChild(start, listener, clock)
    while clock.at < 130:
        # Each of them ends at once, whenever that is on this machine.
        ended(supervised.child)
        supervised.attend()
        clock.at += 0.25
    assert 3 < len(started) < 9
    pauses = [after - before for before, after in pairwise(started)]
    assert pauses == sorted(pauses)
    assert {alert.kind for alert in listener.alerts} == {AlertKind.KEEPER_DOWN}
    assert "(7)" in listener.alerts[0].reason


def test_a_process_that_lives_is_left_alone() -> None:
    listener = Listener()
    supervised = SupervisedChild(lambda: start_child("keeper", sleep), listener)
    for _ in range(5):
        supervised.attend()
    child = supervised.child
    os.kill(child.pid, signal.SIGKILL)
    ended(child)
    supervised.attend()
    supervised.attend()
    assert supervised.child.pid != child.pid
    assert stop_children([supervised.child], 30.0)
    assert len(listener.alerts) == 1


def test_a_process_that_hangs_is_told_of_once_and_left_alone() -> None:
    listener, clock, turn = Listener(), Time(100.0), Time(0.0)
    supervised = SupervisedChild(lambda: start_child("keeper", sleep), listener, clock, sign=turn)
    pid = supervised.child.pid

    def pass_time(seconds: int, *, turning: bool) -> list[str]:
        listener.alerts.clear()
        for _ in range(seconds):
            clock.at += 1
            turn.at += turning
            supervised.attend()
        assert {alert.kind for alert in listener.alerts} <= {AlertKind.KEEPER_DOWN}
        return [alert.reason for alert in listener.alerts]

    assert pass_time(300, turning=True) == []
    assert pass_time(119, turning=False) == []
    assert [reason.partition(":")[2][:20] for reason in pass_time(300, turning=False)] == [" no sign of life for"]
    assert pass_time(1, turning=True) == ["over: keeper: it goes on"]
    assert pass_time(119, turning=False) == []
    assert supervised.child.pid == pid
    assert stop_children([supervised.child], 30.0)


def sleep() -> int:
    time.sleep(60)
    return 0


def ended(child: Child, clock: Callable[[], float] = time.monotonic) -> None:
    until = clock() + 60
    while not child.ended():
        assert clock() < until
        time.sleep(0.01)


def test_what_the_keeper_did_last_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "keeper.json"
    assert read_keeper_state(file) is None
    now = datetime(2026, 3, 4, tzinfo=UTC)
    for state in (KeeperState(now, True, 7, now, 0), KeeperState(now, False, 0, None, 3)):
        write_keeper_state(file, state)
        assert read_keeper_state(file) == state
    file.write_text("[]")
    assert read_keeper_state(file) is None
