"""Work that a thread does a little later: all of it, once, and never in the way of who asks."""

import threading
from collections import deque
from itertools import count

import pytest

from smsp_provider.storage import soon
from smsp_provider.storage.soon import Soon, do_what_is_left
from throttles import wait_until


class _Letters:
    """Takes what is put in its box, while its door is open."""

    def __init__(self) -> None:
        self.box: deque[int] = deque()
        self.taken: list[int] = []
        self.door = threading.Event()
        self.soon = Soon("letters", self._take, lambda: not self.box, self.box.clear)

    def put(self, letter: int) -> None:
        self.box.append(letter)
        self.soon.ask()

    def _take(self) -> None:
        assert self.door.wait(60)
        while self.box:
            self.taken.append(self.box.popleft())


def test_who_asks_does_not_wait_and_all_is_done_once() -> None:
    letters = _Letters()
    for number in range(1000):
        letters.put(number)
    assert letters.taken == []
    letters.door.set()
    wait_until(lambda: letters.taken == list(range(1000)))


def test_threads_that_ask_at_once_start_one_thread_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soon, "_IDLE_SECONDS", 60.0)
    letters, others = _Letters(), set(threading.enumerate())
    letters.door.set()
    numbers = count()

    def call() -> None:
        for _ in range(200):
            letters.put(next(numbers))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sum(thread.name == "letters" for thread in set(threading.enumerate()) - others) == 1
    wait_until(lambda: sorted(letters.taken) == list(range(1600)))


def test_a_thread_with_nothing_to_do_ends_and_who_asks_then_starts_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soon, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(soon, "_PAUSE_SECONDS", 0.01)
    letters, others = _Letters(), set(threading.enumerate())
    letters.door.set()
    for number in range(5):
        letters.put(number)
        wait_until(lambda: not any(thread.name == "letters" for thread in set(threading.enumerate()) - others))
        assert letters.taken == list(range(number + 1))


def test_what_is_done_at_the_end_is_not_done_again() -> None:
    letters = _Letters()
    letters.door.set()
    letters.put(1)
    letters.soon.do_now()
    letters.put(2)
    wait_until(lambda: letters.taken == [1, 2])


def test_work_that_gives_other_work_is_followed_by_it_at_the_end() -> None:
    one, other = _Letters(), _Letters()
    one.door.set()
    other.door.set()

    def pass_on() -> None:
        for letters in (one, other):
            if not letters.taken:
                letters.put(1)

    passing_on = Soon("passing on", pass_on, lambda: True, lambda: None)
    do_what_is_left()
    assert (one.taken, other.taken) == ([1], [1])
    del passing_on
