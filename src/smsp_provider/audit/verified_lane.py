"""One lane of the trail under verification: each record against the one before it, and against its content."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from smsp_provider.audit.chain import (
    ChainedRecord,
    Lane,
    SealBroken,
    SealedContent,
    TrailReader,
    Unsealer,
    commitment_of,
)
from smsp_provider.audit.chain_walk import ChainBroken, LaneWalk
from smsp_provider.audit.decoding import UnreadableRecord, decode
from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure, RecordRange
from smsp_provider.audit.lane_events import LaneEnded, Opening
from smsp_provider.audit.verified_moments import MomentsCheck, RootMoment

__all__ = ["Finding", "LaneCheck", "LaneFacts", "uncovered"]

_TELLING: Final = frozenset({"opening", "lane-ended", "deletion-proposed", "deletion-withdrawn", "erasure"})
"""Kinds of records that say something about the trail itself."""
_SERVED: Final = frozenset({"intent", "ending", "refusals"})
"""Kinds of records that requests leave."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written, and where.

    ``lane`` and ``n`` are the place of the record (the lane's token), ``since`` the first of the records among which it
    is where only a stretch up to ``n`` is known. ``root`` is the number of the root that it is about, or that tells.
    """

    what: str
    lane: str | None = None
    n: int | None = None
    since: int | None = None
    root: int | None = None


@dataclass(slots=True)
class LaneFacts:
    """What records say about the trail itself, collected on the way."""

    openings: dict[str, Opening] = field(default_factory=dict)
    ends: list[tuple[str, int, LaneEnded]] = field(default_factory=list)
    tombstones: dict[tuple[str, int], Erasure] = field(default_factory=dict)
    proposals: dict[str, DeletionProposed] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    missing: list[RecordRange] = field(default_factory=list)
    """Contents that are not there."""
    records: int = 0
    contents: int = 0

    def note_missing(self, lane: str, n: int) -> None:
        """Put on the list that a record has no content."""
        last = self.missing[-1] if self.missing else None
        if last is not None and (last.lane, last.last) == (lane, n - 1):
            self.missing[-1] = last._replace(last=n)
        else:
            self.missing.append(RecordRange(lane, n, n))

    def count_missing(self) -> int:
        """How many contents are not there."""
        return sum(missing.last - missing.first + 1 for missing in self.missing)


class LaneCheck:
    """Follows a lane as far as it is asked to, and stops for good at the first record that is not as it was written.

    The trail may be written meanwhile: what was not there at first is looked for again before it counts as missing.
    Without ``unsealer`` contents are counted, and not opened.

    Databases are read page by page, and each page is of another moment. That is as good as all of one moment: records
    never change, so what is read early is what it was, and a record that somebody changes, takes away or puts in before
    it is read does not follow from the link that is kept here of the one before it. What is changed after it was read
    is for the next verification, and what was linked anew from a place yet unread, or cut off, differs from the roots
    (:meth:`bind`): neither would be told sooner from one moment. Contents may go meanwhile, lawfully or not: what is
    missing is compared with the tombstones in the end, after those of what was erased meanwhile were read too.
    A reading of the chain goes no further than where the lane ended when that began, and the contents are begun after
    it: so no record comes whose content was written later than the contents that are read beside it.
    """

    def __init__(
        self, reader: TrailReader, trail: str, lane: Lane, unsealer: Unsealer | None, facts: LaneFacts
    ) -> None:
        self.lane: Final = lane
        self.walk: Final = LaneWalk(trail, lane)
        self.finding: Finding | None = None
        self.misdated: Finding | None = None
        """The first record that names a moment at which it cannot have been made; the lane is followed beyond it."""
        self.bound = 0
        """The number of the last record that a root binds, so far."""
        self._reader: Final = reader
        self._unsealer: Final = unsealer
        self._facts: Final = facts
        self._chain: Iterator[ChainedRecord] | None = None
        self._contents: Iterator[SealedContent] | None = None
        self._content: SealedContent | None = None
        self._moments: Final = MomentsCheck()
        self.last_at = 0
        """The moment of the last record so far, in microseconds since 1970."""
        self.served_at = 0
        """The same of the last one that requests left; 0 where there is none."""
        self.unbound_at: int | None = None
        """The moment of the first record that no root binds."""

    def pause(self) -> None:
        """Let go of the pages that were read ahead; the next call goes on where it was."""
        self._chain = self._contents = self._content = None

    def bind(self, n: int, link: bytes, root: int, before: RootMoment | None = None) -> Finding | None:
        """Follow the lane to the record that a root binds; the finding, if that is not there or another one.

        ``before`` is the root before that one.
        """
        if self.finding is not None:
            return None
        self._moments.begin(before)
        found = self._follow(n)
        if found is None and self.walk.n < n:
            found = self._at(self.walk.n + 1, f"it is missing, and all after it: root {root} binds them up to {n}")
        if found is None and self.walk.n > n:
            found = self._at(n, f"root {root} binds it after a later one")
        if found is None and self.walk.link != link:
            found = self._at(n, f"it is not the one that root {root} binds, or one before it is not", self.bound + 1)
        if found is not None:
            found = Finding(found.what, found.lane, found.n, found.since, root)
        self.bound = n
        self.finding = found
        return found

    def note_newer(self, n: int) -> None:
        """A root that was made since the lane was followed binds it up to this record."""
        self.bound = max(self.bound, n)
        record = self._reader.record(self.lane, self.bound + 1) if self.bound < self.walk.n else None
        self.unbound_at = None if record is None else record.at

    def finish(self, last: RootMoment | None = None) -> Finding | None:
        """Follow the lane to its end, beyond what roots bind, up to the ``last``; called again, go on from there."""
        if self.finding is not None:
            return None
        self._moments.begin(last)
        found = self._follow(None)
        if found is None and self.walk.n == 0:
            found = self._at(1, "its lane has no records")
        if found is None:
            found = self._find_content_alone()
        self.pause()
        self.finding = found
        return found

    def _at(self, n: int, what: str, since: int | None = None) -> Finding:
        return Finding(what, self.lane.token, n, since if since is not None and since < n else None)

    def _find_content_alone(self) -> Finding | None:
        content = next(iter(self._reader.contents(self.lane, after=self.walk.n)), None)
        if content is not None and type(content.n) is not int:
            return self._at(self.walk.n + 1, "there is a content without a record")
        if content is None or self._reader.record(self.lane, content.n) is not None:
            return None
        return self._at(content.n, "there is a content without a record")

    def _follow(self, to: int | None) -> Finding | None:
        is_new = self._chain is None
        while to is None or self.walk.n < to:
            if self._chain is None:
                self._chain = iter(self._reader.chain(self.lane, after=self.walk.n))
            record = next(self._chain, None)
            if record is None:
                if is_new:
                    return None
                self.pause()
                is_new = True
                continue
            try:
                self.walk.step(record)
            except ChainBroken as broken:
                return self._at(broken.n, broken.reason)
            self._facts.records += 1
            self.last_at = record.at
            if record.kind in _SERVED:
                self.served_at = record.at
            if self.misdated is None and (what := self._moments.wrong_with(record.at)) is not None:
                self.misdated = self._at(record.n, what)
            if to is None and self.unbound_at is None:
                self.unbound_at = record.at
            if (found := self._check_content(record)) is not None:
                return found
        return None

    def _check_content(self, record: ChainedRecord) -> Finding | None:
        if self._contents is None:
            # After the record was read, so that the contents are not older than the chain.
            self._contents = iter(self._reader.contents(self.lane, after=record.n - 1))
            self._content = next(self._contents, None)
        content = self._content
        if content is not None and type(content.n) is not int:
            # (SQLite takes anything in any column.)
            return self._at(record.n, "there is another content in its place")
        if content is None or content.n > record.n:
            return self._check_missing(record)
        if content.n < record.n or content.lane != self.lane.id:
            return self._at(record.n, "there is another content in its place")
        self._content = next(self._contents, None)
        self._facts.contents += 1
        return None if self._unsealer is None else self._compare(record, content, self._unsealer)

    def _check_missing(self, record: ChainedRecord) -> Finding | None:
        """A content is not among those that follow: none is to be had by the record's number either."""
        found = None if self._content is None else self._reader.content(self.lane, record.n)
        if found is not None:
            return self._at(record.n, "there is another content in its place")
        self._facts.note_missing(self.lane.token, record.n)
        return None

    def _compare(self, record: ChainedRecord, content: SealedContent, unsealer: Unsealer) -> Finding | None:
        try:
            salt, text = unsealer.unseal(self.lane, content)
        except (SealBroken, TypeError) as error:
            # (SQLite takes anything in any column.)
            why = str(error) if isinstance(error, SealBroken) else "the seal is broken"
            return self._at(record.n, f"its content cannot be opened: {why}")
        if commitment_of(salt, text) != record.commitment:
            return self._at(record.n, "its content is not the one that was recorded")
        if record.kind in _TELLING:
            try:
                self._note(record, text)
            except (UnreadableRecord, UnicodeDecodeError):
                return self._at(record.n, "its content is not a record of its kind")
        return None

    def _note(self, record: ChainedRecord, text: bytes) -> None:
        said = decode(record.kind, text.decode("ascii"))
        token = self.lane.token
        match said:
            case Opening():
                self._facts.openings[token] = said
            case LaneEnded():
                self._facts.ends.append((token, record.n, said))
            case Erasure():
                self._facts.tombstones[token, record.n] = said
            case DeletionProposed():
                # (A second one of the same id is none of the provider's: the first stands.)
                self._facts.proposals.setdefault(said.proposal_id, said)
            case DeletionWithdrawn():
                self._facts.withdrawn.add(said.proposal_id)


def uncovered(missing: RecordRange, erased: Mapping[str, list[tuple[int, int]]]) -> Iterator[int]:
    """The records of a range that no erasure names; ``erased`` has ranges by lane, ordered by their first record."""
    n = missing.first
    for first, last in erased.get(missing.lane, ()):
        yield from range(n, min(first, missing.last + 1))
        n = max(n, last + 1)
    yield from range(n, missing.last + 1)
