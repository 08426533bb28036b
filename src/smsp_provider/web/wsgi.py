"""The bare WSGI adapter: nothing between HTTP and the engine."""

from typing import TypeVar

from smsp_provider.engine.endpoint import ReceivedRequest
from smsp_provider.engine.exchange import InboundExchange, Reply
from smsp_provider.web.edge import Edge, Environ, StartResponse, WSGIApplication

__all__ = ["make_app"]

R = TypeVar("R", bound=ReceivedRequest)


def make_app(edge: Edge[R]) -> WSGIApplication:
    """A WSGI application that serves ``edge``."""

    def dispatch(exchange: InboundExchange) -> Reply:
        try:
            received = edge.endpoint.receive(exchange)
        except Exception as error:  # noqa: BLE001 - the endpoint tells faults from crashes and audits both
            return edge.endpoint.refuse(exchange, error)
        return edge.endpoint.answer(received)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        return edge.respond(environ, start_response, dispatch)

    return app
