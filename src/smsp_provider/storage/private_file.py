"""A file that only its owner may read, in a directory of the same kind."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from smsp_provider.certificates.placing import sync_directory

__all__ = [
    "NotPrivate",
    "PrivateFileUnusable",
    "begin_private",
    "check_private",
    "make_private",
    "place_private",
    "placing_private",
    "read_private",
]

_FILE: Final = 0o600
_DIRECTORY: Final = 0o700
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class NotPrivate(Exception):
    """Other users can get at the file; the text says what to change."""


class PrivateFileUnusable(Exception):
    """The file is not there, cannot be read or written, or is open to others; the text names it, for an operator."""


def make_private(path: Path) -> None:
    """Make the file, empty, and its directory, where they are not there.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=_DIRECTORY, parents=True, exist_ok=True)
    # Only a file that was not there is opened: closing any descriptor of a SQLite database drops all the locks that
    # SQLite holds on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE))


def begin_private(path: Path, content: bytes) -> bool:
    """Write a file, and make its directory, where there is none; whether it was made. Several processes may do so.

    Raises:
        PrivateFileUnusable: it cannot be written.
    """
    try:
        # (Where it is there already, its directory need not be writable.)
        if path.exists():
            return False
        path.parent.mkdir(mode=_DIRECTORY, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            place_private(path, content, new=True)
            return True
    except OSError as error:
        raise PrivateFileUnusable(f"{path}: {error.strerror}") from None
    return False


def place_private(path: Path, content: bytes, *, new: bool) -> None:
    """Write a whole file in one step, as :func:`placing_private` does.

    Raises:
        FileExistsError: with ``new``, it is there already.
        OSError: it cannot be written.
    """
    with placing_private(path, new=new) as stream:
        stream.write(content)


@contextmanager
def placing_private(path: Path, *, new: bool) -> Iterator[BinaryIO]:
    """A file to write, which gets its name at the end: nobody ever sees half of it.

    A crash, a full disk or an exception leaves what was there before.

    Raises:
        FileExistsError: with ``new``, there is a file of that name already.
        OSError: it cannot be written.
    """
    # (Made with mode 0600.)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        if new:
            os.link(name, path)
        else:
            Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    sync_directory(path.parent)


def read_private(path: Path) -> bytes:
    """What is in a file that its owner alone may read.

    Raises:
        PrivateFileUnusable: it is not there, cannot be read, or is open to others.
    """
    try:
        check_private(path)
        return path.read_bytes()
    except NotPrivate as error:
        raise PrivateFileUnusable(str(error)) from None
    except OSError as error:
        raise PrivateFileUnusable(f"{path}: {error.strerror}") from None


def check_private(path: Path) -> None:
    """Pass a file that is there and is its owner's alone.

    Raises:
        NotPrivate: the file or its directory is open to others.
        OSError: it is not there.
    """
    if path.stat().st_mode & _OTHERS:
        raise NotPrivate(f"{path}: is open to other users: it must have mode 0600")
    if path.parent.stat().st_mode & _OTHERS:
        raise NotPrivate(f"{path.parent}: is open to other users: the directory must have mode 0700")
