"""Junk cannot fill the audit trail: ``python -m soak.junk`` with ``src`` and ``tests`` on the path.

Requests of every kind that is refused before anybody knows whose it is: no XML, broken envelopes, wrong headers,
unknown usernames, replays of one message, wrong paths and methods, too large, cut short. They come from many addresses,
a part of them from so many that there is no room for all by name. Most go through the WSGI application in processes of
this program, with the real trail and its tables; some tens of thousands over mutual TLS to a provider that is served,
with a certificate of the authority that is nobody's.

Afterwards every request must be on record, by itself or counted, and the store must have grown by less than its limit.
"""

import argparse
import http.client
import io
import multiprocessing
import random
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from client_samples import client_of
from hostile_vectors import hostile_vectors
from itk_messages import Request
from reading_trail import records_in
from security_demo import running_demo
from smsp_provider.audit.events import Ending, EndingKind, Intent, Refusals
from smsp_provider.audit.operator_events import OperatorEvent
from smsp_provider.cli.client_session import prepare_registry, session_of
from smsp_provider.config.settings import Settings, load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.client_registry import ClientChange
from smsp_provider.web.application import build_application
from smsp_provider.web.edge import StartResponse
from smsp_provider.wiring.audit import build_audit
from smsp_provider.wiring.provider import build_refusals

__all__ = ["Flood", "flood_in_process", "flood_over_tls"]

LIMIT_BYTES: Final = 10_000_000
_PATH: Final = "/smsp/pds"
_CLIENT: Final = "ward-system"
_REPLAYS: Final = 30
"""How often the replay is among the kinds: about every fifth request."""
_PEERS: Final = 120
_MANY_PEERS: Final = 5_000
_OF_MANY: Final = 0.02
"""The part of requests that comes from one of the many."""
_CONNECTION_REQUESTS: Final = 200


@dataclass(frozen=True)
class Flood:
    """What was sent, what of it is on record, and by how many bytes the store grew.

    ``by_itself`` and ``counted`` are requests; ``records`` is how many records tell of the latter. ``intents`` must be
    none: nothing may have been asked of Spine. ``log`` is the write-ahead log of SQLite while the junk came, which is
    bounded whatever comes, and not among what the store keeps.
    """

    sent: int
    seconds: float
    by_itself: int
    counted: int
    records: int
    intents: int
    grown: int
    log: int
    codes: Counter[str]

    @property
    def lost(self) -> int:
        return self.sent - self.by_itself - self.counted

    def lines(self) -> Iterator[str]:
        yield f"{self.sent} requests in {self.seconds:.0f} s ({self.sent / self.seconds:.0f}/s)"
        yield f"on record by itself {self.by_itself}, counted {self.counted} in {self.records} records"
        yield f"lost {self.lost}"
        yield f"asked of Spine {self.intents}"
        yield f"the store grew by {self.grown / 1e6:.2f} MB ({self.grown / self.sent:.1f} bytes a request)"
        yield f"write-ahead log meanwhile, bounded at about 34 MB: {self.log / 1e6:.1f} MB"
        yield "counted by code and rule: " + ", ".join(f"{code} {n}" for code, n in self.codes.most_common())


class Junk(NamedTuple):
    """One request to send."""

    method: str
    path: str
    content_type: str
    soap_action: str | None
    body: bytes
    declared: str | None = None


