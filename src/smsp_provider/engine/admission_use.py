"""What is used of the limits at one moment, for operators: numbers, names of clients, and nothing of a patient."""

from collections.abc import Mapping
from dataclasses import dataclass

from smsp_provider.engine.breaker import Phase

__all__ = ["ClientUse", "ThrottleUse", "Waits"]


@dataclass(frozen=True, slots=True)
class ClientUse:
    """One client: its limits as they were at its last request (None: none), and how much of them is used.

    ``in_flight`` requests are under way; ``in_hand`` more could come at once as far as the rate goes (None: any
    number). ``admitted`` and ``refused`` count since the provider's start.
    """

    name: str
    rate: float | None
    burst: int | None
    concurrency: int | None
    in_flight: int
    in_hand: int | None
    admitted: int
    refused: int


@dataclass(frozen=True, slots=True)
class Waits:
    """How long queries waited for their turn: ``counts`` up to each of the ``bounds`` in seconds, and their sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class ThrottleUse:
    """The whole host: requests at Spine and their limit, queries that wait, the breaker, refusals by reason."""

    in_flight: int
    max_in_flight: int
    waiting: int
    in_hand: int | None
    breaker: Phase
    breaker_opened: int
    draining: bool
    refusals: Mapping[str, int]
    attended: Waits
    unattended: Waits
    clients: tuple[ClientUse, ...]
