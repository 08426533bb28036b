"""Checks what an archive holds, from its first line to its last, without the database that it came from.

Every record follows from the one before it, and the last link of each lane is one that a signed root names. Contents
are compared with what is chained, where the keys are at hand. What is missing has a tombstone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from smsp_provider.audit.archive import ArchivedLane, ArchivedRecord, ArchiveInvalid
from smsp_provider.audit.chain import Lane, SealBroken, SealedContent, SignedRoot, Unsealer, commitment_of
from smsp_provider.audit.chain_walk import ChainBroken, LaneWalk
from smsp_provider.audit.decoding import UnreadableRecord, decode
from smsp_provider.audit.deletion import count_of, covers
from smsp_provider.audit.deletion_events import Erasure, RecordRange
from smsp_provider.audit.roots import BoundLane, RootInvalid, RootStatement, check_signature, parse, statement_hash

__all__ = ["ArchiveCheck", "ArchiveReport"]

_ERASURE: Final = "erasure"


@dataclass(slots=True)
class ArchiveReport:
    """What was checked. ``unbound`` are the tokens of lanes whose last record no root in here names.

    ``compared`` contents were opened and are what is chained; ``missing_keys`` are those that the other ones need.
    ``signers`` are the public keys of the roots, in order. ``told_elsewhere`` are contents erased by tombstones that
    are not in this archive, and ``witnessed`` the roots that the witness has as well.
    """

    lanes: int = 0
    open_lanes: int = 0
    records: int = 0
    contents: int = 0
    compared: int = 0
    erased: int = 0
    told_elsewhere: int = 0
    roots: int = 0
    first_root: int = 0
    last_root: int = 0
    witnessed: int = 0
    unbound: tuple[str, ...] = ()
    missing_keys: set[str] = field(default_factory=set)
    signers: list[bytes] = field(default_factory=list)


class ArchiveCheck:
    """Takes the roots of an archive, then its records, each lane's by ascending n; :meth:`finish` says what it was.

    Every method raises :class:`ArchiveInvalid` with the first thing that is wrong, and where.
    """

    def __init__(self, trail: str, lanes: Sequence[ArchivedLane], unsealer: Unsealer | None) -> None:
        self._trail: Final = trail
        self._unsealer: Final = unsealer
        self._lanes: Final = {archived.lane.id: archived for archived in lanes}
        if len({archived.lane.token for archived in lanes}) != len(lanes):
            raise ArchiveInvalid("a lane is in it twice")
        self._walks: Final = {one.lane.id: LaneWalk(trail, one.lane) for one in lanes}
        self._bound: Final[dict[str, BoundLane]] = {}
        self._last: RootStatement | None = None
        self._hash = b""
        self._tombstones: Final[dict[tuple[int, int], Erasure | None]] = {}
        self._claims: Final[dict[tuple[int, int], list[RecordRange]]] = {}
        self.report: Final = ArchiveReport(len(lanes), sum(one.ended_at is None for one in lanes))

    def root(self, root: SignedRoot, witnessed: SignedRoot | None = None) -> None:
        """The next root, and what the witness has under its number."""
        try:
            statement = self._next(root)
        except RootInvalid as invalid:
            raise ArchiveInvalid(f"root {root.number}: {invalid}") from None
        if witnessed is not None:
            if witnessed.statement != root.statement:
                raise ArchiveInvalid(f"root {root.number}: the witness has another one")
            self.report.witnessed += 1
        for lane in statement.lanes:
            self._bound[lane.token] = lane
        if statement.key not in self.report.signers:
            self.report.signers.append(statement.key)
        self.report.roots += 1
        self.report.first_root = self.report.first_root or root.number
        self.report.last_root = root.number
        self._last, self._hash = statement, statement_hash(root.statement)

    def _next(self, root: SignedRoot) -> RootStatement:
        statement, last = parse(root.statement), self._last
        if statement.trail != self._trail:
            raise RootInvalid("it is the root of another trail")
        check_signature(root, statement.key)
        if statement.number != root.number:
            raise RootInvalid("it is kept under another number than its own")
        # (The first one in here follows roots that are not: its signature has to do.)
        if last is not None:
            if root.number != last.number + 1 or statement.previous != self._hash:
                raise RootInvalid("it does not follow the root before it")
            if statement.key != (last.next_key or last.key):
                raise RootInvalid("it is not signed with the key that the root before it wants")
        return statement

    def record(self, archived: ArchivedRecord) -> None:
        """The next record of its lane."""
        record = archived.record
        lane = self._lanes[record.lane].lane
        walk = self._walks[lane.id]
        try:
            walk.step(record)
        except ChainBroken as broken:
            raise ArchiveInvalid(f"{lane.token}:{broken.n}: {broken.reason}") from None
        bound = self._bound.get(lane.token)
        if bound is not None and bound.n == walk.n and bound.link != walk.link:
            raise ArchiveInvalid(f"{lane.token}:{walk.n}: a root binds another record")
        self.report.records += 1
        if archived.sealed is None:
            self._without_content(lane, archived)
        else:
            self.report.contents += 1
            self._content(lane, archived, archived.sealed)

    def _without_content(self, lane: Lane, archived: ArchivedRecord) -> None:
        if archived.tombstone is None:
            raise ArchiveInvalid(f"{lane.token}:{archived.record.n}: its content is missing without a tombstone")
        self.report.erased += 1
        claims, n = self._claims.setdefault(archived.tombstone, []), archived.record.n
        if claims and claims[-1].lane == lane.token and claims[-1].last == n - 1:
            claims[-1] = claims[-1]._replace(last=n)
        else:
            claims.append(RecordRange(lane.token, n, n))

    def _content(self, lane: Lane, archived: ArchivedRecord, sealed: bytes) -> None:
        record = archived.record
        if record.kind == _ERASURE:
            self._tombstones[lane.id, record.n] = None
        if self._unsealer is None:
            return
        try:
            salt, content = self._unsealer.unseal(lane, SealedContent(lane.id, record.n, sealed))
        except SealBroken as broken:
            if broken.key_missing is None:
                raise ArchiveInvalid(f"{lane.token}:{record.n}: its seal is broken") from None
            self.report.missing_keys.add(broken.key_missing)
            return
        if commitment_of(salt, content) != record.commitment:
            raise ArchiveInvalid(f"{lane.token}:{record.n}: its content is not what is chained")
        self.report.compared += 1
        if record.kind == _ERASURE:
            self._tombstones[lane.id, record.n] = self._erasure(lane, record.n, content)

    def _erasure(self, lane: Lane, n: int, content: bytes) -> Erasure:
        try:
            found = decode(_ERASURE, content.decode("ascii"))
        except (UnreadableRecord, UnicodeDecodeError):
            found = None
        if not isinstance(found, Erasure):
            raise ArchiveInvalid(f"{lane.token}:{n}: it is no erasure that can be read")
        return found

    def finish(self) -> ArchiveReport:
        """All lines were taken."""
        for archived in self._lanes.values():
            self._finish_lane(archived)
        for place, claims in self._claims.items():
            self._finish_tombstone(place, claims)
        self.report.unbound = tuple(
            sorted(one.lane.token for one in self._lanes.values() if not self._is_bound(one.lane))
        )
        return self.report

    def _is_bound(self, lane: Lane) -> bool:
        bound = self._bound.get(lane.token)
        return bound is not None and bound.n == self._walks[lane.id].n

    def _finish_lane(self, archived: ArchivedLane) -> None:
        lane, walk = archived.lane, self._walks[archived.lane.id]
        bound = self._bound.get(lane.token)
        if walk.n == 0:
            raise ArchiveInvalid(f"{lane.token}:1: it is missing")
        # An open lane may have gone on after its part of it was archived, and a root may know that.
        if bound is not None and bound.n > walk.n and archived.ended_at is not None:
            raise ArchiveInvalid(f"{lane.token}:{walk.n + 1}: it is missing: a root binds it")

    def _finish_tombstone(self, place: tuple[int, int], claims: list[RecordRange]) -> None:
        tombstone, n = place
        if place not in self._tombstones:
            if tombstone in self._lanes:
                raise ArchiveInvalid(f"{self._lanes[tombstone].lane.token}:{n}: it is named as a tombstone and is none")
            self.report.told_elsewhere += count_of(claims)
            return
        erasure = self._tombstones[place]
        if erasure is None:
            return
        named = covers(erasure.records)
        for claim in claims:
            if not named(claim):
                raise ArchiveInvalid(
                    f"{claim.lane}:{claim.first}: the content of it or of one up to {claim.last} is missing, and the"
                    " tombstone does not name it"
                )
