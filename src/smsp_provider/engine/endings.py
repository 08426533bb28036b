"""How an exchange ends, as the audit trail and the operators are told: made from what is known of the exchange."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from smsp_provider.audit.events import Ending, EndingKind, FaultFacts, PatientFacts, RequestFacts, Source
from smsp_provider.audit.operator_events import RequestAnswered
from smsp_provider.domain.faults import ToolkitFault
from smsp_provider.domain.identifiers import is_uuid
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.asking import Inquiry
from smsp_provider.engine.exchange import Peer
from smsp_provider.engine.refusals import RefusedRequest
from smsp_provider.engine.repeats import MessageUse

__all__ = ["Exchange", "answered", "event_of", "faulted", "refused"]

_NOBODY: Final = PatientFacts()


@dataclass(slots=True)
class Exchange:
    """What every ending needs: which exchange, since when, and what is known about its request.

    ``size`` are the bytes of its body; ``stranger`` is who sent it, where nobody knows whose request it is.
    """

    exchange_id: str
    started: float
    url: str
    message_id: str | None
    facts: RequestFacts
    inquiry: Inquiry
    use: MessageUse | None = None
    size: int = 0
    stranger: Peer | None = None


def answered(exchange: Exchange, at: datetime, ms: int, outcome: Outcome, wire_code: str, message_id: str) -> Ending:
    """A business answer, after ``ms`` milliseconds, in the message ``message_id``."""
    inquiry, facts = exchange.inquiry, exchange.facts
    return Ending(
        exchange.exchange_id,
        at,
        EndingKind.ANSWERED,
        ms,
        source=Source.SPINE if inquiry.asked else Source.NONE,
        request=None if inquiry.asked else facts,
        service=facts.service if inquiry.asked else None,
        client=facts.client if inquiry.asked else None,
        response_code=outcome.code,
        wire_code=wire_code,
        reason=outcome.reason,
        reply_message_id=message_id,
        spine=tuple(inquiry.exchanges),
        patient=PatientFacts(
            nhs_number=outcome.nhs_number,
            evidence=outcome.evidence,
            superseded=outcome.code is ResponseCode.SUPERSEDED,
            sensitive=inquiry.sensitive,
            name_contradiction=outcome.name_contradiction,
            repairs=outcome.repairs,
        ),
    )


def faulted(
    exchange: Exchange,
    at: datetime,
    ms: int,
    kind: EndingKind,
    fault: ToolkitFault,
    error_id: str,
    message_id: str,
    reason: str,
) -> Ending:
    """A fault; ``reason`` is for the audit alone, where it says more than the fault does."""
    inquiry, facts = exchange.inquiry, exchange.facts
    return Ending(
        exchange.exchange_id,
        at,
        EndingKind.REFUSED if exchange.stranger is not None and kind is EndingKind.FAULT else kind,
        ms,
        source=Source.SPINE if inquiry.asked else Source.NONE,
        request=None if inquiry.asked else facts,
        service=facts.service if inquiry.asked else None,
        client=facts.client if inquiry.asked else None,
        fault=FaultFacts(fault.faultcode, fault.error_code, error_id, fault.rule),
        reason=reason or fault.reason,
        reply_message_id=message_id,
        spine=tuple(inquiry.exchanges),
        patient=PatientFacts(sensitive=True) if inquiry.sensitive else _NOBODY,
    )


def refused(exchange: Exchange, fault: ToolkitFault, error_id: str) -> RefusedRequest | None:
    """The request as one to be counted, where nobody knows whose it is."""
    if exchange.stranger is None:
        return None
    return RefusedRequest(exchange.stranger, fault.error_code.value, fault.rule, exchange.exchange_id, error_id)


def event_of(exchange: Exchange, ms: int, code: str, status: int, error_id: str | None) -> RequestAnswered:
    """What operators are told: ``code`` is that of the answer or of the fault, ``error_id`` the fault's."""
    message_id = exchange.message_id
    # That of a request whose addressing was read is a UUID; that of a refused one may be anything.
    if exchange.use is None and message_id is not None and not is_uuid(message_id):
        message_id = None
    # By their places: a class is called with names at twice the price.
    return RequestAnswered(
        exchange.exchange_id,
        message_id,
        exchange.facts.username,
        exchange.facts.service,
        code,
        status,
        ms,
        len(exchange.inquiry.exchanges),
        error_id,
        exchange.size,
    )
