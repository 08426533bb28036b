"""Who is alive: each writing process holds a lock on a file of its own; the kernel drops it when the process dies.

A process id alone would not do: it is used again, and it means nothing in another container's name space.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

__all__ = ["WriterLock", "hold_file"]

_PRIVATE_FILE: Final = 0o600


def hold_file(path: Path) -> int | None:
    """Lock a file, which is made where it is not there, its owner's alone; None while somebody holds it.

    The lock ends with the last copy of the descriptor that this returns: when it is closed here and in every child that
    was forked meanwhile, or when all of them have died.

    Raises:
        OSError: the file cannot be made or locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class WriterLock:
    """A held lock. ``token`` is the name of its file in ``directory``, which stands beside the database."""

    def __init__(self, directory: Path, token: str, descriptor: int) -> None:
        self._path = directory / token
        self.token = token
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path, token: str) -> "WriterLock | None":
        """Take the lock ``token``; None while its owner lives.

        Raises:
            OSError: the directory cannot be written.
        """
        directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = hold_file(directory / token)
        return None if descriptor is None else cls(directory, token, descriptor)

    def is_held(self) -> bool:
        """Whether it keeps others away still: not after somebody removed its file."""
        return os.fstat(self._descriptor).st_nlink > 0

    def release(self) -> None:
        """Close the descriptor and leave the file: whoever recovers removes it.

        The lock ends with its last descriptor, so a forked child releases its copy and the parent keeps the lock.
        """
        os.close(self._descriptor)

    def discard(self) -> None:
        """Give the lock back and remove the file: this writer is done for good."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
