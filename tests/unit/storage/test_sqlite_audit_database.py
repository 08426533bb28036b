"""No record, no service: what the trail does when it cannot keep what it is given."""

import fcntl
import os
import shutil
import sqlite3
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audit_samples import NUMBER, ending_of, intent_of, run_program, start_of, start_program
from audit_trails import chain_rows, happened, make_trail
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from throttles import wait_until

pytestmark = pytest.mark.rule("SMSP-AUDIT-001")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "audit.sqlite"


@pytest.fixture
def trail(path: Path) -> Iterator[ChainedAuditTrail]:
    made = make_trail(path, wait_s=20.0)
    yield made
    made.close_session()


@pytest.fixture
def hasty(path: Path) -> Iterator[ChainedAuditTrail]:
    """One that does not wait for long."""
    made = make_trail(path, wait_s=0.2)
    yield made
    made.close_session()


def _refused(trail: ChainedAuditTrail) -> str:
    with pytest.raises(AuditUnavailable) as caught:
        trail.open_intent(intent_of("E-refused"))
    assert NUMBER not in str(caught.value)
    assert caught.value.__suppress_context__
    return caught.value.reason


def _connection(trail: ChainedAuditTrail) -> sqlite3.Connection:
    """The one that the trail writes with, once there is one."""
    database = trail.database
    assert isinstance(database, SqliteAuditDatabase)
    assert database._connection is not None
    return database._connection


def test_callers_share_transactions(trail: ChainedAuditTrail, path: Path) -> None:
    trail.record_start(start_of())
    commits: list[int] = []
    # SQLite numbers the frames of the log; what counts here is how often a transaction was begun.
    _connection(trail).set_trace_callback(lambda statement: commits.append(1) if statement == "COMMIT" else None)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=trail.open_intent, args=(intent_of(f"E{n}"),)) for n in range(16)]
        for thread in threads:
            thread.start()
        # One of them is about to write, and the others wait for it.
        wait_until(lambda: len(trail._group._pending) == 15)
        other.execute("ROLLBACK")
    for thread in threads:
        thread.join(60)
    assert sorted(entry.n for entry in trail.read()) == list(range(1, 19))
    assert sum(commits) <= 3


def test_another_process_that_keeps_the_lock_makes_it_unavailable_for_a_bounded_time(
    hasty: ChainedAuditTrail, path: Path
) -> None:
    run_program('trail.open_intent(intent_of("left"))', path)
    hasty.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert _refused(hasty) == "SQLITE_BUSY"
        assert time.monotonic() - began < 30
        with pytest.raises(AuditUnavailable, match="SQLITE_BUSY"):
            hasty.recover()
        other.execute("ROLLBACK")
    hasty.open_intent(intent_of("E1"))
    assert hasty.recover() == 1
    assert [type(record).__name__ for record in happened(hasty.read())] == ["Intent", "Intent", "Closure"]


def test_a_full_disk_fails_the_whole_batch_and_the_trail_comes_back_with_the_space(trail: ChainedAuditTrail) -> None:
    trail.open_intent(intent_of("E1"))
    _connection(trail).execute("PRAGMA max_page_count = 1")

    def fill() -> None:
        for number in range(200):
            trail.close(ending_of(f"fill-{number}"))

    with pytest.raises(AuditUnavailable, match="SQLITE_FULL"):
        fill()
    written = len(list(trail.read()))
    assert written > 1
    trail.close(ending_of("E1"))
    assert sorted(entry.n for entry in trail.read()) == list(range(1, written + 2))


def test_whether_there_is_room_is_asked_of_the_file_system(trail: ChainedAuditTrail, path: Path) -> None:
    trail.open()
    assert trail.has_room()
    path.parent.rename(path.parent.with_name("moved"))
    with pytest.raises(AuditUnavailable, match="ENOENT"):
        trail.has_room()


def test_a_file_system_that_takes_no_more_bytes_makes_it_unavailable(path: Path) -> None:
    program = """
import resource
trail.open_intent(intent_of("E1"))
resource.setrlimit(resource.RLIMIT_FSIZE, (262144, 262144))
try:
    for number in range(100):
        trail.close(ending_of(f"E{number}"))
except AuditUnavailable as error:
    print(number > 0, error.reason, len(happened(trail.read())) == number + 1)
"""
    assert run_program(program, path) == "True SQLITE_IOERR_WRITE True\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up its rights, so it must have some")
