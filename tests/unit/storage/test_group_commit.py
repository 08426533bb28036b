"""The leader writes for everybody, and nobody waits for ever."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from smsp_provider.storage.group_commit import BatchFailed, CommitTimeout, GroupCommit, _Ticket

LONG = 60.0
"""Seconds that nothing here takes, however slow the machine is."""


def _run(callers: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=caller) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads)


def _until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def test_a_single_caller_writes_in_its_own_thread() -> None:
    writers: list[int] = []
    group: GroupCommit[str] = GroupCommit(lambda _: writers.append(threading.get_ident()), wait_s=1)
    for _ in range(3):
        group.submit("item")
    assert writers == [threading.get_ident()] * 3


def test_callers_share_a_write_and_each_item_is_written_once_in_order() -> None:
    batches: list[list[int]] = []
    under_way = set(range(32))

    def write(items: Sequence[int]) -> None:
        # It takes until everybody else waits, as long as that is on this machine.
        _until(lambda: len(group._pending) == len(under_way - {item // 100 for item in items}))
        batches.append(list(items))

    group: GroupCommit[int] = GroupCommit(write, wait_s=LONG)

    def caller(number: int) -> Callable[[], None]:
        def run() -> None:
            for turn in range(10):
                item = number * 100 + turn
                group.submit(item)
                assert any(item in batch for batch in batches)
            under_way.remove(number)

        return run

    _run([caller(number) for number in range(32)])
    written = [item for batch in batches for item in batch]
    assert sorted(written) == sorted(number * 100 + turn for number in range(32) for turn in range(10))
    assert len(batches) < len(written) / 8
    for number in range(32):
        assert [item % 100 for item in written if item // 100 == number] == list(range(10))


def test_a_failing_write_fails_every_caller_of_its_batch_and_no_other() -> None:
    gate, entered = threading.Event(), threading.Event()
    errors: list[BaseException] = []
    broken = OSError("disk")

    def write(items: Sequence[str]) -> None:
        if "first" in items:
            entered.set()
            gate.wait(LONG)
        elif "late" not in items:
            raise broken

    group: GroupCommit[str] = GroupCommit(write, wait_s=LONG)

    def caller(item: str) -> Callable[[], None]:
        def run() -> None:
            try:
                group.submit(item)
            except BatchFailed as error:
                errors.append(error)

        return run

    first = threading.Thread(target=caller("first"))
    first.start()
    assert entered.wait(LONG)
    others = [threading.Thread(target=caller(f"other-{number}")) for number in range(5)]
    for thread in others:
        thread.start()
    _until(lambda: len(group._pending) == 5)
    gate.set()
    for thread in [first, *others]:
        thread.join(LONG)
    group.submit("late")
    assert [error.cause for error in errors if isinstance(error, BatchFailed)] == [broken] * 5
    assert len({id(error) for error in errors}) == 5


def test_a_caller_gives_up_after_the_bound_and_its_item_is_not_written_later() -> None:
    gate, entered = threading.Event(), threading.Event()
    written: list[str] = []

    def write(items: Sequence[str]) -> None:
        entered.set()
        gate.wait(LONG)
        written.extend(items)

    group: GroupCommit[str] = GroupCommit(write, wait_s=0.05)
    slow = threading.Thread(target=group.submit, args=("slow",))
    slow.start()
    assert entered.wait(LONG)
    began = time.monotonic()
    with pytest.raises(CommitTimeout):
        group.submit("impatient")
    assert time.monotonic() - began < LONG / 2
    gate.set()
    slow.join(LONG)
    group.submit("next")
    assert written == ["slow", "next"]


def test_a_caller_whose_batch_is_being_written_for_too_long_gives_up_too() -> None:
    first_gate, second_gate = threading.Event(), threading.Event()
    entered: list[list[str]] = []
    outcomes: list[str] = []

    def write(items: Sequence[str]) -> None:
        entered.append(list(items))
        (first_gate if items[0] == "first" else second_gate).wait(LONG)

    class OneIsHasty(GroupCommit[str]):
        """The third caller's time begins when its batch is being written; the second has all the time there is."""

        def _await_turn(self, ticket: _Ticket[str]) -> bool:
            if ticket.item == "second":
                return ticket.turn.acquire() and ticket.leads
            _until(lambda: len(entered) == 2)
            return super()._await_turn(ticket)

    group = OneIsHasty(write, wait_s=0.05)

    def caller(item: str) -> None:
        try:
            group.submit(item)
            outcomes.append(f"{item} written")
        except CommitTimeout:
            outcomes.append(f"{item} unknown")

    threads = [threading.Thread(target=caller, args=(item,)) for item in ("first", "second", "third")]
    first, second, third = threads
    first.start()
    _until(lambda: len(entered) == 1)
    second.start()
    _until(lambda: len(group._pending) == 1)
    third.start()
    _until(lambda: len(group._pending) == 2)
    first_gate.set()
    _until(lambda: len(entered) == 2)
    _until(lambda: "third unknown" in outcomes)
    second_gate.set()
    for thread in threads:
        thread.join(LONG)
    assert sorted(outcomes) == ["first written", "second written", "third unknown"]


