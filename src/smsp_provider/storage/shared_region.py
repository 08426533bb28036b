"""Memory that several processes of a host share: a file of fixed size that each of them maps, and one lock over it.

For small tables that every worker must agree on and that may be lost in a power cut: nothing waits for the disk. The
kernel gives the lock back when a holder dies, who may then have left a write half done: content must be such that a
record written in part is read as no record, or does no harm.
"""

import ctypes
import fcntl
import mmap
import os
import struct
import threading
import time
import weakref
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

__all__ = ["SharedRegion"]

_MAGIC: Final = b"SMSP-shared\0"
_HEADER: Final = struct.Struct(">12s16sIQ")
"""Magic, kind, version, size of the content in bytes."""
_CONTENT_AT: Final = 64
"""Where the content begins: a place that is aligned for everything."""
_OPEN: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE_FILE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700
_AT_ONCE: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
_flock: Final = ctypes.PyDLL(None).flock
"""Keeps the interpreter, for calls that do not wait: with ``fcntl.flock`` another thread runs first, which takes longer
than all that is done under the lock."""
_RETRY_SECONDS: Final = 0.0002
_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the file is still in its place."""


class SharedRegion:
    """``size`` bytes at ``path``, all zero at first, mapped by every process that asks; kept over restarts.

    ``kind`` (up to 16 bytes) and ``version`` say what the content means. A file of another kind, version or size is
    left to those who have it open, and a new one is made in its place. Opened by the first use, and again by each
    process after a fork, and where the file was deleted or replaced by another of its form while it was in use: all
    processes are with the new one about a second later. The place on the disk is taken at once, so that a full disk is
    an error here and does not kill a process in the middle of a write; whoever shortens the file by hand does.

    Safe for threads and processes, and for several objects on one file: the lock belongs to the open file, not to the
    process as with ``lockf``, which any other closing of the file would release. ``wait_s`` bounds the wait for it.
    """

    def __init__(self, path: Path, *, kind: bytes, version: int, size: int, wait_s: float = 1.0) -> None:
        self._path: Final = path
        self._header: Final = _HEADER.pack(_MAGIC, kind, version, size)
        self._length: Final = _CONTENT_AT + size
        self._wait_s: Final = wait_s
        self._begin()
        _regions.add(self)

    def _begin(self) -> None:
        """The state of one process: nothing is open yet."""
        self._guard = threading.Lock()
        self._descriptor: int | None = None
        self._content: memoryview | None = None
        self._look_at = 0.0
        self.lost = 0
        """How often the file was found deleted, replaced or shortened since this process opened it first."""

    def begin_anew(self) -> None:
        """After a fork, in the child: let go of the parent's open file, and with it of a lock that it may hold."""
        self.close()
        self._begin()

    def close(self) -> None:
        """Let go of the file; the next use opens it again. Not while another thread uses it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = self._content = None

    @property
    def unlocked(self) -> memoryview | None:
        """The content without the lock, None before the first use: for single bytes, which are always whole."""
        return self._content

    def locked(self) -> AbstractContextManager[memoryview]:
        """The content, writable, which nobody else reads or writes until the end of the ``with``.

        Keep it short, start no process in it, and do not keep what it gives.

        Raises (at the beginning of the ``with``):
            TimeoutError: somebody else held it for longer than ``wait_s``.
            OSError: the file cannot be opened, made or locked.
        """
        # (Itself: what ``contextlib`` makes of a generator takes as long again as the lock.)
        return self

    def acquire(self) -> memoryview:
        """What :meth:`locked` begins with; :meth:`release` has to follow."""
        if not self._guard.acquire(timeout=self._wait_s):
            raise TimeoutError
        try:
            if time.monotonic() >= self._look_at:
                self._look()
            if self._content is None or self._descriptor is None:
                self._descriptor, self._content = self._open()
            # Where either of them fails, fcntl's says why.
            if _flock(self._descriptor, _AT_ONCE) != 0:
                self._lock(self._descriptor)
        except BaseException:
            self._guard.release()
            raise
        return self._content

    def release(self, *_: object) -> None:
        """Let others to the content."""
        try:
            if self._descriptor is not None and _flock(self._descriptor, fcntl.LOCK_UN) != 0:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._guard.release()

    # (The same methods, and not others that call them: a request comes here several times.)
    __enter__, __exit__ = acquire, release

    def _look(self) -> None:
        """Let go of a file that others will not find any more: limits that each process keeps alone are none."""
        self._look_at = time.monotonic() + _LOOK_SECONDS
        if self._descriptor is not None and not self._is_common(self._descriptor):
            self.lost += 1
            self.close()

    def _is_common(self, descriptor: int) -> bool:
        try:
            named = self._path.stat()
            mine = os.fstat(descriptor)
            if os.path.samestat(named, mine):
                return mine.st_size == self._length
            with self._path.open("rb") as file:
                # One of another form is for others: this process stays with those who use what it has.
                return file.read(_HEADER.size) != self._header
        except PermissionError:
            # What may not be looked at cannot be opened anew either; what is open works.
            return True
        except OSError:
            return False

    def _lock(self, descriptor: int) -> None:
        """Wait in short steps: the call that waits in the kernel knows no end."""
        give_up = 0.0
        while True:
            try:
                fcntl.flock(descriptor, _AT_ONCE)
            except BlockingIOError:
                now = time.monotonic()
                give_up = give_up or now + self._wait_s
                if now > give_up:
                    raise TimeoutError from None
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _open(self) -> tuple[int, memoryview]:
        self._path.parent.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self._path, _OPEN | os.O_CREAT, _PRIVATE_FILE)
            try:
                self._lock(descriptor)
                found = os.fstat(descriptor)
                if self._is_in_place(found):
                    if found.st_size == 0:
                        self._lay_out(descriptor)
                    elif not self._is_ours(descriptor, found.st_size):
                        self._path.unlink(missing_ok=True)
                        os.close(descriptor)
                        continue
                    content = self._mapped()
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                    return descriptor, content
            except BaseException:
                os.close(descriptor)
                raise
            # Somebody put another file in its place between the opening and the lock.
            os.close(descriptor)

    def _is_in_place(self, found: os.stat_result) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, found)

    def _is_ours(self, descriptor: int, length: int) -> bool:
        return length == self._length and os.pread(descriptor, _HEADER.size, 0) == self._header

    def _lay_out(self, descriptor: int) -> None:
        """The header comes last: a file whose maker died before it is nobody's, and is replaced."""
        os.posix_fallocate(descriptor, 0, self._length)
        os.pwrite(descriptor, self._header, 0)

    def _mapped(self) -> memoryview:
        # Opened once more: a mapping keeps its file open, and in a forked child it would keep the parent's lock.
        descriptor = os.open(self._path, _OPEN)
        try:
            mapped = memoryview(mmap.mmap(descriptor, self._length))
        finally:
            os.close(descriptor)
        # A page costs several times as much at its first touch: now rather than in the middle of a request.
        for at in range(0, self._length, mmap.PAGESIZE):
            mapped[at] |= 0
        return mapped[_CONTENT_AT:]


_regions: "weakref.WeakSet[SharedRegion]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for region in list(_regions):
        region.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
