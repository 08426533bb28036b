"""Callers who use the service to guess: what is watched for, from what count on, and who is told of answered requests.

Each pattern is counted for a registered client, or for one identity of it (a person, or an organisation where no person
asks). Nothing is refused: an alert has somebody look at the audit trail, which holds every request.

Source: threat of probing by an authorised caller (SMSP-SEC-001, SMSP-IG-003); no document sets the counts.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from smsp_provider.domain.audit_identity import AuditId
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.requests import ServiceRequest
from smsp_provider.domain.response_codes import ResponseCode

__all__ = ["Answered", "Finding", "Pattern", "ProbingPolicy", "ProbingWatch"]


class Pattern(Enum):
    """A way to guess; the value is the word of the alert."""

    DETAILS_GUESSED = "details-guessed"
    """One number is verified again and again, and its details do not fit."""
    NEIGHBOURING_NUMBERS = "neighbouring-numbers"
    """Numbers are asked for that lie closer together than those of a real list."""
    MANY_NUMBERS = "many-numbers"
    """One identity asks for very many different numbers."""
    MOSTLY_UNSUCCESSFUL = "mostly-unsuccessful"
    """Most numbers asked for do not exist, or their details do not fit."""
    POSTCODES_TRIED = "postcodes-tried"
    """One search is repeated with one postcode after the other, or with and without."""
    POSTCODE_PAIRS = "with-and-without-postcode"
    """Search after search is made with and without postcode, although the first form had found somebody."""
    FIELD_VARIED = "one-field-varied"
    """Searches that find nobody, or too many, differ in one field only."""


@dataclass(frozen=True, slots=True)
class ProbingPolicy:
    """From what count on a pattern is told; the settings say what each is.

    ``window`` is for how many seconds calls are counted together, from the first one on; ``quiet`` how many seconds
    pass at least between two alerts of one pattern for the same client or identity.
    """

    window: int = 86_400
    quiet: int = 3_600
    guesses_of_a_number: int = 8
    neighbours: int = 12
    numbers_of_a_person: int = 300
    numbers_of_a_system: int = 20_000
    unsuccessful: int = 50
    unsuccessful_part: float = 0.5
    postcodes_of_a_search: int = 8
    postcode_pairs: int = 20
    values_of_a_field: int = 10


@immutable
class Answered(Masked):
    """A request that got its business answer.

    ``client`` is the name of the calling system, ``identity`` all ids of the audit identity, ``attended`` whether a
    person asked, and not a system for many.
    """

    exchange_id: str
    client: str
    identity: tuple[AuditId, ...]
    attended: bool
    request: ServiceRequest
    code: ResponseCode


@dataclass(frozen=True, slots=True)
class Finding:
    """A pattern whose count has come so far that somebody should look."""

    pattern: Pattern
    count: int


class ProbingWatch(Protocol):
    """Who counts answered requests, for all workers of a host."""

    def note(self, answered: Answered) -> None:
        """Count a request, and alert where a pattern is complete. Never raises, and returns at once. Thread-safe."""
        ...
