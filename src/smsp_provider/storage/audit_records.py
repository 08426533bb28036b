"""The records of an audit trail, read: the chain and the contents brought together and opened.

Source: SMSP-AUDIT-004, 009.
"""

from collections.abc import Iterator

from smsp_provider.audit.chain import ChainedRecord, Lane, SealBroken, TrailReader, Unsealer, commitment_of
from smsp_provider.audit.decoding import UnreadableRecord, decode
from smsp_provider.audit.trail import AuditUnavailable, Entry

__all__ = ["AuditRecords"]


class AuditRecords:
    """Implements :class:`smsp_provider.audit.trail.AuditReader` on any database, for whoever has the keys."""

    def __init__(self, reader: TrailReader, unsealer: Unsealer) -> None:
        self._reader = reader
        self._unsealer = unsealer

    def read(self, *, exchange_id: str | None = None) -> Iterator[Entry]:
        """See :meth:`AuditReader.read`. The chain of all lanes is held in memory, the contents are not."""
        lanes = {lane.id: lane for lane in self._reader.lanes()}
        places = sorted(
            (chained.at, chained.lane, chained.n)
            for lane in lanes.values()
            for chained in self._reader.chain(lane)
            if exchange_id is None or chained.exchange == exchange_id
        )
        for _, lane, n in places:
            entry = self.entry(lanes[lane], n)
            if entry is not None:
                yield entry

    def entry(self, lane: Lane, n: int) -> Entry | None:
        """One record; None where its content was erased.

        Raises:
            AuditUnavailable: it cannot be read or opened, or is not what the chain says it is.
        """
        chained = self._reader.record(lane, n)
        return None if chained is None else self.opened(lane, chained)

    def opened(self, lane: Lane, chained: ChainedRecord) -> Entry | None:
        """What the chain names, as a record; see :meth:`entry`."""
        content = self._reader.content(lane, chained.n)
        if content is None:
            return None
        try:
            salt, text = self._unsealer.unseal(lane, content)
            if commitment_of(salt, text) != chained.commitment:
                raise AuditUnavailable("a content is not the one of its record")
            return Entry(lane.id, chained.n, lane.writer, decode(chained.kind, text.decode("ascii")))
        except SealBroken as error:
            raise AuditUnavailable(str(error)) from None
        except (UnreadableRecord, UnicodeDecodeError):
            raise AuditUnavailable("not a record of this version") from None
