"""Single records of the audit trail, opened and compared with the chain; what cannot be read says why."""

from typing import Final

from smsp_provider.audit.chain import ChainedRecord, Lane, SealBroken, SealedContent, Unsealer, commitment_of
from smsp_provider.audit.decoding import UnreadableRecord, decode
from smsp_provider.audit.deletion_events import Erasure
from smsp_provider.audit.exchanges import Part, Place
from smsp_provider.storage.audit_database import AuditDatabase

__all__ = ["PartReader"]

_MISSING: Final = "its content is missing"
_ANOTHER: Final = "its content is not the one that the chain names"


class PartReader:
    """Reads records of a trail for whoever has the keys."""

    def __init__(self, database: AuditDatabase, unsealer: Unsealer) -> None:
        self._database: Final = database
        self._unsealer: Final = unsealer

    def read(self, lane: Lane, n: int) -> Part | None:
        """One record; None where the chain has none of this number."""
        chained = self._database.record(lane, n)
        return None if chained is None else self.opened(lane, chained, self._database.content(lane, n))

    def opened(self, lane: Lane, chained: ChainedRecord, content: SealedContent | None) -> Part:
        """A record of the chain with its content."""
        part = Part(Place(chained.at, chained.lane, chained.n), chained.kind, chained.exchange, None)
        if content is None:
            erasure = self._erasure_of(lane, chained.n)
            return part._replace(erasure=erasure, problem="" if erasure else _MISSING)
        try:
            salt, text = self._unsealer.unseal(lane, content)
            if commitment_of(salt, text) != chained.commitment:
                return part._replace(problem=_ANOTHER)
            return part._replace(record=decode(chained.kind, text.decode("ascii")))
        except SealBroken as broken:
            return part._replace(problem=str(broken))
        except (UnreadableRecord, UnicodeDecodeError):
            return part._replace(problem="it is not a record of this version")

    def _erasure_of(self, lane: Lane, n: int) -> Erasure | None:
        """The tombstone that names a record."""
        row = next((row for row in self._database.erased(lane) if row.n == n), None)
        if row is None:
            return None
        tombstone_lane = next((other for other in self._database.lanes() if other.id == row.tombstone_lane), None)
        if tombstone_lane is None:
            return None
        part = self.read(tombstone_lane, row.tombstone_n)
        return part.record if part is not None and isinstance(part.record, Erasure) else None
