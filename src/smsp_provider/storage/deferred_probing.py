"""The watch for guessing beside the requests: a thread of each process counts what was answered, a little later.

Requests by number can be counted in any order, and are counted here. With searches it matters which came first: they
are counted at once, since the next one may come to another process.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from smsp_provider.domain.requests import ByNumber
from smsp_provider.engine.probing import Answered, ProbingWatch

__all__ = ["CountingWatch", "DeferredProbingWatch", "count_what_is_left"]

_PAUSE_SECONDS: Final = 0.2
"""How long it is gathered before it is counted."""
_AT_ONCE: Final = 32
"""So many are counted without letting others to the table."""
_MOST: Final = 8192
"""So many may wait: those of several seconds of a worker at its limit."""
_IDLE_SECONDS: Final = 10.0
"""After which a thread that has nothing to do ends."""


class CountingWatch(ProbingWatch, Protocol):
    """Who counts in the end, at once."""

    def note_all(self, batch: Sequence[Answered]) -> None:
        """Count some requests, and alert. Never raises."""
        ...

    def tell_lost(self, answered: Answered) -> None:
        """Tell the operator that requests are not counted."""
        ...


class DeferredProbingWatch:
    """A :class:`smsp_provider.engine.probing.ProbingWatch` before another one; safe for threads and forks.

    The thread starts with a request by number, so that none crosses a fork. Where it cannot keep up (the table
    is held by somebody who does not go on), what is too much is not counted, and told.
    """

    def __init__(self, watch: CountingWatch) -> None:
        self._watch: Final = watch
        self._begin()
        _watches.add(self)

    def _begin(self) -> None:
        """The state of one process."""
        self._waiting: deque[Answered] = deque()
        self._arrived = threading.Event()
        self._counting = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin_anew(self) -> None:
        """After a fork, in the child: what waits is the parent's to count."""
        self._begin()

    def note(self, answered: Answered) -> None:
        """See :meth:`smsp_provider.engine.probing.ProbingWatch.note`."""
        if not isinstance(answered.request, ByNumber):
            self._watch.note(answered)
            return
        if len(self._waiting) >= _MOST:
            self._watch.tell_lost(answered)
            return
        self._waiting.append(answered)
        if not self._arrived.is_set():
            self._arrived.set()
        if self._thread is None:
            self._start()

    def count_now(self) -> None:
        """Count all that waits."""
        with self._counting:
            while self._waiting:
                self._watch.note_all([self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))])

    def _start(self) -> None:
        # Where the system gives no thread now, a later request asks again.
        with self._starting, suppress(RuntimeError):
            if self._thread is None:
                thread = threading.Thread(target=self._keep_counting, name="probing", daemon=True)
                thread.start()
                self._thread = thread

    def _keep_counting(self) -> None:
        while self._arrived.wait(_IDLE_SECONDS) or not self._may_end():
            time.sleep(_PAUSE_SECONDS)
            self._arrived.clear()
            self.count_now()

    def _may_end(self) -> bool:
        with self._starting:
            # In this order: who adds something now either is seen here, or sees that there is no thread.
            self._thread = None
            if not self._waiting:
                return True
            self._thread = threading.current_thread()
            return False


_watches: "weakref.WeakSet[DeferredProbingWatch]" = weakref.WeakSet()


def count_what_is_left() -> None:
    """At the end of a process that ends without Python's own: count what still waits."""
    for watch in list(_watches):
        watch.count_now()


def _after_fork_in_child() -> None:
    for watch in list(_watches):
        watch.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
