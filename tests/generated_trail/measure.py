"""How long searches take in a generated trail: one page of 50, found, opened, compared with the chain and filtered.

``cold`` drops the files from the system's memory and opens them anew before each search; ``warm`` is the same search
again, on connections that are open; ``processor`` is how much of that this process computed, whatever else ran.
"""

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from generated_trail.model import FIRST_DAY, Exchange, Scale, exchanges
from generated_trail.trail import days_of, lane_id
from smsp_provider.audit.exchanges import Criteria
from smsp_provider.audit.terms import TermKind, term
from smsp_provider.domain.operators import EVERYTHING
from smsp_provider.storage.audit_index_keys import IndexKeys
from smsp_provider.storage.audit_keys import KeyRing
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_search import AuditSearch
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.storage.sqlite_audit_index import SqliteSearchIndex
from smsp_provider.storage.sqlite_file import Synchronous

__all__ = ["Figure", "measure"]

_PAGE = 50
_AHEAD = 400
"""Exchanges at the beginning of a day among which those looked for are drawn: making a whole day takes seconds."""

Asked = tuple[tuple[TermKind, str], ...]


class Figure(NamedTuple):
    """Of one kind of search: rows on the page, and milliseconds."""

    name: str
    rows: float
    cold: list[float]
    warm: list[float]
    processor: list[float]

    def line(self) -> str:
        cells = [self.name, f"{self.rows:.0f}"]
        for times in (self.cold, self.warm):
            cells += [f"{statistics.median(times):.1f}", f"{sorted(times)[round(0.99 * (len(times) - 1))]:.1f}"]
        return f"| {' | '.join(cells)} | {statistics.median(self.processor):.1f} |"


_TERMS: dict[str, Callable[[Exchange], Asked]] = {
    "NHS number": lambda made: ((TermKind.NHS_NUMBER, made.patient),),
    "NHS number that nobody asked for": lambda _: ((TermKind.NHS_NUMBER, "4010232137"),),
    "user": lambda made: ((TermKind.USER, made.user),),
    "audit identity": lambda made: ((TermKind.IDENTITY, f"urn:nhs-uk:identity:ods:{made.organisation}:{made.user}"),),
    "MessageID": lambda made: ((TermKind.MESSAGE, made.ids[1]),),
    "tracking id": lambda made: ((TermKind.MESSAGE, made.ids[2]),),
    "Spine message id": lambda made: ((TermKind.MESSAGE, made.ids[6]),),
    "ErrorID": lambda made: ((TermKind.ERROR_ID, made.ids[7]),),
    "client": lambda made: ((TermKind.CLIENT, made.client),),
    "organisation": lambda made: ((TermKind.ORGANISATION, made.organisation),),
    "service": lambda made: ((TermKind.SERVICE, made.service.value),),
    "outcome SMSP-0000 (85 %)": lambda _: ((TermKind.OUTCOME, "SMSP-0000"),),
    "outcome 2100 (1 %)": lambda _: ((TermKind.OUTCOME, "2100"),),
    "client and outcome 2100": lambda made: ((TermKind.CLIENT, made.client), (TermKind.OUTCOME, "2100")),
    "organisation, service and outcome 2100": lambda made: (
        (TermKind.ORGANISATION, made.organisation),
        (TermKind.SERVICE, made.service.value),
        (TermKind.OUTCOME, "2100"),
    ),
    "user and NHS number": lambda made: ((TermKind.USER, made.user), (TermKind.NHS_NUMBER, made.patient)),
    "client and another client's organisation (none)": lambda made: (
        (TermKind.CLIENT, made.client),
        (TermKind.ORGANISATION, f"X{(int(made.organisation[1:]) + 1) % 200:03}"),
    ),
}


def measure(directory: Path, ring: KeyRing, scale: Scale, count: int) -> Iterator[Figure]:
    """Each kind of search ``count`` times, with other values each time."""
    draw = random.Random(1)
    made = [
        draw.choice(list(islice(exchanges(scale, draw.choice(days_of(scale))), _AHEAD))) for _ in range(min(count, 20))
    ]
    failed = [
        found for found in islice(exchanges(scale, draw.choice(days_of(scale))), 10 * _AHEAD) if found.outcome is None
    ]
    for name, asked in _TERMS.items():
        drawn = failed if name == "ErrorID" else made
        yield _timed(directory, ring, name, [_by_terms(asked(draw.choice(drawn))) for _ in range(count)])
    yield _timed(directory, ring, "nothing but the newest", [_by_terms(())] * count)
    spans = [_span(draw, scale) for _ in range(count)]
    yield _timed(directory, ring, "an hour, the oldest first", [_by_time(*span) for span in spans])
    places = [
        (lane_id(scale, draw.choice(days_of(scale)), 0), draw.randrange(2, scale.exchanges)) for _ in range(count)
    ]
    yield _timed(directory, ring, "sequence LANE:N", [_by_place(*place) for place in places])


Question = Callable[[AuditSearch], int]


def _by_terms(asked: Asked) -> Question:
    criteria = Criteria(tuple(frozenset({term(*found)}) for found in asked))
    return lambda search: len(search.find(criteria, EVERYTHING, limit=_PAGE).found)


def _span(draw: random.Random, scale: Scale) -> tuple[datetime, datetime]:
    begin = datetime.combine(FIRST_DAY, datetime.min.time(), UTC) + timedelta(hours=draw.randrange(24 * scale.days))
    return begin, begin + timedelta(hours=1)


def _by_time(since: datetime, until: datetime) -> Question:
    criteria = Criteria((), since, until)
    return lambda search: len(search.find(criteria, EVERYTHING, limit=_PAGE, newest_first=False).found)


def _by_place(lane: int, n: int) -> Question:
    return lambda search: int(search.at(str(lane), n, EVERYTHING) is not None)


def _timed(directory: Path, ring: KeyRing, name: str, questions: list[Question]) -> Figure:
    cold: list[float] = []
    warm: list[float] = []
    processor: list[float] = []
    rows: list[int] = []
    for question in questions:
        for file in directory.iterdir():
            _forget(file)
        database = SqliteAuditDatabase(directory / "audit.db", synchronous=Synchronous.NORMAL)
        index = SqliteSearchIndex(directory / "audit-index.db", database.trail_id(), IndexKeys(ring))
        database.close()
        search = AuditSearch(database, KeyRingUnsealer(ring), index)
        cold.append(_milliseconds(search, question, rows))
        begin = time.process_time()
        warm.append(_milliseconds(search, question, rows))
        processor.append((time.process_time() - begin) * 1000)
        index.close()
        database.close()
    return Figure(name, statistics.mean(rows), cold, warm, processor)


def _milliseconds(search: AuditSearch, question: Question, rows: list[int]) -> float:
    begin = time.perf_counter()
    rows.append(question(search))
    return (time.perf_counter() - begin) * 1000


def _forget(file: Path) -> None:
    """Have the system drop what it keeps of a file in memory."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
