"""Drives the services' procedures by hand, the way the engine does: every answer through the gate, the outcome too."""

from collections.abc import Callable, Iterable
from typing import Final

from core_samples import CODE_MAP, TODAY
from smsp_provider.domain.gate import AdmittedAnswer, Step, admit, release
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.requests import ByNumber, ServiceRequest
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import SpineQuery
from smsp_provider.services.by_number import answer_by_number
from smsp_provider.services.by_search import answer_by_search
from smsp_provider.services.procedure import Policy, Procedure

POLICY: Final = Policy(CODE_MAP, TODAY)
UNCONFIRMED: Final = Policy(CODE_MAP, TODAY, confirm_trace=False)


def procedure_of(request: ServiceRequest, policy: Policy = POLICY) -> Procedure:
    """The procedure that answers a request."""
    return answer_by_number(request, policy) if isinstance(request, ByNumber) else answer_by_search(request, policy)


def drive(
    request: ServiceRequest, reply: Callable[[SpineQuery], SpineAnswer], policy: Policy = POLICY
) -> tuple[Outcome, list[SpineQuery]]:
    """The outcome, as released by the gate, and the queries that were asked for it."""
    procedure = procedure_of(request, policy)
    steps: list[Step] = []
    query = next(procedure)
    while True:
        admitted: AdmittedAnswer = admit(query, reply(query))
        steps.append(Step(query, admitted))
        try:
            query = procedure.send(admitted)
        except StopIteration as end:
            outcome: Outcome = end.value
            release(request, tuple(steps), outcome, policy.today)
            return outcome, [step.query for step in steps]


def answer_with(
    request: ServiceRequest, answers: Iterable[SpineAnswer], policy: Policy = POLICY
) -> tuple[Outcome, list[SpineQuery]]:
    """Like :func:`drive`, with a script: the answers in order, all of which must be used."""
    script = list(answers)
    outcome, queries = drive(request, lambda _: script.pop(0), policy)
    assert not script, "an answer of the script was never asked for"
    return outcome, queries
