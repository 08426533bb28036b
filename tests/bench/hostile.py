"""Hostile requests: time and memory of each, in a process of its own, through the whole provider behind Spyne.

The process is forked from one that has served an ordinary request, so that what is measured is the input's own cost.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.material import (
    edge_of,
    instant_connector,
    patients,
    prepared_answer,
    settings,
)
from bench.processes import resident_kb
from bench.requests import PATH, Requests
from hostile_vectors import hostile_vectors
from smsp_provider.web import spyne_app
from smsp_provider.web.edge import Environ, WSGIApplication
from smsp_provider.web.memory import settle
from smsp_provider.wiring.provider import build_provider

__all__ = ["hostile"]

_REPEATS = 5
_GOAL_MS, _GOAL_MB = 50.0, 50.0
_BODY_LIMIT = 65_536
_RESET_PEAK = "5"
"""Written to /proc/self/clear_refs: the kernel's peak of resident memory starts again from now."""


class _Input(NamedTuple):
    name: str
    content_type: str
    soap_action: str | None
    body: bytes


def hostile(state: Path, every: int = 1) -> dict[str, Any]:
    """Median milliseconds and peak megabytes above the process's own, by input (each ``every``-th one of the table)."""
    answer = prepared_answer(patients(state / "patients.db"))
    provider = build_provider(settings(state, "NORMAL"), connector=instant_connector(answer))
    app = spyne_app.make_app(edge_of(provider))
    requests = Requests()
    ordinary = _Input("an ordinary request", "text/xml", requests.soap_action, requests.body())
    _ask(app, ordinary)
    settle()
    inputs = [ordinary, *list(_inputs())[::every], *_at_the_limit(requests)]
    figures = {item.name: _in_a_fork(lambda item=item: _measure(app, item)) for item in inputs}  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    provider.audit.close_session()
    return {
        "goal": {"ms": _GOAL_MS, "mb": _GOAL_MB},
        "inputs": figures,
        "over_goal": [name for name, found in figures.items() if found["ms"] > _GOAL_MS or found["mb"] > _GOAL_MB],
    }


def _inputs() -> Iterator[_Input]:
    for vector in hostile_vectors(datetime.now(UTC)):
        yield _Input(vector.name, vector.content_type, vector.soap_action, vector.body)


def _at_the_limit(requests: Requests) -> Iterator[_Input]:
    """An ordinary request grown to the limit by what costs a parser most for its length, and one byte more."""
    body = requests.body()
    place = body.index(b"</soap:Header>")
    room = _BODY_LIMIT - len(body) - len(b"<x></x>")
    grown = {
        "tiny elements": b"<x>" + b"<a/>" * (room // 4) + b"</x>",
        "attributes": b"<x" + b"".join(b' a%d=""' % number for number in range(room // 11)) + b"></x>",
        "namespaces": b"<x>" + b"".join(b'<a xmlns="u%d"/>' % number for number in range(room // 19)) + b"</x>",
        "text": b"<x>" + b"a" * room + b"</x>",
    }
    for name, markup in grown.items():
        whole = body[:place] + markup + body[place:]
        yield _Input(f"a body at the limit, of {name}", "text/xml", requests.soap_action, whole.ljust(_BODY_LIMIT))
    yield _Input("a body one byte over the limit", "text/xml", requests.soap_action, body.ljust(_BODY_LIMIT + 1))


def _in_a_fork(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What ``work`` returns in a forked child; the child ends without a trace."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writer, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as results:  # noqa: PTH123 - a pipe has no path
        found = results.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError("a measurement broke")
    figures: dict[str, float] = json.loads(found)
    return figures


def _measure(app: WSGIApplication, item: _Input) -> dict[str, float]:
    # The first call opens this process's own audit session, and touches the pages that the fork shared.
    _ask(app, item._replace(body=b"<a/>"))
    before = resident_kb("self")
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    status = _ask(app, item)
    peak = resident_kb("self", "VmHWM")
    durations = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        _ask(app, item)
        durations.append((time.perf_counter() - began) * 1000)
    return {
        "bytes": len(item.body),
        "status": status,
        "ms": round(median(durations), 2),
        "mb": round(max(peak - before, 0) / 1024, 2),
    }


def _ask(app: WSGIApplication, item: _Input) -> int:
    environ: Environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "CONTENT_TYPE": item.content_type,
        "CONTENT_LENGTH": str(len(item.body)),
        "HTTP_HOST": "127.0.0.1:8080",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(item.body),
    }
    if item.soap_action is not None:
        environ["HTTP_SOAPACTION"] = item.soap_action
    told: list[str] = []
    b"".join(app(environ, lambda status, _headers: told.append(status)))
    return int(told[0].split()[0])
