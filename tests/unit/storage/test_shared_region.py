"""What the processes of a host share: one content, one holder at a time, and no holder that death cannot remove."""

import os
import signal
import struct
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from audit_samples import run_program, start_program
from smsp_provider.storage.shared_region import SharedRegion

_SIZE = 4096
_COUNTER = struct.Struct("Q")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "region"


def _region(
    path: Path, *, kind: bytes = b"test", version: int = 1, size: int = _SIZE, wait_s: float = 60
) -> SharedRegion:
    return SharedRegion(path, kind=kind, version=version, size=size, wait_s=wait_s)


def _count(region: SharedRegion) -> int:
    with region.locked() as content:
        (found,) = _COUNTER.unpack_from(content)
        return int(found)


def _increment(region: SharedRegion, times: int) -> None:
    for _ in range(times):
        with region.locked() as content:
            (found,) = _COUNTER.unpack_from(content)
            _COUNTER.pack_into(content, 0, found + 1)


_PROGRAM_INCREMENTS = """
import struct
from smsp_provider.storage.shared_region import SharedRegion
path = Path(sys.argv[1])
region = SharedRegion(path, kind=b"test", version=1, size=4096, wait_s=60)
for _ in range(500):
    with region.locked() as content:
        (found,) = struct.unpack_from("Q", content)
        struct.pack_into("Q", content, 0, found + 1)
"""

_PROGRAM_HOLDS = """
from smsp_provider.storage.shared_region import SharedRegion
path = Path(sys.argv[1])
with SharedRegion(path, kind=b"test", version=1, size=4096).locked() as content:
    content[:8] = b"\\x07" + bytes(7)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_begins_with_zeros_is_private_and_is_kept(path: Path) -> None:
    with _region(path).locked() as content:
        assert bytes(content) == bytes(_SIZE)
        content[-1] = 9
    with _region(path).locked() as content:
        assert content[-1] == 9
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_threads_and_processes_take_turns(path: Path) -> None:
    region = _region(path, wait_s=60)
    processes = [start_program(_PROGRAM_INCREMENTS, path) for _ in range(2)]
    threads = [threading.Thread(target=_increment, args=(region, 500)) for _ in range(3)]
    threads.append(threading.Thread(target=_increment, args=(_region(path, wait_s=60), 500)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for process in processes:
        with process:
            assert process.communicate(timeout=60) == ("", "")
    assert _count(region) == 6 * 500


def test_a_killed_holder_gives_the_lock_back(path: Path) -> None:
    with start_program(_PROGRAM_HOLDS, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError), _region(path, wait_s=0.02).locked():
            pytest.fail("two holders at once")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert _count(_region(path)) == 7


def test_a_thread_that_holds_it_is_not_waited_for_without_end(path: Path) -> None:
    region = _region(path, wait_s=0.02)
    caught: list[BaseException] = []

    def second() -> None:
        try:
            _increment(region, 1)
        except TimeoutError as error:
            caught.append(error)

    with region.locked():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(60)
    assert len(caught) == 1
    _increment(region, 1)


def test_a_lock_that_fails_says_why_and_is_nobodys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region, no_file = _region(path), 2**30
    _increment(region, 1)
    with monkeypatch.context() as broken:
        broken.setattr(region, "_descriptor", no_file)
        with pytest.raises(OSError, match="Bad file descriptor"), region.locked():
            pytest.fail("held without a lock")
    with monkeypatch.context() as broken, pytest.raises(OSError, match="Bad file descriptor"), region.locked():
        broken.setattr(region, "_descriptor", no_file)
    _increment(region, 1)
    assert _count(region) == 2


def _in_child(work: "Iterator[bool]") -> int:
    """Fork, run ``work`` to its first value in the child, and return the child's exit code: 0 for a true value."""
    with warnings.catch_warnings():
        # Python 3.12 and later warn of threads, which are what some of these tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if next(work) else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_opens_it_again_and_shares_it(path: Path) -> None:
    region = _region(path)
    _increment(region, 1)

    def child() -> Iterator[bool]:
        _increment(region, 1)
        yield _count(region) == 2

    assert _in_child(child()) == 0
    assert _count(region) == 2


