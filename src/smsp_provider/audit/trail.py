"""The port of the audit trail: no intent, no query; no ending, no answer (safety.md section 5).

Every method returns only when what it wrote survives the death of the process, and is safe to call from many threads.
The port speaks of records and their order only: a store chains, encrypts or replicates them without a change here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from smsp_provider.audit.events import Change, Ending, Intent, OperatorAct, Record, Refusals, Start

__all__ = ["AuditReader", "AuditTrail", "AuditUnavailable", "Entry"]


class AuditUnavailable(Exception):
    """A record could not be made durable: nothing may be asked and nothing may be answered (fault 2100).

    The record may or may not be on the trail. ``reason`` is the store's own word for what happened (disk full, locked),
    without any content of the record.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as kept: ``n`` counts from 1 without gaps within the ``lane`` (SMSP-AUDIT-009).

    ``lane`` is the lane's id in this database, see :class:`smsp_provider.audit.chain.Lane`; ``writer`` names the
    process.
    """

    lane: int
    n: int
    writer: str
    record: Record


class AuditTrail(Protocol):
    """Where records are written."""

    def open_intent(self, intent: Intent) -> None:
        """Put on record that a query is about to leave.

        Raises:
            AuditUnavailable: it is not durable; the query must not leave.
        """
        ...

    def close(self, ending: Ending) -> None:
        """Put on record how an exchange ended, with or without an intent before it.

        Raises:
            AuditUnavailable: it is not durable; the answer must not leave.
        """
        ...

    def record_refusals(self, refusals: Refusals) -> None:
        """Put on record what one peer was refused in a minute, as far as no ending tells it.

        Raises:
            AuditUnavailable: it is not durable; keep it, and try again.
        """
        ...

    def record_start(self, start: Start) -> None:
        """Put on record that the provider started, and as what.

        Raises:
            AuditUnavailable: it is not durable; the provider must not start.
        """
        ...

    def record_change(self, change: Change) -> None:
        """Put on record that somebody is about to change the configuration.

        Raises:
            AuditUnavailable: it is not durable; nothing may be changed.
        """
        ...

    def record_act(self, act: OperatorAct) -> None:
        """Put on record what an operator does or was refused.

        Raises:
            AuditUnavailable: it is not durable; it must not be done, nor told.
        """
        ...

    def recover(self) -> int:
        """Close, as "outcome unknown", every intent left open by a writer that is gone; returns how many.

        Intents of living writers, this one included, stay as they are.

        Raises:
            AuditUnavailable: the closures are not durable.
        """
        ...


class AuditReader(Protocol):
    """Where records are read, ordered by their moment, and by lane and n where that is the same."""

    def read(self, *, exchange_id: str | None = None) -> Iterator[Entry]:
        """The entries of one exchange or of all; what was erased is missing.

        Raises:
            AuditUnavailable: the trail cannot be read, or an entry is not what this version writes.
        """
        ...
