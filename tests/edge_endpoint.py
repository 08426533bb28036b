"""A small real endpoint for the tests of the web edge: reads SOAP as the engine does, remembers what it was given."""

from dataclasses import dataclass, field

from smsp_provider.audit.operator_events import OperatorEvent
from smsp_provider.domain.faults import ToolkitFault, provider_failure
from smsp_provider.domain.service import Service
from smsp_provider.engine.exchange import InboundExchange, Peer, Reply
from smsp_provider.itk.services import ServicePaths, select_service
from smsp_provider.soap.addressing import AddressingPolicy, find_message_id, read_addressing
from smsp_provider.soap.envelope import check_must_understand, read_soap
from smsp_provider.soap.fault import build_fault

__all__ = ["EventList", "ReadingEndpoint", "Taken"]

_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Taken:
    """A request that was read, and where it came from."""

    exchange: InboundExchange
    service: Service


@dataclass
class ReadingEndpoint:
    """Answers with the name of the service; keeps nothing of a message but what the tests ask for."""

    answered: list[Service] = field(default_factory=list)
    refused: list[tuple[InboundExchange, Exception]] = field(default_factory=list)
    exchanges: list[InboundExchange] = field(default_factory=list)
    refused_below: list[tuple[Peer, int]] = field(default_factory=list)
    keep: bool = True

    def receive(self, exchange: InboundExchange) -> Taken:
        if self.keep:
            self.exchanges.append(exchange)
        message = read_soap(exchange.body)
        check_must_understand(message)
        addressing = read_addressing(message, exchange.soap_action, AddressingPolicy())
        return Taken(exchange, select_service(addressing.action, exchange.path, ServicePaths()))

    def answer(self, received: Taken) -> Reply:
        if self.keep:
            self.answered.append(received.service)
        return Reply(200, f"<answer>{received.service.value}</answer>".encode())

    def refuse(self, exchange: InboundExchange, error: Exception) -> Reply:
        if self.keep:
            self.refused.append((exchange, error))
        fault = error if isinstance(error, ToolkitFault) else provider_failure("It broke", rule="WS-FDT-02")
        try:
            related = find_message_id(read_soap(exchange.body).header_blocks)
        except ToolkitFault:
            related = None
        body = build_fault(fault, error_id=_ID, message_id=_ID, relates_to=related, endpoint_url=exchange.url)
        return Reply(fault.status, body)

    def note_below(self, peer: Peer, status: int) -> None:
        if self.keep:
            self.refused_below.append((peer, status))


@dataclass
class EventList:
    """An observer that keeps every event."""

    events: list[OperatorEvent] = field(default_factory=list)

    def notify(self, event: OperatorEvent) -> None:
        self.events.append(event)
