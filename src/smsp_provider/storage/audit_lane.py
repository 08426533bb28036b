"""The lane of one process: what it writes, numbered, chained and sealed.

The head of the lane (number and link of its last record) is kept here, in memory: nobody else writes to this lane. So
whatever the database says about it must be what is here, and anything else means that somebody changed the chain.

Source: SMSP-AUDIT-001, 009; anchors.md decision 3.
"""

import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, NamedTuple

from smsp_provider.audit.chain import Lane, first_link, microseconds, moment_of, next_link
from smsp_provider.audit.encoding import encode, kind_of
from smsp_provider.audit.events import Closure, Record
from smsp_provider.audit.lane_events import Closing, LaneEnded, LanePlace, Opening
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase, HeldLock, LaneClosed, NewLane, Row
from smsp_provider.storage.audit_keys import KeyRing
from smsp_provider.storage.audit_sealing import LaneSealer

__all__ = ["Item", "LaneWriter", "ProcessFacts", "item_of"]

Item = tuple[str, str | None, int, bytes]
"""A record about to be written: kind, exchange, moment in microseconds, content."""

_ONE_DAY: Final = timedelta(days=1)
_CHANGED: Final = "the chain was changed under its writer"
_LONGEST_WAIT: Final = 120 * 1_000_000
"""Microseconds. A record that is older when its turn comes is not written: it would look as if it had been added later
(:mod:`smsp_provider.audit.verified_moments`). Its process stood still, or the clock was set on."""


class ProcessFacts(NamedTuple):
    """What holds for all records of a process; see :class:`smsp_provider.audit.lane_events.Opening`."""

    build: str
    rules: str
    configuration: str


@dataclass(slots=True)
class _OwnLane:
    """A lane that this process writes: where it ends, and when its day is over (microseconds)."""

    lane: Lane
    sealer: LaneSealer
    day_end: int
    n: int
    link: bytes
    unsure: tuple[int, bytes] | None = None
    """The head that the lane has if the last batch is durable after all."""


def item_of(record: Record, exchange_id: str | None = None) -> Item:
    """A record in the form in which it is written.

    Raises:
        ValueError: its moment has no time zone.
    """
    content = encode(record).encode("ascii")
    return kind_of(record), exchange_id, microseconds(record.at), content


