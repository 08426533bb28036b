"""(a) and (b): the provider in one process, against the floor.

They take turns call by call, so that caches and drift hit all alike.
"""

import io
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.floor import floor
from bench.material import (
    edge_of,
    instant_connector,
    median_us,
    patients,
    prepared_answer,
    settings,
    timed_us,
)
from bench.requests import PATH, Requests
from smsp_provider.engine.exchange import InboundExchange, Peer
from smsp_provider.web import spyne_app, wsgi
from smsp_provider.web.edge import Environ, WSGIApplication
from smsp_provider.web.memory import settle
from smsp_provider.wiring.provider import Provider, build_provider

__all__ = ["Work", "floor_work", "in_process", "through_engine", "through_wsgi"]

Work = Callable[[bytes], bytes]
"""From a request's body to the response's."""

_WARM_UP = 100
_CALLERS = 16


def in_process(state: Path, turns: int) -> dict[str, Any]:
    """Medians in microseconds and ratios to the floor: ``turns`` with synchronous NORMAL, fewer with FULL."""
    answer = prepared_answer(patients(state / "patients.db"))
    requests = Requests()
    return {
        "request_bytes": len(requests.body()),
        "spine_answer_bytes": len(answer),
        "NORMAL": _measured(state / "NORMAL", answer, requests, turns),
        "FULL": _measured(state / "FULL", answer, requests, max(turns // 5, 20)),
    }


def floor_work(provider: Provider, answer: bytes) -> Work:
    """The floor with the provider's own compiled schemas."""
    straight = floor(provider.schemas)
    return lambda body: straight(body, answer)


def through_engine(provider: Provider, soap_action: str) -> Work:
    """The engine alone, from bytes to bytes."""
    pipeline, peer = provider.pipeline, Peer("127.0.0.1")

    def work(body: bytes) -> bytes:
        exchange = InboundExchange(body, PATH, f"http://127.0.0.1{PATH}", peer, "text/xml", soap_action)
        return pipeline.answer(pipeline.receive(exchange)).body

    return work


def through_wsgi(app: WSGIApplication, soap_action: str) -> Work:
    """A WSGI application called as a server calls it."""
    constant: Environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "text/xml; charset=utf-8",
        "HTTP_SOAPACTION": soap_action,
        "HTTP_HOST": "127.0.0.1:8080",
        "REMOTE_ADDR": "127.0.0.1",
    }

    def work(body: bytes) -> bytes:
        environ = {**constant, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        return b"".join(app(environ, lambda _status, _headers: None))

    return work


def _measured(state: Path, answer: bytes, requests: Requests, turns: int) -> dict[str, Any]:
    provider = build_provider(settings(state, state.name), connector=instant_connector(answer))
    edge = edge_of(provider)
    works = {
        "floor": floor_work(provider, answer),
        "engine": through_engine(provider, requests.soap_action),
        "wsgi": through_wsgi(wsgi.make_app(edge), requests.soap_action),
        "spyne": through_wsgi(spyne_app.make_app(edge), requests.soap_action),
    }
    settle()
    try:
        medians = _in_turns(works, requests, turns)
        floor_us, floor_cpu_us = medians["floor"]
        return {
            **{f"{name}_us": clock for name, (clock, _) in medians.items()},
            **{f"{name}_ratio": round(medians[name][0] / floor_us, 3) for name in works},
            **{f"{name}_cpu_ratio": round(medians[name][1] / floor_cpu_us, 3) for name in works},
            f"engine_per_s_{_CALLERS}_callers": _many_callers(works["engine"], requests, turns),
        }
    finally:
        provider.audit.close_session()


def _in_turns(works: Mapping[str, Work], requests: Requests, turns: int) -> dict[str, tuple[float, float]]:
    """Medians of the durations on the clock and of CPU time, microseconds."""
    durations: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for turn in range(-min(_WARM_UP, turns), turns):
        for name, work in works.items():
            # One of its own for each: a MessageID used before would spare the provider the registration.
            body = requests.body()
            if turn < 0:
                assert b"SMSP-0000" in work(body), f"{name} does not answer as it should"
            else:
                durations[name].append(timed_us(lambda: work(body)))  # noqa: B023 - called at once
    return {
        name: (median_us([clock for clock, _ in found]), median_us([cpu for _, cpu in found]))
        for name, found in durations.items()
    }


def _many_callers(work: Work, requests: Requests, turns: int) -> int:
    """Requests a second when so many threads call at once: what group commit is for."""
    each = max(turns // _CALLERS, 5)
    bodies = [[requests.body() for _ in range(each)] for _ in range(_CALLERS)]

    def caller(own: list[bytes]) -> None:
        for body in own:
            work(body)

    threads = [threading.Thread(target=caller, args=(own,)) for own in bodies]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(_CALLERS * each / (time.perf_counter() - began))
