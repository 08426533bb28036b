"""The load generator: one thread, raw keep-alive sockets, a fixed count of requests, one outstanding on each socket.

It runs in a process of its own (``python -m bench.load '{"port": ..., "connections": ..., "requests": ...,
"spread_s": ...}'``), takes as little of the machine as Python can, and writes its figures to standard output as JSON.
"""

import json
import resource
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from typing import Any

from bench.requests import PATH, Requests

__all__ = ["run"]

_STALLED_SECONDS = 120.0
_CHUNK = 65_536


class _Caller:
    """One connection, over TLS where there is a context for it."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.sent_at = 0.0
        self._received = bytearray()

    def send(self, request: bytes) -> None:
        self._received.clear()
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The whole response, or None while there is more to come."""
        chunk = self.socket.recv(_CHUNK)
        if not chunk:
            raise ConnectionError("the server closed a kept connection")
        self._received += chunk
        while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            # Decrypted already: the selector will not tell of it.
            self._received += self.socket.recv(_CHUNK)
        head, separator, body = bytes(self._received).partition(b"\r\n\r\n")
        if not separator:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return bytes(self._received) if len(body) == length else None


def run(
    port: int, connections: int, requests: int, spread_s: float, tls: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Send ``requests`` after a warm-up of one on every connection, over TLS with ``certificate``, ``key`` and ``ca``.

    The connections begin one after the other within ``spread_s`` seconds: callers who do not know of each other do not
    call in step, and behind a constant delay those that began together would stay together.

    Returns requests a second over the whole (``per_s``) and while all connections were in use (``in_use_per_s``: from
    when the last one has begun until the first one has nothing more to ask), the latency of each in milliseconds (of
    one connection's turn, waiting in the server's queue included), how many were not answered with success, and the
    generator's own CPU seconds.
    """
    context = None
    if tls is not None:
        context = ssl.create_default_context(cafile=tls["ca"])
        context.load_cert_chain(tls["certificate"], tls["key"])
    made, callers = _requests(requests + connections), [_Caller(port, context) for _ in range(connections)]
    _exchange(callers, made[:connections], 0.0)
    used, began = _cpu_seconds(), time.perf_counter()
    figures = _exchange(callers, made[connections:], spread_s)
    seconds = time.perf_counter() - began
    cpu = _cpu_seconds() - used
    for caller in callers:
        caller.socket.close()
    return {"per_s": requests / seconds, **figures, "cpu_seconds": cpu}


def _exchange(callers: list[_Caller], requests: list[bytes], spread_s: float) -> dict[str, Any]:
    """Keep every connection busy until all requests are answered."""
    latencies: list[float] = []
    failed = 0
    waiting = iter(requests)
    with selectors.DefaultSelector() as selector:
        for caller, request in zip(callers, waiting, strict=False):
            selector.register(caller.socket, selectors.EVENT_READ, caller)
            caller.send(request)
            time.sleep(spread_s / len(callers))
        all_began, first_ended, in_use = time.perf_counter(), 0.0, 0
        while selector.get_map():
            ready = selector.select(_STALLED_SECONDS)
            if not ready:
                raise TimeoutError("the server stalls")
            for key, _ in ready:
                caller = key.data
                response = caller.receive()
                if response is None:
                    continue
                latencies.append((time.perf_counter() - caller.sent_at) * 1000)
                failed += b"SMSP-0000" not in response
                following = next(waiting, None)
                if following is None:
                    selector.unregister(caller.socket)
                    if not first_ended:
                        first_ended, in_use = time.perf_counter(), len(latencies)
                else:
                    caller.send(following)
    return {"in_use_per_s": in_use / (first_ended - all_began), "latencies_ms": latencies, "failed": failed}


def _requests(count: int) -> list[bytes]:
    """Made before the clock starts; each with a MessageID of its own."""
    source = Requests()
    size = len(source.body())
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: text/xml; charset=utf-8\r\n"
        f"SOAPAction: {source.soap_action}\r\nContent-Length: {size}\r\n\r\n"
    ).encode()
    return [head + source.body() for _ in range(count)]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(**json.loads(sys.argv[1]))))
