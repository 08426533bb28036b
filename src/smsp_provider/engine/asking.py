"""Runs a service's procedure against a connector: intent on record first, every answer through the gate.

The order is the safety argument (safety.md sections 3 and 5): no query leaves before its intent is durable, no answer
reaches a procedure before the gate admitted it, and no outcome leaves that the gate did not release.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

from smsp_provider.domain.failures import QueryNotBuilt, Refused, SpineFailure, Unreadable
from smsp_provider.domain.gate import AdmittedAnswer, Declined, Found, GateRefusal, Step, admit, release
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.requests import ByNumber, ServiceRequest
from smsp_provider.domain.spine_answers import Acknowledgement, DetectedIssue, ExchangeIds
from smsp_provider.domain.spine_queries import SpineQuery
from smsp_provider.engine.admission import Leave
from smsp_provider.engine.ports import Deadline, SpineConnector, SpineSender
from smsp_provider.services.by_number import answer_by_number
from smsp_provider.services.by_search import answer_by_search
from smsp_provider.services.procedure import Policy

__all__ = ["Inquiry", "inquire"]


@dataclass(slots=True)
class Inquiry:
    """What happened while asking, whatever the end: filled as it goes, so that a failure leaves its traces too.

    ``exchanges`` are the message ids of every exchange with Spine; ``declined`` the reasons of each refusal by PDS;
    ``sensitive`` tells that a sensitive record was touched (IG-ALERT-2.26).
    """

    exchanges: list[ExchangeIds] = field(default_factory=list)
    declined: list[tuple[DetectedIssue, ...]] = field(default_factory=list)
    sensitive: bool = False
    asked: bool = False


def inquire(
    request: ServiceRequest,
    policy: Policy,
    connector: SpineConnector,
    sender: SpineSender,
    deadline: Deadline,
    leave: Leave,
    before_first_query: Callable[[], None],
    inquiry: Inquiry,
) -> Outcome:
    """Answer a request by asking Spine, and have the gate judge the outcome.

    Each query waits for its turn by ``leave``, the first one before there is an intent: who gets no turn asks nothing.
    ``before_first_query`` puts the intent on record and raises when it cannot.

    Raises:
        SpineFailure: asking failed.
        GateRefusal: an answer or the outcome may not be used.
    """
    procedure = (
        answer_by_number(request, policy) if isinstance(request, ByNumber) else answer_by_search(request, policy)
    )
    steps: list[Step] = []
    try:
        query = next(procedure)
        while True:
            answer = _ask(query, connector, sender, deadline, leave, before_first_query, inquiry)
            steps.append(Step(query, answer))
            query = procedure.send(answer)
    except StopIteration as end:
        outcome: Outcome = end.value
    except GateRefusal:
        connector.close_idle()
        raise
    try:
        release(request, tuple(steps), outcome, policy.today)
    except GateRefusal:
        connector.close_idle()
        raise
    return outcome


def _ask(
    query: SpineQuery,
    connector: SpineConnector,
    sender: SpineSender,
    deadline: Deadline,
    leave: Leave,
    before_first_query: Callable[[], None],
    inquiry: Inquiry,
) -> AdmittedAnswer:
    if not connector.can_ask(query):
        raise QueryNotBuilt(f"the connector has no way to ask a {type(query).__name__}")
    # Leave is for asking Spine: what it has said already is used without.
    at_hand = inquiry.asked and connector.has_at_hand(query, sender, deadline)
    try:
        with nullcontext() if at_hand else leave.query():
            if not inquiry.asked:
                before_first_query()
                inquiry.asked = True
            answer = connector.ask(query, sender, deadline)
    except SpineFailure as failure:
        if failure.exchange is not None:
            inquiry.exchanges.append(failure.exchange)
        if isinstance(failure, Unreadable):
            # It may be another question's answer: what is still on its way on these connections is nobody's.
            connector.close_idle()
        raise
    inquiry.exchanges.append(answer.exchange)
    admitted = admit(query, answer)
    if answer.acknowledgement is Acknowledgement.REJECTED:
        # Its details are of Spine's vocabulary of faults, not reasons of PDS that the code map could know.
        raise Refused("acknowledgement AR")
    if isinstance(admitted, Declined):
        inquiry.declined.append(admitted.issues)
    if isinstance(admitted, Found) and admitted.record.is_sensitive:
        inquiry.sensitive = True
    return admitted
