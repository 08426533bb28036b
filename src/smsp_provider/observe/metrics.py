"""What operators measure: counts of requests and alerts, and the limits with their use, in Prometheus' form.

Every process counts into one table (``Counters``), so that whoever serves the metrics reads them without asking the
workers. Labels are services, codes, kinds and names of registered clients: few, and nothing of a patient.

Source: SMSP-PERF-002 (throughput, at least daily total and peak hour), SMSP-PERF-001 (limits and their use).
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from smsp_provider.audit.operator_events import Alert, Observer, OperatorEvent, RequestAnswered
from smsp_provider.domain.service import Service
from smsp_provider.engine.admission_use import ThrottleUse, Waits
from smsp_provider.engine.ports import Clock
from smsp_provider.observe.clock_state import KernelClock

__all__ = ["CONTENT_TYPE", "Counters", "CountingObserver", "RootsMade", "exposition", "request_totals", "throughput"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_REQUESTS: Final = "requests"
_SECONDS: Final = "seconds"
_SECONDS_SUM: Final = "seconds-sum"
_QUERIES: Final = "queries"
_BYTES: Final = "request-bytes"
_ALERTS: Final = "alerts"
_BOUNDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, float("inf"))
_HOUR_SECONDS: Final = 3600


class Counters(Protocol):
    """Where events are counted, for all processes."""

    def add(self, amounts: Iterable[tuple[str, float]], *, hour: int | None = None) -> None:
        """Add to counters by name; with ``hour`` (since 1970) count a request in it. Never raises."""
        ...


class RootsMade(NamedTuple):
    """How far the roots of the audit trail are: the moment of the last one, and how many records are in none."""

    at: datetime | None
    unbound: int


class CountingObserver:
    """Counts events before it hands them on."""

    def __init__(self, observer: Observer, counters: Counters, clock: Clock) -> None:
        self._observer: Final = observer
        self._counters: Final = counters
        self._clock: Final = clock

    def notify(self, event: OperatorEvent) -> None:
        """See :meth:`smsp_provider.audit.operator_events.Observer.notify`."""
        if isinstance(event, RequestAnswered):
            seconds = event.duration_ms / 1000
            of_code, of_class, of_seconds = _names(event.service, event.code, bisect_left(_BOUNDS, seconds))
            self._counters.add(
                (
                    (of_code, 1),
                    (of_class, 1),
                    (of_seconds, seconds),
                    (_QUERIES, event.spine_exchanges),
                    (_BYTES, event.request_bytes),
                ),
                hour=int(self._clock.now().timestamp()) // _HOUR_SECONDS,
            )
        elif isinstance(event, Alert):
            self._counters.add(((f"{_ALERTS}|{event.kind.value}", 1),))
        self._observer.notify(event)


@lru_cache(maxsize=512)
def _names(service: Service | None, code: str, place: int) -> tuple[str, str, str]:
    """The counters of a request: by its code, by the class of its duration, and of the sum of durations."""
    name = "unknown" if service is None else service.value
    return f"{_REQUESTS}|{name}|{code}", f"{_SECONDS}|{name}|{place}", f"{_SECONDS_SUM}|{name}"


def exposition(
    counts: Mapping[str, float],
    hours: Mapping[int, int],
    use: ThrottleUse | None,
    now: datetime,
    clock: KernelClock | None = None,
    roots: RootsMade | None = None,
) -> bytes:
    """The metrics page: ``counts`` as they were counted, requests by ``hours``; the others where they are known."""
    registry = CollectorRegistry()
    registry.register(_Page(lambda: [*_metrics(counts, hours, use, now), *_clock(clock), *_roots(roots, now)]))
    return generate_latest(registry)


def request_totals(counts: Mapping[str, float], errors: Collection[str]) -> tuple[float, float, float]:
    """Requests in all, those that were answered with one of these codes, and the bytes of all their bodies."""
    requests = of_errors = 0.0
    for name, value in counts.items():
        kind, _, rest = name.partition("|")
        if kind == _REQUESTS:
            requests += value
            of_errors += value if rest.rpartition("|")[2] in errors else 0.0
    return requests, of_errors, counts.get(_BYTES, 0.0)


def throughput(hours: Mapping[int, int], day: date) -> tuple[int, int]:
    """Requests of a day in UTC, and of its busiest hour (SMSP-PERF-002)."""
    first = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // _HOUR_SECONDS
    of_the_day = [hours.get(first + hour, 0) for hour in range(24)]
    return sum(of_the_day), max(of_the_day)


class _Page(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        """What the registry asks for."""
        return self._collect()


def _metrics(
    counts: Mapping[str, float], hours: Mapping[int, int], use: ThrottleUse | None, now: datetime
) -> Iterator[Metric]:
    yield from _counted(counts)
    yield from _by_day(hours, now)
    if use is not None:
        yield from _limits(use)
        yield from _clients(use)


def _roots(roots: RootsMade | None, now: datetime) -> Iterator[Metric]:
    if roots is None:
        return
    if roots.at is not None:
        age = max(0.0, (now - roots.at).total_seconds())
        yield GaugeMetricFamily("smsp_audit_root_age_seconds", "Since the last root of the audit trail", age)
    yield GaugeMetricFamily("smsp_audit_unbound_records", "Records that are in no root, as last seen", roots.unbound)


def _clock(clock: KernelClock | None) -> Iterator[Metric]:
    if clock is None:
        return
    yield GaugeMetricFamily(
        "smsp_clock_synchronised", "1 where the kernel says that the clock is synchronised", int(clock.synchronised)
    )
    for name, text, milliseconds in (
        ("offset", "What is still to be corrected of the clock", clock.offset_ms),
        ("estimated_error", "How far the clock is off, as the time daemon estimates", clock.estimated_error_ms),
        ("most_error", "How far the clock can be off at most", clock.most_error_ms),
    ):
        yield GaugeMetricFamily(f"smsp_clock_{name}_seconds", text, milliseconds / 1000)


def _counted(counts: Mapping[str, float]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "smsp_requests", "Requests by service and code on the wire", labels=("service", "code")
    )
    alerts = CounterMetricFamily("smsp_alerts", "Alerts by kind", labels=("kind",))
    seconds: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(_BOUNDS))
    sums: dict[str, float] = defaultdict(float)
    for name, value in sorted(counts.items()):
        kind, *labels = name.split("|")
        match kind, labels:
            case "requests", [service, code]:
                requests.add_metric((service, code), value)
            case "alerts", [label]:
                alerts.add_metric((label,), value)
            case "seconds", [service, place]:
                seconds[service][int(place)] = value
            case "seconds-sum", [service]:
                sums[service] = value
    yield requests
    yield alerts
    yield CounterMetricFamily("smsp_request_bytes", "Bytes in the bodies of requests", counts.get(_BYTES, 0.0))
    yield CounterMetricFamily("smsp_spine_queries", "Queries that were sent to Spine", counts.get(_QUERIES, 0.0))
    durations = HistogramMetricFamily("smsp_request_seconds", "From arrival to answer, by service", labels=("service",))
    for service, found in seconds.items():
        durations.add_metric((service,), _cumulative(_BOUNDS, found), sums[service])
    yield durations


def _by_day(hours: Mapping[int, int], now: datetime) -> Iterator[Metric]:
    total = GaugeMetricFamily("smsp_day_requests", "Requests of a day (UTC)", labels=("day",))
    peak = GaugeMetricFamily("smsp_day_peak_hour_requests", "Requests of its busiest hour", labels=("day",))
    for label, day in (("today", now.date()), ("yesterday", now.date() - timedelta(days=1))):
        requests, busiest = throughput(hours, day)
        total.add_metric((label,), requests)
        peak.add_metric((label,), busiest)
    yield total
    yield peak


def _limits(use: ThrottleUse) -> Iterator[Metric]:
    yield GaugeMetricFamily("smsp_spine_in_flight", "Requests that have a place at Spine", use.in_flight)
    yield GaugeMetricFamily("smsp_spine_in_flight_limit", "Places at Spine of this host", use.max_in_flight)
    yield GaugeMetricFamily("smsp_spine_waiting", "Queries that wait for their turn", use.waiting)
    if use.in_hand is not None:
        yield GaugeMetricFamily("smsp_spine_rate_in_hand", "Queries that could go at once by the rate", use.in_hand)
    yield GaugeMetricFamily("smsp_breaker_state", "0 closed, 1 half open, 2 open", use.breaker.value)
    yield CounterMetricFamily("smsp_breaker_opened", "How often the breaker opened", use.breaker_opened)
    yield GaugeMetricFamily("smsp_draining", "1 while the provider stops", int(use.draining))
    refusals = CounterMetricFamily("smsp_refusals", "Requests and queries refused leave, by reason", labels=("reason",))
    for reason, count in use.refusals.items():
        refusals.add_metric((reason,), count)
    yield refusals
    waits = HistogramMetricFamily("smsp_spine_wait_seconds", "Wait of queries for their turn", labels=("class",))
    for label, found in (("attended", use.attended), ("unattended", use.unattended)):
        waits.add_metric((label,), _of_waits(found), found.seconds)
    yield waits


def _clients(use: ThrottleUse) -> Iterator[Metric]:
    in_flight = GaugeMetricFamily("smsp_client_in_flight", "Requests of a client under way", labels=("client",))
    limit = GaugeMetricFamily(
        "smsp_client_limit",
        "Limits of a client, where it has any: rate, burst, concurrency",
        labels=("client", "limit"),
    )
    in_hand = GaugeMetricFamily("smsp_client_rate_in_hand", "Requests a client could make at once", labels=("client",))
    admitted = CounterMetricFamily("smsp_client_admitted", "Requests of a client within its limits", labels=("client",))
    refused = CounterMetricFamily("smsp_client_refused", "Requests of a client beyond its limits", labels=("client",))
    for client in use.clients:
        in_flight.add_metric((client.name,), client.in_flight)
        admitted.add_metric((client.name,), client.admitted)
        refused.add_metric((client.name,), client.refused)
        if client.in_hand is not None:
            in_hand.add_metric((client.name,), client.in_hand)
        limits = (("rate", client.rate), ("burst", client.burst), ("concurrency", client.concurrency))
        for name, value in limits:
            if value is not None:
                limit.add_metric((client.name, name), value)
    yield from (in_flight, limit, in_hand, admitted, refused)


def _of_waits(waits: Waits) -> list[tuple[str, float]]:
    return _cumulative(waits.bounds, waits.counts)


def _cumulative(bounds: Iterable[float], counts: Iterable[float]) -> list[tuple[str, float]]:
    total, found = 0.0, []
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        found.append(("+Inf" if bound == float("inf") else str(bound), total))
    return found
