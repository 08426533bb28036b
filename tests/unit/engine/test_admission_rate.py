import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.engine.admission_rate import Pace

RATES = st.floats(0.5, 500)
BURSTS = st.integers(1, 200)
STEPS = st.lists(st.floats(0, 0.7), min_size=1, max_size=400)


def passing(pace: Pace, steps: list[float], start: float) -> list[float]:
    """The moments at which something passes, that is tried after each of the steps."""
    mark, now, passed = 0.0, start, []
    for step in steps:
        now += step
        if pace.may_pass(mark, now):
            mark = pace.taken(mark, now)
            passed.append(now)
    return passed


@pytest.mark.rule("SMSP-PERF-001")
@given(RATES, BURSTS, STEPS, st.floats(1, 1e6))
def test_no_second_sees_more_than_rate_and_burst(rate: float, burst: int, steps: list[float], start: float) -> None:
    passed = passing(Pace.of(rate, burst), steps, start)
    for first in passed:
        assert sum(first <= moment <= first + 1 for moment in passed) <= rate + burst + 1e-6


@pytest.mark.rule("SMSP-PERF-001")
@given(RATES, BURSTS, STEPS, st.floats(0.01, 0.5), st.data())
def test_that_holds_for_what_happens_late_too(
    rate: float, burst: int, steps: list[float], spread: float, data: st.DataObject
) -> None:
    passed = passing(Pace.of(rate, burst, spread), steps, 100.0)
    late = [moment + data.draw(st.floats(0, spread)) for moment in passed[:60]]
    for first in late:
        assert sum(first <= moment <= first + 1 for moment in late) <= rate + burst + 1e-6


@given(RATES, BURSTS)
def test_in_the_long_run_it_lets_the_rate_pass(rate: float, burst: int) -> None:
    pace = Pace.of(rate, burst)
    step = 1 / rate / 3
    passed = passing(pace, [step] * 1500, 50.0)
    assert len(passed) >= 1500 * step * rate - 1


@given(RATES, BURSTS)
def test_after_a_pause_the_burst_passes_at_once(rate: float, burst: int) -> None:
    pace = Pace.of(rate, burst)
    assert len(passing(pace, [10.0] + [0.0] * (burst + 20), 50.0)) == burst


@given(RATES, BURSTS, st.integers(0, 300))
def test_what_is_in_hand_can_pass(rate: float, burst: int, used: int) -> None:
    pace, mark = Pace.of(rate, burst), 0.0
    for _ in range(used):
        if pace.may_pass(mark, 10.0):
            mark = pace.taken(mark, 10.0)
    left = pace.in_hand(mark, 10.0)
    for _ in range(left):
        assert pace.may_pass(mark, 10.0)
        mark = pace.taken(mark, 10.0)
    assert not pace.may_pass(mark, 10.0)
    assert pace.may_pass(mark, pace.free_at(mark))


@pytest.mark.parametrize(("rate", "burst", "spread"), [(0, 1, 0), (float("nan"), 1, 0), (1, 0, 0), (1, 1, -1)], ids=str)
def test_what_is_no_pace_is_refused(rate: float, burst: int, spread: float) -> None:
    with pytest.raises(ValueError, match="a rate is above 0"):
        Pace.of(rate, burst, spread)
