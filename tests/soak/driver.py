"""Clients in threads, each asking all the time; every answer is scanned for everybody else's watermarks.

    python -m soak.driver --spine URL --state DIR --answers N --threads T --seed S [--mutant NAME] [--provider URL]

Without ``--provider`` the provider is built in this process and asked through its pipeline, over its real connector.
Each half second, and at the end, a JSON line says what happened since the line before.
"""

import argparse
import http.client
import io
import json
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from urllib.parse import urlsplit

from itk_messages import Request
from smsp_provider.config.settings import (
    AuditSettings,
    BreakerSettings,
    ClientPolicy,
    ClientSettings,
    Environment,
    Limits,
    LogSettings,
    Server,
    Settings,
    SpineSettings,
    ThrottleSettings,
)
from smsp_provider.engine.exchange import InboundExchange, Peer
from smsp_provider.wiring.provider import build_provider
from soak.marks import asked_for, foreign_marks, response_code
from soak.mutants import MUTANTS

__all__ = ["DEADLINE_SECONDS", "IN_A_LOG", "TALLY_SECONDS"]

DEADLINE_SECONDS = 5.0
TALLY_SECONDS = 0.5
IN_A_LOG = re.compile(rb"(?i:FAMILY|GIVEN|SECOND)[0-9]+|\b98[0-9]{8}\b|LINE [0-9]|@example.invalid")
"""What a log line never holds. Ten digits in a row within a UUID are no NHS number: its groups are 8, 4 and 12 long."""

_GATE = re.compile(rb'"reason":"(W[0-9]+):')
_Ask = Callable[[Request], bytes]


class _Log(io.RawIOBase):
    """The operator's log: counts what the gate refused, and what should not be there."""

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()
        self.leaks: list[str] = []

    def writable(self) -> bool:
        return True

    def write(self, line: object) -> int:
        text = bytes(line)  # type: ignore[call-overload]  # the declared type of any buffer
        self.refusals.update(rule.decode() for rule in _GATE.findall(text))
        self.leaks += [found.decode() for found in IN_A_LOG.findall(text)]
        return len(text)


class _Tally:
    """What happened since it was reported last; shared by all threads."""

    def __init__(self, wanted: int) -> None:
        self._guard = threading.Lock()
        self._codes: Counter[str] = Counter()
        self._foreign: list[str] = []
        self._left = wanted
        self.stopped = threading.Event()

    def may_ask(self) -> bool:
        with self._guard:
            self._left -= 1
            return self._left >= 0 and not self.stopped.is_set()

    def add(self, code: str, foreign: list[bytes]) -> None:
        with self._guard:
            self._codes[code] += 1
            if foreign:
                self._foreign.append(f"{code}: {len(foreign)} marks of another patient")

    def again(self) -> None:
        """A request had no answer: it does not count."""
        with self._guard:
            self._left += 1
            self._codes["none"] += 1

    def taken(self) -> dict[str, object]:
        with self._guard:
            report: dict[str, object] = {"codes": dict(self._codes), "foreign": list(self._foreign)}
            self._codes.clear()
            self._foreign.clear()
        return report


def _in_process(spine: str, state: Path, log: _Log) -> _Ask:
    """A provider in this process; it begins by closing what a killed one left open."""
    settings = Settings(
        environment=Environment.TEST,
        server=Server(http="127.0.0.1:0"),
        spine=SpineSettings(endpoint=spine, pds_asid="100000000104", default_asid="200000000205"),
        audit=AuditSettings(database=state / "audit" / "audit.db", synchronous="NORMAL"),
        limits=Limits(request_seconds=DEADLINE_SECONDS),
        clients=ClientSettings(policy=ClientPolicy.ANY),
        # Spine is broken on purpose, and is to be asked all the same.
        throttle=ThrottleSettings(rate_per_second=100_000, burst=100_000),
        breaker=BreakerSettings(failures=1_000_000),
        log=LogSettings(level="error"),
    )
    with redirect_stdout(io.TextIOWrapper(io.BufferedWriter(log, 1), write_through=True)) as shown:
        provider = build_provider(settings)
        shown.detach()
    provider.audit.recover()
    pipeline, peer = provider.pipeline, Peer("127.0.0.1")

    def ask(request: Request) -> bytes:
        url = "http://127.0.0.1/smsp/pds"
        exchange = InboundExchange(request.body(), "/smsp/pds", url, peer, "text/xml", request.soap_action)
        try:
            received = pipeline.receive(exchange)
        except Exception as error:  # noqa: BLE001 - what the adapters do
            return pipeline.refuse(exchange, error).body
        return pipeline.answer(received).body

    return ask


def _over_http(url: str) -> _Ask:
    parts = urlsplit(url)
    local = threading.local()

    def ask(request: Request) -> bytes:
        connection = getattr(local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
            local.connection = connection
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": request.soap_action}
        try:
            connection.request("POST", "/smsp/pds", request.body(), headers)
            body: bytes = connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            local.connection = None
            connection.close()
            raise
        return body

    return ask


def _client(ask: _Ask, tally: _Tally, seed: int) -> None:
    chance = random.Random(seed)
    while tally.may_ask():
        asked = asked_for(chance)
        try:
            answer = ask(asked.request)
        except (OSError, http.client.HTTPException):
            tally.again()
            time.sleep(0.01)
            continue
        tally.add(response_code(answer), foreign_marks(answer, asked.own_marks))


def main() -> None:
    """Ask until enough answers came, reporting all the while."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spine", required=True)
    parser.add_argument("--provider")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--answers", type=int, required=True)
    parser.add_argument("--threads", type=int, default=12)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    given = parser.parse_args()
    if given.mutant:
        MUTANTS[given.mutant]()
    log, tally = _Log(), _Tally(given.answers)
    ask = _over_http(given.provider) if given.provider else _in_process(given.spine, given.state, log)
    threads = [
        threading.Thread(target=_client, args=(ask, tally, given.seed * 1000 + number), daemon=True)
        for number in range(given.threads)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(TALLY_SECONDS)
        _report(tally, log)
    _report(tally, log)


def _report(tally: _Tally, log: _Log) -> None:
    refusals, log.refusals = log.refusals, Counter()
    leaks, log.leaks = log.leaks, []
    report = tally.taken() | {"gate": dict(refusals), "leaks": leaks}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
