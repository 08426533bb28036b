"""The port of the search index: which records hold a term, without the terms themselves.

The index is derived from the trail and can be made anew at any time. In it, a term of a day is the first eight bytes of
an HMAC under a key of that day: whoever has the index and not the key learns nothing of a patient from it, and two
days cannot be compared. A hit is a hint: what is found is always checked against the record.

All terms of a happening stand at one place, that of its first record (its *anchor*), in the index of the day of the
anchor's lane. So what is found by several terms is found where all of them have the same place.

Source: SMSP-AUDIT-007; safety.md section 5.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple, Protocol

from smsp_provider.audit.exchanges import Place
from smsp_provider.audit.terms import Term
from smsp_provider.audit.traffic import Traffic

__all__ = ["KEY_BYTES", "DayRows", "IndexBatch", "IndexUnusable", "LaneProgress", "Range", "SearchIndex", "hashed"]

KEY_BYTES: Final = 32
"""Bytes of the key of a day."""

_HASH_BYTES: Final = 8


class IndexUnusable(Exception):
    """The index cannot be read or written, or is none of this trail; the text says what to do and quotes nothing."""


def hashed(key: bytes, term: Term) -> int:
    """A term as the index of a day has it: a signed integer of 64 bits."""
    text = f"{term.kind.value}|{term.value}".encode(errors="surrogatepass")
    return int.from_bytes(hmac.digest(key, text, "sha256")[:_HASH_BYTES], "big", signed=True)


class LaneProgress(NamedTuple):
    """How far a lane is in the index: its records up to ``n``, whose link is ``link``; ``done`` where that is all."""

    n: int = 0
    link: bytes = b""
    done: bool = False


class Range(NamedTuple):
    """Which places are wanted: from ``since`` to before ``until`` (microseconds), beyond ``after`` in the order."""

    since: int
    until: int
    newest_first: bool
    after: Place | None = None


@dataclass(slots=True)
class DayRows:
    """What comes to the index of one day: (term, anchor), and (anchor, further record of the same exchange).

    ``key`` is the key that the terms were made with: the day may have got another one meanwhile.
    """

    key: bytes
    postings: set[tuple[int, Place]] = field(default_factory=set)
    parts: set[tuple[Place, Place]] = field(default_factory=set)


@dataclass(slots=True)
class IndexBatch:
    """What is written to the index in one transaction: rows by day, progress by lane as (before, after), traffic."""

    days: dict[date, DayRows] = field(default_factory=dict)
    progress: dict[int, tuple[LaneProgress, LaneProgress]] = field(default_factory=dict)
    traffic: dict[tuple[date, Traffic], int] = field(default_factory=dict)


class SearchIndex(Protocol):
    """The index of one trail. Every method raises :class:`IndexUnusable` where the index cannot be used."""

    def close(self) -> None:
        """Disconnect; the next call connects again."""
        ...

    def day_keys(self) -> Mapping[date, bytes]:
        """The key of each day that there is an index of, by ascending day."""
        ...

    def begin_day(self, day: date, key: bytes | None = None) -> bytes:
        """Make the index of a day where there is none, with this key or a new one; returns its key."""
        ...

    def progress(self) -> Mapping[int, LaneProgress]:
        """How far each lane is in the index."""
        ...

    def write(self, batch: IndexBatch) -> bool:
        """Add what is not there yet, all or nothing; False and nothing where progress or keys are others by now."""
        ...

    def select(self, day: date, clauses: Sequence[Sequence[int]], wanted: Range, limit: int) -> Sequence[Place]:
        """The first places at which at least one term of every clause stands, in the order of ``wanted``."""
        ...

    def parts(self, day: date, anchors: Iterable[Place]) -> Mapping[Place, Sequence[Place]]:
        """The further records of the exchanges at these anchors; an anchor without is left out."""
        ...

    def replace(self, day: date, anchors: Iterable[Place], rows: DayRows) -> bool:
        """Remove all that stands at these anchors and add the rows, all or nothing; False and nothing as in `write`."""
        ...

    def drop_day(self, day: date, lanes: Iterable[int]) -> None:
        """Remove the index of a day with its key and its traffic, and the progress of the day's lanes.

        Until :meth:`complete_day` the day counts as one that is made anew.
        """
        ...

    def incomplete_days(self) -> Sequence[date]:
        """The days that are made anew and have not been completed."""
        ...

    def complete_day(self, day: date) -> None:
        """Note that a day that was made anew has everything again."""
        ...

    def traffic(self, first_hour: int, last_hour: int) -> Mapping[Traffic, int]:
        """How many requests were counted in these hours, both included."""
        ...

    def postings(self, day: date) -> Iterable[tuple[int, Place]]:
        """All terms of a day with their anchors, ordered by both."""
        ...

    def rewrap(self) -> int:
        """Wrap the keys of all days with the current key of the key ring; returns how many had another one."""
        ...
