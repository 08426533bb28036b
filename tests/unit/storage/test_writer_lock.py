"""Locks that live as long as the processes that hold them."""

import os
import stat
from pathlib import Path

from smsp_provider.storage.writer_lock import WriterLock, hold_file


def test_a_file_is_held_by_one_until_it_is_let_go(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    held = hold_file(file)
    assert held is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert hold_file(file) is None
    os.close(held)
    again = hold_file(file)
    assert again is not None
    os.close(again)


def test_what_a_file_says_stays_when_it_is_held(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.write_text("17")
    held = hold_file(file)
    assert held is not None
    os.close(held)
    assert file.read_text() == "17"


def test_a_file_is_held_as_long_as_a_child_lives(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    held = hold_file(file)
    assert held is not None
    # (A child that has not been started by a fork of this process would not have the descriptor.)
    stays = os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=_with(held, end := os.pipe()))
    os.close(held)
    os.close(end[0])
    assert hold_file(file) is None
    os.close(end[1])
    assert os.waitpid(stays, 0)[1] == 0
    free = hold_file(file)
    assert free is not None
    os.close(free)


def _with(held: int, end: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Standard input is a pipe whose end this process closes, and standard output the lock."""
    return [(os.POSIX_SPAWN_DUP2, end[0], 0), (os.POSIX_SPAWN_DUP2, held, 1)]


def test_a_writer_that_is_done_leaves_no_file(tmp_path: Path) -> None:
    writer = WriterLock.take(tmp_path / "locks", "writer")
    assert writer is not None
    assert writer.is_held()
    assert WriterLock.take(tmp_path / "locks", "writer") is None
    writer.discard()
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_lock_whose_file_was_removed_keeps_nobody_away(tmp_path: Path) -> None:
    writer = WriterLock.take(tmp_path / "locks", "writer")
    assert writer is not None
    (tmp_path / "locks" / "writer").unlink()
    assert not writer.is_held()
    writer.release()
