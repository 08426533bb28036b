"""Whether each tombstone follows from a proposal of another officer, as the rules of an exceptional deletion want.

The commands let nothing else happen. Whoever has the rights and the keys of the provider can write a tombstone without
them, and a content that is gone must not look lawful only for that.

Source: SMSP-AUDIT-001 (deletion only by an exceptional privileged act).
"""

from collections.abc import Iterator

from smsp_provider.audit.chain import microseconds
from smsp_provider.audit.deletion import PROPOSAL_LASTS, tombstone_of
from smsp_provider.audit.deletion_events import DeletionProposed, Erasure
from smsp_provider.audit.verified_lane import Finding, LaneFacts

__all__ = ["check_deletions"]


def check_deletions(facts: LaneFacts, until: int) -> Iterator[Finding]:
    """The tombstones up to ``until`` (microseconds since 1970) that not one officer proposed and another approved.

    Newer ones are left out: the proposal may have been written to a lane that had been read.
    """
    for (token, n), tombstone in facts.tombstones.items():
        if microseconds(tombstone.at) <= until:
            reason = _wrong_with(tombstone, facts.proposals.get(tombstone.proposal_id))
            if reason is None and tombstone.proposal_id in facts.withdrawn:
                reason = "it erases what was proposed and withdrawn"
            if reason is not None:
                yield Finding(reason, token, n)


def _wrong_with(tombstone: Erasure, proposed: DeletionProposed | None) -> str | None:
    if proposed is None:
        return "it erases what nobody proposed"
    if tombstone != tombstone_of(proposed, tombstone.approved_by, tombstone.at):
        return "it erases something else than was proposed, or for another reason"
    if proposed.by.name == tombstone.approved_by.name or proposed.by.login == tombstone.approved_by.login:
        return "it erases what one and the same officer proposed and approved"
    if tombstone.at >= proposed.at + PROPOSAL_LASTS:
        return "it erases what was proposed too long before"
    return None
