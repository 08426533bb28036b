"""Where alerts go besides the operator log: the port, and a file."""

import os
import stat
from pathlib import Path
from typing import Final, Protocol

__all__ = ["AlertFile", "AlertSink", "SinkFailed"]

_PRIVATE_FILE: Final = 0o600
_OPEN: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class SinkFailed(Exception):
    """An alert was not taken; the text says why in fixed words. ``again``: it may be taken later."""

    def __init__(self, reason: str, *, again: bool = True) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.again: Final = again


class AlertSink(Protocol):
    """Takes alerts, each a JSON object without its line end."""

    @property
    def name(self) -> str:
        """What operators call it."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether taking one is a matter of this machine, and so of no time that a caller would notice."""
        ...

    def take(self, line: bytes, seconds: float) -> None:
        """Take one, within so many seconds. One thread of a process at a time calls it.

        Raises:
            SinkFailed: it was not taken, or that is not known.
        """
        ...


class AlertFile:
    """A file with a line for each alert, made with mode 0600. Nothing keeps it open, so that it can be rotated away."""

    name: Final = "file"
    is_local: Final = True

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._is_torn = False

    def take(self, line: bytes, seconds: float) -> None:
        """See :meth:`AlertSink.take`."""
        del seconds
        # After a line that a full disk took in part, this one begins on a line of its own.
        text = b"\n" * self._is_torn + line + b"\n"
        try:
            descriptor = os.open(self._path, _OPEN, _PRIVATE_FILE)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise SinkFailed("it is no file")
                written = os.write(descriptor, text)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SinkFailed(error.strerror or "it cannot be written") from None
        self._is_torn = written < len(text) and (self._is_torn or written > 0)
        if written < len(text):
            raise SinkFailed("there is no room for a whole line")
