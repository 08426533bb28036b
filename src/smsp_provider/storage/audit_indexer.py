"""Keeps the search index up with the trail: reads what is new, checks it against the chain, and writes its terms.

It can be killed at any moment and run by several processes at once: what is written and how far that brings a lane is
one transaction, which fails where somebody else was faster.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Final

from smsp_provider.audit.chain import ChainedRecord, Lane, Unsealer, first_link, next_link
from smsp_provider.audit.events import Ending
from smsp_provider.audit.exchanges import EXCHANGE_KINDS, Part, Place
from smsp_provider.audit.search_index import DayRows, IndexBatch, LaneProgress, Range, SearchIndex, hashed
from smsp_provider.audit.terms import TermKind, term
from smsp_provider.audit.traffic import traffic_of
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_parts import PartReader

__all__ = ["ALL_TIME", "AuditIndexer", "Damage"]

ALL_TIME: Final = Range(-(2**63), 2**63 - 1, newest_first=False)
"""Every place, the oldest first."""

Damage = Callable[[Lane, int, str], None]
"""Hears of a record that is not what the chain says: lane, n, and what is wrong. Never raises."""

_BATCH: Final = 2_000
_RUN: Final = 20_000
_ATTEMPTS: Final = 3
_RECENT: Final = 200_000
_FEW: Final = 2_000
"""Erased records of one day up to which they are taken out of its index one by one."""
_ONE_DAY: Final = timedelta(days=1)

_Anchor = tuple[date, Place]


class AuditIndexer:
    """Brings the records of ``database`` into ``index``. For one thread.

    ``up_to`` leaves out what lies beyond these numbers of the lanes, and lanes that are not named.
    """

    def __init__(
        self,
        database: AuditDatabase,
        unsealer: Unsealer,
        index: SearchIndex,
        damage: Damage,
        *,
        up_to: Mapping[int, int] | None = None,
    ) -> None:
        self._database: Final = database
        self._parts: Final = PartReader(database, unsealer)
        self._index: Final = index
        self._damage: Final = damage
        self._up_to: Final = up_to
        self._since: date | None = None
        self._runs = 0
        self._deferred: dict[tuple[int, int], int] = {}
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._progress: dict[int, LaneProgress] = dict(self._index.progress())
        self._keys: dict[date, bytes] = dict(self._index.day_keys())
        self._recent: dict[str, _Anchor] = {}

    def run(self, limit: int = _RUN) -> int:
        """Index up to about ``limit`` records; returns how many. 0: the index has all there is.

        Raises:
            IndexUnusable: the index cannot be written.
            AuditUnavailable: the trail cannot be read.
        """
        self._runs += 1
        for _ in range(_ATTEMPTS):
            count = self._run_once(limit)
            if count is not None:
                return count
            self._begin_anew()
        return 0

    def run_to_the_end(self) -> int:
        """Index all there is; returns how many records that were."""
        total = 0
        while count := self.run():
            total += count
        return total

    def behind(self) -> int:
        """How many records are not in the index."""
        heads = self._database.heads(since=self._since)
        return sum(max(head.n - self._progress.get(head.lane, LaneProgress()).n, 0) for head in heads)

    def rebuild(self, days: Iterable[date]) -> None:
        """Forget the index of these days; the next runs make it anew, with new keys."""
        for day in days:
            lanes = self._database.lanes(since=day, until=day)
            self._index.drop_day(day, [lane.id for lane in lanes])
        self._since = None
        self._begin_anew()

    def forget(self, records: Iterable[tuple[int, int]]) -> None:
        """Take out of the index what it has of records (lane, n) whose contents were erased.

        What else there is of their exchanges stays findable.
        """
        # (First all that is not indexed yet: whoever has read one of them before cannot write it any more then.)
        self._begin_anew()
        self.run_to_the_end()
        lanes = {lane.id: lane for lane in self._database.lanes()}
        anchors: dict[date, set[Place]] = {}
        for lane_id, n in records:
            lane = lanes[lane_id]
            chained = self._database.record(lane, n)
            if chained is not None and n <= self._progress.get(lane_id, LaneProgress()).n:
                day, anchor = self._found_anchor(lane, chained) or (lane.day, _place(chained))
                anchors.setdefault(day, set()).add(anchor)
        for day, places in anchors.items():
            if len(places) > _FEW:
                self.rebuild([day])
            else:
                self._replace(day, places, lanes)

    def _replace(self, day: date, anchors: set[Place], lanes: Mapping[int, Lane]) -> None:
        for _ in range(_ATTEMPTS):
            rows = DayRows(self._key_of(day))
            further = self._index.parts(day, anchors)
            for anchor in anchors:
                for place in (anchor, *further.get(anchor, ())):
                    part = self._parts.read(lanes[place.lane], place.n)
                    if part is not None:
                        _add(rows, anchor, part)
            if self._index.replace(day, anchors, rows):
                return
            self._begin_anew()

    def _run_once(self, limit: int) -> int | None:
        """As :meth:`run`; None where somebody else was faster."""
        done = 0
        for lane in self._unfinished():
            while done < limit:
                count = self._index_some(lane, min(_BATCH, limit - done))
                if count is None:
                    return None
                done += count
                if count == 0:
                    break
        if done < limit:
            for day in self._index.incomplete_days():
                if not self._complete(day):
                    return None
        return done

    def _unfinished(self) -> Sequence[Lane]:
        """The lanes that may have more than the index, by ascending id, so that an intent comes before its ending."""
        lanes = [
            lane
            for lane in self._database.lanes(since=self._since)
            if not self._progress.get(lane.id, LaneProgress()).done and (self._up_to is None or lane.id in self._up_to)
        ]
        self._since = min((lane.day for lane in lanes), default=self._since)
        return lanes

    def _index_some(self, lane: Lane, count: int) -> int | None:
        """Index the next records of a lane; returns how many, None where somebody else was faster."""
        before = self._progress.get(lane.id) or LaneProgress(
            0, first_link(self._database.trail_id(), lane.token, lane.day)
        )
        batch = IndexBatch()
        link, n, kind, read = before.link, before.n, "", 0
        for chained, part in self._next(lane, before.n, count):
            anchor = self._anchor(lane, chained, part)
            if anchor is None:
                break
            expected = next_link(link, chained.n, chained.kind, chained.at, chained.exchange, chained.commitment)
            if chained.n != n + 1 or expected != chained.link:
                self._damage(lane, chained.n, "it does not follow the record before it")
            if part.problem:
                self._damage(lane, chained.n, part.problem)
            self._add(batch, lane, anchor, part)
            link, n, kind, read = chained.link, chained.n, chained.kind, read + 1
        done = kind == "closing" or (
            read == 0 and lane.id in self._database.ends(since=lane.day) and not self._more(lane, n)
        )
        after = LaneProgress(n, link, done)
        if after == before or (read == 0 and not done):
            return 0
        batch.progress[lane.id] = (before, after)
        if not self._index.write(batch):
            return None
        self._progress[lane.id] = after
        return read

    def _more(self, lane: Lane, n: int) -> bool:
        """Whether a lane has records beyond ``n``: an ending that waits for its intent, or one that came just now."""
        return self._database.record(lane, n + 1) is not None

    def _next(self, lane: Lane, after: int, count: int) -> Iterator[tuple[ChainedRecord, Part]]:
        last = after + count if self._up_to is None else min(after + count, self._up_to[lane.id])
        chained = [row for row in islice(self._database.chain(lane, after=after), count) if row.n <= last]
        if not chained:
            return
        contents = {}
        for content in self._database.contents(lane, after=after):
            if content.n > chained[-1].n:
                break
            contents[content.n] = content
        for row in chained:
            yield row, self._parts.opened(lane, row, contents.get(row.n))

    def _anchor(self, lane: Lane, chained: ChainedRecord, part: Part) -> _Anchor | None:
        """The anchor of a record; None where its intent ought to be in the index first: the next run looks again."""
        own = lane.day, _place(chained)
        if chained.exchange is None or chained.kind not in EXCHANGE_KINDS:
            return own
        found = None if chained.kind == "intent" else self._found_anchor(lane, chained)
        if found is not None:
            return found
        is_first = chained.kind == "intent" or (isinstance(part.record, Ending) and part.record.request is not None)
        if not is_first and self._deferred.setdefault((lane.id, chained.n), self._runs) == self._runs:
            return None
        self._deferred.pop((lane.id, chained.n), None)
        if len(self._recent) >= _RECENT:
            for exchange in list(islice(self._recent, _RECENT // 2)):
                del self._recent[exchange]
        self._recent[chained.exchange] = own
        return own

    def _found_anchor(self, lane: Lane, chained: ChainedRecord) -> _Anchor | None:
        """Where the exchange of a record already stands in the index."""
        if chained.exchange is None:
            return None
        recent = self._recent.get(chained.exchange)
        if recent is not None:
            return recent
        wanted = term(TermKind.EXCHANGE, chained.exchange)
        for day in sorted((day for day in self._keys if day <= lane.day), reverse=True):
            # (A request lasts seconds; whether its process died may become known much later.)
            if chained.kind == "ending" and day < lane.day - _ONE_DAY:
                break
            places = self._index.select(day, [[hashed(self._keys[day], wanted)]], ALL_TIME, 1)
            if places:
                return day, places[0]
        return None

    def _add(self, batch: IndexBatch, lane: Lane, anchor: _Anchor, part: Part) -> None:
        day, place = anchor
        if day not in batch.days:
            batch.days[day] = DayRows(self._key_of(day))
        _add(batch.days[day], place, part)
        if part.record is not None:
            counted = Counter({(lane.day, traffic): times for traffic, times in traffic_of(part.record).items()})
            for traffic, times in counted.items():
                batch.traffic[traffic] = batch.traffic.get(traffic, 0) + times

    def _key_of(self, day: date) -> bytes:
        if day not in self._keys:
            self._keys[day] = self._index.begin_day(day)
        return self._keys[day]

    def _complete(self, day: date) -> bool:
        """After a day was made anew: add what lanes of later days hold of its exchanges."""
        anchors = self._open_exchanges(day)
        batch = IndexBatch({day: DayRows(self._key_of(day))})
        for lane in self._database.lanes(since=day + _ONE_DAY) if anchors else ():
            indexed = self._progress.get(lane.id, LaneProgress()).n
            for chained in self._database.chain(lane):
                if chained.n <= indexed and chained.exchange in anchors:
                    content = self._database.content(lane, chained.n)
                    _add(batch.days[day], anchors[chained.exchange], self._parts.opened(lane, chained, content))
        if not self._index.write(batch):
            return False
        self._index.complete_day(day)
        return True

    def _open_exchanges(self, day: date) -> Mapping[str | None, Place]:
        """The exchanges that the lanes of a day begin and do not end, with the places of their intents."""
        rows = [
            chained
            for lane in self._database.lanes(since=day, until=day)
            for chained in self._database.chain(lane)
            if chained.exchange is not None and chained.kind in EXCHANGE_KINDS
        ]
        ended = {chained.exchange for chained in rows if chained.kind != "intent"}
        return {
            chained.exchange: _place(chained)
            for chained in rows
            if chained.kind == "intent" and chained.exchange not in ended
        }


def _place(chained: ChainedRecord) -> Place:
    return Place(chained.at, chained.lane, chained.n)


def _add(rows: DayRows, anchor: Place, part: Part) -> None:
    """The terms of a record, at its anchor."""
    rows.postings.update((hashed(rows.key, found), anchor) for found in part.terms)
    if part.place != anchor:
        rows.parts.add((anchor, part.place))
