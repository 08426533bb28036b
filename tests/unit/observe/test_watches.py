"""What is watched beside the requests: Spine by the shared breaker, traffic by the shared counters, and the clock."""

import ctypes
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smsp_provider.audit.operator_events import Alert, AlertKind, OperatorEvent, RequestAnswered
from smsp_provider.domain.service import Service
from smsp_provider.engine.breaker import BreakerPolicy
from smsp_provider.observe.clock_state import ClockSource, KernelClock, _Timex, read_kernel_clock, read_source
from smsp_provider.observe.clock_watch import ClockReading, ClockWatch, offset_from, problems
from smsp_provider.observe.limits_watch import LimitsWatch
from smsp_provider.observe.metrics import CountingObserver
from smsp_provider.observe.spine_watch import SpineWatch
from smsp_provider.observe.standing import StandingAlerts
from smsp_provider.observe.traffic_watch import TrafficThresholds, TrafficWatch
from smsp_provider.storage.shared_counters import SharedCounters
from smsp_provider.storage.shared_throttle import SharedThrottle
from throttles import StandingClock, fails, throttle_at, turn, wait_until

_WELL = KernelClock(synchronised=True, offset_ms=0.2, estimated_error_ms=0.5, most_error_ms=300)


class _Told:
    """Keeps the alerts."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def notify(self, event: OperatorEvent) -> None:
        if isinstance(event, Alert):
            self.alerts.append(event)

    def kinds(self) -> list[AlertKind]:
        return [alert.kind for alert in self.alerts]

    def reasons(self) -> list[str]:
        return [alert.reason for alert in self.alerts]


def _answered(throttle: SharedThrottle, clock: StandingClock) -> None:
    """A query that Spine answers at once."""
    with throttle.admit_inquiry(turn(clock=clock)) as leave, leave.query():
        pass


@pytest.mark.rule("IFC-ALT-01")
def test_an_outage_of_spine_is_one_alert_however_many_workers_notice_it(tmp_path: Path) -> None:
    clock, told, policy = StandingClock(), _Told(), BreakerPolicy(failures=4, successes=2)
    watching, worker, another = (throttle_at(tmp_path / "table", clock, breaker=policy) for _ in range(3))
    watch = SpineWatch(watching.breaker, told, clock)
    watch.run()
    for throttle in (worker, another, worker, another):
        fails(throttle, turn(clock=clock))
    for _ in range(5):
        watch.run()
        clock.go_on(2)
        fails(worker, turn(clock=clock))
    assert told.kinds() == [AlertKind.SPINE_OUTAGE]
    for throttle in (worker, another):
        clock.go_on(2)
        _answered(throttle, clock)
        watch.run()
    assert told.kinds() == [AlertKind.SPINE_OUTAGE, AlertKind.SPINE_OUTAGE_OVER]
    assert "after about 14 seconds" in told.reasons()[1]
    watch.run()
    assert len(told.alerts) == 2


def test_an_outage_between_two_looks_is_told_too(tmp_path: Path) -> None:
    clock, told = StandingClock(), _Told()
    throttle = throttle_at(tmp_path / "table", clock, breaker=BreakerPolicy(failures=1, successes=1))
    watch = SpineWatch(throttle.breaker, told, clock)
    watch.run()
    fails(throttle, turn(clock=clock))
    clock.go_on(2)
    _answered(throttle, clock)
    watch.run()
    assert told.kinds() == [AlertKind.SPINE_OUTAGE, AlertKind.SPINE_OUTAGE_OVER]


def test_a_breaker_that_opened_before_the_watch_began_is_no_new_outage(tmp_path: Path) -> None:
    clock, told = StandingClock(), _Told()
    throttle = throttle_at(tmp_path / "table", clock, breaker=BreakerPolicy(failures=1, successes=1))
    fails(throttle, turn(clock=clock))
    clock.go_on(2)
    _answered(throttle, clock)
    SpineWatch(throttle.breaker, told, clock).run()
    assert told.alerts == []


class _Traffic:
    """Real counters, a clock that stands still, and a watch over them."""

    def __init__(self, folder: Path, **thresholds: float) -> None:
        self.clock, self.told, self.waiting = StandingClock(), _Told(), 0
        counters = SharedCounters(folder / "counters")
        self._counting = CountingObserver(self.told, counters, self.clock)
        limits = TrafficThresholds(60, **thresholds)  # type: ignore[arg-type]  # figures by name
        self._watch = TrafficWatch(limits, {"2100"}, counters.read, lambda: self.waiting, self.told, self.clock)
        self._watch.run()

    def go_on(self, seconds: int, *, each_second: int = 0, code: str = "SMSP-0000", size: int = 1000) -> None:
        for _ in range(seconds):
            for _ in range(each_second):
                answered = RequestAnswered("E", None, "ward", Service.GET_NHS_NUMBER, code, 200, 9, request_bytes=size)
                self._counting.notify(answered)
            self.clock.go_on(1)
            self._watch.run()


@pytest.mark.rule("IFC-ALT-01")
def test_more_requests_than_a_threshold_are_one_alert_until_there_are_less(tmp_path: Path) -> None:
    traffic = _Traffic(tmp_path, most_requests=100)
    traffic.go_on(120, each_second=1)
    assert traffic.told.alerts == []
    traffic.go_on(60, each_second=3)
    assert traffic.told.kinds() == [AlertKind.THROUGHPUT]
    assert "more than 100 requests within 60 seconds" in traffic.told.reasons()[0]
    traffic.go_on(120, each_second=1)
    assert traffic.told.reasons()[1:] == ["over: many requests"]


def test_few_requests_are_told_only_of_a_whole_window(tmp_path: Path) -> None:
    traffic = _Traffic(tmp_path, least_requests=30)
    traffic.go_on(58)
    assert traffic.told.alerts == []
    traffic.go_on(10)
    assert traffic.told.kinds() == [AlertKind.THROUGHPUT]


def test_errors_need_a_number_and_a_part(tmp_path: Path) -> None:
    traffic = _Traffic(tmp_path, most_errors=10, errors_part=0.5)
    traffic.go_on(5, each_second=1, code="2100")
    assert traffic.told.alerts == []
    traffic.go_on(40, each_second=1)
    traffic.go_on(10, each_second=2, code="2100")
    assert traffic.told.alerts == [], "25 of 65"
    traffic.go_on(30, each_second=2, code="2100")
    assert traffic.told.kinds() == [AlertKind.ERRORS]


def test_sizes_and_backlog_have_thresholds_too(tmp_path: Path) -> None:
    traffic = _Traffic(tmp_path, most_bytes=5_000, most_waiting=3)
    traffic.waiting = 3
    traffic.go_on(10, each_second=1, size=5_000)
    assert traffic.told.alerts == []
    traffic.waiting = 4
    traffic.go_on(10, each_second=5, size=6_000)
    assert sorted(kind.value for kind in traffic.told.kinds()) == ["backlog", "message-sizes"]


def test_without_thresholds_nothing_is_counted_together(tmp_path: Path) -> None:
    traffic = _Traffic(tmp_path)
    traffic.go_on(100, each_second=2, code="2100", size=1_000_000)
    assert traffic.told.alerts == []


def test_a_state_that_lasts_is_told_once_a_day_and_its_end_once() -> None:
    clock, told = StandingClock(), _Told()
    standing = StandingAlerts(AlertKind.CLOCK_DRIFT, told, clock)
    for _ in range(49):
        standing.found({"drift": f"{clock.at} ms"})
        clock.go_on(timedelta(hours=1).total_seconds())
    standing.found({})
    standing.found({})
    assert [reason.split()[0] for reason in told.reasons()] == ["1000.0", "87400.0", "173800.0", "over:"]


@pytest.mark.rule("IFC-TIM-01", "SMSP-AUDIT-010")
@pytest.mark.parametrize(
    ("reading", "found"),
    [
        (ClockReading(), []),
        (ClockReading(_WELL, ClockSource("chrony", "time.example", 3), -249.0), []),
        (ClockReading(KernelClock(False, 0, 16_000, 16_000)), ["not synchronised"]),
        (ClockReading(KernelClock(True, -251, 1, 1)), ["drift"]),
        (ClockReading(KernelClock(True, 0, 251, 1)), ["drift"]),
        (ClockReading(_WELL, database_ms=251.0), ["database"]),
        (ClockReading(_WELL, ClockSource("ntpd", "LOCAL", 4)), ["stratum"]),
    ],
    ids=["nothing is known", "all is well", "not synchronised", "behind", "unsure", "database", "stratum"],
)
def test_what_is_wrong_with_a_clock(reading: ClockReading, found: list[str]) -> None:
    assert [name for name, _ in problems(reading, 250)] == found


@pytest.mark.rule("IFC-TIM-01")
def test_a_clock_that_drifts_is_an_alert_but_not_in_the_first_minute() -> None:
    clock, told, readings = StandingClock(), _Told(), [ClockReading(KernelClock(True, 400, 1, 1))]
    watch = ClockWatch(lambda: readings[-1], 250, told, clock)
    watch.run()
    assert told.alerts == []
    clock.go_on(60)
    watch.run()
    watch.run()
    readings.append(ClockReading(_WELL))
    watch.run()
    assert told.kinds() == [AlertKind.CLOCK_DRIFT] * 2
    assert told.reasons() == ["the clock is about 400 ms off, and may be 250", "over: drift"]


@pytest.mark.parametrize(("ahead_ms", "said_ms"), [(0, 0), (300, 200), (50, 0), (-300, -300)])
def test_another_clock_is_off_only_by_what_the_asking_does_not_explain(ahead_ms: float, said_ms: float) -> None:
    clock = StandingClock()

    def ask() -> datetime:
        there = clock.now() + timedelta(milliseconds=ahead_ms)
        clock.go_on(0.1)
        return there

    assert offset_from(clock, ask) == pytest.approx(said_ms, abs=0.01)


def test_the_kernel_tells_the_state_of_its_clock() -> None:
    assert ctypes.sizeof(_Timex) == 208, "struct timex of 64-bit Linux"
    state = read_kernel_clock()
    assert state is not None
    assert state.most_error_ms >= 0
    # The kernel gives up being synchronised when the clock can be off by 16 seconds.
    assert not (state.synchronised and state.most_error_ms > 16_000)


@pytest.mark.rule("SMSP-AUDIT-010")
@pytest.mark.parametrize(
    ("program", "output", "source"),
    [
        (
            "chronyc",
            "A9FEA97B,169.254.169.123,4,1763737261.1,0.000002,-0.000001,0.00001,-5.1,0.0,0.01,0.0003,0.0001,16.2,Normal",
            ClockSource("chrony", "169.254.169.123", 3),
        ),
        ("chronyc", "00000000,,0,0.000000000,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised", 16),
        (
            "ntpq",
            'associd=0 status=0615 leap_none, sync_ntp,\nversion="ntpd 4.2.8",\nleap=00, stratum=3, refid=10.0.0.1,',
            ClockSource("ntpd", "10.0.0.1", 2),
        ),
        ("ntpq", "leap=11, stratum=16, refid=INIT", 16),
        ("ntpq", "ntpq: read: Connection refused", None),
        ("chronyc", "506 Cannot talk to daemon", None),
    ],
    ids=["chrony", "chrony without a source", "ntpd", "ntpd without a source", "no ntpd", "no chronyd"],
)
def test_the_time_daemon_tells_what_it_follows(
    program: str, output: str, source: ClockSource | int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs' own forms of output, from a program of the same name: neither is on every machine of the tests."""
    (tmp_path / "told").write_text(output)
    (tmp_path / program).write_text(f"#!/bin/sh\ncat {tmp_path}/told\n")
    (tmp_path / program).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if not shutil.which(program) else str(tmp_path))
    found = read_source()
    assert (found.stratum if isinstance(source, int) and found else found) == source


def _looked(watch: LimitsWatch, told: _Told, alerts: int) -> bool:
    """Whether there are so many alerts after another look."""
    watch.run()
    return len(told.alerts) >= alerts


def test_a_table_of_limits_that_is_lost_while_in_use_is_told_once(tmp_path: Path) -> None:
    told, folder = _Told(), tmp_path / "state"
    throttle = throttle_at(folder / "table")
    watch = LimitsWatch(throttle.times_lost, told)
    watch.run()
    (folder / "table").unlink()
    wait_until(lambda: _looked(watch, told, 1))
    assert (folder / "table").exists(), "it is made anew"
    watch.run()
    assert told.kinds() == [AlertKind.LIMITS_UNAVAILABLE]
    (folder / "table").unlink()
    (folder / "table").mkdir()
    wait_until(lambda: _looked(watch, told, 2))
    watch.run()
    assert len(told.alerts) == 2
    assert "cannot be used" in told.reasons()[1]
    (folder / "table").rmdir()
    wait_until(lambda: _looked(watch, told, 3))
    assert told.reasons()[2] == "over: the table of limits can be used again"
