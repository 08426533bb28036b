"""Verification of the trail: every record, root and line of the witness, and how they hang together.

The records are read in the order in which roots bind them, so that the first finding is about the first record that is
not as it was written. What the witness has stands over what the database has: where the two differ, lanes are compared
with the witness's roots from there on.

Nothing is changed, and what is held at a time is bounded: the place in each lane, and the lanes written at the same
moment are read together.

Source: SMSP-AUDIT-001, 009; anchors.md decision 3.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from smsp_provider.audit.chain import Lane, SignedRoot, TrailReader, Unsealer, microseconds
from smsp_provider.audit.roots import BoundLane, RootInvalid, parse
from smsp_provider.audit.trail_books import (
    BooksBefore,
    TrailBooks,
    check_books,
    check_contents,
    check_erased,
    check_lanes,
)
from smsp_provider.audit.verified_deletions import check_deletions
from smsp_provider.audit.verified_lane import Finding, LaneCheck, LaneFacts
from smsp_provider.audit.verified_moments import RootMoment, moment_of_root
from smsp_provider.audit.verified_roots import RootsCheck

__all__ = ["Means", "VerificationReport", "verify"]

_READ_TOGETHER: Final = 64
"""How many lanes are read at the same time: of each a page is held in memory, of the chain and of the contents."""
_PROGRESS: Final = 20_000
_SETTLED_MICROSECONDS: Final = 15 * 60 * 1_000_000
"""Where a keeper runs, a record is in a root, and what it erased gone, long before it is so much older than the newest.
"""


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to verify with besides the database; whatever is missing is not checked, and the report says so.

    ``unsealer`` opens contents. ``books`` are the tables beside the records. ``witness`` has the witness's roots.
    ``public_key`` (32 bytes) is a key known from elsewhere to be the trail's. ``part`` tells that only some days of a
    trail are here, as out of an archive: lanes, roots and tombstones that lie outside are not looked for then.
    """

    unsealer: Unsealer | None = None
    books: TrailBooks | None = None
    witness: Iterable[SignedRoot] | None = None
    public_key: bytes | None = None
    part: bool = False


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What was found; nothing is wrong where ``findings`` is empty. The first finding comes first in the trail.

    ``unbound`` counts records that no root binds yet, ``erased`` contents that are lawfully missing. ``signers`` are
    the public keys of the roots. ``not_checked`` says in words what was left out for want of means.
    """

    findings: tuple[Finding, ...]
    lanes: int
    records: int
    contents: int
    erased: int
    roots: int
    witnessed: int | None
    unbound: int
    last_root: int
    last_root_at: datetime | None
    signers: tuple[bytes, ...]
    not_checked: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with what was checked."""
        return not self.findings


