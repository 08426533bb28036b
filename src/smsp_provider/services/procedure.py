"""What the procedures share: the generator form and the policy they are given."""

from collections.abc import Generator

from smsp_provider.domain.gate import AdmittedAnswer
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.response_codes import PDSCodeMap
from smsp_provider.domain.spine_queries import SpineQuery

__all__ = ["Policy", "Procedure"]

Procedure = Generator[SpineQuery, AdmittedAnswer, Outcome]
"""Yields a query, is sent the answer as the gate admitted it, returns the outcome."""


@immutable
class Policy:
    """What a procedure needs besides the request.

    ``today`` is the current day in Europe/London. ``confirm_trace``: a number that a trace found is retrieved before it
    is given out, so that a wrong number in one answer cannot reach a client.
    """

    code_map: PDSCodeMap
    today: HL7Date
    confirm_trace: bool = True