def kinds() -> list[Junk]:
    """Every hostile request, and what is refused below SOAP. What only a payload is wrong with is here, too: as junk it
    comes from nobody, and the same bytes come again and again.
    """
    vectors = hostile_vectors(datetime.now(UTC), "nobody.example")
    found = [Junk("POST", _PATH, vector.content_type, vector.soap_action, vector.body) for vector in vectors]
    noise = random.Random(4)
    found += [Junk("POST", _PATH, "text/xml", None, noise.randbytes(size)) for size in (0, 1, 80, 3000)]
    found += [
        Junk("POST", _PATH, "text/xml", None, b"", "99999999"),
        Junk("POST", _PATH, "text/xml", None, b"", "many"),
        Junk("POST", _PATH, "text/xml", None, b"<half", "500"),
        *(Junk(method, _PATH, "", None, b"") for method in ("GET", "PUT", "DELETE", "BREW")),
        *(Junk("GET", path, "", None, b"") for path in ("/", "/admin", "/../etc/passwd")),
        Junk("POST", "/elsewhere", "text/xml", None, b"<a/>"),
    ]
    # What a client of ours sent a day ago, sent again by whoever has kept it.
    good = Request(now=datetime.now(UTC) - timedelta(days=1), username=_CLIENT)
    found += [Junk("POST", _PATH, "text/xml", good.soap_action, good.body())] * _REPLAYS
    return found


class Deaf:
    """An observer that nobody needs here."""

    def notify(self, event: OperatorEvent) -> None:
        """Nothing."""


def _settings(folder: Path) -> Settings:
    config = folder / "provider.toml"
    config.write_text(
        f"""
        environment = "test"
        server = {{ http = "127.0.0.1:8080" }}
        spine = {{ endpoint = "http://127.0.0.1:9", pds_asid = "100000000104" }}
        audit = {{ database = "{folder}/audit/audit.db", synchronous = "NORMAL" }}
        operators = {{ policy = "os-user" }}
        """,
        encoding="utf-8",
    )
    return load_settings(config)


def _noting(status: list[str]) -> StartResponse:
    def start_response(line: str, headers: list[tuple[str, str]], /) -> None:
        del headers
        status.append(line)

    return start_response


def _work(folder: str, number: int, requests: int) -> None:
    """One process: sends its part through the application."""
    app = build_application(_settings(Path(folder)), Deaf())
    chance = random.Random(number)
    junk = kinds()
    for _ in range(requests):
        one = chance.choice(junk)
        many = chance.random() < _OF_MANY
        peer = chance.randrange(_MANY_PEERS) if many else chance.randrange(_PEERS)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": one.method,
            "PATH_INFO": one.path,
            "QUERY_STRING": "",
            "CONTENT_TYPE": one.content_type,
            "CONTENT_LENGTH": str(len(one.body)) if one.declared is None else one.declared,
            "HTTP_HOST": "localhost",
            "REMOTE_ADDR": f"{'198.51' if many else '192.0'}.{peer // 250}.{peer % 250}",
            "wsgi.input": io.BytesIO(one.body),
        }
        if one.soap_action is not None:
            environ["HTTP_SOAPACTION"] = one.soap_action
        status: list[str] = []
        for _part in app(environ, _noting(status)):
            pass
        assert not status[0].startswith("2"), (status, one)