def test_a_read_only_directory_makes_it_unavailable(path: Path) -> None:
    place = Path(tempfile.mkdtemp(prefix="audit-"))
    program = """
os.chmod(sys.argv[2], 0o500)
os.chown(sys.argv[2], 65534, 65534)
os.setuid(65534)
trail = make_trail(Path(sys.argv[2], "audit.sqlite"))
try:
    trail.open_intent(intent_of("E1"))
except AuditUnavailable as error:
    print(error.reason)
"""
    try:
        assert run_program(program, path, str(place)) == "EACCES\n"
    finally:
        shutil.rmtree(place)


def test_a_file_that_is_no_database_makes_it_unavailable(trail: ChainedAuditTrail, path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"this is not a database, and it is long enough to be taken for one" * 100)
    path.chmod(0o600)
    assert _refused(trail) == "SQLITE_NOTADB"
    with pytest.raises(AuditUnavailable, match="NOTADB"):
        trail.open()
    with pytest.raises(AuditUnavailable, match="NOTADB"):
        list(trail.read())


def test_a_damaged_database_makes_it_unavailable(trail: ChainedAuditTrail, path: Path) -> None:
    for number in range(50):
        trail.open_intent(intent_of(f"E{number}"))
    trail.close_session()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    assert _refused(trail) == "SQLITE_CORRUPT"


def test_an_unsafe_file_stops_the_start_and_every_record(trail: ChainedAuditTrail, path: Path) -> None:
    trail.record_start(start_of())
    trail.close_session()
    path.chmod(0o644)
    with pytest.raises(StorageUnsafe):
        trail.open()
    assert "open to other users" in _refused(trail)


@pytest.mark.parametrize("loss", ["removed", "replaced"])
def test_a_file_that_is_gone_from_its_place_takes_no_more_records(
    trail: ChainedAuditTrail, path: Path, loss: str
) -> None:
    trail.open_intent(intent_of("E1"))
    path.rename(path.with_name("moved.sqlite"))
    if loss == "replaced":
        shutil.copy2(path.with_name("moved.sqlite"), path)
    assert _refused(trail) == (
        "ENOENT" if loss == "removed" else "the file of the audit trail was replaced while in use"
    )
    path.with_name("moved.sqlite").rename(path)
    trail.close(ending_of("E1"))


@pytest.mark.parametrize("loss", ["removed", "replaced"])
def test_a_trail_whose_log_is_gone_takes_no_more_records(trail: ChainedAuditTrail, path: Path, loss: str) -> None:
    trail.open_intent(intent_of("E1"))
    log = path.with_name("audit.sqlite-wal")
    log.rename(path.with_name("moved-wal"))
    if loss == "replaced":
        shutil.copy2(path.with_name("moved-wal"), log)
    for _ in range(2):
        assert _refused(trail) == "the write-ahead log of the audit trail was removed or replaced while in use"
        with pytest.raises(StorageUnsafe):
            trail.open()
    path.with_name("moved-wal").rename(log)
    trail.close(ending_of("E1"))


def test_a_trail_cut_short_takes_no_more_records(trail: ChainedAuditTrail, path: Path) -> None:
    trail.open_intent(intent_of("E1"))
    os.truncate(path, 0)
    assert _refused(trail) == "the file of the audit trail was cut short while in use"
    with pytest.raises(StorageUnsafe):
        trail.open()


def test_a_trail_in_use_loses_neither_its_locks_nor_its_log_to_another_process(
    trail: ChainedAuditTrail, path: Path
) -> None:
    trail.open()
    trail.recover()
    run_program('trail.open_intent(intent_of("E1")); trail.close_session()', path)
    trail.open_intent(intent_of("E2"))
    assert len(happened(trail.read())) == 2


@pytest.mark.parametrize("loss", ["removed", "emptied", "emptied within SQLite"])
def test_no_trail_is_begun_where_an_earlier_one_was_lost(trail: ChainedAuditTrail, path: Path, loss: str) -> None:
    trail.record_start(start_of())
    trail.close_session()
    path.unlink()
    if loss != "removed":
        path.touch(mode=0o600)
    if loss == "emptied within SQLite":
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA journal_mode = WAL")
    before = [(file.name, file.stat().st_size) for file in sorted(path.parent.iterdir())]
    later = make_trail(path)
    with pytest.raises(StorageUnsafe, match="although there was one here"):
        later.open()
    assert [(file.name, file.stat().st_size) for file in sorted(path.parent.iterdir())] == before


def test_an_emptied_trail_keeps_the_log_of_its_last_records(path: Path) -> None:
    run_program('trail.open_intent(intent_of("left")); os._exit(0)', path)
    os.truncate(path, 0)
    log = path.with_name("audit.sqlite-wal")
    before = log.stat().st_size
    with pytest.raises(StorageUnsafe, match="empty"):
        make_trail(path).open()
    assert log.stat().st_size == before > 0


