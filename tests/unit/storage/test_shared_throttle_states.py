"""The breaker, what operators read, and trouble with the table: the shared throttle in all its states."""

import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from smsp_provider.domain.clients import Limits
from smsp_provider.domain.failures import NotSent
from smsp_provider.engine.admission import Busy
from smsp_provider.engine.admission_use import ClientUse
from smsp_provider.engine.breaker import BreakerPolicy, Phase
from smsp_provider.storage.shared_throttle import current_use
from throttles import StandingClock, at_spine, fails, throttle_at, turn, wait_until

NO_LIMITS = Limits()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "throttle.table"


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


class TestBreaker:
    POLICY = BreakerPolicy(failures=3, probe_seconds=1, slow_seconds=5, successes=2)

    @pytest.mark.rule("SMSP-PERF-006")
    def test_failures_open_it_for_every_process(self, table: Path, clock: StandingClock) -> None:
        throttle, other = (throttle_at(table, clock, breaker=self.POLICY) for _ in range(2))
        for _ in range(3):
            fails(throttle, turn(clock=clock))
        with pytest.raises(NotSent, match="circuit breaker"), at_spine(other, clock):
            pass

    @pytest.mark.rule("SMSP-PERF-006")
    def test_slow_answers_open_it_and_a_quick_probe_closes_it(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, breaker=self.POLICY)
        with ExitStack() as stack:
            leaves = [stack.enter_context(throttle.admit_inquiry(turn(clock=clock))) for _ in range(3)]
            with ExitStack() as queries:
                for leave in leaves:
                    queries.enter_context(leave.query())
                clock.at += 8
        with pytest.raises(NotSent), at_spine(throttle, clock):
            pass
        for _ in range(2):
            clock.at += 1
            with at_spine(throttle, clock):
                pass
        for _ in range(5):
            with at_spine(throttle, clock):
                pass

    def test_who_waits_when_it_opens_waits_no_longer(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1, breaker=BreakerPolicy(failures=1))
        ends: list[type[Exception]] = []

        def wait() -> None:
            try:
                with at_spine(throttle, clock):
                    pass
            except (NotSent, Busy) as end:
                ends.append(type(end))

        waiting = threading.Thread(target=wait)

        def begin_to_wait() -> None:
            waiting.start()
            wait_until(lambda: bool(throttle._parking))

        fails(throttle, turn(clock=clock), begin_to_wait)
        waiting.join(60)
        assert ends == [NotSent]

    def test_a_query_that_had_no_time_says_nothing(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, breaker=self.POLICY)
        for _ in range(5):
            fails(throttle, turn(seconds=0.5, clock=clock), lambda: clock.go_on(0.5))
        with at_spine(throttle, clock):
            pass


class TestUse:
    @pytest.mark.rule("SMSP-PERF-001")
    def test_what_is_used_of_the_limits_is_there_to_be_read(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, rate=10, burst=5, max_in_flight=7)
        limits = Limits(rate=2, burst=3, concurrency=4)
        with throttle.admit_request("ward", limits), at_spine(throttle, clock):
            use = throttle.use()
            assert (use.in_flight, use.max_in_flight, use.waiting, use.in_hand) == (1, 7, 0, 4)
            assert (use.breaker, use.draining) == (Phase.CLOSED, False)
            assert use.clients == (ClientUse("ward", 2, 3, 4, in_flight=1, in_hand=2, admitted=1, refused=0),)
            assert current_use(table, "ward", clock) == use.clients[0]
        use = throttle.use()
        assert (use.in_flight, use.clients[0].in_flight) == (0, 0)
        assert current_use(table, "nobody", clock) is None

    def test_without_a_table_nothing_is_used_and_none_is_made(self, table: Path, clock: StandingClock) -> None:
        assert current_use(table, "ward", clock) is None
        assert not table.exists()

    def test_refusals_are_counted_by_their_reasons(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1)
        limits = Limits(rate=1)
        with suppress(Busy), throttle.admit_request("ward", limits), throttle.admit_request("ward", limits):
            raise AssertionError
        with at_spine(throttle, clock):
            clock.go_on(1)
            with suppress(Busy), at_spine(throttle, clock):
                raise AssertionError
        counted = {reason: count for reason, count in throttle.use().refusals.items() if count}
        assert counted == {"client-rate": 1, "stalled": 1}

    def test_waits_are_counted_by_class(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock)
        for attended in (True, True, False):
            with at_spine(throttle, clock, attended=attended):
                pass
        use = throttle.use()
        assert [sum(waits.counts) for waits in (use.attended, use.unattended)] == [2, 1]

    def test_a_stopping_provider_says_so_until_the_next_start(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock)
        assert not throttle.is_draining()
        throttle.begin_draining()
        assert throttle_at(table, clock).is_draining()
        throttle.clear()
        assert not throttle.is_draining()


class TestTrouble:
    def test_a_table_that_cannot_be_used_lets_nobody_pass(self, tmp_path: Path) -> None:
        (tmp_path / "a-file").touch()
        throttle = throttle_at(tmp_path / "a-file" / "table")
        with pytest.raises(Busy, match="cannot be used"), throttle.admit_request("ward", NO_LIMITS):
            pass
        with pytest.raises(Busy, match="cannot be used"), at_spine(throttle):
            pass

    def test_what_could_not_be_given_back_is_given_back_later(self, table: Path) -> None:
        throttle = throttle_at(table, max_in_flight=1, wait_s=0.05)
        hindrance = throttle_at(table)
        limits = Limits(concurrency=1)
        with ExitStack() as hindered, throttle.admit_request("ward", limits), at_spine(throttle):
            hindered.enter_context(hindrance._region.locked())
        with throttle.admit_request("ward", limits), at_spine(throttle):
            pass

    def test_a_ticket_is_cleared_away_when_its_thread_could_not_wait(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1, wait_s=0.05)
        hindrance = throttle_at(table, clock, max_in_flight=1)
        ends: list[Exception] = []

        def wait() -> None:
            try:
                with at_spine(throttle, clock):
                    pass
            except Busy as busy:
                ends.append(busy)

        waiting = threading.Thread(target=wait)
        with at_spine(hindrance, clock):
            waiting.start()
            wait_until(lambda: bool(throttle._parking))
            with hindrance._region.locked():
                waiting.join(60)
        assert len(ends) == 1
        with at_spine(throttle, clock):
            pass
