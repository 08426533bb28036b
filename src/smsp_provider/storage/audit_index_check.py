"""Whether the search index says what the records say: neither hides a term nor has one that no record bears out."""

import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from smsp_provider.audit.chain import Unsealer
from smsp_provider.audit.exchanges import Place
from smsp_provider.audit.search_index import SearchIndex
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_index_keys import IndexKeys
from smsp_provider.storage.audit_indexer import AuditIndexer
from smsp_provider.storage.sqlite_audit_index import SqliteSearchIndex

__all__ = ["IndexFinding", "check_index"]

_END: Final = (2**63, Place(0, 0, 0))
"""Behind every posting."""


class IndexFinding(NamedTuple):
    """A record (lane, n) under which the index of a day hides a term, or has a foreign one (``hidden`` False)."""

    day: date
    lane: int
    n: int
    hidden: bool


def check_index(
    database: AuditDatabase, unsealer: Unsealer, index: SearchIndex, keys: IndexKeys, *, since: date | None = None
) -> Iterator[IndexFinding]:
    """Make the index anew beside the one there is, with the same keys, and compare; yields what differs.

    Needs room for a second index in the directory for temporary files. Records that are not in the index yet are left
    out, and with ``since`` the days before. What is wrong with a record itself is not told here.

    Raises:
        IndexUnusable: an index cannot be read or written.
        AuditUnavailable: the trail cannot be read.
    """
    # (The day before, too: its exchanges may end in this one.)
    lanes = database.lanes(since=None if since is None else since - timedelta(days=1))
    progress = index.progress()
    up_to = {lane.id: progress[lane.id].n for lane in lanes if lane.id in progress}
    with tempfile.TemporaryDirectory(prefix="smsp-index-") as directory:
        anew = SqliteSearchIndex(Path(directory) / "index.db", database.trail_id(), keys)
        try:
            days = [day for day in index.day_keys() if since is None or day >= since - timedelta(days=1)]
            for day in days:
                anew.begin_day(day, index.day_keys()[day])
            AuditIndexer(database, unsealer, anew, lambda *_: None, up_to=up_to).run_to_the_end()
            for day in days:
                if since is None or day >= since:
                    yield from _differences(day, anew, index)
        finally:
            anew.close()


def _differences(day: date, anew: SearchIndex, index: SearchIndex) -> Iterator[IndexFinding]:
    expected, found = iter(anew.postings(day)), iter(index.postings(day))
    one, other = next(expected, _END), next(found, _END)
    while (one, other) != (_END, _END):
        if one < other:
            yield IndexFinding(day, one[1].lane, one[1].n, hidden=True)
        elif other < one:
            yield IndexFinding(day, other[1].lane, other[1].n, hidden=False)
        behind = min(one, other)
        one = next(expected, _END) if one == behind else one
        other = next(found, _END) if other == behind else other