def test_a_child_forked_while_another_thread_held_it_waits_for_that_thread(path: Path) -> None:
    region = _region(path, wait_s=0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with region.locked():
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)

    def child() -> Iterator[bool]:
        try:
            _increment(region, 1)
        except TimeoutError:
            yield True
        yield False

    try:
        assert _in_child(child()) == 0
    finally:
        done.set()
        thread.join(60)
    assert _count(region) == 0


def test_a_child_does_not_keep_the_lock_of_a_parent_that_died(path: Path) -> None:
    program = """
import os, signal, threading, time
from smsp_provider.storage.shared_region import SharedRegion
path = Path(sys.argv[1])
region = SharedRegion(path, kind=b"test", version=1, size=4096)
held = threading.Event()
def hold():
    with region.locked():
        held.set()
        time.sleep(60)
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""
    with start_program(program, path) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        try:
            assert _count(_region(path, wait_s=60)) == 0
        finally:
            os.kill(child, signal.SIGKILL)
        process.communicate(timeout=60)


@pytest.mark.parametrize("other", ["kind", "version", "size"])
def test_a_file_of_another_form_is_left_to_its_users_and_replaced(path: Path, other: str) -> None:
    old = {
        "kind": lambda: _region(path, kind=b"other"),
        "version": lambda: _region(path, version=2),
        "size": lambda: _region(path, size=_SIZE * 2),
    }[other]()
    _increment(old, 3)
    new = _region(path)
    _increment(new, 1)
    assert (_count(old), _count(new), _count(_region(path))) == (3, 1, 1)


@pytest.mark.parametrize("rubbish", [b"x", b"SQLite format 3\0" + bytes(_SIZE), bytes(64 + _SIZE)])
def test_rubbish_and_a_file_half_made_are_replaced(path: Path, rubbish: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(rubbish)
    _increment(_region(path), 1)
    assert _count(_region(path)) == 1


def test_no_room_is_an_error_at_the_start(path: Path) -> None:
    program = """
import resource
from smsp_provider.storage.shared_region import SharedRegion
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
region = SharedRegion(path, kind=b"test", version=1, size=65536)
for limit in (8192, resource.RLIM_INFINITY):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with region.locked() as content:
            print(len(content))
    except OSError as error:
        print(type(error).__name__)
"""
    assert run_program(program, path) == "OSError\n65536\n"


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), _region(path).locked():
        pytest.fail("the link was followed")
    assert not (tmp_path / "elsewhere").exists()


def _times_open(path: Path) -> int:
    """How often this process has the file open; other tests' threads may open and close others meanwhile."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += link.readlink() == path
    return found


def test_it_can_be_closed_and_used_again(path: Path) -> None:
    region = _region(path)
    _increment(region, 1)
    assert _times_open(path) > 0
    region.close()
    assert _times_open(path) == 0
    assert _count(region) == 1


def test_many_that_start_at_once_agree_on_one_file(path: Path) -> None:
    regions = [_region(path, wait_s=60) for _ in range(16)]
    threads = [threading.Thread(target=_increment, args=(region, 5)) for region in regions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert _count(regions[0]) == 16 * 5


@pytest.mark.parametrize("how", ["deleted", "replaced", "shortened"])
def test_a_file_that_is_lost_while_it_is_in_use_is_made_anew_for_all(path: Path, how: str) -> None:
    """Without that each process would go on alone: who has it open with the old file, who starts with a new one."""
    mine, other = _region(path), _region(path)
    _increment(mine, 2)
    _increment(other, 2)
    if how == "deleted":
        path.unlink()
    elif how == "replaced":
        spare = path.with_name("spare")
        _increment(_region(spare), 1)
        spare.rename(path)
    else:
        os.truncate(path, 10)
    give_up = time.monotonic() + 60
    while mine.lost == 0 or other.lost == 0:
        assert time.monotonic() < give_up
        time.sleep(0.05)
        for region in (mine, other):
            with region.locked():
                pass
    begun = 1 if how == "replaced" else 0
    assert _count(mine) == begun
    _increment(other, 1)
    fresh = _region(path)
    assert (_count(mine), _count(fresh), fresh.lost) == (begun + 1, begun + 1, 0)


def test_a_file_of_another_form_in_its_place_is_not_fought_over(path: Path) -> None:
    mine, newer = _region(path), _region(path, version=2)
    _increment(mine, 1)
    _increment(newer, 5)
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert (_count(mine), _count(newer)) == (1, 5)
        time.sleep(0.05)
    assert (mine.lost, newer.lost) == (0, 0)
