"""Audit trails as several writers make them, with a root for every few records, for the tests of who verifies them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audit_samples import ending_of, intent_of
from smsp_provider.audit.chain import Lane, SealedContent, first_link, microseconds, next_link
from smsp_provider.audit.deletion_events import DeletionProposed, Erasure, Officer, RecordRange
from smsp_provider.audit.encoding import encode, kind_of
from smsp_provider.audit.events import Record
from smsp_provider.audit.lane_events import Closing, LaneEnded, LanePlace, Opening
from smsp_provider.audit.operator_events import Alert, OperatorEvent
from smsp_provider.storage.audit_database import AuditDatabase, ErasedRow, NewLane, Row
from smsp_provider.storage.audit_keys import KeyRing
from smsp_provider.storage.audit_sealing import LaneSealer

__all__ = ["RING", "Listener", "MadeLane", "SteppingClock", "TrailMaker", "erasure_of", "proposal_of"]

RING = KeyRing({"first": bytes(range(32))}, "first")
BEGIN = datetime(2026, 3, 4, 5, 6, 7, 123456, UTC)


@dataclass
class SteppingClock:
    """Goes on by a second whenever it is asked for the moment."""

    at: datetime = BEGIN
    step: timedelta = timedelta(seconds=1)

    def now(self) -> datetime:
        self.at += self.step
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class Listener:
    """Keeps the alerts."""

    alerts: list[Alert] = field(default_factory=list)

    def notify(self, event: OperatorEvent) -> None:
        assert isinstance(event, Alert)
        self.alerts.append(event)


@dataclass
class MadeLane:
    """A lane that is being written."""

    lane: Lane
    sealer: LaneSealer
    n: int
    link: bytes

    def place(self) -> LanePlace:
        return LanePlace(self.lane.token, self.n, self.link.hex())


class TrailMaker:
    """Writes records in lanes of its choosing through the port of the database."""

    def __init__(self, database: AuditDatabase, clock: SteppingClock, ring: KeyRing = RING) -> None:
        self.database = database
        self.clock = clock
        self._ring = ring
        self._tokens = 0
        self._exchanges = self._erasures = 0
        database.open()
        self._trail = database.trail_id()

    def begin(self, writer: str, previous: MadeLane | None = None, *, closing: bool = False) -> MadeLane:
        """A lane of a writer; with ``closing`` it follows ``previous``, which ends with its last record."""
        self._tokens += 1
        now = self.clock.now()
        token = f"00000000-0000-4000-8000-{self._tokens:012d}"
        sealer = LaneSealer(self._ring, token)
        last: tuple[Lane, Row] | None = None
        if previous is not None and closing:
            (row,) = self._rows(previous, [Closing(now, writer)])
            last = (previous.lane, row)
        place = None if previous is None else previous.place()
        opening = Opening(now, writer, "host", 4711, "build", "00" * 32, "11" * 32, place)
        lane = Lane(0, token, now.date(), writer, sealer.key_id, sealer.wrapped_key)
        made = MadeLane(lane, sealer, 0, first_link(self._trail, token, now.date()))
        (row,) = self._rows(made, [opening])
        new = NewLane(token, now.date(), writer, 4711, microseconds(now), sealer.key_id, sealer.wrapped_key)
        made.lane = self.database.begin_lane(new, row, closing=last)
        return made

    def write(self, made: MadeLane, records: Sequence[Record], *, ended: Iterable[Lane] = ()) -> None:
        """One group commit."""
        self.database.append(made.lane, self._rows(made, records), ended=ended)

    def exchange(self, made: MadeLane) -> None:
        """An intent and its ending."""
        self._exchanges += 1
        name, now = f"exchange-{self._exchanges}", self.clock.at
        self.write(made, [replace(intent_of(name), at=now), replace(ending_of(name), at=now)])

    def end(self, made: MadeLane, dead: MadeLane) -> None:
        """The end of a lane whose writer died, in the lane of another one."""
        self.write(made, [LaneEnded(self.clock.now(), made.lane.writer, dead.place())], ended=[dead.lane])

    def close(self, made: MadeLane) -> None:
        """The writer of a lane is done."""
        self.write(made, [Closing(self.clock.now(), made.lane.writer)], ended=[made.lane])

    def erase(self, made: MadeLane, records: Sequence[tuple[MadeLane, int]]) -> None:
        """Erase contents lawfully: the proposal, the tombstone, the table, the contents."""
        ranges = tuple(RecordRange(lane.lane.token, n, n) for lane, n in records)
        self._erasures += 1
        erasure = erasure_of(self.clock.now(), ranges, f"P{self._erasures}")
        self.write(made, [proposal_of(erasure), erasure])
        self.database.erase([ErasedRow(lane.lane.id, n, made.lane.id, made.n) for lane, n in records])

    def _rows(self, made: MadeLane, records: Sequence[Record]) -> list[Row]:
        rows: list[Row] = []
        for record in records:
            made.n += 1
            exchange = getattr(record, "exchange_id", None)
            kind, at = kind_of(record), microseconds(record.at)
            commitment, sealed = made.sealer.seal(made.n, encode(record).encode("ascii"))
            made.link = next_link(made.link, made.n, kind, at, exchange, commitment)
            rows.append((made.n, kind, at, exchange, commitment, made.link, sealed))
        return rows


def erasure_of(at: datetime, ranges: tuple[RecordRange, ...], proposal_id: str = "P1") -> Erasure:
    """A tombstone."""
    first, second = Officer("ann.one", "ann", "host"), Officer("bob.two", "bob", "host")
    return Erasure(at, proposal_id, first, second, "asked for", "article", ranges)


def proposal_of(erasure: Erasure) -> DeletionProposed:
    """What went before a tombstone."""
    by, reason, basis = erasure.proposed_by, erasure.reason, erasure.legal_basis
    return DeletionProposed(erasure.at, erasure.proposal_id, by, reason, basis, erasure.records, erasure.archive)


def sealed_of(database: AuditDatabase, lane: Lane, n: int) -> SealedContent:
    """A content that is there."""
    found = database.content(lane, n)
    assert found is not None
    return found


def trail_file(directory: Path) -> Path:
    """Where a test's trail is kept: a directory of its own, as the provider wants it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory / "audit.db"
