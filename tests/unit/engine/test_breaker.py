from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.domain.failures import (
    NoCapacity,
    NotSent,
    QueryNotBuilt,
    Refused,
    SentNoAnswer,
    Unreadable,
)
from smsp_provider.engine.breaker import Breaker, BreakerPolicy, BreakerState, Phase, speaks_against_spine

POLICY = BreakerPolicy(failures=4, ratio=0.5, window_seconds=10, slow_seconds=5, probe_seconds=1, successes=3)
BREAKER = Breaker(POLICY)


def after(state: BreakerState, *ends: tuple[float, float, bool]) -> BreakerState:
    for began, ended, failed in ends:
        state = BREAKER.told(state, began, ended, failed=failed)
    return state


def opened(at: float = 100.0) -> BreakerState:
    state = after(BreakerState(), *[(at, at, True)] * POLICY.failures)
    assert state.phase == Phase.OPEN
    return state


@pytest.mark.rule("SMSP-PERF-006")
def test_failures_open_it() -> None:
    state = after(BreakerState(), *[(100.0, 100.1, True)] * 3)
    assert state.phase == Phase.CLOSED
    assert not BREAKER.is_open(state, 100.2)
    state = after(state, (100.1, 100.2, True))
    assert state.phase == Phase.OPEN
    assert BREAKER.is_open(state, 100.3)
    assert state.opened == 1


@pytest.mark.rule("SMSP-PERF-006")
def test_slowness_opens_it_though_every_query_was_answered() -> None:
    state = after(BreakerState(), *[(100.0, 108.0, False)] * 4)
    assert state.phase == Phase.OPEN


def test_few_failures_among_many_answers_do_not_open_it() -> None:
    state = BreakerState()
    for _ in range(20):
        state = after(state, (100.0, 100.1, False), (100.0, 100.1, False), (100.0, 100.1, True))
    assert state.phase == Phase.CLOSED


def test_failures_of_long_ago_do_not_count() -> None:
    state = BreakerState()
    for at in range(100, 200, 6):
        state = after(state, (float(at), float(at), True))
        assert state.phase == Phase.CLOSED


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_only_enough_failures_within_the_window_open_it(calls: list[tuple[float, bool]]) -> None:
    state, now, failures = BreakerState(window_from=100.0), 100.0, []
    for pause, failed in calls:
        now += pause
        state = after(state, (now, now, failed))
        failures += [now] if failed else []
        if state.phase == Phase.OPEN:
            assert sum(at > now - 1.5 * POLICY.window_seconds for at in failures) >= POLICY.failures
            return


@pytest.mark.rule("SMSP-PERF-006")
def test_an_open_one_lets_one_probe_pass_in_a_while() -> None:
    state = opened(100.0)
    assert BREAKER.is_open(state, 100.9)
    assert not BREAKER.is_open(state, 101.0)
    state = BREAKER.passed(state, 101.0)
    assert BREAKER.is_open(state, 101.9)
    assert not BREAKER.is_open(state, 102.0)


@pytest.mark.rule("SMSP-PERF-006")
def test_it_closes_soon_after_spine_is_well() -> None:
    state, now = opened(100.0), 100.0
    while state.phase != Phase.CLOSED:
        now += 0.05
        if not BREAKER.is_open(state, now):
            state = BREAKER.told(BREAKER.passed(state, now), now, now + 0.04, failed=False)
        assert now < 101.5
    assert state.opened == 1


@pytest.mark.parametrize("end", [(0.5, True), (6.0, False)], ids=["failure", "slow"])
def test_a_probe_that_goes_wrong_opens_it_again(end: tuple[float, bool]) -> None:
    seconds, failed = end
    state = BREAKER.passed(opened(100.0), 101.0)
    state = BREAKER.told(state, 101.0, 101.1, failed=False)
    assert state.phase == Phase.HALF_OPEN
    state = BREAKER.told(BREAKER.passed(state, 101.2), 101.2, 101.2 + seconds, failed=failed)
    assert state.phase == Phase.OPEN
    assert state.successes == 0


def test_what_began_before_the_last_change_says_nothing() -> None:
    state = opened(100.0)
    assert after(state, (99.0, 100.5, False)) == state
    state = BREAKER.told(BREAKER.passed(state, 103.0), 103.0, 103.1, failed=False)
    assert state.phase == Phase.HALF_OPEN
    # A probe of before comes to its end only now, and slowly: newer evidence stands.
    assert after(state, (101.0, 109.0, False)) == state
    for began in (103.2, 103.4):
        state = BREAKER.told(BREAKER.passed(state, began), began, began + 0.1, failed=False)
    assert state.phase == Phase.CLOSED
    assert after(state, *[(102.0, 110.0, False)] * 10) == state


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.booleans()), max_size=200))
def test_while_it_is_open_spine_sees_no_more_than_the_probes(steps: list[tuple[float, bool]]) -> None:
    state, now, passed = opened(100.0), 100.0, []
    for pause, asks in steps:
        now += pause
        if asks and not BREAKER.is_open(state, now):
            state = BREAKER.passed(state, now)
            passed.append(now)
            state = BREAKER.told(state, now, now, failed=True)
    assert all(later - earlier >= POLICY.probe_seconds - 1e-9 for earlier, later in pairwise(passed))


@pytest.mark.parametrize(
    ("failure", "against"),
    [
        (None, False),
        (Unreadable("odd"), False),
        (Refused("HTTP status 400"), False),
        (Refused("fault", ("101",)), False),
        (Refused("fault", ("200",)), True),
        (NotSent("refused"), True),
        (SentNoAnswer("cut"), True),
        (NoCapacity("ours"), None),
        (QueryNotBuilt("ours"), None),
        (ValueError("ours"), None),
    ],
    ids=["answer", "unreadable", "http", "fault", "retryable", "unsent", "cut", "capacity", "unbuilt", "crash"],
)
def test_what_speaks_against_spine(failure: BaseException | None, against: bool | None) -> None:
    assert speaks_against_spine(failure) is against
