"""Lanes of the audit trail, read as a whole: as what each was written, and the exchanges of some of them.

For questions that go by lanes, with :mod:`smsp_provider.audit.incident`. Nothing is written.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from smsp_provider.audit.chain import Lane, SealedContent, Unsealer, moment_of
from smsp_provider.audit.exchanges import Happening, Part
from smsp_provider.audit.incident import LaneSpan, Suspicion, joined
from smsp_provider.audit.lane_events import Opening
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_parts import PartReader

__all__ = ["AuditLanes"]

_DAY: Final = timedelta(days=1)


class AuditLanes:
    """The lanes of a trail, for whoever has the keys."""

    def __init__(self, database: AuditDatabase, unsealer: Unsealer) -> None:
        self._database: Final = database
        self._reader: Final = PartReader(database, unsealer)
        self.untold: list[Lane] = []
        """The lanes of which the last call could not tell as what they were written."""

    def spans(self, *, since: datetime | None = None, until: datetime | None = None) -> dict[int, LaneSpan]:
        """As what each lane was written, by its id; those of the days from ``since`` to ``until``.

        A lane whose opening was erased or cannot be read is left out, and among :attr:`untold`.

        Raises:
            AuditUnavailable: the trail cannot be read.
        """
        # (A request that began on one day can have ended on the next.)
        first = None if since is None else since.date() - _DAY
        last = None if until is None else until.date() + _DAY
        found: dict[int, LaneSpan] = {}
        self.untold = []
        for lane in self._database.lanes(since=first, until=last):
            first_part = self._reader.read(lane, 1)
            if first_part is not None and isinstance(first_part.record, Opening):
                opening = first_part.record
                found[lane.id] = LaneSpan(opening, self._last_moment(lane) or opening.at)
            else:
                self.untold.append(lane)
        return found

    def _last_moment(self, lane: Lane) -> datetime | None:
        head = self._database.head(lane)
        last = None if head is None else self._database.record(lane, head.n)
        return None if last is None else moment_of(last.at)

    def affected(self, suspicion: Suspicion) -> Iterator[Happening]:
        """The exchanges that were begun under what is suspected.

        Raises:
            AuditUnavailable: the trail cannot be read.
        """
        fallen = {
            number
            for number, span in self.spans(since=suspicion.since, until=suspicion.until).items()
            if suspicion.falls_on(span)
        }
        lanes = [lane for lane in self._database.lanes() if lane.id in fallen]
        for happening in joined(self._parts(lanes)):
            if happening.place.lane in fallen and suspicion.concerns(happening):
                yield happening

    def _parts(self, lanes: Sequence[Lane]) -> Iterator[Part]:
        """The records of these lanes that are of exchanges, and what other lanes say of those left open in them."""
        open_ones: set[str] = set()
        for lane in lanes:
            for part in self._parts_of(lane):
                if part.exchange is not None and part.kind == "intent":
                    open_ones.add(part.exchange)
                elif part.exchange is not None:
                    open_ones.discard(part.exchange)
                yield part
        if not open_ones:
            return
        read = {lane.id for lane in lanes}
        for lane in self._database.lanes(since=min(lane.day for lane in lanes)):
            if lane.id not in read:
                for chained in self._database.chain(lane):
                    if chained.exchange in open_ones:
                        yield self._reader.opened(lane, chained, self._database.content(lane, chained.n))

    def _parts_of(self, lane: Lane) -> Iterator[Part]:
        """The records of one lane that are of exchanges; chain and contents are read side by side."""
        contents: Iterator[SealedContent] | None = None
        content: SealedContent | None = None
        for chained in self._database.chain(lane):
            if contents is None:
                # After the chain, so that no record comes whose content was written later than these.
                contents = iter(self._database.contents(lane))
                content = next(contents, None)
            while content is not None and content.n < chained.n:
                content = next(contents, None)
            if chained.exchange is not None:
                own = content if content is not None and content.n == chained.n else None
                yield self._reader.opened(lane, chained, own)