class LaneWriter:
    """Writes the records of one process. Not safe for threads: whoever uses it lets one in at a time.

    Every method raises :class:`AuditUnavailable` where the database does not do its part. After that the next call
    finds out first what became of the last batch: it stands or it does not. Where it stands, its records are durable
    although their callers were told otherwise (they answered with fault 2100, or asked nothing); they stay on record.
    """

    def __init__(self, database: AuditDatabase, ring: KeyRing, clock: Clock, facts: ProcessFacts) -> None:
        self._database = database
        self._ring = ring
        self._clock = clock
        self._facts = facts
        self._lock: HeldLock | None = None
        self._own: _OwnLane | None = None
        self._begun: _OwnLane | None = None
        self._changed = False
        self.name = _new_name()

    def check(self) -> None:
        """Nothing where it can go on as far as is known here.

        Raises:
            AuditUnavailable: somebody changed the chain; only a restart, and an operator, help.
        """
        if self._changed:
            raise AuditUnavailable(_CHANGED)

    def write(self, items: Sequence[Item], *, ended: Sequence[Lane] = ()) -> tuple[Lane, int]:
        """Make records durable, in this order, and mark lanes as ended with them; returns the place of the last one.

        Raises:
            AuditUnavailable: it is not known whether they are.
        """
        at = max([item[2] for item in items]) if len(items) > 1 else items[0][2]
        try:
            return self._append(self._ready(at), items, ended)
        except LaneClosed:
            # The lock was lost for a moment, and a recovery took this writer for dead. Nothing of this was written.
            if ended:
                raise
        self._forget()
        return self._append(self._ready(at), items, ended)

    def end(self) -> None:
        """End the lane with a closing, if no intent is open; with one, a recovery will end it."""
        try:
            own = self._adopted() or self._settled()
            if own is not None and not self._changed and not self._database.open_intents(self.name):
                self._append(own, [item_of(Closing(self._clock.now(), self.name))], (own.lane,))
                own = None
            if own is None and self._lock is not None:
                # Nothing is left that a recovery would look for.
                self._lock.discard()
                self._lock = None
        finally:
            self._forget()

    def let_go(self) -> None:
        """In a forked child: leave the parent's lane and lock to it."""
        if self._lock is not None:
            self._lock.release()

    def recover(self) -> int:
        """End the lanes of writers that are gone, and close their open intents; returns how many of these."""
        gone = {lane.writer: None for lane in self._database.unended() if lane.writer != self.name}
        return sum(self._recover(writer) for writer in gone)

    def _recover(self, writer: str) -> int:
        lock = self._database.take(writer)
        if lock is None:
            return 0
        try:
            # Somebody else may have recovered it between the list and the lock.
            lanes = [lane for lane in self._database.unended() if lane.writer == writer]
            closed = self._end_lanes(writer, lanes) if lanes else 0
        except BaseException:
            lock.release()
            raise
        lock.discard()
        return closed

    def _end_lanes(self, writer: str, lanes: Sequence[Lane]) -> int:
        now = self._clock.now()
        closures = [Closure(exchange, now, writer) for exchange in self._database.open_intents(writer)]
        items = [item_of(closure, closure.exchange_id) for closure in closures]
        items += [item_of(LaneEnded(now, writer, self._last_of(lane))) for lane in lanes]
        self.write(items, ended=lanes)
        return len(closures)

    def _append(self, own: _OwnLane, items: Sequence[Item], ended: Sequence[Lane]) -> tuple[Lane, int]:
        _refuse_late(min([item[2] for item in items]), self._clock.now())
        rows = _chained(own, items)
        n, link = rows[-1][0], rows[-1][5]
        own.unsure = n, link
        self._database.append(own.lane, rows, ended=ended)
        own.n, own.link, own.unsure = n, link, None
        return own.lane, n

    def _ready(self, at: int) -> _OwnLane:
        """The lane for records of this moment, whose head is known for sure."""
        own = self._own
        if own is not None and own.unsure is None and self._begun is None and at < own.day_end:
            return own
        self.check()
        own = self._adopted() or self._settled()
        latest = max(at, microseconds(self._clock.now()))
        return self._begin(at, own) if own is None or latest >= own.day_end else own

    def _settled(self) -> _OwnLane | None:
        """Find out what became of the last batch.

        Raises:
            LaneClosed: a recovery took this writer for dead.
        """
        own = self._own
        if own is None or own.unsure is None:
            return own
        self._hold_lock()
        head = self._database.settled_head(own.lane)
        state = None if head is None else (head.n, head.link)
        if state == own.unsure:
            own.n, own.link = own.unsure
        elif state != (own.n, own.link):
            self._changed = True
            self.check()
        own.unsure = None
        return own

    def _adopted(self) -> _OwnLane | None:
        """The lane that was about to begin when the database failed, if it began."""
        begun = self._begun
        if begun is not None:
            lane = next((lane for lane in self._database.unended() if lane.token == begun.lane.token), None)
            self._begun = None
            if lane is not None:
                begun.lane = lane
                self._own = begun
                return begun
        return None

    def _begin(self, at: int, before: _OwnLane | None) -> _OwnLane:
        """Begin a lane; ``at`` is the moment of its first record, ``before`` this process's lane of an earlier day."""
        self._hold_lock()
        now, token = self._clock.now(), _new_name()
        # Its opening would be as old.
        _refuse_late(at, now)
        day = max(now.astimezone(UTC), moment_of(at)).date()
        sealer = LaneSealer(self._ring, token)
        closing = None
        if before is None:
            last = self._database.last_lane()
            previous = None if last is None else self._last_of(last)
        else:
            (row,) = _chained(before, [item_of(Closing(now, self.name))])
            closing = before.lane, row
            previous = LanePlace(before.lane.token, row[0], row[5].hex())
        lane = Lane(0, token, day, self.name, sealer.key_id, sealer.wrapped_key)
        link = first_link(self._database.trail_id(), token, day)
        own = _OwnLane(lane, sealer, microseconds(datetime.combine(day + _ONE_DAY, time(), UTC)), 0, link)
        # Not after its first record, which was made a moment ago.
        began = min(now, moment_of(at))
        opening = Opening(began, self.name, socket.gethostname(), os.getpid(), *self._facts, previous)
        (first,) = _chained(own, [item_of(opening)])
        own.n, own.link = first[0], first[5]
        self._begun = own
        own.lane = self._database.begin_lane(
            NewLane(token, day, self.name, os.getpid(), microseconds(began), sealer.key_id, sealer.wrapped_key),
            first,
            closing=closing,
        )
        self._own, self._begun = own, None
        return own

    def _last_of(self, lane: Lane) -> LanePlace:
        head = self._database.head(lane)
        return LanePlace(lane.token, 0, "") if head is None else LanePlace(lane.token, head.n, head.link.hex())

    def _hold_lock(self) -> None:
        """Before anything is written, so that no recovery takes this process for dead.

        Raises:
            LaneClosed: a recovery is doing so at this moment.
        """
        if self._lock is not None and self._lock.is_held():
            return
        self._release_lock()
        self._lock = self._database.take(self.name)
        if self._lock is None:
            raise LaneClosed("a recovery has taken this writer for dead")

    def _release_lock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _forget(self) -> None:
        """Go on as another writer, in a lane of its own."""
        self._release_lock()
        self._own = self._begun = None
        self.name = _new_name()


def _refuse_late(at: int, now: datetime) -> None:
    if at < microseconds(now) - _LONGEST_WAIT:
        raise AuditUnavailable("a record waited for too long")


def _chained(own: _OwnLane, items: Sequence[Item]) -> list[Row]:
    """The rows of records that follow the last one of a lane; the lane stays as it is."""
    seal, n, link = own.sealer.seal, own.n, own.link
    rows: list[Row] = []
    for kind, exchange, at, content in items:
        n += 1
        commitment, sealed = seal(n, content)
        link = next_link(link, n, kind, at, exchange, commitment)
        rows.append((n, kind, at, exchange, commitment, link, sealed))
    return rows


def _new_name() -> str:
    return str(uuid.uuid4()).upper()
