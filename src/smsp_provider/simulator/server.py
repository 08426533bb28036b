"""The embedded Spine on a socket: HTTPS with client certificates, or plain HTTP, one thread a connection.

The TLS handshake is made in the connection's own thread, so that a client that stalls in it holds up nobody else.
"""

import json
import socket
import socketserver
import ssl
import struct
import threading
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from smsp_provider.simulator.answers import MutateAnswer
from smsp_provider.simulator.clock import SpineClock, utc_now
from smsp_provider.simulator.faults import FaultPlan, InvalidFault
from smsp_provider.simulator.fhir import FHIR_PATH, TOKEN_PATH, FHIRDoor
from smsp_provider.simulator.fhir_token import Application, TokenDesk
from smsp_provider.simulator.http import HTTPProblem, HTTPRequest, read_request, response
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.spine import Ending, Reply, Spine

__all__ = ["ADMIN_PATH", "PATHS", "EmbeddedSpine", "SpineTLS", "serve"]

PATHS: Final = ("/syncservice-pds/pds", "/sync-service")
"""Where a Spine answers synchronous PDS queries (HL7 V3 pack, section 2)."""

ADMIN_PATH: Final = "/_simulator/faults"
"""Faults over HTTP. No part of the real API; for clients on this machine only."""

_NOT_REAL: Final = "X-Embedded-Spine: this path is not part of the Spine API\r\n"
_IDLE_SECONDS: Final = 120.0
_HANDSHAKE_SECONDS: Final = 10.0
_RESET_AT_ONCE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class SpineTLS:
    """The server's certificate and key, and the authority whose clients are let in (None: no certificate is asked)."""

    certificate: Path
    key: Path
    client_ca: Path | None

    def context(self) -> ssl.SSLContext:
        """The server side of TLS 1.2 or later.

        Raises:
            OSError: a file cannot be read.
            ssl.SSLError: a file holds something else.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class EmbeddedSpine:
    """A running Spine: ``with EmbeddedSpine(store, tls=...) as spine: ... spine.url``.

    ``port`` 0 takes a free one; a ``listener`` that listens already is taken over instead. ``delay`` is a constant time
    in seconds before every answer. The fault plan (``faults``) and the hook (``spine.mutate_answer``) may be changed
    while it runs.

    The same patients are at ``fhir_url`` over PDS FHIR: for anybody, or where an ``application`` is given, for it
    alone, with tokens from the token endpoint beside it.

    Raises:
        OSError: the port is taken, or a certificate cannot be read.
    """

    def __init__(
        self,
        store: PatientStore,
        *,
        tls: SpineTLS | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
        delay: float = 0.0,
        faults: FaultPlan | None = None,
        clock: SpineClock = utc_now,
        mutate_answer: MutateAnswer | None = None,
        application: Application | None = None,
    ) -> None:
        self._stopping = threading.Event()
        self.faults = FaultPlan() if faults is None else faults
        self.spine = Spine(store, self.faults, clock, self._pause, mutate_answer)
        self.delay = delay
        self._tls = tls.context() if tls is not None else None
        self._server = _Server((host, port), self, listener)
        self._thread: threading.Thread | None = None
        self._served = False
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if tls is None else "https"
        self.base_url = f"{scheme}://{shown}:{self.port}"
        self.url = self.base_url + PATHS[0]
        desk = TokenDesk(application, self.base_url + TOKEN_PATH, clock) if application is not None else None
        self.fhir = FHIRDoor(store, self.faults, clock, self._pause, desk)
        self.fhir_url = self.base_url + FHIR_PATH

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Serve in a thread of its own."""
        self._served = True
        self._thread = threading.Thread(target=self.serve_forever, name="embedded-spine", daemon=True)
        self._thread.start()
        return self

    def serve_forever(self) -> None:
        """Serve in this thread until :meth:`stop` is called from another."""
        self._served = True
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """Stop serving, cut the connections that are open, and end the delays that run."""
        self._stopping.set()
        if self._served:
            self._server.shutdown()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.cut_all()

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    # --- one connection -----------------------------------------------------------------------------------------------

    def secured(self, connection: socket.socket) -> socket.socket:
        """The connection after its TLS handshake, or as it is without TLS.

        Raises:
            OSError: the handshake failed (``ssl.SSLError`` is one) or took too long.
        """
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_HANDSHAKE_SECONDS)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        connection.settimeout(_IDLE_SECONDS)
        return connection

    def converse(self, connection: socket.socket, peer: str) -> None:
        """Answer every request on a connection until one side ends it.

        Raises:
            OSError: the connection broke.
        """
        with connection.makefile("rb") as stream:
            while stream.peek(1):
                if self.faults.take_before_reading():
                    _reset(connection)
                    return
                try:
                    request = read_request(stream, connection.sendall)
                except HTTPProblem as problem:
                    body = f"{problem.status.phrase}\n".encode()
                    connection.sendall(response(problem.status, "text/plain", body, keep_alive=False))
                    return
                if request is None or not self._answer(connection, request, peer):
                    return

    def _answer(self, connection: socket.socket, request: HTTPRequest, peer: str) -> bool:
        """Send the answer to one request; whether the connection goes on."""
        if request.path == ADMIN_PATH:
            connection.sendall(self._administer(request, peer))
            return request.keep_alive
        reply = self._reply(request)
        if reply.wait:
            self._pause(reply.wait)
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        written = response(reply.status, reply.content_type, reply.body, keep_alive=request.keep_alive, extra=extra)
        if reply.ending in (Ending.RESET, Ending.CUT):
            if reply.ending is Ending.CUT:
                connection.sendall(written[: len(written) - len(reply.body) // 2])
            _reset(connection)
            return False
        connection.sendall(written * 2 if reply.ending is Ending.TWICE else written)
        return request.keep_alive

    def _reply(self, request: HTTPRequest) -> Reply:
        if self.fhir.serves(request.path):
            if self.delay:
                self._pause(self.delay)
            return self.fhir.answer(request)
        if request.path not in PATHS:
            return Reply(HTTPStatus.NOT_FOUND, "text/plain", b"Not Found\n")
        if request.method != "POST":
            return Reply(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"Method Not Allowed\n")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/xml":
            return Reply(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "text/plain", b"Unsupported Media Type\n")
        if self.delay:
            self._pause(self.delay)
        return self.spine.answer(request.body, request.headers.get("soapaction"))

    def _administer(self, request: HTTPRequest, peer: str) -> bytes:
        """Show (GET), add to (POST) or clear (DELETE) the planned faults."""
        status, content = HTTPStatus.OK, b""
        if not ip_address(peer).is_loopback:
            status = HTTPStatus.FORBIDDEN
        elif request.method == "DELETE":
            self.faults.clear()
        elif request.method == "POST":
            status, content = self._plan(request.body)
        elif request.method != "GET":
            status = HTTPStatus.METHOD_NOT_ALLOWED
        if status is HTTPStatus.OK:
            shown = {"faults": self.faults.describe(), "calls": dict(self.spine.calls + self.fhir.calls)}
            content = json.dumps(shown).encode()
        return response(status, "application/json", content, keep_alive=request.keep_alive, extra=_NOT_REAL)

    def _plan(self, body: bytes) -> tuple[HTTPStatus, bytes]:
        try:
            described = json.loads(body)
            if not isinstance(described, dict):
                raise InvalidFault("an object is needed")
            self.faults.apply(described)
        except RecursionError:
            return HTTPStatus.BAD_REQUEST, json.dumps({"error": "nested too deeply"}).encode()
        except ValueError as error:
            return HTTPStatus.BAD_REQUEST, json.dumps({"error": str(error)}).encode()
        return HTTPStatus.OK, b""


def _reset(connection: socket.socket) -> None:
    """Close so that the peer sees a reset, not an orderly end; TLS is not told."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
    connection.close()


class _Server(socketserver.ThreadingTCPServer):
    """Accepts, and starts a thread a connection."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], spine: EmbeddedSpine, listener: socket.socket | None) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._spine = spine
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, socketserver.BaseRequestHandler, bind_and_activate=listener is None)
        if listener is not None:
            self.socket.close()
            self.socket = listener
            self.server_address = listener.getsockname()

    def finish_request(self, request: object, client_address: object) -> None:
        """In the connection's thread: handshake, conversation, end."""
        assert isinstance(request, socket.socket)  # noqa: S101 - a TCP server is given nothing else
        assert isinstance(client_address, tuple)  # noqa: S101 - the same
        connection = request
        try:
            connection = self._spine.secured(request)
            with self._guard:
                self._open.add(connection)
            self._spine.converse(connection, str(client_address[0]))
        except OSError:
            # A client that goes away, shows no certificate or stalls is its own concern.
            pass
        finally:
            with self._guard:
                self._open.discard(connection)
            connection.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: the inherited one writes a traceback for each, and whoever sends can then fill the log.

        The connection has been closed, which is what its client sees.
        """

    def cut_all(self) -> None:
        """Shut every open connection down."""
        with self._guard:
            waiting = list(self._open)
        for connection in waiting:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                # It ended by itself meanwhile.
                continue


def serve(
    store: PatientStore,
    *,
    tls: SpineTLS | None,
    host: str,
    port: int,
    delay: float = 0.0,
    faults_file: Path | None = None,
) -> EmbeddedSpine:
    """An embedded Spine for the command line, with the faults of a file; call ``serve_forever()`` on it.

    Raises:
        OSError: the port is taken or a file cannot be read.
        InvalidFault: the faults file is not understood.
    """
    faults = FaultPlan()
    if faults_file is not None:
        faults.load(faults_file)
    return EmbeddedSpine(store, tls=tls, host=host, port=port, delay=delay, faults=faults)
