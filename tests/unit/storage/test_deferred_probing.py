"""The watch for guessing beside the requests: all is counted, soon, and no request waits for it."""

import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from audit_samples import run_program
from probing_traffic import ISSUED, START, answered, number_request, search_request, stems
from smsp_provider.audit.operator_events import Alert, AlertKind, OperatorEvent
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.probing import Answered, ProbingPolicy
from smsp_provider.storage import deferred_probing
from smsp_provider.storage.deferred_probing import DeferredProbingWatch
from smsp_provider.storage.shared_probing import SharedProbingWatch
from throttles import StandingClock, wait_until

pytestmark = pytest.mark.rule("SMSP-SEC-001")

_LIMIT = ProbingPolicy().guesses_of_a_number


class _Told:
    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def notify(self, event: OperatorEvent) -> None:
        assert isinstance(event, Alert)
        self.alerts.append(event)


class _Gate:
    """Counts what it is told, and nothing by number while it is shut."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.at_it = threading.Event()
        self.counted: list[Answered] = []
        self.lost = 0

    def note(self, answered: Answered) -> None:
        self.counted.append(answered)

    def note_all(self, batch: Sequence[Answered]) -> None:
        self.at_it.set()
        assert self.open.wait(60)
        self.counted += batch

    def tell_lost(self, answered: Answered) -> None:
        del answered
        self.lost += 1


def _guesses() -> Iterator[Answered]:
    number = next(stems(ISSUED.start))
    while True:
        yield answered(number_request(number), ResponseCode.NOT_VERIFIED)


def test_guesses_are_told_without_anything_further_being_asked(tmp_path: Path) -> None:
    told = _Told()
    shared = SharedProbingWatch(tmp_path / "probing.table", ProbingPolicy(), StandingClock(START), told, wait_s=60.0)
    watch = DeferredProbingWatch(shared)
    for one in islice(_guesses(), _LIMIT + 2):
        watch.note(one)
    wait_until(lambda: bool(told.alerts))
    assert [(alert.kind, alert.reason, alert.count) for alert in told.alerts] == [
        (AlertKind.PROBING, "details-guessed", _LIMIT)
    ]


def test_nobody_waits_for_the_counting_and_all_is_counted_in_the_end() -> None:
    gate = _Gate()
    watch = DeferredProbingWatch(gate)
    requests = [answered(number_request(number)) for number in islice(stems(ISSUED.start), 100)]
    watch.note(requests[0])
    assert gate.at_it.wait(60)
    for one in requests[1:]:
        watch.note(one)
    assert gate.counted == []
    gate.open.set()
    wait_until(lambda: gate.counted == requests)


def test_searches_are_counted_at_once_since_their_order_matters() -> None:
    gate = _Gate()
    search = answered(search_request())
    DeferredProbingWatch(gate).note(search)
    assert gate.counted == [search]


def test_what_is_too_much_is_told_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred_probing, "_MOST", 10)
    gate = _Gate()
    watch = DeferredProbingWatch(gate)
    watch.note(next(_guesses()))
    assert gate.at_it.wait(60)
    for one in islice(_guesses(), 12):
        watch.note(one)
    assert gate.lost == 2
    gate.open.set()
    wait_until(lambda: len(gate.counted) == 11)


def test_the_end_of_a_process_and_a_fork_lose_no_count_and_count_none_twice(tmp_path: Path) -> None:
    # In a process of its own: a fork in this one would meet the threads of other tests.
    program = f"""
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from probing_traffic import *
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.probing import ProbingPolicy
from smsp_provider.storage.deferred_probing import DeferredProbingWatch
from smsp_provider.storage.shared_probing import SharedProbingWatch
from smsp_provider.storage.soon import do_what_is_left
from throttles import StandingClock
class Told:
    def notify(self, event):
        os.write(1, f"{{event.reason}} {{event.count}}\\n".encode())
shared = SharedProbingWatch(Path(sys.argv[1]), ProbingPolicy(), StandingClock(START), Told(), wait_s=60.0)
watch = DeferredProbingWatch(shared)
one = answered(number_request(next(stems(ISSUED.start))), ResponseCode.NOT_VERIFIED)
for _ in range(3):
    watch.note(one)
child = os.fork()
if child == 0:
    watch.note(one)
    do_what_is_left()
    os._exit(0)
os.waitpid(child, 0)
for _ in range(3):
    watch.note(one)
do_what_is_left()
os.write(1, b"seven\\n")
watch.note(one)
do_what_is_left()
os._exit(0)
"""
    assert run_program(program, tmp_path / "probing.table") == f"seven\ndetails-guessed {_LIMIT}\n"
