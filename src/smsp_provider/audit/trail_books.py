"""What stands in the tables of a trail beside its records, and whether the records say the same.

The tables know which lanes there are and which ended, and which contents were erased, so that the provider need not
open records for it. Nobody may change them by hand either.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from smsp_provider.audit.chain import Lane, TrailReader, microseconds
from smsp_provider.audit.deletion_events import RecordRange
from smsp_provider.audit.lane_events import LanePlace
from smsp_provider.audit.verified_lane import Finding, LaneFacts, uncovered

__all__ = [
    "BookedErasure",
    "BookedLane",
    "BooksBefore",
    "TrailBooks",
    "check_books",
    "check_contents",
    "check_erased",
    "check_lanes",
]


class BookedLane(NamedTuple):
    """A lane as the tables have it; moments in microseconds since 1970, ``ended_at`` None while it has no end."""

    lane: int
    pid: int
    at: int
    ended_at: int | None


class BookedErasure(NamedTuple):
    """A content that the tables have as erased, and the place of the tombstone; lanes by their ids."""

    lane: int
    n: int
    tombstone_lane: int
    tombstone_n: int


class TrailBooks(Protocol):
    """What a database knows besides what :class:`smsp_provider.audit.chain.TrailReader` gives.

    Every method raises :class:`smsp_provider.audit.trail.AuditUnavailable` where the database cannot be read.
    """

    def made_at(self) -> str:
        """When the trail was begun, as the text that is kept."""
        ...

    def lanes(self) -> Iterator[BookedLane]:
        """All lanes."""
        ...

    def erasures(self) -> Iterator[BookedErasure]:
        """All contents that count as erased."""
        ...

    def strays(self) -> Iterator[str]:
        """Rows and tables that no reader of the trail comes upon: each as a text that says where it is."""
        ...


class BooksBefore:
    """What the tables said when a verification began."""

    def __init__(self, books: TrailBooks) -> None:
        self.lanes: Final = tuple(books.lanes())
        self.erasures: Final = tuple(_stretches(books.erasures()))


class _Stretch(NamedTuple):
    """Consecutive records of a lane that were erased with one tombstone; there may be many millions of them."""

    lane: int
    first: int
    last: int
    tombstone: tuple[int, int]
    """Id of its lane, and n."""


def _stretches(erasures: Iterable[BookedErasure]) -> Iterator[_Stretch]:
    """Erasures, by lane and n, as the fewest stretches."""
    stretch: _Stretch | None = None
    for lane, n, *place in erasures:
        tombstone = place[0], place[1]
        if stretch is not None and (lane, n - 1, tombstone) == (stretch.lane, stretch.last, stretch.tombstone):
            stretch = stretch._replace(last=n)
            continue
        if stretch is not None:
            yield stretch
        stretch = _Stretch(lane, n, n, tombstone)
    if stretch is not None:
        yield stretch


def check_lanes(
    reader: TrailReader, lanes: Mapping[str, Lane], facts: LaneFacts, *, part: bool = False
) -> Iterator[Finding]:
    """What openings and ends say of other lanes: that they are there, with that record, and end with it or not.

    In a ``part`` of a trail lanes may be named that are not in it.
    """
    for token, opening in facts.openings.items():
        if opening.writer != lanes[token].writer:
            yield Finding("the lane has another writer than its opening says", token)
        if opening.previous is not None and (not part or opening.previous.lane in lanes):
            yield from _check_place(reader, lanes, opening.previous, f"the opening of lane {token}")
    ended: dict[str, str] = {}
    for token, n, said in facts.ends:
        place, who = said.last, f"record {n} of lane {token}"
        if place.lane in ended:
            yield Finding(f"it ends a lane that {ended[place.lane]} ended before", token, n)
        ended[place.lane] = who
        if not part or place.lane in lanes:
            yield from _check_place(reader, lanes, place, who)
        if place.lane in lanes and reader.record(lanes[place.lane], place.n + 1) is not None:
            yield Finding(f"it comes after the end of its lane, which {who} tells", place.lane, place.n + 1)


def _check_place(reader: TrailReader, lanes: Mapping[str, Lane], place: LanePlace, who: str) -> Iterator[Finding]:
    lane = lanes.get(place.lane)
    if lane is None:
        yield Finding(f"the lane is gone, which {who} names", place.lane)
        return
    record = reader.record(lane, place.n)
    if record is None:
        yield Finding(f"it is missing, and {who} names it", place.lane, place.n)
    elif record.link.hex() != place.link:
        yield Finding(f"{who} names another one in its place, or is not as it was written", place.lane, place.n)


def check_contents(
    reader: TrailReader, lanes: Mapping[str, Lane], facts: LaneFacts, elsewhere: BooksBefore | None = None
) -> Iterator[Finding]:
    """That every content that is missing was erased, as a tombstone in the chain says; the first one of each stretch.

    What is there by now was written while the trail was read. Of a part of a trail, ``elsewhere`` knows of contents
    whose tombstones are not in it.
    """
    erased: dict[str, list[tuple[int, int]]] = {}
    if elsewhere is not None:
        tokens = {lane.id: lane.token for lane in lanes.values()}
        for one in elsewhere.erasures:
            if one.tombstone[0] not in tokens and one.lane in tokens:
                erased.setdefault(tokens[one.lane], []).append((one.first, one.last))
    for tombstone in facts.tombstones.values():
        for lane, first, last in tombstone.records:
            erased.setdefault(lane, []).append((first, last))
    for found in erased.values():
        found.sort()
    for missing in facts.missing:
        of_lane = lanes[missing.lane]
        n = next((n for n in uncovered(missing, erased) if not _has_content(reader, of_lane, n)), None)
        if n is not None:
            yield Finding("its content is missing, and no erasure names it", missing.lane, n)


def _has_content(reader: TrailReader, lane: Lane, n: int) -> bool:
    content = reader.content(lane, n)
    return content is not None and (content.lane, content.n) == (lane.id, n)


def check_books(
    books: TrailBooks,
    before: BooksBefore,
    lanes: Iterable[Lane],
    facts: LaneFacts,
    closed_at: Mapping[str, int],
    *,
    part: bool = False,
) -> Iterator[Finding]:
    """That the tables say of lanes and erasures what the records say.

    ``before`` is what the tables said before the records were read: the trail may be written meanwhile. ``closed_at``
    has the moments of closings by the lane's token. In a ``part`` of a trail, a record that is not in it may have ended
    a lane or erased a content.
    """
    by_id: Final = {lane.id: lane for lane in lanes}
    ended_at = {said.last.lane: microseconds(said.at) for _, _, said in facts.ends} | dict(closed_at)
    marked_before = {booked.lane for booked in before.lanes if booked.ended_at is not None}
    for booked in books.lanes():
        lane = by_id.get(booked.lane)
        opening = None if lane is None else facts.openings.get(lane.token)
        if lane is None or opening is None:
            continue
        if (booked.pid, booked.at) != (opening.pid, microseconds(opening.at)):
            yield Finding("the lane has another process or moment than its opening says", lane.token)
        at = ended_at.get(lane.token)
        if at is None and booked.lane in marked_before and not part:
            yield Finding("the lane is marked as ended, and no record says so", lane.token)
        elif at is not None and booked.ended_at is None:
            yield Finding("the lane is not marked as ended, and a record says so", lane.token)
        elif at is not None and booked.ended_at != at:
            yield Finding("the lane is marked as ended at another moment than a record says", lane.token)
    yield from _check_erasures(before, by_id, facts, part=part)
    for stray in books.strays():
        yield Finding(stray)


def _check_erasures(
    before: BooksBefore, by_id: Mapping[int, Lane], facts: LaneFacts, *, part: bool
) -> Iterator[Finding]:
    named: dict[tuple[int, int], Mapping[str, list[tuple[int, int]]]] = {}
    for stretch in before.erasures:
        if part and stretch.tombstone[0] not in by_id:
            continue
        if stretch.tombstone not in named:
            named[stretch.tombstone] = _named_by(stretch.tombstone, by_id, facts)
        yield from _check_erasure(stretch, by_id, named[stretch.tombstone])


def _named_by(
    tombstone: tuple[int, int], lanes: Mapping[int, Lane], facts: LaneFacts
) -> Mapping[str, list[tuple[int, int]]]:
    """What a tombstone names, by lane; nothing where there is none at this place."""
    lane = lanes.get(tombstone[0])
    found: dict[str, list[tuple[int, int]]] = {}
    said = None if lane is None else facts.tombstones.get((lane.token, tombstone[1]))
    for token, first, last in sorted(() if said is None else said.records):
        found.setdefault(token, []).append((first, last))
    return found


def _check_erasure(
    stretch: _Stretch, lanes: Mapping[int, Lane], named: Mapping[str, list[tuple[int, int]]]
) -> Iterator[Finding]:
    lane = lanes.get(stretch.lane)
    if lane is None:
        yield Finding(f"the table of erasures names lane {stretch.lane}, which is not there")
        return
    n = next(uncovered(RecordRange(lane.token, stretch.first, stretch.last), named), None)
    if n is not None:
        yield Finding("it counts as erased, and its tombstone does not name it", lane.token, n)


def check_erased(
    reader: TrailReader, books: TrailBooks, before: BooksBefore, lanes: Mapping[str, Lane], facts: LaneFacts, until: int
) -> Iterator[Finding]:
    """That what tombstones up to the moment ``until`` name is gone, and stands in the table of erasures.

    Nobody may put back what was lawfully erased. Newer tombstones are left out: somebody may be at it.
    """
    missing: dict[str, list[tuple[int, int]]] = {}
    for lane, first, last in sorted(facts.missing):
        missing.setdefault(lane, []).append((first, last))
    tokens = {lane.id: lane.token for lane in lanes.values()}
    booked, is_fresh = _booked(before, tokens), False
    for (token, n), said in facts.tombstones.items():
        tombstone = reader.record(lanes[token], n)
        if tombstone is None or tombstone.at > until:
            continue
        for one in said.records:
            of_lane = lanes.get(one.lane)
            if of_lane is None:
                continue
            there = next((m for m in uncovered(one, missing) if reader.content(of_lane, m) is not None), None)
            if there is not None:
                yield Finding(f"its content is there, which record {n} of lane {token} erased", one.lane, there)
                continue
            if not is_fresh and any(True for _ in uncovered(one, booked)):
                # It may have been erased since.
                booked, is_fresh = _booked(BooksBefore(books), tokens), True
            untold = next(uncovered(one, booked), None)
            if untold is not None:
                what = f"the table of erasures does not have it, which record {n} of lane {token} erased"
                yield Finding(what, one.lane, untold)


def _booked(books: BooksBefore, tokens: Mapping[int, str]) -> dict[str, list[tuple[int, int]]]:
    """What the table of erasures has, by the lanes' tokens."""
    found: dict[str, list[tuple[int, int]]] = {}
    for one in books.erasures:
        if one.lane in tokens:
            found.setdefault(tokens[one.lane], []).append((one.first, one.last))
    return found
