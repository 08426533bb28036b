"""What every part of the benchmark works on: one request, one answer of the embedded Spine, settings, statistics."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.instant import HL7_ID, URL, WSA_ID, InstantTransport
from bench.requests import DATE_OF_BIRTH, indented
from itk_messages import NHS_NUMBER
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
from smsp_provider.connectors.hl7v3 import HL7v3Connector, HL7v3Settings
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_queries import CrossCheckTrace
from smsp_provider.engine.stages import Received
from smsp_provider.engine.system import RandomIds, SystemClock
from smsp_provider.observe.logs import Level, LogLevel, LogObserver
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.records import Span, SpineAddress, SpineName, SpinePatient, SpinePractice, SpineTelecom
from smsp_provider.simulator.spine import Spine
from smsp_provider.spine.hl7v3.query import MessageIds, Route, build_query
from smsp_provider.web.edge import Documents, Edge
from smsp_provider.wiring.provider import Provider

__all__ = [
    "edge_of",
    "instant_connector",
    "median_us",
    "observer",
    "patients",
    "percentile",
    "prepared_answer",
    "settings",
    "timed_us",
]

_SPINE_ASID, _OWN_ASID = ASID("100000000104"), ASID("200000000205")


def patients(path: Path) -> PatientStore:
    """A store with one patient who has moved, married and given several ways to be reached."""
    store = PatientStore(path)
    store.add(
        SpinePatient(
            nhs_number=NHS_NUMBER,
            birth_time=DATE_OF_BIRTH,
            gender="2",
            names=(
                SpineName("L", "QUILLFEATHER", ("ORLA", "MAY"), prefix="MS", period=Span("20010614")),
                SpineName("A", "INKWELL", ("ORLA",), period=Span("19710601")),
            ),
            addresses=(
                SpineAddress(
                    "H", ("", "1 MADE UP ROAD", "", "NOWHERE", "NOSHIRE"), "ZZ99 9AA", period=Span("20120103")
                ),
                SpineAddress("PST", ("FLAT 2", "3 MADE UP LANE", "", "NOWHERE", ""), "ZZ99 9AB", period=Span("2019")),
            ),
            telecoms=(
                SpineTelecom("HP", "tel:01632960000", period=Span("20120103")),
                SpineTelecom("MC", "tel:07700900000", period=Span("20150903")),
                SpineTelecom("HP", "mailto:orla@example.net", period=Span("20150903")),
            ),
            practices=(SpinePractice("Z99999", period=Span("20120110")),),
        )
    )
    return store


def prepared_answer(store: PatientStore) -> bytes:
    """The embedded Spine's answer to the cross-check of that patient, about 5 kB, with the instant transport's ids."""
    query = CrossCheckTrace(NHSNumber(NHS_NUMBER), HL7Date(DATE_OF_BIRTH), "Quillfeather", "Orla")
    ids = MessageIds(f"uuid:{WSA_ID.decode()}", HL7_ID.decode())
    route = Route(URL, _SPINE_ASID, None)
    body = build_query(query, ids, "20260302093000", route, _OWN_ASID, None)
    return indented(Spine(store).answer(body, "urn:nhs:names:services:pdsquery/QUPA_IN000014UK01").body, " ")


def instant_connector(answer: bytes) -> HL7v3Connector:
    """The real connector over a transport that answers at once."""
    return HL7v3Connector(HL7v3Settings(_SPINE_ASID), InstantTransport(answer), SystemClock(), RandomIds(), time.sleep)


def settings(
    state: Path,
    synchronous: str,
    *,
    http: str = "127.0.0.1:0",
    threads: int = 64,
    spine: SpineSettings | None = None,
    store: str = "",
) -> Settings:
    """A provider that writes its audit trail for real, to a file or to PostgreSQL, and logs errors only."""
    return Settings(
        environment=Environment.TEST,
        server=Server(http=http, workers=2, threads=threads),
        spine=spine or spine_settings("http://127.0.0.1/unused"),
        audit=AuditSettings(database=state / "audit.db", synchronous=synchronous, store=store),
        clients=ClientSettings(policy=ClientPolicy.ANY),
        # All that there is to throttling is done and paid for; only nobody ever reaches a limit.
        breaker=BreakerSettings(failures=1_000_000),
        # A machine that has other things to do makes figures worse, and is no failure.
        limits=Limits(request_seconds=120),
        throttle=ThrottleSettings(rate_per_second=100_000, burst=100_000, max_in_flight=2 * threads - 1),
        log=LogSettings(level="error"),
    )


def spine_settings(endpoint: str, **files: Path) -> SpineSettings:
    """Spine at ``endpoint``; ``files`` are certificate, key and ca where it speaks TLS."""
    return SpineSettings(endpoint=endpoint, pds_asid=_SPINE_ASID.value, default_asid=_OWN_ASID.value, **files)


def observer() -> LogObserver:
    """Operator events of level error to standard error: there should be none."""
    return LogObserver(sys.stderr.buffer, LogLevel(Level.ERROR), SystemClock())


def edge_of(provider: Provider) -> Edge[Received]:
    """The edge of a provider, without the documents that nobody asks for here."""
    return Edge(provider.pipeline, Documents(lambda _url: b"", lambda _name, _url: None), observer(), lambda: True)


def timed_us(work: Callable[[], object]) -> tuple[float, float]:
    """How long one call takes, in microseconds: on the clock, and of this thread's CPU time."""
    began, used = time.perf_counter(), time.thread_time()
    work()
    return (time.perf_counter() - began) * 1e6, (time.thread_time() - used) * 1e6


def median_us(durations: Sequence[float]) -> float:
    """The median of durations in microseconds, to one decimal."""
    return round(statistics.median(durations), 1)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
