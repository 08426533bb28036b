"""The interactions with PDS by name: which query is asked by which message and answered by which.

Source: HL7 V3 pack (pds-hl7v3.md, section 1); MIM 6.2.02 as SMSP-MESSAGES-001 recommends.
"""

from dataclasses import dataclass
from typing import Final

from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace, SpineQuery

__all__ = [
    "ADVANCED_TRACE",
    "ANSWERS",
    "CROSS_CHECK_TRACE",
    "REFUSALS",
    "RETRIEVAL",
    "SERVICE",
    "SIMPLE_TRACE",
    "Interaction",
    "interaction_of",
    "soap_action",
]

SERVICE: Final = "urn:nhs:names:services:pdsquery"
"""The Spine service that all PDS queries belong to."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """The message that asks and the message that answers when PDS has something to say."""

    request: str
    answer: str


SIMPLE_TRACE: Final = Interaction("QUPA_IN000005UK01", "QUPA_IN000007UK01")
ADVANCED_TRACE: Final = Interaction("QUPA_IN000006UK02", "QUPA_IN000011UK02")
RETRIEVAL: Final = Interaction("QUPA_IN000008UK02", "QUPA_IN000009UK03")
CROSS_CHECK_TRACE: Final = Interaction("QUPA_IN000014UK01", "QUPA_IN000015UK02")

REFUSALS: Final = frozenset({"QUQI_IN010000UK14", "MCCI_IN010000UK13"})
"""Answers that never carry a patient: the query was refused, or the message as a whole."""

_CONFIRMATION: Final = "QUPA_IN000010UK02"
"""Answers a query this product never sends (confirm NHS number); known so that it is recognised as the wrong one."""

ANSWERS: Final = REFUSALS | {
    SIMPLE_TRACE.answer,
    ADVANCED_TRACE.answer,
    RETRIEVAL.answer,
    CROSS_CHECK_TRACE.answer,
    _CONFIRMATION,
}
"""Every message that PDS answers with."""


_BY_QUERY: Final[dict[type[SpineQuery], Interaction]] = {
    SimpleTrace: SIMPLE_TRACE,
    AdvancedTrace: ADVANCED_TRACE,
    Retrieval: RETRIEVAL,
    CrossCheckTrace: CROSS_CHECK_TRACE,
}


def interaction_of(query: SpineQuery) -> Interaction:
    """The interaction that asks ``query``."""
    return _BY_QUERY[type(query)]


def soap_action(interaction: Interaction) -> str:
    """The value of ``wsa:Action`` and, in quotes, of the HTTP header SOAPAction."""
    return f"{SERVICE}/{interaction.request}"
