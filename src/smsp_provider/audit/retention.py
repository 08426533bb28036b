"""How long which records are kept: by class, in whole days (UTC).

What is due is not erased by itself: somebody archives it, and two officers agree to its end.

Source: SMSP-AUDIT-001 (retention as in the NHS records code).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Final

from smsp_provider.audit.chain import ChainedRecord
from smsp_provider.audit.deletion_events import RecordRange

__all__ = ["KEPT_FOR_EVER", "RecordClass", "RetentionPolicy", "class_of", "ranges_of"]


class RecordClass(Enum):
    """Records that are kept equally long; the value is the word of settings and tables."""

    EXCHANGES = "exchanges"
    ADMINISTRATION = "administration"
    REFUSALS = "refusals"


_CLASSES: Final[Mapping[str, RecordClass]] = MappingProxyType(
    {
        "intent": RecordClass.EXCHANGES,
        "ending": RecordClass.EXCHANGES,
        "closure": RecordClass.EXCHANGES,
        "change": RecordClass.ADMINISTRATION,
        "act": RecordClass.ADMINISTRATION,
        "refusals": RecordClass.REFUSALS,
    }
)

KEPT_FOR_EVER: Final = "for ever"
"""What tables say of the rest: the frame of the trail (starts, lanes, tombstones), which names no patient."""


def class_of(kind: str) -> RecordClass | None:
    """The class of a kind of record; None for what is kept for ever, kinds that are not known here among it."""
    return _CLASSES.get(kind)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Days that each class is kept, after the day on which its lane began to be written."""

    days: Mapping[RecordClass, int]

    def last_due(self, record_class: RecordClass, today: date) -> date:
        """The last day whose records of this class are past their time."""
        return today - timedelta(days=self.days[record_class] + 1)

    def is_due(self, kind: str, day: date, today: date) -> bool:
        """Whether a record of this kind, in a lane of this day, is past its time."""
        record_class = class_of(kind)
        return record_class is not None and day <= self.last_due(record_class, today)

    def last_due_of_all(self, today: date) -> date:
        """The last day of which something is past its time."""
        return max(self.last_due(record_class, today) for record_class in RecordClass)


def ranges_of(lane: str, records: Iterable[ChainedRecord]) -> Iterator[RecordRange]:
    """Records of one lane, by ascending n, as the fewest ranges; ``lane`` is its token."""
    first = last = 0
    for record in records:
        if first and record.n == last + 1:
            last = record.n
            continue
        if first:
            yield RecordRange(lane, first, last)
        first = last = record.n
    if first:
        yield RecordRange(lane, first, last)
