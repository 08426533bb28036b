"""An exceptional deletion from its proposal to its approval, on record at each step.

The rules are :mod:`smsp_provider.audit.deletion`, and what an approval leads to is :mod:`.audit_erasing`.

Source: SMSP-AUDIT-001.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from smsp_provider.audit.deletion import (
    DeletionRefused,
    Proposal,
    check_approval,
    check_proposal,
    proposal_of,
    tombstone_of,
)
from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Officer, RecordRange
from smsp_provider.engine.ports import Clock, IdSource
from smsp_provider.storage.audit_erasing import AuditErasing, DeletionRecord, new_proposal_id

__all__ = ["AuditDeletions", "DeletionLog"]


class DeletionLog(Protocol):
    """The part of the audit trail that takes the records of deletions."""

    def record_deletion(self, record: DeletionRecord) -> None:
        """Put it on record.

        Raises:
            AuditUnavailable: it is not durable; nothing may be erased.
        """
        ...


class AuditDeletions:
    """Proposals, approvals and withdrawals.

    Besides what each method says, all raise AuditUnavailable where the trail cannot be read or written.
    """

    def __init__(self, log: DeletionLog, erasing: AuditErasing, clock: Clock, ids: IdSource) -> None:
        self._log: Final = log
        self._erasing: Final = erasing
        self._clock: Final = clock
        self._ids: Final = ids

    def propose(
        self,
        by: Officer,
        records: Sequence[RecordRange],
        *,
        reason: str,
        legal_basis: str,
        archive: str | None = None,
    ) -> DeletionProposed:
        """Put a proposal on record.

        Raises:
            DeletionRefused: it cannot be proposed.
        """
        now = self._clock.now()
        proposal_id = new_proposal_id(now, self._ids.new_uuid())
        proposed = DeletionProposed(now, proposal_id, by, reason, legal_basis, tuple(records), archive)
        check_proposal(proposed)
        self._log.record_deletion(proposed)
        return proposed

    def proposal(self, proposal_id: str) -> Proposal:
        """A proposal and what became of it.

        Raises:
            DeletionRefused: there is none.
        """
        found = proposal_of(proposal_id, self._erasing.about(proposal_id))
        if found is None:
            raise DeletionRefused(f"there is no proposal {proposal_id}")
        return found

    def withdraw(self, proposal_id: str, by: Officer) -> None:
        """Take a proposal off the table.

        Raises:
            DeletionRefused: there is none, or it is not open.
        """
        with self._erasing.alone(proposal_id):
            state = self.proposal(proposal_id)
            now = self._clock.now()
            if state.erasure is not None or state.withdrawn is not None or now >= state.until:
                raise DeletionRefused(f"it is not open any more: {state.state(now)}")
            self._log.record_deletion(DeletionWithdrawn(now, proposal_id, by))

    def approve(self, proposal_id: str, by: Officer, digest: str) -> int:
        """Agree, and erase; returns how many contents are gone now, none where they were before.

        Raises:
            DeletionRefused: it may not be approved, or not by this officer.
            IndexUnusable: the contents are gone, and the search index cannot be written; do it again.
        """
        with self._erasing.alone(proposal_id):
            state = self.proposal(proposal_id)
            # (After what may have been a long reading: a record does not wait for minutes.)
            now = self._clock.now()
            check_approval(state, by, digest, now)
            self._erasing.begin(proposal_id)
            if state.erasure is None:
                self._log.record_deletion(tombstone_of(state.proposed, by, now))
            return self._erasing.carry_out(proposal_id)
