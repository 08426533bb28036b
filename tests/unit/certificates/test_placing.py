"""Keys and certificates are put in place whole or not at all."""

import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smsp_provider.certificates.placing import place_pair, write_private, write_public


@contextmanager
def _full_disk(left: int) -> Iterator[None]:
    """No file grows beyond ``left`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_private_file_is_its_owners_and_takes_nobodys_place(tmp_path: Path) -> None:
    file = tmp_path / "a.key"
    write_private(file, b"first")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_private(file, b"second")
    assert file.read_bytes() == b"first"


def test_a_public_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "a.pem"
    file.write_bytes(b"first")
    file.chmod(0o600)
    write_public(file, b"second")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"second", 0o644)


@pytest.mark.parametrize("write", [write_private, write_public], ids=["private", "public"])
def test_half_of_a_file_is_not_left(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    with _full_disk(5), pytest.raises(OSError, match="File too large"):
        write(tmp_path / "a.key", b"0123456789")
    assert list(tmp_path.iterdir()) == []


def test_a_pair_of_which_one_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    key, certificate = tmp_path / "a.key", tmp_path / "a.pem"
    place_pair(key, b"key", certificate, b"cert")
    with _full_disk(5), pytest.raises(OSError, match="File too large"):
        place_pair(key, b"new", certificate, b"0123456789")
    assert (key.read_bytes(), certificate.read_bytes()) == (b"key", b"cert")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.key", "a.pem"]
