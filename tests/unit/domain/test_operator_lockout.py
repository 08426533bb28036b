"""What failed attempts lead to."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.domain.operator_lockout import (
    NO_FAILURES,
    Failures,
    LockoutPolicy,
    Standing,
    after_failure,
    is_last_administrator,
    leaves_nobody,
)
from smsp_provider.domain.operators import Account, Role

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

pytestmark = pytest.mark.rule("SMSP-IG-002")

policies = st.builds(
    lambda attempts, free, first, factor: LockoutPolicy(attempts, min(free, attempts - 1), first, first * factor),
    st.integers(3, 100),
    st.integers(0, 50),
    st.floats(0.1, 3600),
    st.floats(1, 24),
)


@given(policies, st.booleans(), st.lists(st.integers(0, 100_000), min_size=1, max_size=120))
def test_failures_are_delayed_longer_and_longer_within_bounds(
    policy: LockoutPolicy, last: bool, waits: list[int]
) -> None:
    failures, at, before = NO_FAILURES, AT, timedelta(0)
    for wait in waits:
        at += timedelta(seconds=wait)
        if failures.refuses(at):
            continue
        failures = after_failure(policy, failures, at, last_administrator=last)
        assert failures.locked == (failures.count >= policy.attempts and not last)
        if failures.locked:
            assert failures.refuses(at + timedelta(days=10_000))
            return
        delay = timedelta(0) if failures.not_before is None else failures.not_before - at
        assert before <= delay <= timedelta(seconds=policy.longest_seconds)
        assert bool(delay) == (failures.count > policy.free)
        assert not failures.refuses(at + timedelta(seconds=policy.longest_seconds))
        before = delay


@given(policies, st.integers(0, 10**9))
def test_any_number_of_failures_gives_a_delay(policy: LockoutPolicy, count: int) -> None:
    assert timedelta(0) <= policy.delay(count) <= timedelta(seconds=policy.longest_seconds)
    last = after_failure(policy, Failures(count), AT, last_administrator=True)
    assert not last.locked
    assert last.count <= 1_000_000


def standing(
    name: str, *, role: Role = Role.ADMINISTRATOR, on: bool = True, enrolled: bool = True, locked: bool = False
) -> Standing:
    account = Account(name, "Somebody", frozenset({role}), disabled_reason="" if on else "left")
    return Standing(account, enrolled, locked)


@pytest.mark.parametrize(
    "other",
    [
        standing("other", on=False),
        standing("other", enrolled=False),
        standing("other", locked=True),
        standing("other", role=Role.CLIENT_MANAGER),
    ],
    ids=["disabled", "not enrolled", "locked", "no administrator"],
)
def test_who_cannot_unlock_does_not_count(other: Standing) -> None:
    one = standing("one")
    assert is_last_administrator("one", [one, other])
    assert not is_last_administrator("other", [one, other])
    assert not is_last_administrator("one", [one, standing("two"), other])
    assert leaves_nobody([one, other], [other])
    assert not leaves_nobody([one, other], [one])
    assert not leaves_nobody([other], [other])


people = st.lists(
    st.builds(
        standing,
        st.sampled_from([f"name{number}" for number in range(6)]),
        role=st.sampled_from([Role.ADMINISTRATOR, Role.OPERATOR]),
        on=st.booleans(),
        enrolled=st.booleans(),
        locked=st.booleans(),
    ),
    unique_by=lambda one: one.account.name,
    max_size=6,
)


@given(policies, people, st.lists(st.integers(0, 5), max_size=200))
def test_no_order_of_failures_locks_everybody_who_could_unlock(
    policy: LockoutPolicy, everybody: list[Standing], guesses: list[int]
) -> None:
    """The accounts are attacked one after the other, each time when its delay is over."""
    failures = {one.account.name: Failures(locked=one.locked) for one in everybody}
    now = AT

    def current() -> list[Standing]:
        return [Standing(one.account, one.enrolled, failures[one.account.name].locked) for one in everybody]

    somebody_could = any(one.can_unlock for one in current())
    for guess in guesses:
        now += timedelta(seconds=policy.longest_seconds)
        name = f"name{guess}"
        if name not in failures or failures[name].refuses(now):
            continue
        last = is_last_administrator(name, current())
        failures[name] = after_failure(policy, failures[name], now, last_administrator=last)
        assert any(one.can_unlock for one in current()) == somebody_could
