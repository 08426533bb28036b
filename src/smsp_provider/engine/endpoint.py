"""The engine as the web edge sees it: bytes in, bytes out, in two steps so that a dispatcher can route in between."""

from typing import Protocol, TypeVar

from smsp_provider.domain.service import Service
from smsp_provider.engine.exchange import InboundExchange, Peer, Reply

__all__ = ["ReceivedRequest", "SoapEndpoint"]


class ReceivedRequest(Protocol):
    """A SOAP request whose envelope and addressing are in order."""

    @property
    def service(self) -> Service:
        """The mini service that its action names."""
        ...


R = TypeVar("R", bound=ReceivedRequest)


class SoapEndpoint(Protocol[R]):
    """What a web adapter calls; ``R`` is the endpoint's own kind of received request."""

    def receive(self, exchange: InboundExchange) -> R:
        """Read the envelope and find the service.

        Raises:
            ToolkitFault: the message cannot be taken; hand it to :meth:`refuse`.
        """
        ...

    def answer(self, received: R) -> Reply:
        """Answer a received request; every ending is audited, and nothing is raised."""
        ...

    def refuse(self, exchange: InboundExchange, error: Exception) -> Reply:
        """Turn a fault, or any other exception, into an audited fault reply; nothing is raised."""
        ...

    def note_below(self, peer: Peer, status: int) -> None:
        """Take note of a request that was refused below SOAP, with an HTTP status alone; nothing is raised."""
        ...
