"""The Spyne adapter: Spyne dispatches to five operations, the engine reads and writes every message.

Of Spyne's own message handling nothing is used: its parser, type system, contexts' events and faults do not fit ITK
(serving.md section 1). It finds the operation among the published ones and calls it; what goes in and comes out of the
operations are the engine's values. A caller sees no difference to :mod:`smsp_provider.web.wsgi`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from smsp_provider.domain.service import Service
from smsp_provider.engine.endpoint import ReceivedRequest, SoapEndpoint
from smsp_provider.engine.exchange import InboundExchange, Reply
from smsp_provider.observe.logs import quieten_libraries
from smsp_provider.web.edge import Edge, Environ, StartResponse, WSGIApplication
from smsp_provider.web.spyne_compat import (
    AnyXml,
    Application,
    MethodContext,
    ServiceBase,
    Soap11,
    WsgiApplication,
    srpc,
)

__all__ = ["make_app"]

R = TypeVar("R", bound=ReceivedRequest)

_NAMESPACE: Final = "urn:nhs-itk:services:201005"


def make_app(edge: Edge[R]) -> WSGIApplication:
    """A WSGI application that serves ``edge`` through Spyne.

    Spyne's loggers, which would write whole messages, are silenced.
    """
    quieten_libraries()
    application = Application(
        [_operations(edge.endpoint)],
        tns=_NAMESPACE,
        name="PDSMiniServices",
        in_protocol=Soap11(),
        out_protocol=Soap11(),
    )
    return _SpyneApp(application, edge)


def _operations(endpoint: SoapEndpoint[R]) -> type[ServiceBase]:
    """The service class with the five operations under their official names."""
    members = {_python_name(service): _operation(endpoint, service) for service in Service}
    return type("PDSMiniServices", (ServiceBase,), members)


def _operation(endpoint: SoapEndpoint[R], service: Service) -> Callable[..., Any]:
    def operation(received: R) -> Reply:
        return endpoint.answer(received)

    # Spyne tells operations apart by the name of the function.
    operation.__name__ = _python_name(service)
    decorate = srpc(AnyXml, _returns=AnyXml, _body_style="bare", _operation_name=service.value)
    return decorate(operation)  # type: ignore[no-any-return]  # Spyne has no types


def _python_name(service: Service) -> str:
    return service.name.lower()


class _Context(MethodContext):  # type: ignore[misc]  # Spyne has no types
    """A request in Spyne's hands, with what Spyne asks of one to find its operation and to call it.

    Spyne's own constructor sets fifty attributes one by one, for parsers, events and pushers that have no part here.
    """

    # Without Spyne's guard against misspelt attributes, which is a function in Python and runs for each.
    __setattr__ = object.__setattr__

    def __init__(self, operation: str, received: ReceivedRequest) -> None:
        self.method_request_string = operation
        self.in_object = (received,)


class _SpyneApp(WsgiApplication):  # type: ignore[misc]  # Spyne has no types
    """Spyne's WSGI application with the edge in front and the engine behind."""

    def __init__(self, application: Application, edge: Edge[Any]) -> None:
        super().__init__(application)
        self._edge = edge

    def __call__(self, req_env: Environ, start_response: StartResponse, wsgi_url: str | None = None) -> Iterable[bytes]:
        """Answer one request."""
        del wsgi_url
        return self._edge.respond(req_env, start_response, self._dispatch)

    def _dispatch(self, exchange: InboundExchange) -> Reply:
        """Have the engine read the message, and Spyne find and call the operation that it is for."""
        endpoint = self._edge.endpoint
        try:
            received = endpoint.receive(exchange)
            context = _Context(received.service.value, received)
            (context.descriptor,) = self.app.in_protocol.get_call_handles(context)
            reply: Reply = self.app.call_wrapper(context)
        except Exception as error:  # noqa: BLE001 - the endpoint tells faults from crashes and audits both
            return endpoint.refuse(exchange, error)
        return reply