def test_an_interrupted_leader_takes_nobody_with_it() -> None:
    gate, entered = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def write(items: Sequence[str]) -> None:
        if items[0] == "interrupted":
            entered.set()
            gate.wait(LONG)
            raise KeyboardInterrupt

    group: GroupCommit[str] = GroupCommit(write, wait_s=LONG)

    def interrupted() -> None:
        try:
            group.submit("interrupted")
        except KeyboardInterrupt as error:
            failures.append(error)

    leader = threading.Thread(target=interrupted)
    leader.start()
    assert entered.wait(LONG)
    follower = threading.Thread(target=group.submit, args=("follower",))
    follower.start()
    _until(lambda: len(group._pending) == 1)
    gate.set()
    leader.join(LONG)
    follower.join(LONG)
    assert not follower.is_alive()
    assert len(failures) == 1


def test_giving_up_in_the_moment_of_being_chosen_leaves_no_group_without_a_leader() -> None:
    written: list[int] = []

    def write(items: Sequence[int]) -> None:
        time.sleep(0.002)
        written.extend(items)

    # Waiting as long as a write takes: callers are chosen to lead while they give up.
    group: GroupCommit[int] = GroupCommit(write, wait_s=0.002)
    done: list[int] = []
    lock = threading.Lock()

    def caller(number: int) -> Callable[[], None]:
        def run() -> None:
            for turn in range(60):
                try:
                    group.submit(number * 100 + turn)
                except CommitTimeout:
                    continue
                with lock:
                    done.append(number * 100 + turn)

        return run

    _run([caller(number) for number in range(12)])
    group.submit(-1)
    assert set(done) <= set(written)
    assert len(written) == len(set(written))
    assert written[-1] == -1


@pytest.mark.parametrize(("took", "gathers"), [(0.0, 0.001), (0.004, 0.002), (0.010, 0.005), (9.0, 0.005)], ids=str)
def test_who_leads_after_another_gathers_for_half_of_what_the_last_batch_took_within_bounds(
    took: float, gathers: float
) -> None:
    gate, entered = threading.Event(), threading.Event()
    now = 0.0
    slept: list[float] = []
    batches: list[list[str]] = []

    def write(items: Sequence[str]) -> None:
        nonlocal now
        if items == ["first"]:
            entered.set()
            gate.wait(LONG)
        now += took
        batches.append(list(items))

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        # In this very wait another one comes: it is written with those that were there.
        late.start()
        _until(lambda: len(group._pending) == 2)

    group: GroupCommit[str] = GroupCommit(write, wait_s=LONG, sleep=sleep, monotonic=lambda: now)
    first, second, late = (threading.Thread(target=group.submit, args=(item,)) for item in ("first", "second", "late"))
    first.start()
    assert entered.wait(LONG)
    assert slept == []
    second.start()
    _until(lambda: len(group._pending) == 1)
    gate.set()
    for thread in (first, second):
        thread.join(LONG)
    late.join(LONG)
    assert slept == [pytest.approx(gathers)]
    assert batches == [["first"], ["second", "late"]]


def test_a_single_caller_gathers_nobody() -> None:
    slept: list[float] = []
    group: GroupCommit[str] = GroupCommit(lambda _: time.sleep(0.001), wait_s=1, sleep=slept.append)
    for _ in range(3):
        group.submit("item")
    assert slept == []


class _Watch:
    """Two callers in one batch, so that others are about; what leaders waited is kept."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.batches: list[list[str]] = []
        self._gate = threading.Event()
        self.group: GroupCommit[str] = GroupCommit(self._write, wait_s=LONG, sleep=self.waited.append)
        first = threading.Thread(target=self.group.submit, args=("first",))
        first.start()
        _until(lambda: bool(self.batches))
        pair = [threading.Thread(target=self.group.submit, args=(item,)) for item in ("second", "third")]
        for thread in pair:
            thread.start()
        _until(lambda: len(self.group._pending) == len(pair))
        self._gate.set()
        for thread in (first, *pair):
            thread.join(LONG)

    def _write(self, items: Sequence[str]) -> None:
        self.batches.append(list(items))
        self._gate.wait(LONG)


def test_who_comes_after_a_batch_of_several_waits_too_and_who_comes_after_a_single_one_does_not() -> None:
    watch = _Watch()
    watch.group.submit("after two")
    watch.group.submit("after one")
    assert [len(batch) for batch in watch.batches] == [1, 2, 1, 1]
    assert len(watch.waited) == 2


def test_a_leader_that_is_interrupted_while_it_waits_takes_nobody_with_it() -> None:
    watch = _Watch()
    followers: list[threading.Thread] = []

    def interrupted(_seconds: float) -> None:
        watch.group._sleep = lambda _: None
        followers.append(threading.Thread(target=watch.group.submit, args=("follower",)))
        followers[0].start()
        _until(lambda: len(watch.group._pending) == 2)
        raise KeyboardInterrupt

    watch.group._sleep = interrupted
    with pytest.raises(KeyboardInterrupt):
        watch.group.submit("interrupted")
    followers[0].join(LONG)
    assert not followers[0].is_alive()
    assert watch.batches[-1] == ["follower"]
