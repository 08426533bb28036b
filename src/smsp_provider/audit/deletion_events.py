"""The records of an exceptional deletion: proposed by one officer, withdrawn or carried out with another's approval.

They are kept for ever, so they hold nothing of a patient: which records, by their places, and why; never by whose
number they were found.

Source: SMSP-AUDIT-001 (deletion only by an exceptional privileged act).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

__all__ = ["DeletionProposed", "DeletionWithdrawn", "Erasure", "Officer", "RecordRange"]


class RecordRange(NamedTuple):
    """Consecutive records of one lane, both ends included; ``lane`` is the lane's token."""

    lane: str
    first: int
    last: int


class Officer(NamedTuple):
    """Who acts: the account, the person who logged in to the machine, and from where (machine, user, terminal)."""

    name: str
    login: str
    access_point: str


@dataclass(frozen=True, slots=True)
class DeletionProposed:
    """An officer asks another one to agree that these contents are erased.

    ``archive`` is the SHA-256 of the archive that holds them (hexadecimal digits), where they are not to be lost but
    retired.
    """

    at: datetime
    proposal_id: str
    by: Officer
    reason: str
    legal_basis: str
    records: tuple[RecordRange, ...]
    archive: str | None = None


@dataclass(frozen=True, slots=True)
class DeletionWithdrawn:
    """A proposal is off the table, whoever took it off."""

    at: datetime
    proposal_id: str
    by: Officer


@dataclass(frozen=True, slots=True)
class Erasure:
    """The tombstone: two officers had the contents of these records erased. Written before anything is erased.

    A content that is missing without an erasure that names its record was taken away unlawfully.
    """

    at: datetime
    proposal_id: str
    proposed_by: Officer
    approved_by: Officer
    reason: str
    legal_basis: str
    records: tuple[RecordRange, ...]
    archive: str | None = None
