"""One request in, one reply out: reading, deciding, going wrong on purpose, writing. No socket is known here."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from smsp_provider.simulator.answers import AnswerContext, AnswerKind, MutateAnswer
from smsp_provider.simulator.clock import SpineClock, london_day, utc_now
from smsp_provider.simulator.faults import Fault, FaultKind, FaultPlan
from smsp_provider.simulator.inbound import RETRIEVAL, SIMPLE_TRACE, BadRequest, read_request
from smsp_provider.simulator.messages import write_answer, write_soap_fault
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.queries import InvalidQuery, SpineRequest
from smsp_provider.simulator.reasons import errors
from smsp_provider.simulator.trace import Finding, decide, names_number
from smsp_provider.xmlcore.build import document

__all__ = ["ENDINGS", "HTML_PAGE", "Ending", "Reply", "Spine", "damaged"]

XML_TYPE: Final = "text/xml; charset=utf-8"

HTML_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>Proxy</title></head>"
    b"<body><h1>The page cannot be shown</h1><p>The gateway has no answer for you.</p></body></html>\n"
)
_REFUSING: Final = {
    FaultKind.REFUSAL: AnswerKind.REFUSAL,
    FaultKind.GENERAL_REFUSAL: AnswerKind.GENERAL_REFUSAL,
    FaultKind.REJECTION: AnswerKind.REJECTION,
}


class Ending(Enum):
    """What becomes of the connection."""

    KEEP = "keep"
    """The reply is sent and the connection stays."""
    RESET = "reset"
    """Nothing is sent; the connection is reset."""
    CUT = "cut"
    """Half of the reply is sent, then the connection is reset."""
    TWICE = "twice"
    """The reply is sent two times and the connection stays."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, and how it is sent: after ``wait`` more seconds, and with which ending."""

    status: int
    content_type: str
    body: bytes
    wait: float = 0.0
    ending: Ending = Ending.KEEP
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Spine:
    """The embedded Spine without a network.

    ``wait`` is called for a delay in seconds. ``mutate_answer`` sees and may change every answer before it is written.
    ``calls`` counts the readable requests by interaction.
    """

    store: PatientStore
    faults: FaultPlan = field(default_factory=FaultPlan)
    clock: SpineClock = utc_now
    wait: Callable[[float], None] = lambda _: None
    mutate_answer: MutateAnswer | None = None
    calls: Counter[str] = field(default_factory=Counter)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: bytes, soap_action: str | None) -> Reply:
        """Answer one request; ``soap_action`` is the HTTP header, or None where it was not sent."""
        try:
            request = read_request(body, soap_action)
        except BadRequest as bad:
            return Reply(500, XML_TYPE, write_soap_fault((bad.code,), bad.problem))
        with self._counting:
            self.calls[request.interaction.request] += 1
        finding = self._finding(request)
        fault = self._fault(request, finding)
        if fault is None:
            return self._reply(self._context(request, finding))
        if fault.kind is FaultKind.DELAY:
            self.wait(fault.seconds)
            # Decided again: a delayed query sees the store as it is when it gets its turn.
            return self._reply(self._context(request, self._finding(request)))
        return self._faulty_reply(fault, self._context(request, finding))

    def _finding(self, request: SpineRequest) -> Finding:
        if isinstance(request.query, InvalidQuery):
            return Finding(errors(request.query.code))
        return decide(self.store, request.query, london_day(self.clock()))

    def _fault(self, request: SpineRequest, finding: Finding) -> Fault | None:
        """The fault planned for this call, or the one of the patient it is about."""
        interaction = request.interaction.request
        planned = self.faults.take(interaction)
        subject = finding.subject
        if planned is not None or subject is None:
            return planned
        own = self.faults.of_patient(subject) or self._recorded_fault(subject)
        return own if own is not None and own.applies_to(interaction) else None

    def _recorded_fault(self, nhs_number: str) -> Fault | None:
        patient = self.store.get(nhs_number)
        return None if patient is None else patient.fault

    @staticmethod
    def _context(request: SpineRequest, finding: Finding) -> AnswerContext:
        return AnswerContext(
            request,
            AnswerKind.REFUSAL if finding.record is None else AnswerKind.POSITIVE,
            request.interaction.answer,
            relates_to=request.message_id,
            message_ref=request.hl7_id,
            reasons=finding.reasons,
            record=finding.record,
            replaced=finding.replaced,
        )

    def _reply(self, context: AnswerContext) -> Reply:
        return Reply(200, XML_TYPE, document([self._written(context)]))

    def _written(self, context: AnswerContext) -> str:
        if self.mutate_answer is not None:
            context = self.mutate_answer(context)
        return write_answer(context, str(uuid.uuid4()).upper(), self.clock())

    # --- going wrong --------------------------------------------------------------------------------------------------

    def _faulty_reply(self, fault: Fault, context: AnswerContext) -> Reply:
        kind = fault.kind
        if kind is FaultKind.HTTP_STATUS:
            return Reply(fault.http_status, "text/plain; charset=utf-8", b"The embedded Spine was told to fail.\n")
        if kind is FaultKind.HTML:
            return Reply(fault.http_status, "text/html; charset=utf-8", HTML_PAGE)
        if kind is FaultKind.SOAP_FAULT:
            return Reply(500, XML_TYPE, write_soap_fault(fault.error_codes, "a fault was asked for"))
        if kind in _REFUSING:
            refused = replace(context, kind=_REFUSING[kind], reasons=errors(*fault.error_codes), record=None)
            return self._reply(refused)
        return damaged(fault, self._reply(self._lie(fault, context)))

    def _lie(self, fault: Fault, context: AnswerContext) -> AnswerContext:
        """The answer with something wrong in what it says, for the kinds that mean this."""
        if fault.kind is FaultKind.WRONG_PATIENT:
            return self._of_another(fault, context)
        if fault.kind is FaultKind.UNCORRELATED:
            return replace(context, relates_to=f"uuid:{_new_id()}", message_ref=_new_id())
        if fault.kind is FaultKind.WRONG_INTERACTION:
            other = SIMPLE_TRACE if context.interaction == RETRIEVAL.answer else RETRIEVAL
            return replace(context, interaction=other.answer)
        return context

    def _of_another(self, fault: Fault, context: AnswerContext) -> AnswerContext:
        """The same answer about somebody else; unchanged where there is nobody else."""
        query = context.request.query
        asked = None if isinstance(query, InvalidQuery) else names_number(query)
        own = context.record.nhs_number if context.record is not None else asked or ""
        other = self.store.get(fault.nhs_number) if fault.nhs_number is not None else self.store.another(own)
        if other is None:
            return context
        seen = other.seen_by_query(london_day(self.clock()), history=False)
        return replace(context, kind=AnswerKind.POSITIVE, record=seen, replaced=(), reasons=())


def damaged(fault: Fault, good: Reply) -> Reply:
    """The reply with something wrong in its bytes or its sending, for the kinds that mean this."""
    kind = fault.kind
    if kind is FaultKind.WRONG_CHARSET:
        return replace(good, body=good.body.decode("utf-8").encode("utf-16"))
    if kind is FaultKind.TRUNCATED_XML:
        return replace(good, body=good.body[: len(good.body) // 2])
    if kind is FaultKind.LATE:
        return replace(good, wait=fault.seconds)
    return replace(good, ending=ENDINGS.get(kind, Ending.KEEP))


ENDINGS: Final = {
    FaultKind.DROP_AFTER_READING: Ending.RESET,
    # Met here only in a patient's record, where the call has been read: the nearest thing that can still be done.
    FaultKind.DROP_BEFORE_READING: Ending.RESET,
    FaultKind.CUT: Ending.CUT,
    FaultKind.DUPLICATED: Ending.TWICE,
}


def _new_id() -> str:
    return str(uuid.uuid4()).upper()
