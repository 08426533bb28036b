"""Where an operator's machine keeps the token of their session: a file that nobody else can read or prepare."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["OperatorTokenFile", "TokenFileUnsafe"]

_FILE: Final = 0o600
_DIRECTORY: Final = 0o700
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LONGEST: Final = 1_000


class TokenFileUnsafe(Exception):
    """The file or its directory could be somebody else's; the text says what to change."""


class OperatorTokenFile:
    """The token in ``path``, whose directory is made where it is not there."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path

    def read(self) -> str | None:
        """The token; None where there is none.

        Raises:
            TokenFileUnsafe: the file or its directory is another user's, or open to others.
            OSError: it cannot be read.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            _check(self._path, os.fstat(descriptor))
            _check(self._path.parent, self._path.parent.stat())
            return file.read(_LONGEST).decode("ascii", "replace").strip() or None

    def write(self, token: str) -> None:
        """Put a token in the place of the one before: beside it first, so that nobody reads half of it.

        Raises:
            TokenFileUnsafe: the directory is another user's, or open to others.
            OSError: it cannot be written.
        """
        self._path.parent.mkdir(mode=_DIRECTORY, parents=True, exist_ok=True)
        _check(self._path.parent, self._path.parent.stat())
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(FileNotFoundError):
            beside.unlink()
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token)
        beside.replace(self._path)

    def remove(self) -> None:
        """Forget the token.

        Raises:
            OSError: it cannot be removed.
        """
        self._path.unlink(missing_ok=True)


def _check(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise TokenFileUnsafe(f"{path}: belongs to another user")
    if found.st_mode & _OTHERS:
        raise TokenFileUnsafe(f"{path}: is open to other users: take their rights away, or remove it")
