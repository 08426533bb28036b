"""A whole world for end-to-end tests: an embedded Spine behind mutual TLS, and a provider wired up against it.

Only the listener is left out: requests go into the pipeline as bytes and come back as bytes, and those are read here
with plain XPath, by none of the project's own readers. Everything else is the real part: sockets, TLS, the audit trail
in a file, the operator's log.

    with make_world(tmp_path) as world:
        world.store.add(watermarked(7))
        answer = world.ask(Service.VERIFY_NHS_NUMBER, Fields(nhs_number=..., date_of_birth=...))
"""

import io
import re
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lxml import etree

from audit_trails import TrailTail
from itk_messages import Fields, Request, request_for
from kept_output import keep, keep_fault
from smsp_provider.audit.events import Closure, Ending, Intent
from smsp_provider.audit.trail import Entry
from smsp_provider.config.settings import (
    AuditSettings,
    BreakerSettings,
    ClientPolicy,
    ClientSettings,
    Environment,
    Limits,
    LogSettings,
    SecuritySettings,
    Server,
    ServiceSettings,
    Settings,
    SpineSettings,
    ThrottleSettings,
)
from smsp_provider.domain.service import Service
from smsp_provider.engine.exchange import InboundExchange, Peer
from smsp_provider.engine.ports import ClientRegistry, Clock, IdSource
from smsp_provider.engine.refusals import RefusedRequest
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.pki import Pki, make_pki
from smsp_provider.simulator.records import SpinePatient
from smsp_provider.simulator.server import EmbeddedSpine, SpineTLS
from smsp_provider.simulator.spine import Reply as SpineReply
from smsp_provider.simulator.spine import Spine
from smsp_provider.wiring.provider import Provider, build_provider

__all__ = [
    "CROSS_CHECK",
    "RETRIEVAL",
    "TRACE",
    "Answer",
    "CountedSpine",
    "ProviderUnderTest",
    "World",
    "make_world",
    "read_answer",
]

TRACE: Final = "QUPA_IN000005UK01"
CROSS_CHECK: Final = "QUPA_IN000014UK01"
RETRIEVAL: Final = "QUPA_IN000008UK02"

_NAMES: Final = {
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
    "a": "http://www.w3.org/2005/08/addressing",
    "i": "urn:nhs-itk:ns:201005",
    "h": "urn:hl7-org:v3",
}
_NHS_NUMBER: Final = "2.16.840.1.113883.2.1.4.1"
_PDS_ASID: Final = "100000000104"
_OWN_ASID: Final = "200000000205"
_LOCAL: Final = Peer("127.0.0.1")
_SENT_IDS: Final = re.compile(rb"<wsa:MessageID>([^<]+)</wsa:MessageID>")


@dataclass(frozen=True)
class Answer:
    """What a reply says, as XPath finds it. ``code`` is the response code, ``fault`` the toolkit's error code.

    ``numbers`` are all ids under the root of NHS numbers anywhere in the message, in document order.
    """

    status: int
    body: bytes = field(repr=False)
    seconds: float
    code: str | None
    fault: str | None
    fault_text: str | None
    relates_to: str | None
    message_id: str | None
    numbers: tuple[str, ...]
    other_ids: tuple[tuple[str, str], ...]
    families: tuple[str, ...]
    given: tuple[str, ...]
    prefixes: tuple[str, ...]
    postcodes: tuple[str, ...]
    lines: tuple[str, ...]
    telecoms: tuple[str, ...]
    gender: str | None
    birth: str | None
    death: str | None
    practice: str | None

    @property
    def is_bare(self) -> bool:
        """Whether it says nothing of any patient: a code or a fault, and no more."""
        text = (self.families, self.given, self.prefixes, self.postcodes, self.lines, self.telecoms)
        coded = (self.gender, self.birth, self.death, self.practice)
        return not self.numbers and not any(text) and not any(coded) and not self.other_ids

    @property
    def said(self) -> str:
        """The response code, or the fault with its error code."""
        return self.code or f"fault {self.fault}"


