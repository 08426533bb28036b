"""One provider for a trail, one sandbox for a directory: whoever comes second is told who is there."""

import os
import resource
import stat
from pathlib import Path

import pytest

from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.one_process import hold_alone


def _hold(lock: Path) -> int:
    return hold_alone(lock, where="audit.database", who="provider", what="the trail")


def test_the_second_one_is_told_who_is_first(tmp_path: Path) -> None:
    lock = tmp_path / "made" / "lock"
    held = _hold(lock)
    assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700
    with pytest.raises(CannotStart) as refused:
        _hold(lock)
    assert refused.value.message == (
        f"audit.database: another provider (process {os.getpid()}) uses the trail, or is still stopping"
    )
    os.close(held)
    os.close(_hold(lock))


def test_the_process_before_is_forgotten(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("99999999999999999999\n")
    held = _hold(lock)
    assert lock.read_text() == f"{os.getpid()}\n"
    os.close(held)


@pytest.mark.parametrize("content", [b"", b"\xff"], ids=["nothing", "no text"])
def test_a_lock_that_names_nobody_is_held_all_the_same(tmp_path: Path, content: bytes) -> None:
    lock = tmp_path / "lock"
    held = _hold(lock)
    lock.write_bytes(content)
    with pytest.raises(CannotStart, match="another provider"):
        _hold(lock)
    os.close(held)


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match=r"^audit\.database: .*lock: (Not a directory|File exists)$"):
        _hold(tmp_path / "file" / "lock")


def test_a_lock_that_cannot_be_written_is_held_by_nobody(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A full disk, as far as this process can tell.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(CannotStart, match="File too large"):
            _hold(lock)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    os.close(_hold(lock))
