"""What the rows of the table of limits hold, and by what a process is known there.

The layout is :mod:`smsp_provider.storage.throttle_table`'s.
"""

import math
import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

__all__ = [
    "MARK",
    "WAIT_BOUNDS",
    "ClientRow",
    "Head",
    "Refusal",
    "State",
    "Ticket",
    "mark_of_process",
    "started_at",
]

WAIT_BOUNDS: Final = (0.0, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
"""Upper bounds of the classes in which waits are counted, in seconds."""


class Refusal(IntEnum):
    """Why somebody was refused leave."""

    CLIENT_RATE = 0
    CLIENT_CONCURRENCY = 1
    THREADS = 2
    """As many threads of this process as may are at Spine or wait."""
    QUEUE = 3
    """More wait than can have their turn in time, or than may."""
    STALLED = 4
    """All places at Spine are taken, and none becomes free."""
    LATE = 5
    """It waited as long as it may."""
    BREAKER = 6


MARK: Final = Struct("<2Q")
"""What a process is known by: its number, and when it began."""


class State(IntEnum):
    """What became of a ticket: one byte, REFUSED and more for why it was refused."""

    FREE = 0
    WAITING = 1
    GRANTED = 2
    REFUSED = 3

    @staticmethod
    def refused(why: Refusal) -> int:
        """The byte for a refusal."""
        return State.REFUSED + why

    @staticmethod
    def why(state: int) -> Refusal:
        """The refusal behind a byte."""
        return Refusal(state - State.REFUSED)


@dataclass(slots=True)
class Head:
    """What the whole host shares. Moments are of the monotonic clock, 0 for never.

    ``mark`` is that of the pace towards Spine; ``attended_now`` and ``unattended_now`` the virtual times of the queue;
    ``hold`` how many seconds a request lately kept its place at Spine; ``busy_since`` when the first of the present
    ones took its place, ``released_at`` when the last one left. ``draining_since`` is on the clock of the calendar.
    """

    mark: float
    attended_now: float
    unattended_now: float
    busy_since: float
    released_at: float
    hold: float
    draining_since: float
    looked_after_at: float
    passed_over: int
    in_flight: int
    waiting: int
    arrivals: int


@dataclass(slots=True)
class ClientRow:
    """A client: what it may and what it uses. Of the limits, 0 is none."""

    name: bytes
    mark: float
    attended_finish: float
    unattended_finish: float
    rate: float
    burst: float
    used_at: float
    concurrency: int
    in_flight: int
    admitted: int
    refused: int


class Ticket(NamedTuple):
    """A query that waits: its rows of process and client, its place in the queue, since and until when it waits."""

    attended: bool
    follow_up: bool
    process: int
    client: int
    tag: float
    arrival: int
    since: float
    until: float


def started_at(pid: int) -> int:
    """When a process began, in the kernel's ticks since the boot; 0 for one that is no more, or only a zombie."""
    try:
        # The name in parentheses may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])


def mark_of_process() -> bytes:
    """What this process is known by: its number alone would be used again after its end."""
    pid = os.getpid()
    return MARK.pack(pid, started_at(pid))
