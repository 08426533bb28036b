"""The rules of an exceptional deletion: two officers, one exact list of records, seven days.

Source: SMSP-AUDIT-001 (deletion only by an exceptional privileged act), SMSP-IG-001.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure, Officer, RecordRange
from smsp_provider.audit.encoding import encode
from smsp_provider.domain.nhs_number_text import without_nhs_numbers

__all__ = [
    "MOST_RANGES",
    "PROPOSAL_LASTS",
    "DeletionRefused",
    "Proposal",
    "check_approval",
    "check_proposal",
    "count_of",
    "covers",
    "digest_of",
    "proposal_of",
    "tombstone_of",
]

PROPOSAL_LASTS: Final = timedelta(days=7)

MOST_RANGES: Final = 20_000
"""Ranges of one proposal: its record and its tombstone have to stay records and not become files."""

_LONGEST_TEXT: Final = 1000
_SHORTEST_TEXT: Final = 10


class DeletionRefused(Exception):
    """The rules do not allow it; the text says which one, and names nothing of a patient."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal and what became of it."""

    proposed: DeletionProposed
    withdrawn: DeletionWithdrawn | None = None
    erasure: Erasure | None = None

    def state(self, now: datetime) -> str:
        """How it stands, in words."""
        if self.erasure is not None:
            return "carried out"
        if self.withdrawn is not None:
            return "withdrawn"
        return "waits for another officer" if now < self.until else "over"

    @property
    def until(self) -> datetime:
        """When it can be approved no longer."""
        return self.proposed.at + PROPOSAL_LASTS


def proposal_of(proposal_id: str, records: Iterable[DeletionProposed | DeletionWithdrawn | Erasure]) -> Proposal | None:
    """A proposal out of the records about proposals, in any order; None where none of them proposes it."""
    proposed: DeletionProposed | None = None
    withdrawn: DeletionWithdrawn | None = None
    erasure: Erasure | None = None
    for record in records:
        if record.proposal_id != proposal_id:
            continue
        match record:
            case DeletionProposed():
                proposed = record
            case DeletionWithdrawn():
                withdrawn = record
            case Erasure():
                erasure = record
    return None if proposed is None else Proposal(proposed, withdrawn, erasure)


def digest_of(proposed: DeletionProposed) -> str:
    """What the second officer confirms: the SHA-256 of the whole record, records and reason included."""
    return sha256(encode(proposed).encode("ascii")).hexdigest()


def count_of(records: Iterable[RecordRange]) -> int:
    """How many records these are."""
    return sum(last - first + 1 for _, first, last in records)


def covers(records: Iterable[RecordRange]) -> Callable[[RecordRange], bool]:
    """A question whether one of these ranges holds the whole of another."""
    by_lane: dict[str, list[tuple[int, int]]] = {}
    for lane, first, last in sorted(records):
        ranges = by_lane.setdefault(lane, [])
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(last, ranges[-1][1]))
        else:
            ranges.append((first, last))

    def covered(asked: RecordRange) -> bool:
        ranges = by_lane.get(asked.lane, [])
        at = bisect_right(ranges, asked.first, key=lambda one: one[0]) - 1
        return at >= 0 and asked.last <= ranges[at][1]

    return covered


def check_proposal(proposed: DeletionProposed) -> None:
    """Let a proposal pass that can be put on record.

    Raises:
        DeletionRefused: it names no record or too many, does not say why, or tells of the patient what has to go.
    """
    for name, text in (("reason", proposed.reason), ("legal basis", proposed.legal_basis)):
        if not _SHORTEST_TEXT <= len(text) <= _LONGEST_TEXT or not text.isprintable():
            raise DeletionRefused(f"the {name} has {_SHORTEST_TEXT} to {_LONGEST_TEXT} characters that can be shown")
        if without_nhs_numbers(text) != text:
            raise DeletionRefused(f"the {name} holds what may be an NHS number, and is kept for ever: leave it out")
    if not proposed.records:
        raise DeletionRefused("there is no record with a content that could be erased")
    if len(proposed.records) > MOST_RANGES:
        raise DeletionRefused(
            f"these are {len(proposed.records)} separate ranges of records, and one proposal takes {MOST_RANGES}:"
            " propose fewer at a time"
        )


def check_approval(proposal: Proposal, officer: Officer, digest: str, now: datetime) -> None:
    """Let an approval pass. One that was given already passes again: what it led to may have to be finished.

    Raises:
        DeletionRefused: the proposal is not open, the officer is not another person, or the digest is another one.
    """
    proposed = proposal.proposed
    if not compare_digest(digest.strip().lower().encode(), digest_of(proposed).encode()):
        raise DeletionRefused("the digest is not that of this proposal: look at it with `smsp audit deletion show`")
    if proposal.erasure is not None:
        return
    if proposal.withdrawn is not None:
        raise DeletionRefused(f"{proposal.withdrawn.by.name} has withdrawn it")
    if now >= proposal.until:
        raise DeletionRefused(f"it was proposed more than {PROPOSAL_LASTS.days} days ago: propose it anew")
    if officer.name == proposed.by.name:
        raise DeletionRefused("you proposed it: another officer has to approve it")
    if officer.login == proposed.by.login:
        raise DeletionRefused(
            "whoever proposed it had logged in to a machine as the same user: the other officer logs in as themselves"
        )


def tombstone_of(proposed: DeletionProposed, approved_by: Officer, at: datetime) -> Erasure:
    """The record that goes before the erasing."""
    return Erasure(
        at=at,
        proposal_id=proposed.proposal_id,
        proposed_by=proposed.by,
        approved_by=approved_by,
        reason=proposed.reason,
        legal_basis=proposed.legal_basis,
        records=proposed.records,
        archive=proposed.archive,
    )
