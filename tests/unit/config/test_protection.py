from pathlib import Path

import pytest
from pydantic import ValidationError

from smsp_provider.config.protection import BreakerSettings, ThrottleSettings, threads_for_spine, throttle_policy
from smsp_provider.config.settings import AuditSettings, Environment, Server, Settings, SpineSettings


def settings(ops: str | None = None, **throttle: float) -> Settings:
    return Settings(
        environment=Environment.TEST,
        server=Server(http="127.0.0.1:0", ops=ops, workers=2, threads=16),
        spine=SpineSettings(endpoint="http://127.0.0.1:9/", pds_asid="928942012545"),
        audit=AuditSettings(database=Path("audit.db")),
        throttle=ThrottleSettings(**throttle),
    )


@pytest.mark.rule("SMSP-PERF-001")
@pytest.mark.parametrize("threads", [1, 2, 7, 8, 16, 64, 4096])
def test_a_worker_keeps_threads_for_refusals(threads: int) -> None:
    assert 1 <= threads_for_spine(threads) <= max(1, threads - 1)


@pytest.mark.rule("SMSP-PERF-001")
@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (1, 4), (2, 64), (64, 4096)])
def test_by_default_the_places_at_spine_are_fewer_than_the_threads(workers: int, threads: int) -> None:
    policy = throttle_policy(
        ThrottleSettings(), BreakerSettings(), workers=workers, threads=threads, request_seconds=20
    )
    assert 1 <= policy.max_in_flight <= max(1, workers * threads - 1)


@pytest.mark.rule("SMSP-PERF-001")
def test_as_many_places_as_threads_are_refused() -> None:
    assert settings(max_in_flight=31).throttle.max_in_flight == 31
    with pytest.raises(ValidationError, match="is not below its 32 threads"):
        settings(max_in_flight=32)
    assert settings(max_in_flight=60, host_share=0.5).throttle.host_share == 0.5


@pytest.mark.rule("SMSP-PERF-001")
def test_a_host_takes_its_share_of_all_limits() -> None:
    whole, half = (
        throttle_policy(
            ThrottleSettings(max_in_flight=20, host_share=share),
            BreakerSettings(),
            workers=2,
            threads=16,
            request_seconds=20,
        )
        for share in (1, 0.5)
    )
    assert half.max_in_flight == whole.max_in_flight / 2
    assert whole.pace is not None
    assert half.pace is not None
    assert half.pace.interval == pytest.approx(2 * whole.pace.interval)


@pytest.mark.rule("SMSP-PERF-006")
@pytest.mark.parametrize(("request_seconds", "fair"), [(20, 2), (1, 0.5)])
def test_spine_has_a_fair_time_before_its_silence_counts(request_seconds: float, fair: float) -> None:
    policy = throttle_policy(
        ThrottleSettings(), BreakerSettings(), workers=2, threads=16, request_seconds=request_seconds
    )
    assert policy.fair_seconds == fair


def test_metrics_beyond_this_machine_are_warned_of() -> None:
    assert not any("server.ops" in warning for warning in settings("127.0.0.1:9090").warnings())
    assert any("server.ops" in warning for warning in settings("0.0.0.0:9090").warnings())
    with pytest.raises(ValidationError, match="port"):
        settings("127.0.0.1")
