"""`smsp serve` as a process, with an embedded Spine in this one whose slowness and load the test sees and sets.

with served(tmp_path, throttle="rate_per_second = 50") as provider:
    status, headers, body = provider.ask()
"""

import http.client
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from free_ports import free_port
from itk_messages import Fields, Request
from kept_output import keep, keep_fault, keep_file
from sandbox_process import COMMAND, environment
from smsp_provider.domain.service import Service
from smsp_provider.simulator.http import HTTPRequest
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.population import load_population
from smsp_provider.simulator.server import EmbeddedSpine
from smsp_provider.simulator.spine import Reply

__all__ = ["ATTENDED", "PATH", "UNATTENDED", "Answer", "CountingSpine", "ServedProvider", "code_of", "served"]

PATH: Final = "/smsp/pds"
UNATTENDED: Final = "urn:nhs-uk:identity:ods:X26"
ATTENDED: Final = "urn:nhs-uk:identity:ods:X26:ward-9"
_NUMBER, _BORN = "9990000034", "19791103"
_WAIT_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 120.0
_CODE: Final = re.compile(rb'(?:<value [^>]*code|<code [^>]*code)="((?:SMSP|DEMOG)-[0-9]{4})"')
_FAULT: Final = re.compile(rb"ErrorCode[^>]*>([0-9]{4})<")


@dataclass(frozen=True)
class Answer:
    """An answer with its time: when it was asked for, on the monotonic clock, and how many seconds it took."""

    status: int
    headers: dict[str, str]
    body: bytes
    asked: float
    seconds: float

    @property
    def code(self) -> str:
        return code_of(self.body)


def code_of(body: bytes) -> str:
    """The response code, or the error code of a fault."""
    found = _FAULT.search(body) or _CODE.search(body)
    return "none" if found is None else found[1].decode()


class CountingSpine(EmbeddedSpine):
    """An embedded Spine that notes when each query arrives, before any delay."""

    def __init__(self, store: PatientStore) -> None:
        super().__init__(store)
        self.arrivals: list[float] = []
        self._guard = threading.Lock()
        self._to_hold = 0
        self._answers = threading.Event()

    @contextmanager
    def silent(self, queries: int = sys.maxsize) -> Iterator[None]:
        """The next so many queries are answered at the end of the ``with``, however long that takes."""
        self._answers.clear()
        self._to_hold = queries
        try:
            yield
        finally:
            self._to_hold = 0
            self._answers.set()

    def _reply(self, request: HTTPRequest) -> Reply:
        with self._guard:
            self.arrivals.append(time.monotonic())
            is_held = self._to_hold > 0
            self._to_hold -= is_held
        if is_held:
            self._answers.wait()
        return super()._reply(request)


class ServedProvider:
    """A running provider and its Spine; ``log`` is its standard output and error."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        address: tuple[str, int],
        ops: tuple[str, int],
        log: Path,
        spine: CountingSpine,
    ) -> None:
        self.process = process
        self.address = address
        self.ops = ops
        self.log = log
        self.spine = spine

    def connection(self, seconds: float = 60) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=seconds)

    def ask(
        self,
        connection: http.client.HTTPConnection | None = None,
        *,
        identity: str = ATTENDED,
        number: str = _NUMBER,
        born: str = _BORN,
    ) -> Answer:
        """Verify a number; over a connection that is kept, or over one of its own."""
        request = request_with(identity, number, born)
        mine = connection or self.connection()
        asked = time.monotonic()
        try:
            headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": request.soap_action}
            mine.request("POST", PATH, request.body(), headers)
            response = mine.getresponse()
            body = response.read()
            keep_fault(response.status, body)
            return Answer(response.status, dict(response.getheaders()), body, asked, time.monotonic() - asked)
        finally:
            if connection is None:
                mine.close()

    def ops_get(self, path: str, method: str = "GET") -> Answer:
        """Ask the process of health and metrics."""
        connection = http.client.HTTPConnection(*self.ops, timeout=60)
        asked = time.monotonic()
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            keep(path.strip("/"), body)
            return Answer(response.status, dict(response.getheaders()), body, asked, time.monotonic() - asked)
        finally:
            connection.close()

    def wait_until_ready(self) -> None:
        until = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < until:
            with suppress(OSError):
                connection = self.connection()
                connection.request("GET", "/readyz")
                ready = connection.getresponse().status == 200
                connection.close()
                if ready and self.ops_get("/readyz").status == 200:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)


def request_with(identity: str, number: str = _NUMBER, born: str = _BORN) -> Request:
    """A fresh request for the verification of somebody of the shipped population."""
    fields = Fields(nhs_number=number, date_of_birth=born)
    made = Request(service=Service.VERIFY_NHS_NUMBER, now=datetime.now(UTC), fields=fields)
    return replace(made, message_id=str(uuid.uuid4()).upper(), audit_ids=((None, identity),))


@contextmanager
def served(
    folder: Path,
    *,
    throttle: str = "",
    breaker: str = "",
    workers: int = 2,
    threads: int = 32,
    request_seconds: int = 20,
    drain_seconds: float = 0,
    alerts: str = "",
    audit: str = "",
    spine: CountingSpine | None = None,
) -> Iterator[tuple[ServedProvider, CountingSpine]]:
    """A provider with these sections of its settings (the inside of TOML's inline tables), and a Spine.

    The Spine is the one given, which runs, or one with the shipped population.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        if spine is None:
            store = stack.enter_context(PatientStore())
            load_population(store)
            spine = stack.enter_context(CountingSpine(store))
        http_address, ops_address = (("127.0.0.1", free_port()) for _ in range(2))
        config = folder / "provider.toml"
        config.write_text(
            'environment = "test"\n'
            f'server = {{ http = "127.0.0.1:{http_address[1]}", ops = "127.0.0.1:{ops_address[1]}", '
            f"workers = {workers}, threads = {threads}, graceful_stop_seconds = 60, "
            f"drain_seconds = {drain_seconds} }}\n"
            f'spine = {{ endpoint = "{spine.url}", pds_asid = "100000000104", default_asid = "200000000205" }}\n'
            f'audit = {{ database = "{folder / "audit" / "audit.db"}", {audit}synchronous = "NORMAL" }}\n'
            f'clients = {{ policy = "any" }}\nlimits = {{ request_seconds = {request_seconds} }}\n'
            f"throttle = {{ {throttle} }}\nbreaker = {{ {breaker} }}\nalerts = {{ {alerts} }}\n",
            encoding="utf-8",
        )
        log = folder / "log"
        with log.open("wb") as written:
            process = subprocess.Popen(
                [*COMMAND, "serve", "--config", str(config)], stdout=written, stderr=written, env=environment()
            )
        provider = ServedProvider(process, http_address, ops_address, log, spine)
        try:
            provider.wait_until_ready()
            yield provider, spine
            if process.poll() is None:
                keep("metrics", provider.ops_get("/metrics").body)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(_STOP_SECONDS)
            keep_file("log", log)
