"""The records that a lane is made of besides what happened: its first, its last, and the end of one whose writer died.

What holds for all records of a process (which build, which rules, which configuration) stands once, in the opening of
its lane, and so for each record of it.

Source: SMSP-AUDIT-008, 009; anchors.md decision 3.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

__all__ = ["Closing", "LaneEnded", "LanePlace", "Opening"]


class LanePlace(NamedTuple):
    """A record's place and link; ``lane`` is the lane's token, ``link`` in hexadecimal digits."""

    lane: str
    n: int
    link: str


@dataclass(frozen=True, slots=True)
class Opening:
    """The first record of a lane: who writes it, and as what.

    ``writer`` is the process's own name (a UUID), ``host`` and ``pid`` where it runs. ``build`` tells one build of the
    provider from any other, ``rules`` is a digest of the reference data that decide answers, ``configuration`` one of
    the settings; both SHA-256 in hexadecimal digits. ``previous`` is a record before which this lane did not begin: the
    closing of the writer's lane of the day before, or else the last one of the lane that began last.
    """

    at: datetime
    writer: str
    host: str
    pid: int
    build: str
    rules: str
    configuration: str
    previous: LanePlace | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """The last record of a lane whose writer ended it itself: its day is over, or the process is done."""

    at: datetime
    writer: str


@dataclass(frozen=True, slots=True)
class LaneEnded:
    """A lane whose writer is gone gets nothing any more: where it ends, on record in the lane of whoever found it."""

    at: datetime
    writer: str
    last: LanePlace
