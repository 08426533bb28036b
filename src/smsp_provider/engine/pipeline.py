"""The life of a request, from bytes to bytes; every ending is put on record before it leaves.

Business outcomes are response codes, technical errors are SOAP faults (SMSP-ERR-001). Where an ending cannot be made
durable in the audit trail, the answer is fault 2100 and carries nothing of a patient (anchors.md decision 5).
"""

from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from smsp_provider.audit.events import EndingKind, Intent, RequestFacts
from smsp_provider.audit.operator_events import Alert, AlertKind, InputRefused, Observer
from smsp_provider.audit.trail import AuditTrail, AuditUnavailable
from smsp_provider.domain.audit_identity import AuthorRefused
from smsp_provider.domain.faults import ErrorCode, ToolkitFault, provider_failure, try_again
from smsp_provider.domain.gate import GateRefusal, Outgoing, check_outgoing
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.outcomes import Outcome
from smsp_provider.domain.requests import InputInvalid, ServiceRequest
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.admission import Admission, Busy, Turn
from smsp_provider.engine.asking import Inquiry, inquire
from smsp_provider.engine.disposition import Disposition, dispose
from smsp_provider.engine.endings import Exchange, answered, event_of, faulted, refused
from smsp_provider.engine.entrance import Entrance
from smsp_provider.engine.exchange import InboundExchange, Peer, Reply
from smsp_provider.engine.policy import EnginePolicy
from smsp_provider.engine.ports import (
    ClientRegistry,
    Clock,
    Deadline,
    IdSource,
    ReplayMemory,
    SpineConnector,
)
from smsp_provider.engine.probing import Answered, ProbingWatch
from smsp_provider.engine.refusals import RefusalLedger
from smsp_provider.engine.repeats import MessageUse, Repeats
from smsp_provider.engine.stages import Received, Stopped, Understood, receive, understand
from smsp_provider.engine.under_way import UnderWay
from smsp_provider.itk.read_back import read_back
from smsp_provider.itk.response import ResponseIds, build_response
from smsp_provider.services.procedure import Policy
from smsp_provider.soap.addressing import find_message_id
from smsp_provider.soap.envelope import header_blocks_in
from smsp_provider.soap.fault import build_fault
from smsp_provider.xmlcore.schemas import Schemas

__all__ = ["Pipeline"]

_LONDON: Final = ZoneInfo("Europe/London")
"""Where "today" is for PDS (pds-services.md)."""

_HOUR_SECONDS: Final = 3600
_MILLISECONDS: Final = 1000
_OK: Final = 200


