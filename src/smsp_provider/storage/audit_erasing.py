"""Erases what a tombstone on the chain names, and finishes that also where somebody died in between.

The steps of an approval: a mark that it has begun, the tombstone on the chain, the contents, the search index. Whoever
comes after a death finds the mark (:meth:`AuditErasing.finish`): with a tombstone on record the rest is done, without
one nothing was. Each step can be done again.

Source: SMSP-AUDIT-001; anchors.md decision 3.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final, Protocol

from smsp_provider.audit.chain import ChainedRecord, Lane
from smsp_provider.audit.deletion import PROPOSAL_LASTS, DeletionRefused
from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure, RecordRange
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.certificates.placing import sync_directory
from smsp_provider.storage.audit_database import AuditDatabase, ErasedRow
from smsp_provider.storage.audit_records import AuditRecords

__all__ = ["AuditErasing", "DeletionRecord", "IndexEraser", "new_proposal_id"]

DeletionRecord = DeletionProposed | DeletionWithdrawn | Erasure

_KINDS: Final = frozenset({"deletion-proposed", "deletion-withdrawn", "erasure"})
_ID: Final = re.compile(r"[0-9]{8}-[0-9A-F]{12}")
_ID_DIGITS: Final = 12
_AT_ONCE: Final = 5_000
_ONE_DAY: Final = timedelta(days=1)


class IndexEraser(Protocol):
    """The search index, as far as records go out of it."""

    def forget(self, records: Iterable[tuple[int, int]]) -> None:
        """Take out what it has of records (lane, n) whose contents are gone; what is out already is no matter.

        Raises:
            IndexUnusable: it may not have happened; do it again.
            AuditUnavailable: the trail cannot be read.
        """
        ...


class AuditErasing:
    """Carries out what is on record as approved.

    ``marks`` is a directory of this host for the marks of approvals that have begun. All methods raise AuditUnavailable
    where the trail cannot be read or written, and IndexUnusable where the search index cannot.
    """

    def __init__(self, database: AuditDatabase, records: AuditRecords, index: IndexEraser, marks: Path) -> None:
        self._database: Final = database
        self._records: Final = records
        self._index: Final = index
        self._marks: Final = marks

    @contextmanager
    def alone(self, proposal_id: str) -> Iterator[None]:
        """Nobody else works on this proposal meanwhile, on any host.

        Raises:
            DeletionRefused: somebody does, or it is no id of a proposal.
        """
        _day_of(proposal_id)
        lock = self._database.take(f"deletion-{proposal_id}")
        if lock is None:
            raise DeletionRefused("somebody works on this proposal at the moment: try again")
        try:
            yield
        finally:
            lock.discard()

    def about(self, proposal_id: str) -> Iterator[DeletionRecord]:
        """What is on record about a proposal.

        Raises:
            DeletionRefused: it is no id of a proposal.
        """
        return (record for _, record in self._about(proposal_id))

    def begin(self, proposal_id: str) -> None:
        """Mark that a tombstone is about to be written, so that what follows from it is finished in any case."""
        self._marks.mkdir(mode=0o700, exist_ok=True)
        (self._marks / proposal_id).touch(mode=0o600)
        sync_directory(self._marks)

    def carry_out(self, proposal_id: str) -> int:
        """Erase what the tombstone of a proposal names, if there is one; returns how many contents went."""
        gone = 0
        for place, record in self._about(proposal_id):
            if isinstance(record, Erasure):
                gone += self._erase(place, record.records)
        (self._marks / proposal_id).unlink(missing_ok=True)
        return gone

    def finish(self) -> int:
        """Do what is left of approvals that began on this host and did not end; returns how many contents went."""
        gone = 0
        for proposal_id in self._marked():
            try:
                with self.alone(proposal_id):
                    gone += self.carry_out(proposal_id)
            except DeletionRefused:
                continue  # somebody is at it
        return gone

    def run(self) -> None:
        """:meth:`finish`, as a task of the keeper."""
        self.finish()

    def _erase(self, tombstone: tuple[int, int], records: Sequence[RecordRange]) -> int:
        lanes = {lane.token: lane for lane in self._database.lanes()}
        gone = 0
        for token, ranges in groupby(records, key=lambda one: one.lane):
            if token not in lanes:
                raise AuditUnavailable(f"lane {token} is not there: verify the trail")
            places = [(lanes[token].id, n) for _, first, last in ranges for n in range(first, last + 1)]
            for begin in range(0, len(places), _AT_ONCE):
                rows = [ErasedRow(*place, *tombstone) for place in places[begin : begin + _AT_ONCE]]
                gone += self._database.erase(rows)
            self._index.forget(places)
        return gone

    def _about(self, proposal_id: str) -> Iterator[tuple[tuple[int, int], DeletionRecord]]:
        """With their places; they stand in the days from that in the id on."""
        day = _day_of(proposal_id)
        # (One day more on each side: a lane keeps the day on which it began, and clocks of hosts differ.)
        for lane in self._database.lanes(since=day - _ONE_DAY, until=day + PROPOSAL_LASTS + _ONE_DAY):
            for chained in self._database.chain(lane):
                if chained.kind in _KINDS:
                    record = self._read(lane, chained)
                    if record.proposal_id == proposal_id:
                        yield (lane.id, chained.n), record

    def _read(self, lane: Lane, chained: ChainedRecord) -> DeletionRecord:
        entry = self._records.opened(lane, chained)
        if entry is None or not isinstance(entry.record, DeletionRecord):
            raise AuditUnavailable(f"record {lane.id}:{chained.n} about a deletion cannot be read: verify the trail")
        return entry.record

    def _marked(self) -> list[str]:
        try:
            return sorted(entry.name for entry in self._marks.iterdir() if _ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []


def new_proposal_id(at: datetime, uuid: str) -> str:
    """An id with the day in it, which tells where the records about it begin; ``uuid`` is a random one."""
    return f"{at.astimezone(UTC):%Y%m%d}-{uuid.replace('-', '')[-_ID_DIGITS:]}"


def _day_of(proposal_id: str) -> date:
    try:
        if _ID.fullmatch(proposal_id):
            return datetime.strptime(proposal_id[:8], "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        pass
    raise DeletionRefused("that is not the id of a proposal")
