"""What an answer will say, before it is written: the place where a test, or a fault, can make it lie."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from smsp_provider.simulator.queries import SpineRequest
from smsp_provider.simulator.reasons import Reason
from smsp_provider.simulator.records import SpinePatient
from smsp_provider.simulator.trace import Replaced

__all__ = ["AnswerContext", "AnswerKind", "MutateAnswer"]


class AnswerKind(Enum):
    """Which message answers."""

    POSITIVE = "positive"
    """The positive answer of the query."""
    REFUSAL = "QUQI_IN010000UK14"
    """A business refusal."""
    GENERAL_REFUSAL = "MCCI_IN010000UK13"
    """A refusal of the message itself, acknowledgement AE."""
    REJECTION = "MCCI_IN010000UK13 AR"
    """A rejection of the message, acknowledgement AR, its reasons as acknowledgement details."""


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """Everything an answer is written from.

    ``relates_to`` and ``message_ref`` are the ids that it claims to answer (SOAP and HL7); ``interaction`` is the
    positive answer's name. ``record`` is None in every kind but POSITIVE.
    """

    request: SpineRequest
    kind: AnswerKind
    interaction: str
    relates_to: str
    message_ref: str
    reasons: tuple[Reason, ...] = ()
    record: SpinePatient | None = None
    replaced: tuple[Replaced, ...] = ()


MutateAnswer = Callable[[AnswerContext], AnswerContext]
"""A hook that sees every answer before it is written, and returns what is to be written."""