def read_answer(status: int, body: bytes, seconds: float = 0.0) -> Answer:
    """Read a reply of the provider."""
    root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))

    def texts(path: str) -> tuple[str, ...]:
        found = root.xpath(path, namespaces=_NAMES)
        assert isinstance(found, list)
        return tuple(str(value) for value in found)

    def one(path: str) -> str | None:
        found = texts(path)
        assert len(found) < 2, path
        return found[0] if found else None

    payload = "/s:Envelope/s:Body/i:DistributionEnvelope/i:payloads/i:payload/*"
    return Answer(
        status,
        body,
        seconds,
        code=one(f"{payload}/h:value/@code"),
        fault=one("/s:Envelope/s:Body/s:Fault/detail//i:ErrorCode/text()"),
        fault_text=one("/s:Envelope/s:Body/s:Fault/detail//i:ErrorText/text()"),
        relates_to=one("/s:Envelope/s:Header/a:RelatesTo/text()"),
        message_id=one("/s:Envelope/s:Header/a:MessageID/text()"),
        numbers=texts(f"//h:id[@root='{_NHS_NUMBER}']/@extension"),
        other_ids=tuple(
            zip(
                texts(f"//h:patient/h:id[not(@root='{_NHS_NUMBER}')]/@root"),
                texts(f"//h:patient/h:id[not(@root='{_NHS_NUMBER}')]/@extension"),
                strict=True,
            )
        ),
        families=texts("//h:name/h:family/text()"),
        given=texts("//h:name/h:given/text()"),
        prefixes=texts("//h:name/h:prefix/text()"),
        postcodes=texts("//h:addr/h:postalCode/text()"),
        lines=texts("//h:addr/h:streetAddressLine/text()"),
        telecoms=texts("//h:telecom/@value"),
        gender=one("//h:administrativeGenderCode/@code"),
        birth=one("//h:birthTime/@value"),
        death=one("//h:deceasedTime/@value"),
        practice=one("//h:gPPractice/h:locationOrganization/h:id/@extension"),
    )


class CountedSpine(EmbeddedSpine):
    """An embedded Spine that counts connections and keeps what arrives: every message id, and the last bodies."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.connections = 0
        self.received: list[str] = []
        self._answers = threading.Event()
        self._answers.set()
        self.bodies: deque[bytes] = deque(maxlen=20)
        self._count = threading.Lock()
        inner = self.spine
        self.spine = _Noting(inner.store, inner.faults, inner.clock, inner.wait, inner.mutate_answer)
        self.spine.noted = self._note

    def secured(self, connection: Any) -> Any:
        made = super().secured(connection)
        with self._count:
            self.connections += 1
        return made

    def _note(self, body: bytes) -> None:
        found = _SENT_IDS.search(body)
        with self._count:
            self.received.append(found[1].decode() if found else "none")
            self.bodies.append(body)
        self._answers.wait()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Queries that arrive meanwhile are answered at the end of the ``with``, however long that takes."""
        self._answers.clear()
        try:
            yield
        finally:
            self._answers.set()

    @property
    def open_connections(self) -> int:
        """Connections that neither side has ended."""
        with self._server._guard:
            return len(self._server._open)

    def wait_until_closed(self, seconds: float = 60.0) -> bool:
        """Whether the provider closes every connection within so long."""
        until = time.monotonic() + seconds
        while self.open_connections and time.monotonic() < until:
            time.sleep(0.005)
        return self.open_connections == 0


@dataclass
class _Noting(Spine):
    noted: Callable[[bytes], None] = field(default=lambda _: None)

    def answer(self, body: bytes, soap_action: str | None) -> SpineReply:
        self.noted(body)
        return super().answer(body, soap_action)


class EachByItself:
    """Counts no refusal, so that each is on record by itself; that they are counted is tested elsewhere."""

    def count(self, refused: RefusedRequest) -> bool:
        del refused
        return False

    def begin(self, refused: RefusedRequest) -> None:
        """Nothing to note."""

    def count_below(self, peer: Peer, status: int) -> None:
        raise AssertionError((peer, status))


@dataclass
class ProviderUnderTest:
    """A provider in this process, with its own audit trail and log."""

    provider: Provider
    settings: Settings
    _log: io.BytesIO
    _seen: int = 0
    _read: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tail = TrailTail(self.provider.audit, self.settings.audit.database)

    def ask(self, service: Service, fields: Fields | None = None, **changes: Any) -> Answer:
        """Ask as a well-behaved client would; ``changes`` are fields of the request (``message_id=...``)."""
        return self.send(replace(request_for(service, fields, now=datetime.now(UTC)), **changes))

    def send(self, request: Request, peer: Peer = _LOCAL) -> Answer:
        """Send a request as a web adapter would hand it on."""
        return self.send_bytes(request.body(), request.soap_action, peer)

    def send_bytes(self, body: bytes, soap_action: str, peer: Peer = _LOCAL) -> Answer:
        """The same for any bytes. Whoever is told to try again, for whatever reason, has to be told when."""
        pipeline = self.provider.pipeline
        url = "http://127.0.0.1/smsp/pds"
        exchange = InboundExchange(body, "/smsp/pds", url, peer, "text/xml", soap_action)
        began = time.monotonic()
        try:
            received = pipeline.receive(exchange)
        except Exception as error:  # noqa: BLE001 - what the adapters do, see web/wsgi.py
            reply = pipeline.refuse(exchange, error)
        else:
            reply = pipeline.answer(received)
        keep_fault(reply.status, reply.body)
        answer = read_answer(reply.status, reply.body, time.monotonic() - began)
        assert (answer.said == "fault 2100") == ("Retry-After" in dict(reply.headers))
        return answer

    @property
    def log(self) -> bytes:
        """Everything the operator's log got so far."""
        return self._log.getvalue()

    def new_log(self) -> str:
        """What the log got since this was asked last."""
        whole = self._log.getvalue()
        fresh, self._seen = whole[self._seen :], len(whole)
        return fresh.decode()

    def entries(self) -> list[Entry]:
        """The whole audit trail."""
        self._read.extend(self._tail.read())
        return list(self._read)

    def ending_of(self, answer: Answer) -> Ending:
        """The one ending on the audit trail that belongs to an answer."""
        assert answer.message_id is not None
        (found,) = [
            entry.record
            for entry in self.entries()
            if isinstance(entry.record, Ending) and entry.record.reply_message_id == answer.message_id
        ]
        return found

    def intent_of(self, ending: Ending) -> Intent | None:
        """The intent that stands before an ending, or None."""
        records = [entry.record for entry in self.provider.audit.read(exchange_id=ending.exchange_id)]
        intents = [record for record in records if isinstance(record, Intent)]
        assert len(intents) < 2
        assert not [record for record in records if isinstance(record, Closure)]
        assert not intents or records[0] is intents[0]
        return intents[0] if intents else None

    def close(self) -> None:
        """End its part in the audit trail and its connections."""
        self.provider.pipeline._connector.close_idle()
        self.provider.audit.close_session()
        keep("log", self.log)


