"""What a provider forgets at its start: limits that an earlier run, or an earlier boot of the machine, left behind."""

from datetime import date
from pathlib import Path

import pytest

from smsp_provider.cli.serve import _begin_limits
from smsp_provider.config.settings import (
    AuditSettings,
    Environment,
    FHIRSettings,
    Server,
    Settings,
    SpineSettings,
    Upstream,
    UpstreamSettings,
)
from smsp_provider.engine.admission import Busy
from smsp_provider.engine.ports import Clock
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.shared_throttle import SharedThrottle
from smsp_provider.wiring.provider import build_throttle, build_throttle_of_comparisons
from throttles import StandingClock, turn


def settings_in(folder: Path, **upstream: object) -> Settings:
    (folder / "state").mkdir(mode=0o700)
    compared = {"compare_with": Upstream.PDS_FHIR, "compare_until": date(2999, 12, 31), "compare_approval": "change 1"}
    return Settings(
        environment=Environment.TEST,
        server=Server(http="127.0.0.1:0"),
        upstream=UpstreamSettings(**(compared | upstream)),
        spine=SpineSettings(endpoint="http://localhost/", pds_asid="111111111111"),
        pds_fhir=FHIRSettings(base_url="http://localhost/", access="none", rate_per_second=1),
        audit=AuditSettings(database=folder / "state" / "audit.db"),
    )


def take_turns(throttle: SharedThrottle, number: int, clock: Clock) -> None:
    for _ in range(number):
        with throttle.admit_inquiry(turn(seconds=0.2, clock=clock)) as leave, leave.query():
            pass


def of_comparisons(settings: Settings, clock: Clock) -> SharedThrottle:
    throttle = build_throttle_of_comparisons(settings, clock)
    assert throttle is not None
    return throttle


def test_turns_taken_before_the_machine_was_started_again_hold_up_nobody(tmp_path: Path) -> None:
    settings, long_ago, now = settings_in(tmp_path), StandingClock(1e9), SystemClock()
    take_turns(of_comparisons(settings, long_ago), 1, long_ago)
    with pytest.raises(Busy):
        take_turns(of_comparisons(settings, now), 1, now)
    _begin_limits(settings)
    take_turns(of_comparisons(settings, now), 1, now)


def test_comparisons_have_no_limits_of_their_own_where_answers_come_the_same_way(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, by_organisation={"X26": Upstream.PDS_FHIR})
    assert build_throttle_of_comparisons(settings, SystemClock()) is None
    _begin_limits(settings)
    take_turns(build_throttle(settings, SystemClock()), 1, SystemClock())
    assert not (tmp_path / "state" / "comparisons.table").exists()
