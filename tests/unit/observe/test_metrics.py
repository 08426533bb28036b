from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_endpoint import EventList
from smsp_provider.audit.operator_events import Alert, AlertKind, EdgeAnswered, OperatorEvent, RequestAnswered
from smsp_provider.domain.clients import Limits
from smsp_provider.domain.service import Service
from smsp_provider.observe.clock_state import KernelClock
from smsp_provider.observe.metrics import CountingObserver, RootsMade, exposition, throughput
from smsp_provider.storage.shared_counters import SharedCounters
from throttles import StandingClock, throttle_at, turn

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
HOUR = int(NOW.timestamp()) // 3600


def samples(page: bytes) -> dict[str, float]:
    """Every sample of a page by its name and labels, as Prometheus reads them."""
    return {
        "|".join((sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def answered(code: str, milliseconds: int, service: Service | None = Service.GET_NHS_NUMBER) -> RequestAnswered:
    return RequestAnswered("E", None, "ward", service, code, 200, milliseconds, spine_exchanges=2)


@pytest.fixture
def counters(tmp_path: Path) -> SharedCounters:
    return SharedCounters(tmp_path / "counters.table")


def test_events_are_counted_and_handed_on(counters: SharedCounters) -> None:
    observer = EventList()
    counting = CountingObserver(observer, counters, StandingClock(NOW.timestamp()))
    events: list[OperatorEvent] = [
        answered("SMSP-0000", 40),
        answered("SMSP-0000", 300),
        answered("2100", 1, None),
        Alert(AlertKind.GATE_REFUSED, "E", "W1"),
        EdgeAnswered("GET", 200),
    ]
    for event in events:
        counting.notify(event)
    assert observer.events == events
    found = samples(exposition(counters.read(), counters.hours(), None, NOW))
    assert found["smsp_requests_total|code=SMSP-0000|service=getNHSNumber-v1-0"] == 2
    assert found["smsp_requests_total|code=2100|service=unknown"] == 1
    assert found["smsp_alerts_total|kind=answer-refused-by-gate"] == 1
    assert found["smsp_spine_queries_total"] == 6
    durations = {name: value for name, value in found.items() if "getNHSNumber" in name and "seconds" in name}
    assert durations["smsp_request_seconds_bucket|le=0.025|service=getNHSNumber-v1-0"] == 0
    assert durations["smsp_request_seconds_bucket|le=0.05|service=getNHSNumber-v1-0"] == 1
    assert durations["smsp_request_seconds_bucket|le=0.5|service=getNHSNumber-v1-0"] == 2
    assert durations["smsp_request_seconds_count|service=getNHSNumber-v1-0"] == 2
    assert durations["smsp_request_seconds_sum|service=getNHSNumber-v1-0"] == pytest.approx(0.34)


@pytest.mark.rule("SMSP-PERF-002")
def test_a_day_has_a_total_and_a_busiest_hour() -> None:
    hours = {HOUR - 24: 5, HOUR - 23: 7, HOUR - 10: 90, HOUR - 1: 20, HOUR: 30}
    assert throughput(hours, date(2026, 3, 1)) == (102, 90)
    assert throughput(hours, date(2026, 3, 2)) == (50, 30)
    assert throughput(hours, date(2026, 2, 1)) == (0, 0)
    found = samples(exposition({}, hours, None, NOW))
    assert found["smsp_day_requests|day=today"] == 50
    assert found["smsp_day_peak_hour_requests|day=yesterday"] == 90


@pytest.mark.rule("SMSP-PERF-001")
def test_limits_and_their_use_are_shown(tmp_path: Path) -> None:
    clock = StandingClock()
    throttle = throttle_at(tmp_path / "throttle.table", clock, rate=10, burst=3, max_in_flight=5)
    limits = Limits(rate=4, burst=2, concurrency=6)
    with (
        throttle.admit_request("ward", limits),
        throttle.admit_inquiry(turn("ward", clock=clock)) as leave,
        leave.query(),
    ):
        found = samples(exposition({}, {}, throttle.use(), NOW))
    assert found["smsp_spine_in_flight"] == 1
    assert found["smsp_spine_in_flight_limit"] == 5
    assert found["smsp_spine_rate_in_hand"] == 2
    assert found["smsp_breaker_state"] == 0
    assert found["smsp_draining"] == 0
    assert found["smsp_refusals_total|reason=breaker"] == 0
    assert found["smsp_spine_wait_seconds_bucket|class=attended|le=0.0"] == 1
    assert found["smsp_client_in_flight|client=ward"] == 1
    for name, limit in (("rate", 4), ("burst", 2), ("concurrency", 6)):
        assert found[f"smsp_client_limit|client=ward|limit={name}"] == limit
    assert found["smsp_client_rate_in_hand|client=ward"] == 1
    assert found["smsp_client_admitted_total|client=ward"] == 1
    assert found["smsp_client_refused_total|client=ward"] == 0


def test_how_old_the_last_root_of_the_audit_trail_is() -> None:
    found = samples(exposition({}, {}, None, NOW, None, RootsMade(NOW - timedelta(seconds=7), 3)))
    assert found["smsp_audit_root_age_seconds"] == 7
    assert found["smsp_audit_unbound_records"] == 3


def test_where_there_is_no_root_yet_none_has_an_age() -> None:
    found = samples(exposition({}, {}, None, NOW, None, RootsMade(None, 3)))
    assert "smsp_audit_root_age_seconds" not in found
    assert found["smsp_audit_unbound_records"] == 3


@pytest.mark.rule("SMSP-AUDIT-010")
def test_the_state_of_the_clock_is_on_the_page_where_it_is_known(counters: SharedCounters) -> None:
    clock = KernelClock(synchronised=True, offset_ms=-2.5, estimated_error_ms=1.0, most_error_ms=250.0)
    found = samples(exposition(counters.read(), counters.hours(), None, NOW, clock=clock))
    assert {name: value for name, value in found.items() if "clock" in name} == {
        "smsp_clock_synchronised": 1,
        "smsp_clock_offset_seconds": -0.0025,
        "smsp_clock_estimated_error_seconds": 0.001,
        "smsp_clock_most_error_seconds": 0.25,
    }
    assert not [name for name in samples(exposition({}, {}, None, NOW)) if "clock" in name]
