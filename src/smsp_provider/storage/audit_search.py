"""Searching the audit trail: the index tells where to look, the records tell whether that is what was looked for.

Source: SMSP-AUDIT-007; SMSP-IG-001 (nobody sees what lies outside their scope).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple, Self, get_args

from smsp_provider.audit.chain import Lane, Unsealer, microseconds, moment_of
from smsp_provider.audit.encoding import Kind
from smsp_provider.audit.exchanges import EXCHANGE_KINDS, Criteria, Happening, Part, Place, shows, whole
from smsp_provider.audit.search_index import Range, SearchIndex, hashed
from smsp_provider.audit.terms import EXCHANGE, Term, TermKind, term
from smsp_provider.domain.operators import OrganisationScope
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_indexer import ALL_TIME
from smsp_provider.storage.audit_parts import PartReader

__all__ = ["AuditSearch", "Cursor", "CursorInvalid", "Page"]

_CURSOR: Final = re.compile(r"(\d{8})\.(\d{1,19})\.(\d{1,18})\.(\d{1,18})", re.ASCII)
_NO_CURSOR: Final = "not a cursor of an earlier page"
_DAY: Final = timedelta(days=1)
_FRAME: Final = frozenset({"opening", "closing", "lane-ended"})
_KINDS: Final = frozenset(
    term(TermKind.RECORD_KIND, EXCHANGE if kind in EXCHANGE_KINDS else kind)
    for kind in get_args(Kind)
    if kind not in _FRAME
)
"""What is found without any criterion: all that happened, without the records that lanes begin and end with."""


class CursorInvalid(ValueError):
    """The text is not a cursor."""


class Cursor(NamedTuple):
    """Behind which happening a page goes on; ``day`` is that of its lane. New records do not move it."""

    day: date
    place: Place

    @classmethod
    def read(cls, text: str) -> Self:
        """The cursor behind its text.

        Raises:
            CursorInvalid: it is none.
        """
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise CursorInvalid(_NO_CURSOR)
        day, *place = found.groups()
        try:
            return cls(date.fromisoformat(day), Place(*map(int, place)))
        except ValueError:
            raise CursorInvalid(_NO_CURSOR) from None

    def __str__(self) -> str:
        """Its text."""
        return f"{self.day:%Y%m%d}.{'.'.join(map(str, self.place))}"


@dataclass(frozen=True)
class Page:
    """What was found, in order; ``after`` leads to the next page, None where there is none.

    ``problems`` are of records that were looked at and cannot be trusted: their place and what is wrong.
    """

    found: Sequence[Happening]
    after: Cursor | None = None
    problems: Sequence[str] = field(default=())


class AuditSearch:
    """Searches the trail of ``database`` by ``index``, for whoever has the keys.

    Raises:
        IndexUnusable: (all methods) the index cannot be read.
        AuditUnavailable: (all methods) the trail cannot be read.
    """

    def __init__(self, database: AuditDatabase, unsealer: Unsealer, index: SearchIndex) -> None:
        self.database: Final = database
        self._parts: Final = PartReader(database, unsealer)
        self._index: Final = index
        self._lanes: dict[int, Lane] = {}

    def find(
        self,
        criteria: Criteria,
        scope: OrganisationScope,
        *,
        limit: int,
        newest_first: bool = True,
        after: Cursor | None = None,
    ) -> Page:
        """The happenings that meet the criteria and that somebody with this scope may see, up to ``limit``."""
        found: list[tuple[date, Happening]] = []
        problems: list[str] = []
        for day, happening in self._candidates(criteria, scope, limit + 1, after, newest_first=newest_first):
            problems += _problems(happening)
            if criteria.met_by(happening) and shows(scope, happening):
                found.append((day, happening))
                if len(found) > limit:
                    break
        page = found[:limit]
        following = Cursor(page[-1][0], page[-1][1].place) if page and len(found) > limit else None
        return Page([happening for _, happening in page], following, problems if scope.only is None else ())

    def at(self, lane_name: str, n: int, scope: OrganisationScope) -> Happening | None:
        """What a record is a part of, by its place: ``lane_name`` is the lane's id or its token."""
        lane = next((lane for lane in self.database.lanes() if lane_name in (str(lane.id), lane.token)), None)
        part = None if lane is None else self._parts.read(lane, n)
        if lane is None or part is None:
            return None
        happening = self._exchange(lane.day, part) if part.kind in EXCHANGE_KINDS else None
        happening = happening or Happening((part,))
        return happening if shows(scope, happening) else None

    def _exchange(self, day: date, part: Part) -> Happening | None:
        """The exchange of a record, by its id; None where the index does not know it."""
        wanted = term(TermKind.EXCHANGE, part.exchange or "")
        for indexed, key in sorted(self._index.day_keys().items(), reverse=True):
            if indexed > day:
                continue
            places = self._index.select(indexed, [[hashed(key, wanted)]], ALL_TIME, 1)
            if places:
                return next(iter(self._load(indexed, places)), None)
        return None

    def _candidates(
        self, criteria: Criteria, scope: OrganisationScope, count: int, after: Cursor | None, *, newest_first: bool
    ) -> Iterator[tuple[date, Happening]]:
        """What the index says, in order; as many at a time as are wanted."""
        clauses: list[Iterable[Term]] = list(criteria.clauses)
        if scope.only is not None:
            clauses.append([term(TermKind.ORGANISATION, code.code) for code in scope.only])
        clauses = clauses or [_KINDS]
        keys = self._index.day_keys()
        for day in sorted(keys, reverse=newest_first):
            if not _within(day, criteria.since, criteria.until) or _is_before(day, after, newest_first=newest_first):
                continue
            wanted = Range(
                ALL_TIME.since if criteria.since is None else microseconds(criteria.since),
                ALL_TIME.until if criteria.until is None else microseconds(criteria.until),
                newest_first,
                after.place if after is not None and after.day == day else None,
            )
            terms = [[hashed(keys[day], found) for found in clause] for clause in clauses]
            while places := self._index.select(day, terms, wanted, count):
                for happening in self._load(day, places):
                    yield day, happening
                if len(places) < count:
                    break
                wanted = wanted._replace(after=places[-1])

    def _load(self, day: date, anchors: Sequence[Place]) -> Iterator[Happening]:
        """The happenings at these anchors, as the records tell them."""
        further = self._index.parts(day, anchors)
        for anchor in anchors:
            parts = [self._read(place) for place in (anchor, *further.get(anchor, ()))]
            known = [part for part in parts if part is not None]
            if known:
                yield whole(known)

    def _read(self, place: Place) -> Part | None:
        if place.lane not in self._lanes:
            self._lanes = {lane.id: lane for lane in self.database.lanes()}
        lane = self._lanes.get(place.lane)
        return None if lane is None else self._parts.read(lane, place.n)


def _within(day: date, since: datetime | None, until: datetime | None) -> bool:
    """Whether lanes of a day can have such moments; a day more on either side, since a clock may have been set back."""
    first = None if since is None else moment_of(microseconds(since)).date() - _DAY
    last = None if until is None else moment_of(microseconds(until)).date() + _DAY
    return (first is None or day >= first) and (last is None or day <= last)


def _is_before(day: date, after: Cursor | None, *, newest_first: bool) -> bool:
    """Whether the pages up to the cursor have had this day."""
    if after is None:
        return False
    return day > after.day if newest_first else day < after.day


def _problems(happening: Happening) -> Iterator[str]:
    for part in happening.parts:
        if part.problem:
            yield f"record {part.place.lane}:{part.place.n}: {part.problem}"
