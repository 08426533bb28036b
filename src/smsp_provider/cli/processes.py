"""Child processes that end when their parent says so and do not outlive it, and signals that end a service in order.

Children are forked, not started anew: they have everything loaded, and no argument or environment can go wrong. A
process that forks here must not have started threads yet.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Final, NoReturn

from smsp_provider.observe.alerts import finish_alerts
from smsp_provider.web.stopping import ASKS_TO_STOP, STOP_ORDER, obey_parent_alone, stop_signals

__all__ = ["LAST_ALERTS_SECONDS", "Child", "StopSignals", "start_child", "stop_children"]

LAST_ALERTS_SECONDS: Final = 3.0
"""How long a process that ends takes for alerts that are still on their way."""

_PR_SET_PDEATHSIG: Final = 1
_STOPS: Final = (*ASKS_TO_STOP, STOP_ORDER)
_POLL_SECONDS: Final = 0.05


class StopSignals:
    """From its making on, what asks to stop only takes note; :meth:`wait` returns when it has come.

    That is SIGTERM and SIGINT (Ctrl-C); in a child that :func:`start_child` made, the order of its parent.
    """

    def __init__(self) -> None:
        # Not an Event: its lock is held for a moment by who waits, and a handler that found it so would wait for ever.
        self._asked, self._ask = os.pipe()
        os.set_blocking(self._ask, False)
        for number in stop_signals():
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):  # it was asked many times
            os.write(self._ask, b"!")

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until asked to stop, or for so long; whether it was."""
        # Nothing is ever read, so that who was asked once stays asked.
        return bool(select.select([self._asked], [], [], seconds)[0])


class Child:
    """A forked child, in a process group of its own: Ctrl-C reaches the parent, which ends its children in order."""

    def __init__(self, name: str, pid: int) -> None:
        self.name: Final = name
        self.pid: Final = pid
        self._status: int | None = None

    def ended(self) -> bool:
        """Whether it has ended; takes its exit code from the system the first time it has."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else took it; that it is gone is all there is to know.
                pid, status = self.pid, 0
            if pid:
                self._status = status
        return self._status is not None

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for the signal that killed it; None while it runs."""
        return None if self._status is None else os.waitstatus_to_exitcode(self._status)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it, if it still runs."""
        if not self.ended():
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill it and whatever it started in its process group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def start_child(name: str, work: Callable[[], int]) -> Child:
    """Fork a process that does ``work`` and exits with what it returns.

    It ignores SIGTERM and SIGINT: :data:`~smsp_provider.web.stopping.STOP_ORDER` ends it, from :func:`stop_children`,
    or from the kernel when this process dies.
    An exception of the work is written to standard error, and the exit code is 1.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # The child begins with the handlers of its parent, which would take a signal to the child for one to the parent:
    # what comes before it has put them off waits.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        pid = os.fork()
        if pid == 0:
            _run(parent, mask, work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # Both sides do it, because either may be the first to need it.
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)
    return Child(name, pid)


def _run(parent: int, mask: Iterable[int], work: Callable[[], int]) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        obey_parent_alone()
        # What the parent does at an order, if it is a child itself, is not for this one.
        signal.signal(STOP_ORDER, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _die_with(parent)
        code = work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - the end of the line: nothing of the parent may run in the child
        traceback.print_exc()
    finally:
        finish_alerts(LAST_ALERTS_SECONDS)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with(parent: int) -> None:
    """Have the kernel order this process to end when its parent has, however it did (Linux; elsewhere it lives on)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, STOP_ORDER, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the line above took effect.
        os.kill(os.getpid(), STOP_ORDER)


def stop_children(children: Sequence[Child], seconds: float) -> bool:
    """End children in order: order all to, wait for so long, kill what is left. Whether nothing had to be killed."""
    for child in children:
        child.send(STOP_ORDER)
    deadline = time.monotonic() + seconds
    while not all(child.ended() for child in children) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    orderly = all(child.ended() for child in children)
    for child in children:
        if child.exit_code != 0:
            # Killed, crashed or still there: what it started may be there too.
            child.kill_group()
        while not child.ended():
            time.sleep(_POLL_SECONDS)
    return orderly
