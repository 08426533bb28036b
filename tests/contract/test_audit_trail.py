"""What every keeper of the audit trail must do, whatever it is made of."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_samples import ending_of, intent_of, recovered, run_program, start_of, start_program
from audit_trails import make_trail
from postgres_audit import new_audit_url
from smsp_provider.audit.events import Closure, Ending
from smsp_provider.audit.lane_events import Closing, Opening
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.sqlite_file import Synchronous


@pytest.fixture(params=["sqlite", "postgresql"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "sqlite":
        return tmp_path / "audit" / "audit.sqlite"
    place = tmp_path / "audit" / "audit.url"
    place.parent.mkdir(mode=0o700)
    place.write_text(new_audit_url(), encoding="ascii")
    return place


@pytest.fixture(params=[Synchronous.FULL, Synchronous.NORMAL], ids=["full", "normal"])
def trail(request: pytest.FixtureRequest, path: Path) -> Iterator[ChainedAuditTrail]:
    made = make_trail(path, synchronous=request.param, wait_s=10.0)
    yield made
    made.close_session()


def _closed(trail: ChainedAuditTrail) -> list[str]:
    return [entry.record.exchange_id for entry in trail.read() if isinstance(entry.record, Closure)]


@pytest.mark.rule("SMSP-AUDIT-004", "SMSP-AUDIT-008", "SMSP-AUDIT-009")
def test_records_come_back_in_order_with_gapless_sequence_numbers(trail: ChainedAuditTrail) -> None:
    start, intent, ending = start_of(), intent_of("E1"), ending_of("E1")
    trail.record_start(start)
    trail.open_intent(intent)
    trail.close(ending)
    trail.close_session()
    entries = sorted(trail.read(), key=lambda entry: entry.n)
    assert [entry.n for entry in entries] == [1, 2, 3, 4, 5]
    opening, *records, closing = (entry.record for entry in entries)
    assert records == [start, intent, ending]
    assert isinstance(opening, Opening)
    assert isinstance(closing, Closing)
    assert {(entry.lane, entry.writer) for entry in entries} == {(1, opening.writer)}


@pytest.mark.rule("SMSP-AUDIT-004")
def test_one_exchange_can_be_read_alone(trail: ChainedAuditTrail) -> None:
    for name in ("E1", "E2", "E3"):
        trail.open_intent(intent_of(name))
    trail.close(ending_of("E2"))
    assert [entry.n for entry in trail.read(exchange_id="E2")] == [3, 5]
    assert list(trail.read(exchange_id="E9")) == []


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
def test_many_threads_find_their_record_durable_when_the_call_returns(trail: ChainedAuditTrail) -> None:
    missing: list[str] = []

    def exchange(name: str) -> None:
        intent, ending = intent_of(name), ending_of(name)
        trail.open_intent(intent)
        if [entry.record for entry in trail.read(exchange_id=name)] != [intent]:
            missing.append(name)
        trail.close(ending)
        if [entry.record for entry in trail.read(exchange_id=name)] != [intent, ending]:
            missing.append(name)

    def caller(number: int) -> None:
        for turn in range(5):
            exchange(f"E{number}-{turn}")

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert missing == []
    assert sorted(entry.n for entry in trail.read()) == list(range(1, 24 * 5 * 2 + 2))


@pytest.mark.rule("SMSP-AUDIT-001")
def test_several_processes_write_to_one_trail(trail: ChainedAuditTrail, path: Path) -> None:
    program = """
def caller(number):
    for turn in range(10):
        name = f"{sys.argv[2]}-{number}-{turn}"
        trail.open_intent(intent_of(name))
        trail.close(ending_of(name))
threads = [threading.Thread(target=caller, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    processes = [start_program(program, path, f"P{number}") for number in range(3)]
    for process in processes:
        with process:
            _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    lanes: dict[str, list[int]] = {}
    for entry in trail.read():
        lanes.setdefault(entry.writer, []).append(entry.n)
    assert [sorted(numbers) for numbers in lanes.values()] == [list(range(1, 8 * 10 * 2 + 2))] * 3
    assert trail.recover() == 0


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-004")
def test_an_intent_left_open_by_a_killed_process_is_closed_as_unknown(trail: ChainedAuditTrail, path: Path) -> None:
    program = """
trail.open_intent(intent_of("answered"))
trail.close(ending_of("answered"))
trail.open_intent(intent_of("killed-1"))
trail.open_intent(intent_of("killed-2"))
print("ready", flush=True)
time.sleep(60)
"""
    with start_program(program, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        trail.open_intent(intent_of("ours"))
        assert trail.recover() == 0, "a living process keeps its intents"
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    (killed,) = {entry.writer for entry in trail.read() if isinstance(entry.record, Ending)}
    assert recovered(trail) == 2
    closures = [entry.record for entry in trail.read() if isinstance(entry.record, Closure)]
    assert [(closure.exchange_id, closure.writer) for closure in closures] == [
        ("killed-1", killed),
        ("killed-2", killed),
    ]
    assert trail.recover() == 0, "once is enough"
    assert len(_closed(trail)) == 2


@pytest.mark.rule("SMSP-AUDIT-001")
def test_the_next_start_closes_what_the_one_before_left_open(path: Path) -> None:
    run_program('trail.open_intent(intent_of("left"))', path)
    assert run_program("print(recovered(trail), trail.recover())", path) == "1 0\n"


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_forked_worker_is_a_writer_of_its_own(path: Path) -> None:
    program = """
trail.open_intent(intent_of("master"))
child = os.fork()
if child == 0:
    trail.open_intent(intent_of("worker"))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(recovered(trail))
trail.close(ending_of("master"))
print([type(record).__name__ + " " + record.exchange_id for record in happened(trail.read())])
print(len({entry.writer for entry in trail.read()}))
"""
    assert run_program(program, path).splitlines() == [
        "1",
        "['Intent master', 'Intent worker', 'Closure worker', 'Ending master']",
        "2",
    ]


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_forked_child_that_never_writes_does_not_keep_its_parent_alive(trail: ChainedAuditTrail, path: Path) -> None:
    program = """
trail.open_intent(intent_of("parent"))
child = os.fork()
if child == 0:
    os.close(1), os.close(2)
    sys.stdin.read()
    os._exit(0)
print("ready", flush=True)
os._exit(0)
"""
    with start_program(program, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.wait(20)
        assert recovered(trail) == 1, "only the parent held that lock"
    assert _closed(trail) == ["parent"]


def test_two_recoveries_at_once_close_an_intent_once(trail: ChainedAuditTrail, path: Path) -> None:
    run_program('for n in range(20): trail.open_intent(intent_of(f"E{n}"))', path)
    program = "sys.stdin.readline(); print(trail.recover())"
    processes = [start_program(program, path) for _ in range(3)]
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        with process:
            outputs.append(process.communicate(timeout=60))
    assert all(errors == "" for _, errors in outputs)
    assert sum(int(output) for output, _ in outputs) == 20
    assert len(_closed(trail)) == 20
