"""Binds the heads of all lanes into signed roots, and hands those to the witnesses.

What is signed was followed link by link from what was signed before. A lane in which something does not follow is left
out from there on, with an alert, and so stays as the last root before says; the other lanes go on.
Nothing at all is signed where the roots themselves are not as they were, or the witness knows of others.

Source: SMSP-AUDIT-001; anchors.md decision 3.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Final

from smsp_provider.audit.chain import Lane, SignedRoot, microseconds
from smsp_provider.audit.chain_walk import CLOSING, ChainBroken, LaneWalk
from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.audit.roots import (
    BoundLane,
    RootInvalid,
    RootStatement,
    check_signature,
    next_statement,
    parse,
    sign,
    statement_hash,
)
from smsp_provider.audit.trail_books import TrailBooks
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_signing_key import SigningKey, SigningKeyFile, SigningKeyUnusable
from smsp_provider.storage.witness_handing import WitnessDiffers, WitnessHanding

__all__ = ["AuditFolder", "FoldRefused"]

_IDLE: Final = timedelta(minutes=10)
"""A trail on which nothing is written gets a root all the same, so that silence and loss can be told apart."""
_DAY: Final = timedelta(days=1)
_STRETCH: Final = 1000
"""How many roots are read at once on the way back."""


class FoldRefused(Exception):
    """No root may be made, and an operator must look; the text says why."""


@dataclass(slots=True)
class _Position:
    """What is bound: the last root, and the lanes that may move still, each where it was bound last."""

    trail: str
    made_at: str
    signer: SigningKey
    last: SignedRoot | None
    statement: RootStatement | None
    walks: dict[int, tuple[Lane, LaneWalk]]
    seen: set[int] = field(default_factory=set)


class AuditFolder:
    """Makes a root with each :meth:`run` in which something moved. Only one process of all hosts may run it."""

    def __init__(
        self,
        database: AuditDatabase,
        books: TrailBooks,
        keys: SigningKeyFile,
        witnesses: Sequence[WitnessHanding],
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._database: Final = database
        self._books: Final = books
        self._keys: Final = keys
        self._witnesses: Final = witnesses
        self._clock: Final = clock
        self._observer: Final = observer
        self._position: _Position | None = None
        self._broken: set[int] = set()
        self._refused: str | None = None
        self.unbound = 0
        """Records that were found and are in no root, as of the last run."""
        self.last: RootStatement | None = None
        """The last root that is known."""

    def run(self) -> None:
        """Make a root if anything moved, and hand over what the witnesses have not got.

        Raises:
            AuditUnavailable: the database cannot be read or written; the next run begins from what it has then.
            FoldRefused: nothing may be signed.
        """
        if self._refused is not None:
            raise FoldRefused(self._refused)
        try:
            position = self._position = self._position or self._begin()
            self.last = position.statement
            self._fold(position)
            self.last = position.statement
            if position.last is not None:
                for witness in self._witnesses:
                    witness.hand(position.last)
        except (WitnessDiffers, RootInvalid) as error:
            self._refuse(str(error))
        except SigningKeyUnusable as error:
            # That can be mended while this process runs.
            self._position = None
            raise FoldRefused(f"the signing key: {error}") from None
        except BaseException:
            self._position = None
            raise

    def _refuse(self, reason: str) -> None:
        self._position, self._refused = None, reason
        self._alert(reason)
        raise FoldRefused(reason)

    def _alert(self, reason: str) -> None:
        self._observer.notify(Alert(AlertKind.CHAIN_FAILED, None, reason))

    def _fold(self, position: _Position) -> None:
        # Before anything is looked at: what is on record at the moment of a root is in it.
        at = self._clock.now()
        if self._database.last_root() != position.last:
            self._go_on_from_another(position)
        # Asked for before the lanes are followed: what was there and has its end by now gets nothing more.
        known = set(position.walks)
        unended = {lane.id: lane for lane in self._database.unended()}
        self._find_new_lanes(position, unended.values())
        moved = self._follow_all(position)
        following = self._keys.following()
        self.unbound = sum(lane.n - before for lane, before in moved)
        if moved or following is not None or self._is_due(position):
            self._write(position, moved, following, at)
        self.unbound = 0
        for id_ in known - unended.keys():
            position.walks.pop(id_, None)

    def _go_on_from_another(self, position: _Position) -> None:
        """Another process may have made roots meanwhile, which follow ours; anything else is a change of the roots."""
        if position.last is not None:
            ours = next(iter(self._database.roots(after=position.last.number - 1)), None)
            if ours != position.last:
                raise RootInvalid(f"root {position.last.number} was changed or removed while the provider ran")
        begun = self._begin()
        position.last, position.statement, position.signer = begun.last, begun.statement, begun.signer
        position.walks, position.seen = begun.walks, begun.seen

    def _is_due(self, position: _Position) -> bool:
        return position.statement is not None and self._clock.now() - position.statement.at >= _IDLE

    def _write(
        self,
        position: _Position,
        moved: Sequence[tuple[BoundLane, int]],
        following: SigningKey | None,
        at: datetime,
    ) -> None:
        next_key = None if following is None else following.public_key
        statement = next_statement(
            position.last,
            moved,
            trail=position.trail,
            made_at=position.made_at,
            at=at,
            signer=position.signer,
            next_key=next_key,
        )
        root = sign(statement, position.signer)
        self._database.write_root(root)
        position.last, position.statement = root, statement
        if following is not None:
            position.signer = self._keys.advance()

    def _find_new_lanes(self, position: _Position, unended: Iterable[Lane]) -> None:
        for lane in (*self._database.lanes(since=self._first_new_day(position)), *unended):
            if lane.id not in position.seen and lane.id not in self._broken:
                position.seen.add(lane.id)
                position.walks[lane.id] = (lane, LaneWalk(position.trail, lane))

    def _first_new_day(self, position: _Position) -> date | None:
        """The first day of which there may be lanes that were not there at the last root; None for all days.

        Not by the moment alone: nobody may have made roots for days while lanes began and ended.
        """
        if position.statement is None:
            return None
        return min(self._clock.now(), position.statement.at).date() - _DAY

    def _follow_all(self, position: _Position) -> list[tuple[BoundLane, int]]:
        moved = []
        for id_, (lane, walk) in list(position.walks.items()):
            before = walk.n
            try:
                self._follow(lane, walk)
            except ChainBroken as broken:
                # What came before the break stays unbound too: it is not known when it was changed.
                del position.walks[id_]
                self._broken.add(id_)
                self._alert(f"lane {lane.token}, record {broken.n}: {broken.reason}; the lane is in no root any more")
            else:
                if walk.n > before:
                    moved.append((BoundLane(lane.token, walk.n, walk.link), before))
        return moved

    def _follow(self, lane: Lane, walk: LaneWalk) -> None:
        if walk.n:
            kept = self._database.record(lane, walk.n)
            if kept is None:
                raise ChainBroken(walk.n, "it is gone, although a root binds it")
            if kept.link != walk.link:
                raise ChainBroken(walk.n, "its link is not the one that a root binds")
            walk.closed = kept.kind == CLOSING
        for record in self._database.chain(lane, after=walk.n):
            walk.step(record)

    def _begin(self) -> _Position:
        """Find out what is bound, and whether the witnesses know of nothing else."""
        for witness in self._witnesses:
            witness.look()
        last = self._database.last_root()
        trail, made_at = self._database.trail_id(), self._books.made_at()
        if last is None:
            # Whatever there is: operators may have made accounts and clients days before the first start.
            lanes = [lane for lane in self._database.lanes() if lane.id not in self._broken]
            walks = {lane.id: (lane, LaneWalk(trail, lane)) for lane in lanes}
            return _Position(trail, made_at, self._keys.current(), None, None, walks, set(walks))
        statement = parse(last.statement)
        if (statement.trail, statement.made_at, statement.number) != (trail, made_at, last.number):
            raise RootInvalid("the last root is not one of this trail")
        check_signature(last, statement.key)
        signer = self._signer(statement)
        lanes = self._lanes_that_may_have_moved(statement.at.date() - _DAY)
        bound = self._bound(last, lanes)
        walks = {}
        for lane in lanes:
            if lane.id in self._broken:
                continue
            found = bound.get(lane.token)
            walk = LaneWalk(trail, lane) if found is None else LaneWalk(trail, lane, n=found.n, link=found.link)
            walks[lane.id] = (lane, walk)
        return _Position(trail, made_at, signer, last, statement, walks, {lane.id for lane in self._database.lanes()})

    def _signer(self, last: RootStatement) -> SigningKey:
        """The key that the last root wants; a change of keys that was broken off is brought to its end."""
        wanted, signer = last.next_key or last.key, self._keys.current()
        if signer.public_key == wanted:
            return signer
        following = self._keys.following()
        if following is not None and following.public_key == wanted:
            return self._keys.advance()
        raise SigningKeyUnusable(f"{self._keys.file}: it is not the key that root {last.number} wants")

    def _lanes_that_may_have_moved(self, since: date) -> list[Lane]:
        """Lanes of these days, those without an end, and older ones that ended in these days.

        (Asked of the books, not of the records: a trail of years has lanes without number.)
        """
        ended_at = {booked.lane: booked.ended_at for booked in self._books.lanes()}
        before = microseconds(datetime.combine(since, time(), UTC))
        found = []
        for lane in self._database.lanes():
            at = ended_at.get(lane.id)
            if lane.day >= since or at is None or at >= before:
                found.append(lane)
        return found

    def _bound(self, last: SignedRoot, lanes: Iterable[Lane]) -> dict[str, BoundLane]:
        """Where the roots bind these lanes last: read backwards to before the oldest of them began."""
        wanted = {lane.token: lane.day - _DAY for lane in lanes}
        found: dict[str, BoundLane] = {}
        number, after = last.number, statement_hash(last.statement)
        while wanted and number > 0:
            size = min(number, _STRETCH)
            stretch = list(islice(self._database.roots(after=number - size), size))
            if len(stretch) < size:
                raise RootInvalid(f"not all roots up to number {number} are there")
            for root in reversed(stretch):
                statement = parse(root.statement)
                if root.number != number or statement_hash(root.statement) != after:
                    raise RootInvalid(f"root {number} is not the one that the root after it names")
                for lane in statement.lanes:
                    if wanted.pop(lane.token, None) is not None:
                        found[lane.token] = lane
                if not wanted or statement.at.date() < min(wanted.values()):
                    return found
                number, after = number - 1, statement.previous
        return found