class Pipeline:
    """The engine behind every web adapter (:class:`smsp_provider.engine.endpoint.SoapEndpoint`)."""

    def __init__(
        self,
        *,
        policy: EnginePolicy,
        schemas: Schemas,
        connector: SpineConnector,
        audit: AuditTrail,
        observer: Observer,
        replay: ReplayMemory,
        clock: Clock,
        ids: IdSource,
        admission: Admission,
        registry: ClientRegistry | None = None,
        probing: ProbingWatch | None = None,
        refusals: RefusalLedger | None = None,
    ) -> None:
        self._policy: Final = policy
        self._entrance: Final = Entrance(registry, policy.security)
        self._schemas: Final = schemas
        self._connector: Final = connector
        self._audit: Final = audit
        self._observer: Final = observer
        self._repeats: Final = Repeats(replay, observer, reject=policy.reject_repeats)
        self._clock: Final = clock
        self._ids: Final = ids
        self._admission: Final = admission
        self._probing: Final = probing
        self._refusals: Final = refusals

    def receive(self, exchange: InboundExchange) -> Received:
        """Read envelope and addressing, and find the service.

        Raises:
            ToolkitFault: the message cannot be taken; hand it to :meth:`refuse`.
        """
        return receive(
            exchange,
            self._policy,
            exchange_id=self._ids.new_uuid(),
            arrived=self._clock.now(),
            started=self._clock.monotonic() - exchange.waited_s,
        )

    def answer(self, received: Received) -> Reply:
        """Answer a received request; every ending is audited, and nothing is raised."""
        under_way = UnderWay(self._admission)
        try:
            return self._answer(received, under_way)
        finally:
            under_way.end()

    def _answer(self, received: Received, under_way: UnderWay) -> Reply:
        today = _day_in_london(int(received.arrived.timestamp()) // _HOUR_SECONDS)
        use = self._repeats.use(received.exchange_id, received.addressing.message_id, received.arrived)
        try:
            understood = understand(
                received,
                self._policy,
                self._entrance,
                self._schemas,
                today,
                under_way.admit,
                use.is_repeat,
            )
        except Stopped as stopped:
            ended = self._exchange(received, stopped.facts, use)
            ended.stranger = received.exchange.peer if stopped.is_stranger else None
            return self._answer_stopped(received, ended, stopped.cause)
        except Exception as crash:  # noqa: BLE001 - the last resort before the payload is understood
            return self.refuse(received.exchange, crash)
        exchange = self._exchange(received, understood.facts, use)
        try:
            return self._answer_understood(received, understood, exchange, today)
        except AuditUnavailable as unavailable:
            return self._unrecorded(exchange, unavailable)
        except Exception as crash:  # noqa: BLE001 - the last resort: a response that cannot even be built
            return self._end_with_fault(exchange, _broken(crash), EndingKind.CRASHED)

    def refuse(self, exchange: InboundExchange, error: Exception) -> Reply:
        """Turn a fault, or any other exception, into an audited fault reply; nothing is raised."""
        peer, message_id = exchange.peer, find_message_id(header_blocks_in(exchange.body))
        client = self._entrance.name_behind(peer, self._clock.now())
        ended = Exchange(
            self._ids.new_uuid(),
            self._clock.monotonic(),
            exchange.url,
            message_id,
            RequestFacts(
                address=peer.address,
                common_name=peer.common_name,
                certificate=peer.certificate.fingerprint if peer.certificate is not None else None,
                client=client,
                message_id=message_id,
            ),
            Inquiry(),
            stranger=peer if client is None else None,
            size=len(exchange.body),
        )
        if isinstance(error, ToolkitFault):
            return self._end_with_fault(ended, error, EndingKind.FAULT)
        return self._end_with_fault(ended, _broken(error), EndingKind.CRASHED)

    @staticmethod
    def _exchange(received: Received, facts: RequestFacts, use: MessageUse) -> Exchange:
        return Exchange(
            received.exchange_id,
            received.started,
            received.exchange.url,
            received.addressing.message_id,
            facts,
            Inquiry(),
            use,
            len(received.exchange.body),
        )

    def _answer_stopped(self, received: Received, exchange: Exchange, cause: Exception) -> Reply:
        if isinstance(cause, ToolkitFault):
            return self._end_with_fault(exchange, cause, EndingKind.FAULT)
        if not isinstance(cause, InputInvalid | AuthorRefused):
            return self._end_with_fault(exchange, _broken(cause), EndingKind.CRASHED)
        try:
            return self._end_with_failure(received, exchange, None, dispose(cause))
        except AuditUnavailable as unavailable:
            return self._unrecorded(exchange, unavailable)
        except Exception as crash:  # noqa: BLE001 - the last resort: a response that cannot even be built
            return self._end_with_fault(exchange, _broken(crash), EndingKind.CRASHED)

    def _answer_understood(
        self, received: Received, understood: Understood, exchange: Exchange, today: HL7Date
    ) -> Reply:
        def before_first_query() -> None:
            self._audit.open_intent(
                Intent(
                    exchange.exchange_id,
                    self._clock.now(),
                    understood.facts,
                    understood.sender.asid,
                    understood.sender.author,
                )
            )

        deadline = Deadline(received.started + self._policy.request_seconds)
        try:
            with self._admission.admit_inquiry(Turn(understood.client, understood.attended, deadline)) as leave:
                outcome = inquire(
                    understood.request,
                    Policy(self._policy.code_map, today, self._policy.confirm_trace),
                    self._connector,
                    understood.sender,
                    deadline,
                    leave,
                    before_first_query,
                    exchange.inquiry,
                )
        except AuditUnavailable:
            raise
        except Exception as failure:  # noqa: BLE001 - the payload is understood: SMSP-9999 unless the table knows it
            return self._end_with_failure(received, exchange, understood.request, dispose(failure))
        reply = self._end_with_outcome(received, exchange, understood.request, outcome)
        self._watch(understood, exchange, outcome)
        return reply

    def _watch(self, understood: Understood, exchange: Exchange, outcome: Outcome) -> None:
        """Count what was asked and what came of it, in case somebody guesses."""
        if self._probing is not None:
            facts = exchange.facts
            self._probing.note(
                Answered(
                    exchange.exchange_id,
                    facts.client or facts.username or understood.client,
                    facts.audit_ids,
                    understood.attended,
                    understood.request,
                    outcome.code,
                )
            )

    def _end_with_failure(
        self, received: Received, exchange: Exchange, request: ServiceRequest | None, disposition: Disposition
    ) -> Reply:
        if disposition.code is None:
            fault = Busy(disposition.reason, disposition.retry_after).as_fault()
            return self._end_with_fault(exchange, fault, EndingKind.FAULT, disposition.reason)
        if disposition.alert is not None:
            self._alert(disposition.alert, exchange, disposition.reason)
        if disposition.code is ResponseCode.INPUT_INVALID or disposition.code is ResponseCode.AUTHOR_REFUSED:
            self._observer.notify(InputRefused(exchange.exchange_id, received.service, disposition.reason))
        outcome = Outcome.without_data(disposition.code, disposition.reason)
        return self._end_with_outcome(received, exchange, request, outcome)

    def _end_with_outcome(
        self, received: Received, exchange: Exchange, request: ServiceRequest | None, outcome: Outcome
    ) -> Reply:
        """Write the response, read it again as the caller will, record the ending, and only then let it go (W10)."""
        message_id = self._ids.new_uuid()
        try:
            document = self._written(received, request, outcome, message_id)
        except GateRefusal as refusal:
            disposition = dispose(refusal)
            self._alert(AlertKind.GATE_REFUSED, exchange, disposition.reason)
            outcome = Outcome.without_data(ResponseCode.ANSWER_UNUSABLE, disposition.reason)
            document = self._written(received, request, outcome, message_id)
        wire_code = self._policy.vocabulary.wire_code(outcome.code, truncated=outcome.is_truncated)
        now, ms = self._clock.now(), self._elapsed_ms(exchange)
        self._audit.close(answered(exchange, now, ms, outcome, wire_code, message_id))
        self._tell_of_sensitivity(exchange)
        if exchange.inquiry.declined:
            self._tell_of_unmapped(exchange)
        self._notify(exchange, wire_code, _OK)
        return Reply(_OK, document)

    def _end_with_fault(self, exchange: Exchange, fault: ToolkitFault, kind: EndingKind, reason: str = "") -> Reply:
        """Write the fault and record it; a fault that cannot be recorded becomes fault 2100."""
        error_id, message_id = self._ids.new_uuid(), self._ids.new_uuid()
        stranger = refused(exchange, fault, error_id)
        if stranger is not None and self._refusals is not None and self._refusals.count(stranger):
            return self._faulted(exchange, fault, error_id, message_id, kind)
        now, ms = self._clock.now(), self._elapsed_ms(exchange)
        try:
            self._audit.close(faulted(exchange, now, ms, kind, fault, error_id, message_id, reason))
        except AuditUnavailable as unavailable:
            return self._unrecorded(exchange, unavailable)
        if stranger is not None and self._refusals is not None:
            self._refusals.begin(stranger)
        self._tell_of_sensitivity(exchange)
        return self._faulted(exchange, fault, error_id, message_id, kind)

    def _unrecorded(self, exchange: Exchange, unavailable: AuditUnavailable) -> Reply:
        """Nothing is answered that is not on record: fault 2100, and the operator is told."""
        self._alert(AlertKind.AUDIT_UNAVAILABLE, exchange, unavailable.reason)
        self._tell_of_sensitivity(exchange)
        fault = try_again(
            "The service is not available at the moment, try again later",
            rule="SMSP-AUDIT-001",
            diagnostic="The audit trail cannot be written.",
        )
        return self._faulted(exchange, fault, self._ids.new_uuid(), self._ids.new_uuid(), EndingKind.FAULT)

    def _tell_of_sensitivity(self, exchange: Exchange) -> None:
        """The attempt counts, whatever came of it (IG-ALERT-2.26)."""
        if exchange.inquiry.sensitive:
            self._alert(AlertKind.SENSITIVE_RECORD, exchange, "IG-ALERT-2.26")

    def _tell_of_unmapped(self, exchange: Exchange) -> None:
        unmapped = tuple(
            code for issues in exchange.inquiry.declined for code in self._policy.code_map.unmapped(issues)
        )
        if unmapped:
            self._observer.notify(
                Alert(
                    AlertKind.UNMAPPED_PDS_CODE,
                    exchange.exchange_id,
                    "PDS gave a code that the map does not know",
                    codes=unmapped,
                )
            )

    def _faulted(
        self, exchange: Exchange, fault: ToolkitFault, error_id: str, message_id: str, kind: EndingKind
    ) -> Reply:
        if kind is EndingKind.CRASHED:
            self._alert(AlertKind.UNEXPECTED_FAILURE, exchange, fault.diagnostic)
        if fault.error_code is ErrorCode.TRY_AGAIN and exchange.use is not None:
            exchange.use.allow_again()
        body = build_fault(
            fault,
            error_id=error_id,
            message_id=message_id,
            relates_to=exchange.message_id,
            endpoint_url=exchange.url,
        )
        self._notify(exchange, fault.error_code.value, fault.status, error_id)
        headers = (("Retry-After", str(fault.retry_after)),) if fault.retry_after is not None else ()
        return Reply(fault.status, body, headers=headers)

    def _written(self, received: Received, request: ServiceRequest | None, outcome: Outcome, message_id: str) -> bytes:
        """The response's bytes, judged as they are read again (W10).

        Raises:
            GateRefusal: the bytes are not valid, or say something else than the outcome.
        """
        relates_to = received.addressing.message_id
        local_identifier = request.local_identifier if request is not None else None
        document = build_response(
            received.service,
            outcome,
            ids=ResponseIds(message_id, self._ids.new_uuid(), self._ids.new_uuid()),
            relates_to=relates_to,
            vocabulary=self._policy.vocabulary,
            local_identifier=local_identifier,
        )
        said = read_back(document, received.service, self._schemas)
        if not said.valid:
            raise GateRefusal("W10", "the response is not valid: " + "; ".join(said.findings))
        check_outgoing(
            outcome,
            Outgoing(said.nhs_numbers, said.local_identifier, said.relates_to, said.date_of_birth),
            request_message_id=relates_to,
            local_identifier=local_identifier,
        )
        return document

    def _elapsed_ms(self, exchange: Exchange) -> int:
        return round((self._clock.monotonic() - exchange.started) * _MILLISECONDS)

    def _alert(self, kind: AlertKind, exchange: Exchange, reason: str) -> None:
        self._observer.notify(Alert(kind, exchange.exchange_id, reason))

    def _notify(self, exchange: Exchange, code: str, status: int, error_id: str | None = None) -> None:
        self._observer.notify(event_of(exchange, self._elapsed_ms(exchange), code, status, error_id))

    def note_below(self, peer: Peer, status: int) -> None:
        """Take note of a request that was refused below SOAP, with an HTTP status alone; nothing is raised."""
        if self._refusals is not None:
            self._refusals.count_below(peer, status)


@lru_cache(maxsize=4)
def _day_in_london(hour: int) -> HL7Date:
    """The day there in an hour (UTC, since 1970): days begin, and the clock changes, with a full hour."""
    return HL7Date.of(datetime.fromtimestamp(hour * _HOUR_SECONDS, _LONDON).date())


def _broken(crash: Exception) -> ToolkitFault:
    """A fault for what should not have happened; it names the type only, because a message can hold anything."""
    return provider_failure(
        "The service failed to process the message", rule="WS-FDT-02", diagnostic=f"Unexpected {type(crash).__name__}."
    )
