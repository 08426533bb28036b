"""A witness that is a file: on a volume of its own, mounted from another machine, or one that takes no second write."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from smsp_provider.audit.chain import SignedRoot
from smsp_provider.audit.witness import WitnessLineInvalid, WitnessUnavailable, read_line, write_line

__all__ = ["WitnessFile", "read_witness_file"]

_PIECE: Final = 65_536


class WitnessFile:
    """Appends roots to ``path``, each batch on the disk before the call returns.

    The file is made with its first root, and readable by others as its directory's owner wants: roots hold nothing of
    anybody.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path

    @property
    def name(self) -> str:
        """See :attr:`smsp_provider.audit.witness.Witness.name`."""
        return os.fspath(self._path)

    def last(self) -> SignedRoot | None:
        """See :meth:`smsp_provider.audit.witness.Witness.last`. A line without an end was never written whole."""
        try:
            if not self._path.parent.is_dir():
                raise WitnessUnavailable("its directory is not there")
            with self._path.open("rb") as file:
                line = _last_line(file.fileno())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WitnessUnavailable(error.strerror or type(error).__name__) from None
        if not line:
            return None
        try:
            return read_line(line)
        except WitnessLineInvalid:
            raise WitnessUnavailable("its last line is no root") from None

    def append(self, roots: Sequence[SignedRoot]) -> None:
        """See :meth:`smsp_provider.audit.witness.Witness.append`."""
        lines = b"".join(write_line(root) for root in roots)
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            try:
                _drop_half_line(descriptor)
                while lines:
                    lines = lines[os.write(descriptor, lines) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise WitnessUnavailable(error.strerror or type(error).__name__) from None


def read_witness_file(path: Path) -> Iterator[SignedRoot]:
    """The roots in a witness's file.

    Raises:
        WitnessLineInvalid: a line is no root; the text has its number.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                # The machine stopped while it was written.
                return
            try:
                yield read_line(line)
            except WitnessLineInvalid:
                raise WitnessLineInvalid(f"line {number} is no root") from None


def _last_line(descriptor: int) -> bytes:
    """The last whole line, read from the end."""
    end = os.fstat(descriptor).st_size
    found = b""
    while end > 0:
        start = max(0, end - _PIECE)
        found = os.pread(descriptor, end - start, start) + found
        whole = found[: found.rfind(b"\n") + 1]
        before = whole[:-1].rfind(b"\n")
        if before >= 0:
            return whole[before + 1 :]
        end = start
    return found[: found.rfind(b"\n") + 1]


def _drop_half_line(descriptor: int) -> None:
    """Remove what the machine was writing when it stopped: it was never a root, and nothing may be joined to it."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    end, found = size, b""
    while end > 0 and b"\n" not in found:
        start = max(0, end - _PIECE)
        found = os.pread(descriptor, end - start, start) + found
        end = start
    os.ftruncate(descriptor, end + found.rfind(b"\n") + 1)
