"""The engine as the web edge sees it: bytes in, bytes out, in two steps so that a dispatcher can route in between."""

from typing import Protocol

from smsp_provider.domain.service import Service
from smsp_provider.engine.exchange import InboundExchange, Reply

__all__ = ["ReceivedRequest", "SoapEndpoint"]


class ReceivedRequest(Protocol):
    """A SOAP request whose envelope and addressing are in order."""

    @property
    def service(self) -> Service:
        """The mini service that its action names."""
        ...


class SoapEndpoint(Protocol):
    """What a web adapter calls."""

    def receive(self, exchange: InboundExchange) -> ReceivedRequest:
        """Read the envelope and find the service.

        Raises:
            ToolkitFault: the message cannot be taken; hand it to :meth:`refuse`.
        """
        ...

    def answer(self, received: ReceivedRequest) -> Reply:
        """Answer a received request; every ending is audited, and nothing is raised."""
        ...

    def refuse(self, exchange: InboundExchange, error: Exception) -> Reply:
        """Turn a fault, or any other exception, into an audited fault reply; nothing is raised."""
        ...
