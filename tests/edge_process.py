"""The edge in a process of its own, behind a real gunicorn: what the engine would do is a fixed answer.

    server = Server(tmp_path, pki)
    status, body = server.post()
    server.stop()

The answer says who the edge took the caller for.
"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from free_ports import free_port
from itk_messages import request_for
from kept_output import keep_fault, keep_file
from smsp_provider.domain.service import Service
from tls_fixtures import Identity, TestPKI

__all__ = ["PATH", "Server", "until"]

ROOT = Path(__file__).resolve().parents[1]
PATH = "/smsp/pds"

PROGRAM = """
import json, os, sys, time
from ssl import TLSVersion
from pathlib import Path
from audit_samples import SystemClock
from edge_endpoint import ReadingEndpoint
from smsp_provider.engine.exchange import Reply
from smsp_provider.observe.logs import Level, LogLevel, LogObserver
from smsp_provider.web.edge import Documents, Edge
from smsp_provider.web.server import Listener, SocketAccess, Supervision, run
from smsp_provider.web.tls import ServerTLS

options = json.loads(sys.argv[1])
if options["cpus"]:
    os.sched_setaffinity(0, options["cpus"])
if options["adapter"] == "spyne":
    from smsp_provider.web.spyne_app import make_app
else:
    from smsp_provider.web.wsgi import make_app

class Endpoint(ReadingEndpoint):
    def answer(self, received):
        if options["answer_seconds"]:
            # In one piece: print() writes the end of the line by itself, and workers write at the same time.
            os.write(1, b"answering\\n")
            time.sleep(float(options["answer_seconds"]))
        exchange, service = received.exchange, received.service.value
        peer = exchange.peer
        facts = {"cn": peer.common_name, "tls": peer.over_tls, "url": exchange.url, "service": service}
        return Reply(200, json.dumps(facts).encode(), "text/xml; charset=utf-8")

level = LogLevel(Level.INFO)
observer = LogObserver(sys.stdout.buffer, level, SystemClock())
documents = Documents(lambda url: f"<wsdl at='{url}'/>".encode(), lambda name, url: None)

def app():
    if options["broken_by"] and Path(options["broken_by"]).exists():
        raise OSError("cannot be built")
    observer.note(Level.INFO, "serves now")
    return make_app(Edge(Endpoint(keep=False), documents, observer, lambda: True))

def worker_ended():
    observer.note(Level.WARNING, "after the worker")
    if options["exit_hook_breaks"]:
        raise RuntimeError("9990000018")

def tls():
    certificate, key, ca = map(Path, options["tls"])
    crl = Path(options["crl"]) if options["crl"] else None
    return ServerTLS(certificate, key, ca, crl, TLSVersion[options["least"]])

size = options["workers"], options["threads"], options["graceful"], options["pinned"]
if options["bind"].startswith("unix:"):
    listener = Listener(options["bind"], None, *size, SocketAccess(0o660))
else:
    listener = Listener(options["bind"], tls() if options["tls"] else None, *size)
run(app, listener, Supervision(observer, level, worker_ended))
"""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))


class Server:
    """A running server; ``log()`` is everything it has written so far."""

    def __init__(self, folder: Path, pki: TestPKI | None, **options: object) -> None:
        self.port = free_port()
        tls = [str(file) for file in (pki.server.certificate, pki.server.key, pki.ca)] if pki else []
        chosen = {
            "bind": f"127.0.0.1:{self.port}",
            "tls": tls,
            "workers": 1,
            "threads": 4,
            "graceful": 60,
            "adapter": "spyne",
            "answer_seconds": 0,
            "exit_hook_breaks": False,
            "broken_by": "",
            "crl": "",
            "least": "TLSv1_2",
            "cpus": [],
            "pinned": True,
            **options,
        }
        self.pki = pki
        bind = str(chosen["bind"])
        self.socket = Path(bind.removeprefix("unix:")) if bind.startswith("unix:") else None
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, json.dumps(chosen)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "PYTHONUNBUFFERED": "1"},
            )
        workers = chosen["workers"]
        until(lambda: self.log().count("serves now") == workers or self.process.poll() is not None, self.log)
        assert self.process.poll() is None, self.log()
        until(self._answers, self.log)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        with suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/healthz")[0] == 200
        return False

    def log(self) -> str:
        return self._output.read_text()

    def context(self, identity: Identity | None) -> ssl.SSLContext:
        assert self.pki is not None
        context = ssl.create_default_context(cafile=str(self.pki.ca))
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        return context

    def connection(self, identity: Identity | None = None) -> http.client.HTTPConnection:
        if self.socket is not None:
            return _UnixConnection(self.socket)
        if self.pki is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        context = self.context(identity or self.pki.client)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        with closing(self.connection()) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            assert response.getheader("Cache-Control") == "no-store"
            answer = response.read()
            keep_fault(response.status, answer)
            return response.status, answer

    def post(self, service: Service = Service.GET_NHS_NUMBER, path: str = PATH) -> tuple[int, bytes]:
        request = request_for(service)
        return self.ask("POST", path, request.body(), SOAPAction=request.soap_action, **{"Content-Type": "text/xml"})

    def wait_until_answering(self, requests: int) -> None:
        """Until so many requests, in all, have come to be answered by a server with ``answer_seconds``."""
        until(lambda: self.log().splitlines().count("answering") >= requests, self.log)

    def pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill(self, worker: int) -> None:
        assert worker in self.pids()
        os.kill(worker, signal.SIGKILL)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
        keep_file("output", self._output)


def until(condition: Callable[[], bool], log: Callable[[], str] = str, seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, log()
        time.sleep(0.02)