def verify(
    reader: TrailReader,
    means: Means,
    *,
    since: date | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerificationReport:
    """Verify a trail, or of its records those of the lanes of the day ``since`` and later.

    ``progress`` is called now and then with the number of records so far.

    Raises:
        AuditUnavailable: the database cannot be read.
    """
    return _Verification(reader, means, since, progress).run()


class _Verification:
    def __init__(
        self, reader: TrailReader, means: Means, since: date | None, progress: Callable[[int], None] | None
    ) -> None:
        self._reader: Final = reader
        self._means: Final = means
        self._since: Final = since
        self._progress: Final = progress
        self._trail: Final = reader.trail_id()
        self._before: Final = None if means.books is None else BooksBefore(means.books)
        self._all = {lane.token: lane for lane in reader.lanes()}
        self._facts: Final = LaneFacts()
        self._checks: Final[dict[str, LaneCheck]] = {}
        self._reading: Final[OrderedDict[str, LaneCheck]] = OrderedDict()
        self._roots: Final = RootsCheck(reader, self._trail, means.witness, since, part=means.part)
        self._findings: Final[list[Finding]] = []
        self._gone: Final[set[str]] = set()
        self._last: RootMoment | None = None
        """The root that lanes were compared with last."""
        self._told = 0
        self._waiting = 0
        """How many records no root binds although they are not new, while nothing was served."""
        self._settled = 0
        """The moment up to which everything is done that follows from a record, in microseconds since 1970."""

    def run(self) -> VerificationReport:
        for statement in self._roots.statements():
            for bound in statement.lanes:
                self._bind(bound, statement.number)
            self._last = moment_of_root(statement)
        lanes, missing = self._finish(), -1
        self._check_unbound()
        while missing < (found := self._facts.count_missing()):
            # What was erased meanwhile has its tombstone in what was written meanwhile.
            lanes, missing = self._finish(), found
        self._check_hanging_together(lanes)
        self._check_signers()
        # (Last, and beside what else is found in the lane: a clock that was set back does the same.)
        self._findings.extend(check.misdated for check in self._checks.values() if check.misdated is not None)
        return self._report(lanes)

    def _finish(self) -> list[Lane]:
        """Follow all lanes to their end; returns which they are."""
        self._all = {lane.token: lane for lane in self._reader.lanes()}
        lanes = [lane for lane in self._all.values() if self._is_wanted(lane)]
        for lane in lanes:
            self._add(self._check_of(lane).finish(self._last))
            self._reading.pop(lane.token, None)
            self._tell()
        return lanes

    def _is_wanted(self, lane: Lane) -> bool:
        return self._since is None or lane.day >= self._since

    def _add(self, finding: Finding | None) -> None:
        if finding is not None:
            self._findings.append(finding)

    def _bind(self, bound: BoundLane, root: int) -> None:
        lane = self._all.get(bound.token)
        if lane is None and self._means.part:
            return
        if lane is None and bound.token not in self._gone:
            # It may have begun after the lanes were read.
            self._all = {lane.token: lane for lane in self._reader.lanes()}
            lane = self._all.get(bound.token)
        if lane is None:
            if bound.token not in self._gone:
                self._gone.add(bound.token)
                self._findings.append(Finding("the lane is gone, which a root binds", bound.token, root=root))
        elif self._is_wanted(lane):
            self._add(self._check_of(lane).bind(bound.n, bound.link, root, self._last))
            self._tell()

    def _check_of(self, lane: Lane) -> LaneCheck:
        """The check of a lane, as one of those that are read at present."""
        check = self._checks.get(lane.token)
        if check is None:
            check = LaneCheck(self._reader, self._trail, lane, self._means.unsealer, self._facts)
            self._checks[lane.token] = check
        self._reading[lane.token] = check
        self._reading.move_to_end(lane.token)
        if len(self._reading) > _READ_TOGETHER:
            self._reading.popitem(last=False)[1].pause()
        return check

    def _tell(self) -> None:
        if self._progress is not None and self._facts.records - self._told >= _PROGRESS:
            self._told = self._facts.records
            self._progress(self._told)

    def _check_unbound(self) -> None:
        """Where requests were answered, or roots made, for long after a record, a keeper would have bound it.

        Elsewhere it tells of nothing: an operator's commands are on record also while the provider is stopped.
        """
        last, checks = self._roots.last, self._checks.values()
        made_at = 0 if last is None else microseconds(last.at)
        self._settled = max([made_at, *(check.last_at for check in checks)]) - _SETTLED_MICROSECONDS
        served = max([made_at, *(check.served_at for check in checks)]) - _SETTLED_MICROSECONDS
        self._read_newer_roots()
        for token, check in self._checks.items():
            if check.unbound_at is None or check.unbound_at >= self._settled:
                continue
            if check.unbound_at < served:
                what = "no root binds it, although it is not new: no keeper ran, or roots were removed"
                self._findings.append(Finding(what, token, check.bound + 1))
            else:
                self._waiting += check.walk.n - check.bound

    def _read_newer_roots(self) -> None:
        """Roots that were made meanwhile bind what was written meanwhile; whether rightly is for the next time."""
        last = self._roots.last
        if last is None:
            return
        for root in self._reader.roots(after=last.number):
            try:
                newer = parse(root.statement).lanes
            except RootInvalid:
                return
            for bound in newer:
                check = self._checks.get(bound.token)
                if check is not None and check.finding is None:
                    check.note_newer(bound.n)

    def _check_hanging_together(self, lanes: Sequence[Lane]) -> None:
        """What is said of lanes elsewhere; about a lane that has a finding already, nothing more is said."""
        books, facts, opened = self._means.books, self._facts, self._means.unsealer is not None
        found: list[Finding] = []
        last = self._roots.last
        if books is not None and last is not None and books.made_at() != last.made_at:
            found.append(Finding("the trail was begun at another moment than its roots say"))
        if opened:
            found += check_lanes(self._reader, self._all, facts, part=self._means.part)
        if opened and self._since is None and books is not None and self._before is not None:
            closed_at = {token: check.last_at for token, check in self._checks.items() if check.walk.closed}
            found += check_books(books, self._before, lanes, facts, closed_at, part=self._means.part)
            if not self._means.part:
                found += check_erased(self._reader, books, self._before, self._all, facts, self._settled)
        elif books is not None:
            found += map(Finding, books.strays())
        if opened and self._since is None and not self._means.part:
            found += check_deletions(facts, self._settled)
        if opened and self._since is None:
            elsewhere = self._before if self._means.part else None
            self._findings.extend(check_contents(self._reader, self._all, facts, elsewhere))
        told = {finding.lane for finding in self._findings if finding.lane is not None}
        self._findings.extend(finding for finding in found if finding.lane not in told)

    def _check_signers(self) -> None:
        trusted = self._means.public_key
        if trusted is None or not self._roots.roots or self._is_only_named(trusted):
            return
        if trusted not in self._roots.signers:
            self._findings.append(Finding("none of the roots is signed with the given public key"))

    def _is_only_named(self, key: bytes) -> bool:
        """Whether the last root names this key as the one that follows, and it has signed nothing yet."""
        last = self._roots.last
        return last is not None and key == last.next_key and key not in self._roots.signers

    def _report(self, lanes: list[Lane]) -> VerificationReport:
        facts, roots, last = self._facts, self._roots, self._roots.last
        return VerificationReport(
            findings=(*roots.findings, *self._findings),
            lanes=len(lanes),
            records=facts.records,
            contents=facts.contents,
            erased=facts.count_missing(),
            roots=roots.roots,
            witnessed=None if self._means.witness is None else roots.witnessed,
            unbound=sum(max(0, check.walk.n - check.bound) for check in self._checks.values()),
            last_root=0 if last is None else last.number,
            last_root_at=None if last is None else last.at,
            signers=tuple(roots.signers),
            not_checked=tuple(self._not_checked()),
        )

    def _not_checked(self) -> Iterable[str]:
        if self._means.unsealer is None:
            yield "contents, and what openings, ends and erasures say: the keys of the contents are not here"
        elif self._since is not None:
            yield "whether missing contents were erased, and the tables beside the records: needs the whole trail"
        if self._means.part:
            yield "what lies outside of this part: roots before it, lanes before and after, tombstones in those"
        if self._means.books is None:
            yield "the tables beside the records"
        if self._means.witness is None:
            yield "the witness: without it, somebody who holds database and signing key can have rewritten both"
        elif not self._means.part and not self._roots.findings and self._roots.witnessed < self._roots.roots:
            count = self._roots.roots - self._roots.witnessed
            yield f"the newest roots with the witness, which has not got the last {count}: it cannot tell of them"
        if self._waiting:
            yield f"{self._waiting} records that no root binds: none was made since, as while the provider is stopped"
        if self._means.public_key is not None and self._is_only_named(self._means.public_key):
            yield "whose key signed the roots: the given one follows, and has signed none yet"
        if self._means.public_key is None:
            yield "whose key signed the first root: no public key was given"
