"""Work for a thread of the process, a little later: many small things at once, and no request waits for them.

The thread starts when it is needed, so that none crosses a fork, and ends when there was nothing to do for a while.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Final

__all__ = ["Soon", "do_what_is_left"]

_PAUSE_SECONDS: Final = 0.2
"""How long things are gathered before they are done."""
_IDLE_SECONDS: Final = 10.0
"""After which a thread that has nothing to do ends."""


class Soon:
    """Calls ``work`` soon after :meth:`ask`, never twice at the same time; safe for threads.

    ``work`` takes all there is to do by then, and never raises; ``is_done`` tells that there is nothing. ``forget`` is
    called in a forked child, where nothing of its parent's is to be done.
    """

    def __init__(
        self, name: str, work: Callable[[], None], is_done: Callable[[], bool], forget: Callable[[], None]
    ) -> None:
        self._name: Final = name
        self._work: Final = work
        self._is_done: Final = is_done
        self._forget: Final = forget
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """The state of one process."""
        self._asked = threading.Event()
        self._working = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin_anew(self) -> None:
        """After a fork, in the child."""
        self._begin()
        self._forget()

    def ask(self) -> None:
        """There is something to do; returns at once."""
        if not self._asked.is_set():
            self._asked.set()
        if self._thread is None:
            self._start()

    def do_now(self) -> None:
        """Do what there is to do in this thread."""
        with self._working:
            self._work()

    def _start(self) -> None:
        # Where the system gives no thread now, somebody asks again.
        with self._starting, suppress(RuntimeError):
            if self._thread is None:
                thread = threading.Thread(target=self._go_on, name=self._name, daemon=True)
                thread.start()
                self._thread = thread

    def _go_on(self) -> None:
        while self._asked.wait(_IDLE_SECONDS) or not self._may_end():
            time.sleep(_PAUSE_SECONDS)
            self._asked.clear()
            self.do_now()

    def _may_end(self) -> bool:
        with self._starting:
            # In this order: who adds something now either is seen here, or sees that there is no thread.
            self._thread = None
            if self._is_done():
                return True
            self._thread = threading.current_thread()
            return False


_all: "weakref.WeakSet[Soon]" = weakref.WeakSet()


def do_what_is_left() -> None:
    """At the end of a process that ends without Python's own: do what there still is to do."""
    # Twice: what one does may be something to count for another.
    for one in [*_all, *_all]:
        one.do_now()


def _after_fork_in_child() -> None:
    for one in list(_all):
        one.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
