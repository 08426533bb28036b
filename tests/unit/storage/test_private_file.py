"""Files that their owner alone may read: whole or not there, and refused where others can get at them."""

import stat
from pathlib import Path

import pytest

from smsp_provider.storage.private_file import (
    PrivateFileUnusable,
    begin_private,
    place_private,
    placing_private,
    read_private,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "private" / "a.key"


def test_one_is_begun_once_with_its_directory(file: Path) -> None:
    assert begin_private(file, b"first")
    assert not begin_private(file, b"second")
    assert read_private(file) == b"first"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_one_that_cannot_be_made_is_named(file: Path) -> None:
    file.parent.write_bytes(b"no directory")
    with pytest.raises(PrivateFileUnusable, match=r"a\.key: File exists"):
        begin_private(file, b"content")


def test_what_was_there_stays_until_all_is_written(file: Path) -> None:
    begin_private(file, b"old")
    with placing_private(file, new=False) as stream:
        stream.write(b"new")
        stream.flush()
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    with pytest.raises(ZeroDivisionError):
        _write_half(file)
    assert file.read_bytes() == b"new"
    assert [found.name for found in file.parent.iterdir()] == ["a.key"]


def test_a_new_one_takes_nobodys_place(file: Path) -> None:
    begin_private(file, b"old")
    with pytest.raises(FileExistsError):
        place_private(file, b"new", new=True)
    assert file.read_bytes() == b"old"
    assert [found.name for found in file.parent.iterdir()] == ["a.key"]


def test_one_that_others_can_get_at_is_not_read(file: Path) -> None:
    with pytest.raises(PrivateFileUnusable, match=r"a\.key: No such file"):
        read_private(file)
    begin_private(file, b"content")
    file.parent.chmod(0o750)
    with pytest.raises(PrivateFileUnusable, match=r"private: is open to other users.*0700"):
        read_private(file)
    file.parent.chmod(0o700)
    file.chmod(0o604)
    with pytest.raises(PrivateFileUnusable, match=r"a\.key: is open to other users.*0600"):
        read_private(file)


def _write_half(file: Path) -> None:
    with placing_private(file, new=False) as stream:
        stream.write(b"half of")
        raise ZeroDivisionError
