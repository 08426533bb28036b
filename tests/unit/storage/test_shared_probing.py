"""The watch for guessing in a file: every process counts in it, and whatever happens to it, requests go on."""

import os
import threading
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest

from audit_samples import run_program
from probing_traffic import ISSUED, START, answered, number_request, search_request, stems
from smsp_provider.audit.operator_events import Alert, AlertKind, OperatorEvent
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.probing import Answered, ProbingPolicy
from smsp_provider.engine.probing_table import SUBJECTS
from smsp_provider.engine.probing_traces import KEY_BYTES
from smsp_provider.storage.shared_probing import SharedProbingWatch
from smsp_provider.storage.shared_region import SharedRegion
from throttles import StandingClock

pytestmark = pytest.mark.rule("SMSP-SEC-001")

_LIMIT = ProbingPolicy().guesses_of_a_number
_CONTENT_AT = 64
_SUBJECT_BYTES, _IDENTITY_BYTES = 48, 1072


class _Told:
    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def notify(self, event: OperatorEvent) -> None:
        assert isinstance(event, Alert)
        self.alerts.append(event)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "probing.table"


@pytest.fixture
def told() -> _Told:
    return _Told()


def _watch(path: Path, told: _Told, *, wait_s: float = 60.0) -> SharedProbingWatch:
    return SharedProbingWatch(path, ProbingPolicy(), StandingClock(START), told, wait_s=wait_s)


def _guesses() -> Iterator[Answered]:
    number = next(stems(ISSUED.start))
    while True:
        yield answered(number_request(number), ResponseCode.NOT_VERIFIED)


def test_the_alert_names_client_pattern_count_and_exchange_and_no_more(path: Path, told: _Told) -> None:
    watch = _watch(path, told)
    for one in islice(_guesses(), _LIMIT):
        watch.note(one)
    exchange_id = next(_guesses()).exchange_id
    assert told.alerts == [Alert(AlertKind.PROBING, exchange_id, "details-guessed", client="hospital", count=_LIMIT)]


def test_searches_are_counted_too(path: Path, told: _Told) -> None:
    watch = _watch(path, told)
    for day in range(1, 28):
        watch.note(answered(search_request(born=f"196203{day:02d}"), ResponseCode.NO_MATCH))
    assert [alert.reason for alert in told.alerts] == ["one-field-varied"]


def test_all_processes_count_together_and_a_restart_forgets_nothing(path: Path, told: _Told) -> None:
    watch = _watch(path, told)
    for one in islice(_guesses(), _LIMIT - 2):
        watch.note(one)
    program = f"""
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from probing_traffic import *
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.probing import ProbingPolicy
from smsp_provider.storage.shared_probing import SharedProbingWatch
from throttles import StandingClock
class Told:
    def notify(self, event):
        print(event.reason, event.count)
watch = SharedProbingWatch(Path(sys.argv[1]), ProbingPolicy(), StandingClock(START), Told(), wait_s=60.0)
watch.note(answered(number_request(next(stems(ISSUED.start))), ResponseCode.NOT_VERIFIED))
"""
    assert run_program(program, path) == ""
    assert told.alerts == []
    assert run_program(program, path) == f"details-guessed {_LIMIT}\n"
    watch.note(next(_guesses()))
    assert told.alerts == [], "it was told by another process"


