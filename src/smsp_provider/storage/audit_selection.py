"""Finds the records whose contents are to be erased: by what they say, by exchange, by place, by an archive.

Whoever deletes must find all of it, so the contents themselves are read and not the search index, which may lag behind.
Records of the trail's frame (:func:`smsp_provider.audit.retention.class_of`) are never among them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby

from smsp_provider.audit.archive import ArchivedLane, ArchivedRecord
from smsp_provider.audit.chain import ChainedRecord, Lane, SealBroken, TrailReader, Unsealer
from smsp_provider.audit.deletion import DeletionRefused
from smsp_provider.audit.deletion_events import RecordRange
from smsp_provider.audit.retention import RecordClass, RetentionPolicy, class_of, ranges_of
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.storage.audit_database import AuditDatabase

__all__ = ["count_due", "records_at", "records_of_exchanges", "records_of_number", "records_retired"]

Told = Callable[[Lane], None]
"""Hears of each lane that is begun: a whole trail takes its time."""


def records_of_number(reader: TrailReader, unsealer: Unsealer, number: NHSNumber, told: Told) -> list[RecordRange]:
    """All records that name this NHS number, and the other records of their exchanges.

    Raises:
        DeletionRefused: a content cannot be opened, so that nobody can tell what it names.
        AuditUnavailable: the trail cannot be read.
    """
    named: set[tuple[int, int]] = set()
    exchanges: set[str] = set()
    pattern = re.compile(rb"(?<![0-9])%b(?![0-9])" % number.digits.encode("ascii"))
    for lane in reader.lanes():
        told(lane)
        for content in reader.contents(lane):
            try:
                _, text = unsealer.unseal(lane, content)
            except SealBroken as broken:
                raise DeletionRefused(f"record {lane.id}:{content.n} cannot be read: {broken}") from None
            if pattern.search(text) is None:
                continue
            named.add((lane.id, content.n))
            record = reader.record(lane, content.n)
            if record is not None and record.exchange is not None:
                exchanges.add(record.exchange)
    return _with_content(reader, lambda record: (record.lane, record.n) in named or record.exchange in exchanges, told)


def records_of_exchanges(reader: TrailReader, exchanges: Sequence[str], told: Told) -> list[RecordRange]:
    """All records of these exchanges.

    Raises:
        DeletionRefused: one of them has none.
        AuditUnavailable: the trail cannot be read.
    """
    wanted = frozenset(exchanges)
    seen: set[str] = set()

    def is_wanted(record: ChainedRecord) -> bool:
        if record.exchange is None or record.exchange not in wanted:
            return False
        seen.add(record.exchange)
        return True

    found = _with_content(reader, is_wanted, told)
    for missing in sorted(wanted - seen):
        raise DeletionRefused(f"there is no exchange {missing}")
    return found


def records_at(reader: TrailReader, places: Iterable[tuple[str, int, int]]) -> list[RecordRange]:
    """The records at these places: a lane by id or token, the first and the last n.

    Raises:
        DeletionRefused: there is none at one of them, it is kept for ever, or its content was erased before.
        AuditUnavailable: the trail cannot be read.
    """
    by_name = {name: lane for lane in reader.lanes() for name in (lane.token, str(lane.id))}
    wanted: dict[int, set[int]] = {}
    for name, first, last in places:
        lane = by_name.get(name)
        if lane is None:
            raise DeletionRefused(f"there is no lane {name}")
        for n in range(first, last + 1):
            _check_erasable(reader, lane, n)
            wanted.setdefault(lane.id, set()).add(n)
    return [
        found
        for lane in reader.lanes()
        if lane.id in wanted
        for found in ranges_of(lane.token, (one for one in reader.chain(lane) if one.n in wanted[lane.id]))
    ]


def _check_erasable(reader: TrailReader, lane: Lane, n: int) -> None:
    record = reader.record(lane, n)
    if record is None:
        raise DeletionRefused(f"there is no record {lane.id}:{n}")
    if class_of(record.kind) is None:
        raise DeletionRefused(f"record {lane.id}:{n} is of kind {record.kind}, which is kept for ever")
    if reader.content(lane, n) is None:
        raise DeletionRefused(f"record {lane.id}:{n} has no content: it was erased before")


def _with_content(reader: TrailReader, is_wanted: Callable[[ChainedRecord], bool], told: Told) -> list[RecordRange]:
    """The records that are wanted, may go, and have something to lose."""
    found: list[RecordRange] = []
    for lane in reader.lanes():
        told(lane)
        wanted = [one for one in reader.chain(lane) if class_of(one.kind) is not None and is_wanted(one)]
        found += ranges_of(lane.token, (one for one in wanted if reader.content(lane, one.n) is not None))
    return found


def records_retired(
    database: AuditDatabase,
    archived: Iterable[ArchivedRecord],
    lanes: Sequence[ArchivedLane],
    policy: RetentionPolicy,
    *,
    until: date,
    today: date,
) -> list[RecordRange]:
    """The records of days up to ``until`` that are past their time and stand in an archive, byte by byte as here.

    Raises:
        DeletionRefused: a lane of the archive is not here, or a content in it is not the one here.
        AuditUnavailable: the trail cannot be read.
    """
    here = {lane.token: lane for lane in database.lanes()}
    in_archive: Mapping[int, Lane] = {one.lane.id: one.lane for one in lanes}
    found: list[RecordRange] = []
    for number, records in groupby(archived, key=lambda one: one.record.lane):
        other = in_archive[number]
        lane = here.get(other.token)
        if lane is None or lane.day != other.day:
            raise DeletionRefused(f"lane {other.token} of the archive is not in this trail")
        if lane.day <= until:
            due = (one for one in records if policy.is_due(one.record.kind, lane.day, today))
            found += ranges_of(lane.token, _same_here(database, lane, due))
    return found


def _same_here(database: AuditDatabase, lane: Lane, archived: Iterable[ArchivedRecord]) -> Iterator[ChainedRecord]:
    contents = database.contents(lane)
    content = next(contents, None)
    for record, sealed, _ in archived:
        while content is not None and content.n < record.n:
            content = next(contents, None)
        if content is None or content.n != record.n:
            continue  # (erased since the archive was made)
        if content.sealed != sealed:
            raise DeletionRefused(f"record {lane.id}:{record.n}: its content in the archive is another one")
        yield record


def count_due(database: AuditDatabase, policy: RetentionPolicy, today: date, told: Told) -> Mapping[RecordClass, int]:
    """How many records with a content are past their time, by class.

    Raises:
        AuditUnavailable: the trail cannot be read.
    """
    counts = dict.fromkeys(RecordClass, 0)
    for lane in database.lanes(until=policy.last_due_of_all(today)):
        told(lane)
        erased = {row.n for row in database.erased(lane)}
        for record in database.chain(lane):
            record_class = class_of(record.kind)
            if record_class is None or not policy.is_due(record.kind, lane.day, today) or record.n in erased:
                continue
            counts[record_class] += 1
    return counts
