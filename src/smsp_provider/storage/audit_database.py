"""The port between the audit trail and the database that keeps it: chained rows, sealed contents, lanes, locks, roots.

A database knows nothing of what records say, and computes neither links nor seals: it keeps what it is given, in whole
transactions, and never changes it. What reads a trail is :class:`smsp_provider.audit.chain.TrailReader`; here is the
side that writes. What is unsafe about the place is :class:`StorageUnsafe`, raised by :meth:`AuditDatabase.open` alone;
every other failure is :class:`smsp_provider.audit.trail.AuditUnavailable` with the database's own word for it.

Source: SMSP-AUDIT-001, 009; anchors.md decision 3; safety.md section 5.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from smsp_provider.audit.chain import Lane, SignedRoot, TrailReader
from smsp_provider.audit.trail import AuditUnavailable

__all__ = ["AuditDatabase", "ErasedRow", "Head", "HeldLock", "LaneClosed", "NewLane", "Row", "StorageUnsafe"]

Row = tuple[int, str, int, str | None, bytes, bytes, bytes]
"""What is appended for one record: n, kind, at (microseconds since 1970), exchange, commitment, link, sealed."""


class StorageUnsafe(Exception):
    """The place must not hold an audit trail as it is; the text says why and needs an operator."""


class LaneClosed(AuditUnavailable):
    """The lane was ended by somebody who took its writer for dead: nothing may follow in it, another one may begin."""


class Head(NamedTuple):
    """Where a lane ends at this moment: the number and the link of its last record."""

    lane: int
    n: int
    link: bytes


class ErasedRow(NamedTuple):
    """A record whose content was lawfully erased, and the record of kind ``erasure`` that says so."""

    lane: int
    n: int
    tombstone_lane: int
    tombstone_n: int


@dataclass(frozen=True, slots=True)
class NewLane:
    """A lane about to begin. ``at`` is in microseconds since 1970, the rest as in :class:`Lane`."""

    token: str
    day: date
    writer: str
    pid: int
    at: int
    key_id: str
    wrapped_key: bytes


class HeldLock(Protocol):
    """A lock that its holder loses with its life at the latest, on whichever host it ran."""

    def is_held(self) -> bool:
        """Whether it is held still: a lock that hangs on a connection goes with the connection."""
        ...

    def release(self) -> None:
        """Let go of this process's hold and leave all traces: whoever recovers the holder removes them.

        In a forked child that lets go of its parent's hold, without ending that.
        """
        ...

    def discard(self) -> None:
        """Let go for good: nobody will ask for this name again."""
        ...


class AuditDatabase(TrailReader, Protocol):
    """All that a trail needs of a database. One object for each process; begun anew after a fork.

    :meth:`append` and :meth:`begin_lane` are called by one thread at a time, everything else by any.
    """

    def open(self) -> str:
        """Connect, and begin the trail where there never was one, checking that it is safe to write here.

        Returns a mark of what was opened (this very file, this very trail), by which the processes of one provider make
        sure that all of them write to the same. Nothing happens where it is open already, except the checks.

        Raises:
            StorageUnsafe: it must not hold an audit trail as it is, or is not the one that was opened before.
            AuditUnavailable: it cannot be reached.
        """
        ...

    def close(self) -> None:
        """Disconnect. The next call of any other method connects again."""
        ...

    def before_fork(self) -> None:
        """Leave nothing open that a child must not inherit, and let nobody open it until one of the next two."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on: the next call connects again."""
        ...

    def after_fork_in_child(self) -> None:
        """Begin anew, without a word to the database about what was the parent's."""
        ...

    def has_room(self) -> bool:
        """Whether it takes more for some time to come, as far as that can be told without writing.

        Raises:
            AuditUnavailable: that cannot be told.
        """
        ...

    def take(self, name: str) -> HeldLock | None:
        """Take the lock ``name`` (ASCII letters, digits and dashes); None while somebody holds it.

        A writer holds the lock of its own name for as long as it lives; a recovery takes it to be sure that nobody
        does. There are others of that kind, for what only one process of all hosts may do.

        Raises:
            AuditUnavailable: that cannot be told.
        """
        ...

    def begin_lane(self, lane: NewLane, opening: Row, *, closing: tuple[Lane, Row] | None = None) -> Lane:
        """Begin a lane with its first record, in one durable transaction; makes the tables of its day.

        ``closing`` is the lane that this one follows with its last record, in the same transaction.

        Raises:
            LaneClosed: the lane of ``closing`` was ended already.
            AuditUnavailable: it is not known whether it began.
        """
        ...

    def append(self, lane: Lane, rows: Sequence[Row], *, ended: Iterable[Lane] = ()) -> None:
        """Add records to a lane, contents and chain, and mark lanes as ended, in one durable transaction.

        Raises:
            LaneClosed: the lane, or one in ``ended``, was ended already.
            AuditUnavailable: it is not known whether the records are there; :meth:`settled_head` tells.
        """
        ...

    def settled_head(self, lane: Lane) -> Head | None:
        """Where a lane ends, once nothing can come any more of an :meth:`append` to it that failed; None: no lane.

        Raises:
            LaneClosed: the lane was ended meanwhile.
            AuditUnavailable: that cannot be told.
        """
        ...

    def head(self, lane: Lane) -> Head | None:
        """Where a lane ends at this moment; None where it has no record."""
        ...

    def heads(self, *, since: date | None = None) -> Sequence[Head]:
        """Where each lane of these days ends at this moment, by ascending lane."""
        ...

    def last_lane(self) -> Lane | None:
        """The lane that began last; None where none ever did."""
        ...

    def unended(self) -> Sequence[Lane]:
        """The lanes without an end, by ascending id, whether their writers live or not."""
        ...

    def open_intents(self, writer: str) -> Sequence[str]:
        """The exchanges with an intent and neither ending nor closure among the last two lanes of a writer.

        Of two, because a request that goes on over midnight has its intent in one and its ending in the next.
        """
        ...

    def ends(self, *, since: date | None = None) -> Sequence[int]:
        """The ids of the lanes of these days that have an end, ascending."""
        ...

    def write_root(self, root: SignedRoot) -> None:
        """Add a root, durably.

        Raises:
            AuditUnavailable: it is not durable, or there is one of that number.
        """
        ...

    def last_root(self) -> SignedRoot | None:
        """The root with the highest number."""
        ...

    def erased(self, lane: Lane) -> Iterator[ErasedRow]:
        """The records of a lane whose contents were erased, by ascending n."""
        ...

    def erase(self, rows: Sequence[ErasedRow]) -> int:
        """Note these records as erased and delete their contents, in one durable transaction; returns how many were.

        What was erased before stays as it was noted then. Afterwards nothing of the contents is left in files of this
        database, as far as it can see to that.

        Raises:
            AuditUnavailable: it may not have happened; do it again.
        """
        ...

    def rewrap(self, lane: Lane, key_id: str, wrapped_key: bytes) -> None:
        """Replace the wrapping of a lane's key: the key itself stays.

        Raises:
            AuditUnavailable: it may not have happened; do it again.
        """
        ...
