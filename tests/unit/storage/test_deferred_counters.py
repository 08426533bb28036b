"""Counters that are gathered first: the table has all of them soon, and at the end of a process."""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from audit_samples import run_program
from smsp_provider.storage.deferred_counters import MOST_WAITING, DeferredCounters
from smsp_provider.storage.shared_counters import SharedCounters
from throttles import wait_until


def test_what_threads_count_is_in_the_table_soon(tmp_path: Path) -> None:
    table = SharedCounters(tmp_path / "counters.table", wait_s=60.0)
    counters = DeferredCounters(table)

    def count() -> None:
        for _ in range(200):
            counters.add((("requests", 1), ("seconds", 0.5)), hour=7)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: table.read() == {"requests": 1600.0, "seconds": 800.0})
    assert table.hours() == {7: 1600}


class _Held:
    """A table that nobody can write to for a while."""

    def __init__(self) -> None:
        self.is_asked, self.is_free = threading.Event(), threading.Event()
        self.total, self.requests = 0.0, 0

    def add_all(self, amounts: Iterable[tuple[str, float]], hours: Mapping[int, int]) -> None:
        self.is_asked.set()
        assert self.is_free.wait(60)
        self.total += sum(amount for _, amount in amounts)
        self.requests += sum(hours.values())


def test_where_the_table_is_held_so_much_is_kept_and_no_more() -> None:
    table = _Held()
    counters = DeferredCounters(table)
    counters.add((("requests", 1),), hour=7)
    assert table.is_asked.wait(60)
    for _ in range(MOST_WAITING + 5):
        counters.add((("requests", 1),), hour=7)
    table.is_free.set()
    wait_until(lambda: table.requests == 1 + MOST_WAITING)
    assert table.total == 1 + MOST_WAITING


def test_a_fork_and_the_end_of_a_process_count_everything_once(tmp_path: Path) -> None:
    # In a process of its own: a fork in this one would meet the threads of other tests.
    program = """
from smsp_provider.storage.deferred_counters import DeferredCounters
from smsp_provider.storage.shared_counters import SharedCounters
from smsp_provider.storage.soon import do_what_is_left
table = SharedCounters(Path(sys.argv[1]), wait_s=60.0)
counters = DeferredCounters(table)
counters.add((("requests", 1),), hour=7)
child = os.fork()
counters.add((("requests", 1),), hour=7 if child else 8)
do_what_is_left()
if child:
    os.waitpid(child, 0)
    print(table.read(), table.hours())
    sys.stdout.flush()
os._exit(0)
"""
    assert run_program(program, tmp_path / "counters.table") == "{'requests': 3.0} {7: 2, 8: 1}\n"
