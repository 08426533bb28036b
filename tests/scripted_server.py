"""A server on loopback that does exactly what a test says: answer, drip, cut, hang up, or say nothing."""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, sleep
from types import TracebackType
from typing import Self
from uuid import uuid4

__all__ = ["Behaviour", "Peer", "RealClock", "RealIds", "ScriptedServer", "answering", "http_answer"]

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")


class RealClock:
    """The clocks of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return monotonic()


class RealIds:
    """Random ids."""

    def new_uuid(self) -> str:
        return str(uuid4()).upper()


class Peer:
    """One accepted connection, as the script sees it."""

    def __init__(self, sock: socket.socket, server: "ScriptedServer") -> None:
        self.sock = sock
        self.server = server

    def read_request(self) -> bytes | None:
        """A whole request, headers and body, also kept in ``server.requests``; None at the end of the connection."""
        request = b""
        while b"\r\n\r\n" not in request:
            chunk = self.sock.recv(65536)
            if not chunk:
                return None
            request += chunk
        head, _, body = request.partition(b"\r\n\r\n")
        match = _LENGTH.search(head)
        missing = (int(match.group(1)) if match else 0) - len(body)
        while missing > 0:
            chunk = self.sock.recv(missing)
            if not chunk:
                return None
            request += chunk
            missing -= len(chunk)
        self.server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, every: float) -> None:
        """One byte at a time; ends when the other side hangs up."""
        for byte in data:
            self.sock.sendall(bytes([byte]))
            sleep(every)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()

    def wait_until_closed(self) -> None:
        """Until the other side closes the connection."""
        while self.sock.recv(65536):
            pass


Behaviour = Callable[[Peer], object]


class ScriptedServer:
    """Accepts connections; the first behaves by the first script, the second by the second, the last one repeats."""

    def __init__(self, *scripts: Behaviour, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._scripts = scripts
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def url(self, host: str = "127.0.0.1", path: str = "/syncservice-pds/pds") -> str:
        scheme = "https" if self._context is not None else "http"
        return f"{scheme}://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_listening()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)

    def stop_listening(self) -> None:
        """Refuse new connections; those that are open stay."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, script), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, script: Behaviour) -> None:
        served = sock
        with contextlib.suppress(OSError):
            if self._context is not None:
                served = self._context.wrap_socket(sock, server_side=True)
                self._open.append(served)
            script(Peer(served, self))
        served.close()


def http_answer(
    body: bytes, status: str = "200 OK", *, content_type: str = "text/xml; charset=utf-8", headers: str = ""
) -> bytes:
    """A whole HTTP/1.1 response with its length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode("ascii") + body


def answering(*answers: bytes) -> Behaviour:
    """Answers request after request on one connection; the last answer is repeated."""

    def script(peer: Peer) -> None:
        for number in range(1_000_000):
            if peer.read_request() is None:
                return
            peer.send(answers[min(number, len(answers) - 1)])

    return script
