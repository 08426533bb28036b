"""Writing whole lines to a stream that may stop taking them: a pipe that nobody reads must not stop a request.

No queue and no thread: workers are forked and end by ``os._exit``, and lines in memory would end with them.
"""

import os
import select
import stat
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final

__all__ = ["LineWriter"]

_PATIENCE_SECONDS: Final = 0.1
"""How long a reader may be behind. After that nothing waits any more until there is room again."""

_TURN_SECONDS: Final = 1.0
"""How long a thread waits for the others of its process to have written theirs."""


class LineWriter:
    """Writes lines to ``stream``, each in one piece, or drops and counts them when the other end does not take them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: Final = stream
        self._descriptor: Final = _unblocking(stream)
        self._stalled = False
        self._begin_anew()
        begin_anew = weakref.WeakMethod(self._begin_anew)
        os.register_at_fork(after_in_child=lambda: _call(begin_anew))

    def _begin_anew(self) -> None:
        """In a forked child: the parent's other threads are gone, with the lock; what it dropped it will tell."""
        self._guard = threading.Lock()
        self._counting = threading.Lock()
        self._dropped = 0

    def write(self, line: bytes) -> bool:
        """Write ``line`` (without its end); False when it was dropped.

        Raises:
            OSError, ValueError: the stream is broken or closed.
        """
        taken = False
        # Bounded too: a slow reader must not make all threads queue here.
        if self._guard.acquire(timeout=_TURN_SECONDS):
            try:
                taken = self._write_now(line + b"\n")
            finally:
                self._guard.release()
        if not taken:
            self.count_dropped(1)
        return taken

    def count_dropped(self, number: int) -> None:
        """Add to what :meth:`take_dropped` returns next."""
        with self._counting:
            self._dropped += number

    def take_dropped(self) -> int:
        """How many lines were dropped since the last call."""
        with self._counting:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def _write_now(self, text: bytes) -> bool:
        if self._descriptor is not None:
            return self._write_if_room(self._descriptor, text)
        self._stream.write(text)
        self._stream.flush()
        return True

    def _write_if_room(self, descriptor: int, text: bytes) -> bool:
        """A pipe takes up to PIPE_BUF bytes as a whole or not at all; the few longer lines may come in pieces."""
        rest = memoryview(text)
        while rest:
            if not _has_room(descriptor, 0.0 if self._stalled else _PATIENCE_SECONDS):
                self._stalled = True
                return False
            # Another process may have filled the pipe in between: then look again.
            with suppress(BlockingIOError):
                rest = rest[os.write(descriptor, rest) :]
                self._stalled = False
        return True


def _call(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    living = method()
    if living is not None:
        living()


def _has_room(descriptor: int, wait_s: float) -> bool:
    watched = select.poll()
    watched.register(descriptor, select.POLLOUT)
    return bool(watched.poll(wait_s * 1000))


def _unblocking(stream: BinaryIO) -> int | None:
    """A descriptor of the pipe or terminal behind ``stream`` that never blocks; None for what never blocks anyway.

    It is opened anew since the mode belongs to the open file, which others share: the shell, or a service manager.
    Where that is not allowed it is the stream's own, and only a race for the last place in the pipe can block.
    """
    try:
        descriptor = stream.fileno()
        kind = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return None
    if not (stat.S_ISFIFO(kind) or stat.S_ISCHR(kind) or stat.S_ISSOCK(kind)):
        return None
    with suppress(OSError):
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return descriptor