def test_a_trail_that_lost_its_log_while_nobody_looked_is_refused(path: Path) -> None:
    run_program('trail.open_intent(intent_of("left")); os._exit(0)', path)
    path.with_name("audit.sqlite-wal").unlink()
    with pytest.raises(StorageUnsafe, match="write-ahead log of the audit trail \\(-wal\\) is lost"):
        make_trail(path).open()


@pytest.mark.parametrize("place", ["empty", "taken by another trail"])
def test_a_process_told_which_trail_it_is_makes_and_takes_no_other(path: Path, place: str) -> None:
    run_program("trail.open()", path)
    kept = path.stat().st_ino
    moved = path.parent.rename(path.parent.with_name("moved"))
    if place == "taken by another trail":
        run_program("trail.open()", path)
    program = """
from smsp_provider.storage.sqlite_audit_database import keep_to
keep_to(Path(sys.argv[1]), sys.argv[2])
child = os.fork()
if child == 0:
    try:
        make_trail(Path(sys.argv[1])).open_intent(intent_of("E1"))
    except AuditUnavailable as error:
        print(error.reason, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    expected = "ENOENT" if place == "empty" else "the file of the audit trail was replaced while in use"
    assert run_program(program, path, str(kept)) == f"{expected}\n"
    assert path.exists() == (place != "empty")
    assert run_program("print(len(list(trail.read())))", moved / path.name) == "0\n"


def test_a_forked_worker_makes_no_trail_of_its_own(path: Path) -> None:
    program = """
trail.open_intent(intent_of("master"))
place = Path(sys.argv[1]).parent
place.rename(place.with_name("moved"))
child = os.fork()
if child == 0:
    try:
        trail.open_intent(intent_of("worker"))
    except AuditUnavailable as error:
        print(error.reason, place.exists(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert run_program(program, path) == "ENOENT False\n"


def test_an_entry_of_an_unknown_kind_is_not_passed_over(trail: ChainedAuditTrail) -> None:
    trail.open_intent(intent_of("E1"))
    (lane,) = trail.database.lanes()
    head = trail.database.head(lane)
    assert head is not None
    trail.database.append(lane, [(head.n + 1, "novel", 2**60, "E2", b"c", b"l", b"s")])
    entries = trail.read()
    assert [next(entries).n, next(entries).n] == [1, 2]
    with pytest.raises(AuditUnavailable, match="the seal is broken"):
        next(entries)


@pytest.mark.parametrize("n", [-1, 0, 5, 2**32 + 1, 2**63, 10**30], ids=["-1", "0", "5", "33 bits", "64 bits", "more"])
def test_a_number_that_no_record_has_finds_none_of_another_lane(trail: ChainedAuditTrail, path: Path, n: int) -> None:
    trail.record_start(start_of())
    other = make_trail(path)
    other.record_start(start_of())
    for lane in trail.database.lanes():
        assert (trail.database.record(lane, n), trail.database.content(lane, n)) == (None, None)
    other.close_session()


def test_a_killed_writer_leaves_no_file_behind_once_recovered(trail: ChainedAuditTrail, path: Path) -> None:
    run_program('trail.open_intent(intent_of("left"))', path)
    trail.record_start(start_of())
    locks = path.with_name("audit.sqlite-writers")
    assert len(list(locks.iterdir())) == 2
    assert trail.recover() == 1
    assert [file.name for file in locks.iterdir()] == [list(trail.read())[-1].writer]
    trail.close_session()
    assert not list(locks.iterdir())


def test_a_forked_worker_holds_its_own_locks_on_the_database(path: Path) -> None:
    # Byte 128 of the -shm file is SQLite's sign of life: where nobody holds it, the next process to open the database
    # takes the shared memory for stale and clears it, under the feet of a worker that only believes to hold it.
    program = """
trail.open_intent(intent_of("master"))
if os.fork() == 0:
    trail.open_intent(intent_of("worker"))
    print("ready", flush=True)
    sys.stdin.readline()
    trail.close(ending_of("worker"))
    print("done", flush=True)
os._exit(0)
"""
    with start_program(program, path) as master:
        assert master.stdout is not None
        assert master.stdin is not None
        assert master.stdout.readline() == "ready\n"
        master.wait(20)
        with path.with_name("audit.sqlite-shm").open("r+b") as shared_memory:
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 128, 1, 0)
            kind, *_, holder = struct.unpack("hhqqi4x", fcntl.fcntl(shared_memory, fcntl.F_GETLK, asked))
        assert kind == fcntl.F_RDLCK
        assert holder not in (0, master.pid)
        run_program('trail.open_intent(intent_of("other"))', path)
        master.stdin.write("go\n")
        master.stdin.flush()
        assert master.stdout.readline() == "done\n"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(chain_rows(path)) == 4
