"""Alerts on their way to one sink: a bounded queue, a thread that tries again, and a count of what was lost.

The thread starts when there is something to send, so that none crosses a fork, and ends when all is sent. What waits
is lost with a process that is killed; the operator log, which is written first, has every alert.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from smsp_provider.observe.alert_sinks import AlertSink, SinkFailed

__all__ = ["Delivery", "Trouble"]

_MOST: Final = 256
"""How many alerts wait at most. Those that come then are lost, and counted."""
_ATTEMPT_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0

Trouble = Callable[[str, int], None]
"""Is told of a sink that does not work, or works again: in words, and how many alerts it lost until now."""


class Delivery:
    """Brings lines to ``sink``, in their order, each until it is taken; safe for threads and forks.

    ``tell`` is called when the sink stops to work or refuses an alert for good, when the first alert finds no room, and
    with the number of lost alerts when the sink works again. It may put something here itself.
    """

    def __init__(self, sink: AlertSink, tell: Trouble, first_pause: float = _FIRST_PAUSE_SECONDS) -> None:
        self.sink: Final = sink
        self._tell: Final = tell
        self._first_pause: Final = first_pause
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """The state of one process: nothing of its parent's is to be sent."""
        self._guard = threading.Lock()
        self._working = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._is_broken = False
        self._thread: threading.Thread | None = None

    def begin_anew(self) -> None:
        """After a fork, in the child."""
        self._begin()

    def put(self, line: bytes) -> None:
        """Send a line soon; a local sink gets it now. Never raises, and waits for nobody."""
        with self._guard:
            is_room = len(self._waiting) < _MOST
            if is_room:
                self._waiting.append(line)
            else:
                self._lost += 1
            is_first_lost, is_only_one = not is_room and self._lost == 1, len(self._waiting) == 1
        if is_first_lost:
            self._tell(f"{self.sink.name}: more alerts wait than there is room for", 1)
        if self.sink.is_local and is_only_one and not self._is_broken and self._working.acquire(blocking=False):
            try:
                self._send_waiting(None)
            finally:
                self._working.release()
        self._have_thread()

    def finish(self, seconds: float) -> int:
        """At the end of the process: send what waits, for so long at most; how many alerts were lost in all."""
        until = time.monotonic() + seconds
        if self._waiting and self._working.acquire(timeout=seconds):
            try:
                self._send_waiting(until)
            finally:
                self._working.release()
        with self._guard:
            lost, self._lost = self._lost + len(self._waiting), 0
            self._waiting.clear()
        return lost

    def waiting(self) -> int:
        """How many lines wait."""
        with self._guard:
            return len(self._waiting)

    def _have_thread(self) -> None:
        with self._guard:
            if self._waiting and self._thread is None:
                thread = threading.Thread(target=self._go_on, name=f"alerts-{self.sink.name}", daemon=True)
                # Where the system gives no thread now, the next alert asks again.
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def _go_on(self) -> None:
        pause = self._first_pause
        while True:
            with self._working:
                is_done = self._send_waiting(None)
            if is_done:
                pause = self._first_pause
                with self._guard:
                    if not self._waiting:
                        self._thread = None
                        return
            else:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _send_waiting(self, until: float | None) -> bool:
        """Send what waits; False when the sink does not take it now, or the time is over. With ``_working`` held."""
        while (line := self._first()) is not None:
            left = _ATTEMPT_SECONDS if until is None else min(_ATTEMPT_SECONDS, until - time.monotonic())
            if left <= 0:
                return False
            try:
                self.sink.take(line, left)
            except SinkFailed as failed:
                if not failed.again:
                    self._remove(line, lost=1)
                self._stopped(failed.reason)
                if failed.again:
                    return False
            else:
                self._remove(line, lost=0)
                self._works()
        return True

    def _first(self) -> bytes | None:
        with self._guard:
            return self._waiting[0] if self._waiting else None

    def _remove(self, line: bytes, *, lost: int) -> None:
        with self._guard:
            # (At the end of the process somebody else may have counted it already.)
            if self._waiting and self._waiting[0] is line:
                self._waiting.popleft()
                self._lost += lost

    def _stopped(self, reason: str) -> None:
        if not self._is_broken:
            self._is_broken = True
            self._tell(f"{self.sink.name}: {reason}", 0)

    def _works(self) -> None:
        with self._guard:
            lost, self._lost = self._lost, 0
        if self._is_broken or lost:
            self._is_broken = False
            self._tell(f"{self.sink.name}: works again", lost)


_all: "weakref.WeakSet[Delivery]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for one in list(_all):
        one.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
