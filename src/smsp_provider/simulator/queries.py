"""What a request asked for, as the embedded Spine read it."""

from dataclasses import dataclass

from smsp_provider.domain.masking import Masked

__all__ = ["CrossCheckQuery", "Interaction", "InvalidQuery", "Query", "RetrievalQuery", "SpineRequest", "TraceQuery"]


@dataclass(frozen=True, slots=True)
class Interaction:
    """A query, its positive answer and the element that Spine wraps the answer in."""

    request: str
    answer: str
    wrapper: str


@dataclass(frozen=True, slots=True, repr=False)
class TraceQuery(Masked):
    """The simple trace (QUPA_IN000005UK01)."""

    family: str
    gender: str
    birth_time: str
    given: tuple[str, ...] = ()
    postcode: str | None = None
    address_key: str | None = None
    deceased_time: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class CrossCheckQuery(Masked):
    """The cross-check trace (QUPA_IN000014UK01)."""

    nhs_number: str
    birth_time: str
    family: str | None = None
    given: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class RetrievalQuery(Masked):
    """The retrieval (QUPA_IN000008UK02). Without ``all_data`` only the serial change number is wanted."""

    nhs_number: str
    history: bool = False
    all_data: bool = True


@dataclass(frozen=True, slots=True)
class InvalidQuery:
    """A query in a sound message that PDS refuses to run: ``code`` is the reason, ``problem`` names the rule."""

    code: str
    problem: str


Query = TraceQuery | CrossCheckQuery | RetrievalQuery


@dataclass(frozen=True, slots=True)
class SpineRequest:
    """One request: how it is to be answered, and to whom. Identifiers as they were sent."""

    interaction: Interaction
    message_id: str
    hl7_id: str
    sender_asid: str
    receiver_asid: str
    query: Query | InvalidQuery
