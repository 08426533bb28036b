"""What ends a process of the provider in order: a signal from anybody, or the order of its parent alone.

Whoever stops a service may signal all its processes at once, as systemd does. Those that others still need must not
end by that: records are written until the last request has ended, and the keeper binds them in a root after that.
So a process with a parent that decides ignores SIGTERM and SIGINT (Ctrl-C), and its parent orders by another signal.
"""

import signal
import sys
from typing import Final

__all__ = ["ASKS_TO_STOP", "STOP_ORDER", "obey_parent_alone", "stop_signals"]

ASKS_TO_STOP: Final = (signal.SIGTERM, signal.SIGINT)
"""What others send: to one process, or to all of them at once."""

STOP_ORDER: Final = signal.SIGRTMIN if sys.platform == "linux" else signal.SIGVTALRM
"""What a parent sends to its child, and the kernel when that parent has died. Nobody sends it to all, and nothing else
uses it; until a process has a handler for it, it is death, as the others are."""

_heeded: Final[list[signal.Signals]] = [*ASKS_TO_STOP]


def obey_parent_alone() -> None:
    """From now on nothing but the order of its parent ends this process in order; for a child, after the fork."""
    for number in ASKS_TO_STOP:
        signal.signal(number, signal.SIG_IGN)
    _heeded[:] = [STOP_ORDER]


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that this process is to end by, each for a handler of its own."""
    return tuple(_heeded)