def flood_in_process(folder: Path, requests: int, processes: int) -> Flood:
    """Send junk through the application of a provider with one client, whose old message is among the junk."""
    settings = _settings(folder)
    prepare_registry(settings)
    with session_of(settings) as session:
        session.change(lambda _: [ClientChange(_CLIENT, None, client_of(_CLIENT))])
    audit = build_audit(settings, SystemClock())
    audit.open()
    before = _bytes(folder)
    began = time.monotonic()
    start = multiprocessing.get_context("spawn")
    working = [
        start.Process(target=_work, args=(str(folder), number, requests // processes)) for number in range(processes)
    ]
    for process in working:
        process.start()
    for process in working:
        process.join()
        if process.exitcode:
            raise RuntimeError(process.exitcode)
    seconds, log = time.monotonic() - began, _log_bytes(settings)
    audit.close_session()
    return _found(settings, requests // processes * processes, seconds, before, log)


def flood_over_tls(folder: Path, requests: int, threads: int) -> Flood:
    """Send junk over mutual TLS, with a certificate that is nobody's, to a provider of two workers."""
    with running_demo(folder) as demo:
        settings = load_settings(demo.settings)
        context = ssl.create_default_context(cafile=demo.pki.ca.certificate)
        keys = demo.pki.client("nobody")
        context.load_cert_chain(keys.certificate, keys.key)
        junk = [one for one in kinds() if one.declared is None and one.path.isascii()]
        before = _bytes(folder)
        began = time.monotonic()
        sent = [0] * threads

        def send(number: int) -> None:
            chance = random.Random(number)
            while sent[number] < requests // threads:
                connection = http.client.HTTPSConnection("localhost", demo.port, context=context, timeout=60)
                with suppress(ConnectionError, http.client.BadStatusLine):
                    for _ in range(_CONNECTION_REQUESTS):
                        one = chance.choice(junk)
                        headers = {"Content-Type": one.content_type or "text/plain"}
                        if one.soap_action is not None and one.soap_action.isascii():
                            headers["SOAPAction"] = one.soap_action
                        connection.request(one.method, one.path, one.body, headers)
                        response = connection.getresponse()
                        response.read()
                        assert response.status >= 400, (response.status, one)
                        sent[number] += 1
                connection.close()

        running = [threading.Thread(target=send, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        seconds, log = time.monotonic() - began, _log_bytes(settings)
    return _found(settings, sum(sent), seconds, before, log)


class _InAMinute(SystemClock):
    """So late that every minute with a request in it is over."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=1)


def _found(settings: Settings, sent: int, seconds: float, before: int, log: int) -> Flood:
    """What is on record, once the last minute is, too."""
    audit = build_audit(settings, SystemClock())
    build_refusals(settings, _InAMinute(), Deaf(), audit).run()
    audit.close_session()
    grown = _bytes(settings.audit.database.parent.parent) - before
    by_itself = counted = records = intents = 0
    codes: Counter[str] = Counter()
    for record in records_in(settings):
        if isinstance(record, Ending):
            by_itself += record.kind in (EndingKind.REFUSED, EndingKind.CRASHED)
        elif isinstance(record, Refusals):
            records += 1
            counted += sum(count.times for count in record.counts)
            codes.update({f"{count.code} {count.rule}".strip(): count.times for count in record.counts})
        elif isinstance(record, Intent):
            intents += 1
    return Flood(sent, seconds, by_itself, counted, records, intents, grown, log, codes)


def _bytes(folder: Path) -> int:
    """What the store takes, once it is closed: everything but the tables, which never grow, and the log, which ends."""
    passing = (".table", ".turn", ".db-wal", ".db-shm")
    return sum(file.stat().st_size for file in (folder / "audit").rglob("*") if not file.name.endswith(passing))


def _log_bytes(settings: Settings) -> int:
    database = settings.audit.database
    log = database.with_name(f"{database.name}-wal")
    return log.stat().st_size if log.exists() else 0


def main() -> int:
    """Send as much junk as was asked for; 0 when nothing was lost and the store stayed small."""
    parser = argparse.ArgumentParser(prog="soak.junk", description="Junk cannot fill the audit trail.")
    parser.add_argument("--requests", type=int, default=1_000_000, help="through the application in this program")
    parser.add_argument("--over-tls", type=int, default=40_000, help="to a provider that is served")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        floods: dict[str, Callable[[], Flood]] = {
            "in process": lambda: flood_in_process(_made(folder, "a"), given.requests, given.processes),
            "over mutual TLS": lambda: flood_over_tls(_made(folder, "b"), given.over_tls, 4),
        }
        for title, flood in floods.items():
            found = flood()
            sys.stdout.write("\n  ".join((f"{title}:", *found.lines())) + "\n")
            sys.stdout.flush()
            failed += bool(found.lost or found.intents or found.grown >= LIMIT_BYTES)
    return min(failed, 1)


def _made(folder: str, name: str) -> Path:
    made = Path(folder) / name
    made.mkdir(mode=0o700)
    return made


if __name__ == "__main__":
    raise SystemExit(main())
