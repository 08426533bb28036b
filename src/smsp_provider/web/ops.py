"""Health and metrics for operators, answered by a process of its own: no load on the workers can keep it waiting.

A small HTTP server for few, short, reading requests: each connection carries one, has little time and little room.
What costs time (a look at audit trail, registry and limits) is done beside it about once a second.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from smsp_provider.web.stopping import stop_signals

__all__ = ["Readiness", "serve_ops"]

_LOOK_SECONDS: Final = 1.0
_TRUST_SECONDS: Final = 10.0
"""A look that is older than this is no evidence of readiness any more."""
_REQUEST_SECONDS: Final = 5.0
_MOST_BYTES: Final = 8192
_MOST_CONNECTIONS: Final = 64
_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests can be served, and what was looked at: fixed words, nothing of any configuration."""

    ready: bool
    findings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT


class _Looks:
    """The newest finding about readiness, renewed by a thread: a look may hang, and health must not."""

    def __init__(self, look: Callable[[], Readiness]) -> None:
        self._look: Final = look
        self._found = Readiness(ready=False, findings={"provider": "starting"})
        self._at = 0.0
        self._ended = threading.Event()
        self._thread: Final = threading.Thread(target=self._keep_looking, name="readiness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()

    def found(self, now: float) -> Readiness:
        if now - self._at > _TRUST_SECONDS:
            return Readiness(ready=False, findings={"readiness": "not known"})
        return self._found

    def _keep_looking(self) -> None:
        while True:
            try:
                self._found = self._look()
            except Exception as error:  # noqa: BLE001 - whatever broke, readiness is not known, and that is the answer
                self._found = Readiness(ready=False, findings={"readiness": type(error).__name__})
            self._at = time.monotonic()
            if self._ended.wait(_LOOK_SECONDS):
                return


class _Ops:
    """Answers on one listening address."""

    def __init__(self, looks: _Looks, metrics: Callable[[], bytes], metrics_type: str) -> None:
        self._looks: Final = looks
        self._metrics: Final = metrics
        self._metrics_type: Final = metrics_type
        self._connections = 0
        self._one_at_a_time: Final = asyncio.Lock()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, one answer. The caller's mistakes end it and nothing else."""
        self._connections += 1
        try:
            if self._connections <= _MOST_CONNECTIONS:
                async with asyncio.timeout(_REQUEST_SECONDS):
                    line = await reader.readuntil(b"\r\n")
                    while (await reader.readuntil(b"\r\n")) != b"\r\n":
                        pass
                    writer.write(_written(await self._answer(line), is_head=line.startswith(b"HEAD ")))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # A caller that is slow, gone, or sends no HTTP is told nothing.
            writer.transport.abort()
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, line: bytes) -> _Answer:
        match line.split():
            case [b"GET" | b"HEAD", target, _]:
                path = target.partition(b"?")[0]
            case [_, _, _]:
                return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
            case _:
                return _plain(HTTPStatus.BAD_REQUEST)
        match path:
            case b"/healthz":
                return _plain(HTTPStatus.OK)
            case b"/readyz":
                return self._readiness()
            case b"/metrics":
                return await self._metrics_page()
            case _:
                return _plain(HTTPStatus.NOT_FOUND)

    def _readiness(self) -> _Answer:
        found = self._looks.found(time.monotonic())
        body = json.dumps({"ready": found.ready, **found.findings}, indent=1).encode("ascii") + b"\n"
        return _Answer(HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE, body, _JSON)

    async def _metrics_page(self) -> _Answer:
        try:
            async with self._one_at_a_time:
                return _Answer(HTTPStatus.OK, await asyncio.to_thread(self._metrics), self._metrics_type)
        except OSError:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE)


def serve_ops(
    listener: socket.socket,
    look: Callable[[], Readiness],
    metrics: Callable[[], bytes],
    metrics_type: str = _TEXT,
) -> int:
    """Answer on a listening socket until told to stop (:func:`.stopping.stop_signals`); returns the exit code.

    ``look`` finds out about readiness, in a thread; ``metrics`` makes the page, and raises OSError where it cannot.
    """
    looks = _Looks(look)
    looks.start()
    try:
        asyncio.run(_serve(listener, _Ops(looks, metrics, metrics_type)))
    finally:
        looks.end()
    return 0


async def _serve(listener: socket.socket, ops: _Ops) -> None:
    ended = asyncio.Event()
    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = await asyncio.start_server(ops.converse, sock=listener, limit=_MOST_BYTES)
    await ended.wait()
    server.close()


def _plain(status: HTTPStatus) -> _Answer:
    return _Answer(status, f"{status.phrase}\n".encode("ascii"))


def _written(answer: _Answer, *, is_head: bool) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
    return head if is_head else head + answer.body
