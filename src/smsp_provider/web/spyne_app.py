"""The Spyne adapter: Spyne dispatches to five operations, the engine reads and writes every message.

Of Spyne's own message handling nothing is used: its parser, type system and faults do not fit ITK (serving.md
section 1). It finds the operation among the published ones and calls it; what goes in and comes out of the operations
are the engine's values. A caller sees no difference to :mod:`smsp_provider.web.wsgi`.
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
    Fault,
    MethodContext,
    ServiceBase,
    Soap11,
    WsgiApplication,
    const,
    rpc,
)

__all__ = ["make_app"]

R = TypeVar("R", bound=ReceivedRequest)

_NAMESPACE: Final = "urn:nhs-itk:services:201005"


def make_app(edge: Edge[R]) -> WSGIApplication:
    """A WSGI application that serves ``edge`` through Spyne.

    Spyne's loggers, which would write whole messages, are silenced, and so is its garbage collection once a second.
    """
    quieten_libraries()
    const.MIN_GC_INTERVAL = float("inf")
    application = Application(
        [_operations(edge.endpoint)],
        tns=_NAMESPACE,
        name="PDSMiniServices",
        in_protocol=_EngineProtocol(edge),
        out_protocol=_EngineProtocol(edge),
    )
    return _SpyneApp(application, edge)


def _operations(endpoint: SoapEndpoint[R]) -> type[ServiceBase]:
    """The service class with the five operations under their official names."""
    members = {_python_name(service): _operation(endpoint, service) for service in Service}
    return type("PDSMiniServices", (ServiceBase,), members)


def _operation(endpoint: SoapEndpoint[R], service: Service) -> Callable[..., Any]:
    def operation(_context: _Context, received: R) -> Reply:
        return endpoint.answer(received)

    # Spyne tells operations apart by the name of the function.
    operation.__name__ = _python_name(service)
    decorate = rpc(AnyXml, _returns=AnyXml, _body_style="bare", _operation_name=service.value)
    return decorate(operation)  # type: ignore[no-any-return]  # Spyne has no types


def _python_name(service: Service) -> str:
    return service.name.lower()


class _Context(MethodContext):  # type: ignore[misc]  # Spyne has no types
    """A request in Spyne's hands: ``udc`` is the exchange, which holds all that matters of HTTP.

    Without what Spyne does for others: contexts for several handlers of one operation, events, and a guard against
    misspelt attributes, which is a function in Python and runs for each of the fifty attributes of a context.
    """

    TransportContext = None
    __setattr__ = object.__setattr__

    def begin(self, exchange: InboundExchange) -> "_Context":
        """A context for one request, with the attributes of this one, which stands in no request itself.

        One that Spyne makes takes longer: it sets all fifty, one by one. What the two share is never filled: the lists
        of files and pushers, the contexts of events and protocols.
        """
        context = object.__new__(_Context)
        context.__dict__.update(self.__dict__)
        context.udc = exchange
        return context

    def copy(self) -> "_Context":
        """Itself: an operation has one handler, so that there is nothing to keep apart."""
        return self

    def fire_event(self, event: str, *args: object, **kwargs: object) -> None:
        """Nothing: nobody listens to Spyne's events."""


class _Refusal(Fault):  # type: ignore[misc]  # Spyne has no types
    """Carries an exception of the engine through Spyne, which lets only its own faults pass its hooks."""

    def __init__(self, error: Exception) -> None:
        super().__init__("Server", "")
        self.error = error


class _EngineProtocol(Soap11):  # type: ignore[misc]  # Spyne has no types
    """Spyne's SOAP hooks with the engine behind them; ``udc`` of a context is the exchange."""

    def __init__(self, edge: Edge[Any]) -> None:
        super().__init__()
        self._edge = edge

    def create_in_document(self, ctx: _Context, charset: str | None = None) -> None:
        """Nothing is parsed here: the engine has the only parser."""
        del charset
        ctx.in_document = ctx.udc

    def decompose_incoming_envelope(self, ctx: _Context, message: object) -> None:
        """Have the engine read the envelope and name the operation."""
        del message
        try:
            received = self._edge.endpoint.receive(ctx.udc)
        except Exception as error:  # noqa: BLE001 - the endpoint tells faults from crashes and audits both
            raise _Refusal(error) from None
        ctx.in_body_doc = received
        ctx.method_request_string = received.service.value

    def deserialize(self, ctx: _Context, message: object) -> None:
        """The operation takes what the engine received."""
        del message
        ctx.in_object = ctx.in_body_doc

    def serialize(self, ctx: _Context, message: object) -> None:
        """The document is the engine's reply, whatever happened."""
        del message
        error = ctx.out_error
        if error is None:
            (ctx.out_document,) = ctx.out_object
        else:
            cause = error.error if isinstance(error, _Refusal) else error
            ctx.out_document = self._edge.endpoint.refuse(ctx.udc, cause)

    def create_out_string(self, ctx: _Context, charset: str | None = None) -> None:
        """The engine writes its own bytes."""
        del charset
        ctx.out_string = [ctx.out_document.body]


class _SpyneApp(WsgiApplication):  # type: ignore[misc]  # Spyne has no types
    """Spyne's WSGI application with the edge in front and a short pipeline behind."""

    def __init__(self, application: Application, edge: Edge[Any]) -> None:
        super().__init__(application)
        self._edge = edge
        self._context = _Context(self, _Context.SERVER)

    def __call__(self, req_env: Environ, start_response: StartResponse, wsgi_url: str | None = None) -> Iterable[bytes]:
        """Answer one request."""
        del wsgi_url
        return self._edge.respond(req_env, start_response, self._dispatch)

    def _dispatch(self, exchange: InboundExchange) -> Reply:
        context = self._context.begin(exchange)
        try:
            self.generate_contexts(context)
            if context.in_error is None:
                self.get_in_object(context)
                self.get_out_object(context)
            self.get_out_string(context)
            reply: Reply = context.out_document
        finally:
            # A context and its parts refer to each other: without this, messages would live until the next collection.
            context.__dict__.clear()
        return reply