@dataclass
class World(ProviderUnderTest):
    """A Spine and a provider; further providers against the same Spine come from :meth:`another_provider`."""

    spine: CountedSpine = field(kw_only=True)
    store: PatientStore = field(kw_only=True)
    pki: Pki = field(kw_only=True)
    directory: Path = field(kw_only=True)
    _others: list[ProviderUnderTest] = field(default_factory=list)

    def calm(self) -> None:
        """Take back every fault, lie and delay."""
        self.spine.faults.clear()
        self.spine.spine.mutate_answer = None
        self.spine.delay = 0.0

    def calls(self) -> int:
        """How many requests Spine has read so far, whatever became of them."""
        return len(self.spine.received)

    @contextmanager
    def another_provider(self, **changes: Any) -> Iterator[ProviderUnderTest]:
        """A provider with other settings: ``spine_settings``, ``limits``, ``service``, ``security`` (mappings), or with
        another ``clock``, ``ids`` or ``registry``.
        """
        folder = Path(tempfile.mkdtemp(dir=self.directory))
        made = _make_provider(self.spine, self.pki, folder, **changes)
        self._others.append(made)
        try:
            yield made
        finally:
            made.close()

    def everything_logged(self) -> bytes:
        """The logs of all providers of this world."""
        return self.log + b"".join(other.log for other in self._others)


@contextmanager
def make_world(directory: Path, *patients: SpinePatient, **changes: Any) -> Iterator[World]:
    """A running world in ``directory``; ``changes`` as in :meth:`World.another_provider`."""
    pki = make_pki(directory / "pki")
    tls = SpineTLS(pki.spine_server.certificate, pki.spine_server.key, pki.ca.certificate)
    with PatientStore() as store:
        store.add_all(patients)
        with CountedSpine(store, tls=tls) as spine:
            made = _make_provider(spine, pki, directory / "provider", **changes)
            world = World(
                made.provider, made.settings, made._log, spine=spine, store=store, pki=pki, directory=directory
            )
            try:
                yield world
            finally:
                world.close()


def _make_provider(
    spine: EmbeddedSpine,
    pki: Pki,
    folder: Path,
    *,
    spine_settings: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    service: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    registry: ClientRegistry | None = None,
    security: Mapping[str, Any] | None = None,
    throttle: Mapping[str, Any] | None = None,
    breaker: Mapping[str, Any] | None = None,
) -> ProviderUnderTest:
    upstream = {
        "endpoint": spine.url,
        "certificate": pki.provider_client.certificate,
        "key": pki.provider_client.key,
        "ca": pki.ca.certificate,
        "pds_asid": _PDS_ASID,
        "default_asid": _OWN_ASID,
        **(spine_settings or {}),
    }
    settings = Settings(
        environment=Environment.TEST,
        server=Server(http="127.0.0.1:0"),
        spine=SpineSettings(**upstream),
        audit=AuditSettings(database=folder / "audit" / "audit.db", synchronous="NORMAL"),
        limits=Limits(**(limits or {})),
        service=ServiceSettings(**(service or {})),
        security=SecuritySettings(**(security or {})),
        # The tests that want a breaker say so: here Spine fails on purpose all the time.
        breaker=BreakerSettings(**(breaker or {"failures": 1_000_000})),
        throttle=ThrottleSettings(**(throttle or {})),
        clients=ClientSettings(policy=ClientPolicy.ANY if registry is None else ClientPolicy.REGISTERED),
        log=LogSettings(level="debug"),
    )
    log = io.BytesIO()
    # The log goes to standard output, which the provider takes hold of when it is built.
    with redirect_stdout(io.TextIOWrapper(log, write_through=True)) as shown:
        provider = build_provider(settings, clock=clock, ids=ids, registry=registry, refusals=EachByItself())
    shown.detach()
    return ProviderUnderTest(provider, settings, log)