def test_threads_and_a_child_that_was_forked_lose_no_count(path: Path, told: _Told) -> None:
    # In a process of its own: a fork in this one would meet the threads of other tests.
    program = f"""
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from probing_traffic import *
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.probing import ProbingPolicy
from smsp_provider.storage.shared_probing import SharedProbingWatch
from throttles import StandingClock
class Told:
    def notify(self, event):
        os.write(1, f"{{event.reason}} {{event.count}}\\n".encode())
watch = SharedProbingWatch(Path(sys.argv[1]), ProbingPolicy(), StandingClock(START), Told(), wait_s=60.0)
one = answered(number_request(next(stems(ISSUED.start))), ResponseCode.NOT_VERIFIED)
watch.note(one)
child = os.fork()
for _ in range(3):
    watch.note(one)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
watch.note(one)
"""
    assert run_program(program, path) == f"details-guessed {_LIMIT}\n"
    watch = _watch(path, told)
    other = answered(number_request(next(stems(ISSUED.start + 500))), ResponseCode.NOT_VERIFIED, client="surgery")
    threads = [threading.Thread(target=watch.note, args=(other,)) for _ in range(_LIMIT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [(alert.client, alert.count) for alert in told.alerts] == [("surgery", _LIMIT)]


def test_every_host_has_a_key_of_its_own_keeps_it_and_finds_nothing_without_it(tmp_path: Path, told: _Told) -> None:
    keys = []
    for host in ("one", "two"):
        path = tmp_path / host / "probing.table"
        watch = _watch(path, told)
        for one in islice(_guesses(), _LIMIT - 1):
            watch.note(one)
        keys.append(path.read_bytes()[_CONTENT_AT : _CONTENT_AT + KEY_BYTES])
        assert path.stat().st_mode & 0o777 == 0o600
    assert len({*keys, bytes(KEY_BYTES)}) == 3
    content = bytearray(path.read_bytes())
    for key, expected in ((keys[0], 0), (keys[1], 1)):
        content[_CONTENT_AT : _CONTENT_AT + KEY_BYTES] = key
        path.write_bytes(content)
        watch.note(next(_guesses()))
        assert len(told.alerts) == expected


def test_a_table_that_cannot_be_used_is_told_once_until_it_could_be(path: Path, told: _Told) -> None:
    path.mkdir(parents=True)
    clock, policy = StandingClock(START), ProbingPolicy()
    watch = SharedProbingWatch(path, policy, clock, told)
    for one in islice(_guesses(), 5):
        watch.note(one)
        clock.go_on(policy.quiet)
    assert [(alert.kind, alert.reason) for alert in told.alerts] == [
        (AlertKind.PROBING_WATCH_UNAVAILABLE, "IsADirectoryError")
    ]
    path.rmdir()
    for one in islice(_guesses(), _LIMIT):
        watch.note(one)
    assert [alert.kind for alert in told.alerts[1:]] == [AlertKind.PROBING]


def test_a_table_that_fails_now_and_then_is_told_of_once_in_a_while(path: Path, told: _Told) -> None:
    clock, policy = StandingClock(START), ProbingPolicy()
    watch = SharedProbingWatch(path, policy, clock, told, wait_s=0.001)
    watch.note(next(_guesses()))
    other = SharedRegion(path, kind=b"probing", version=1, size=path.stat().st_size - _CONTENT_AT)
    for expected in (1, 1, 2):
        with other.locked():
            watch.note(next(_guesses()))
        watch.note(next(_guesses()))
        assert len(told.alerts) == expected
        clock.go_on(policy.quiet / 2)


def test_nobody_waits_for_a_table_that_another_holds(path: Path, told: _Told) -> None:
    watch = _watch(path, told, wait_s=0.05)
    watch.note(next(_guesses()))
    size = path.stat().st_size - 64
    holder = SharedRegion(path, kind=b"probing", version=1, size=size)
    with holder.locked():
        watch.note(next(_guesses()))
        watch.note(next(_guesses()))
    assert [alert.reason for alert in told.alerts] == ["TimeoutError"]


@pytest.mark.parametrize("broken", ["rows that were never written", "counts at their highest"])
def test_a_table_full_of_anything_stops_no_request(path: Path, told: _Told, broken: str) -> None:
    watch = _watch(path, told)

    def ask() -> None:
        for one in islice(_guesses(), 50):
            watch.note(one)
        for turn in range(50):
            watch.note(answered(search_request(f"FAMILY {turn}", postcode="ZZ1 1AA"), ResponseCode.NO_MATCH))
            watch.note(answered(search_request(f"FAMILY {turn}")))

    ask()
    content = bytearray(path.read_bytes())
    rows = _CONTENT_AT + KEY_BYTES
    if broken == "counts at their highest":
        identities = _CONTENT_AT + SUBJECTS.end
        heads = [*range(rows, identities, _SUBJECT_BYTES), *range(identities, len(content), _IDENTITY_BYTES)]
        for at, end in pairwise([*heads, len(content)]):
            if any(content[at : at + 12]):
                content[at + 12 : end] = b"\xff" * (end - at - 12)
    else:
        content[rows:] = os.urandom(len(content) - rows)
    path.write_bytes(content)
    told.alerts.clear()
    ask()
    assert {alert.kind for alert in told.alerts} <= {AlertKind.PROBING}
