import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from smsp_provider.domain.clients import Limits
from smsp_provider.domain.failures import NotSent, SentNoAnswer
from smsp_provider.engine.admission import Busy, Turn
from smsp_provider.engine.admission_use import ClientUse
from smsp_provider.engine.breaker import BreakerPolicy, Phase
from smsp_provider.engine.ports import Deadline
from smsp_provider.storage.shared_throttle import SharedThrottle, current_use
from throttles import StandingClock, throttle_at, turn

# The children do nothing that another thread of the parent could have been in the middle of.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

NO_LIMITS = Limits()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "throttle.table"


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@contextmanager
def at_spine(throttle: SharedThrottle, clock: StandingClock | None = None, *, attended: bool = True) -> Iterator[None]:
    with throttle.admit_inquiry(turn(attended=attended, clock=clock)) as leave:
        with leave.query():
            pass
        yield


def fails(throttle: SharedThrottle, at: Turn, meanwhile: Callable[[], object] = lambda: None) -> None:
    """A query that Spine does not answer."""
    with suppress(SentNoAnswer), throttle.admit_inquiry(at) as leave, leave.query():
        meanwhile()
        raise SentNoAnswer("cut")


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError


def in_child(work: Callable[[], None]) -> int:
    """Do ``work`` in a forked process that stays until it is killed; its number."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(tell, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(told, 1) == b"!"
    os.close(told)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class TestRequests:
    @pytest.mark.rule("SMSP-PERF-001")
    def test_a_client_has_its_rate_and_its_burst(self, table: Path, clock: StandingClock) -> None:
        throttle, limits = throttle_at(table, clock), Limits(rate=2, burst=3)
        for _ in range(3):
            with throttle.admit_request("ward", limits):
                pass
        with pytest.raises(Busy, match="used up its rate") as busy, throttle.admit_request("ward", limits):
            pass
        assert busy.value.retry_after == 1
        clock.at += 0.5
        with throttle.admit_request("ward", limits):
            pass

    def test_the_wait_that_is_asked_for_is_long_enough(self, table: Path, clock: StandingClock) -> None:
        throttle, limits = throttle_at(table, clock), Limits(rate=0.1)
        with throttle.admit_request("ward", limits):
            pass
        with pytest.raises(Busy) as busy, throttle.admit_request("ward", limits):
            pass
        assert busy.value.retry_after == 10
        clock.at += 10
        with throttle.admit_request("ward", limits):
            pass

    @pytest.mark.rule("SMSP-PERF-001")
    def test_one_client_does_not_use_up_another_ones_rate(self, table: Path, clock: StandingClock) -> None:
        throttle, limits = throttle_at(table, clock), Limits(rate=1)
        with throttle.admit_request("ward", limits), throttle.admit_request("clinic", limits):
            pass

    def test_a_client_has_so_many_under_way_at_once_in_all_processes(self, table: Path) -> None:
        throttle, limits = throttle_at(table), Limits(concurrency=2)

        def one_elsewhere() -> None:
            throttle.admit_request("ward", limits).__enter__()

        child = in_child(one_elsewhere)
        try:
            with throttle.admit_request("ward", limits):
                with pytest.raises(Busy, match="as many requests under way"), throttle.admit_request("ward", limits):
                    pass
                with throttle.admit_request("clinic", limits):
                    pass
            with throttle.admit_request("ward", limits):
                pass
        finally:
            kill(child)

    def test_what_a_killed_process_had_under_way_is_taken_back(self, table: Path, clock: StandingClock) -> None:
        throttle, limits = throttle_at(table, clock), Limits(concurrency=1)
        kill(in_child(lambda: throttle.admit_request("ward", limits).__enter__()))
        with throttle.admit_request("ward", limits):
            pass

    def test_without_limits_nobody_is_refused(self, table: Path) -> None:
        throttle = throttle_at(table)
        with ExitStack() as under_way:
            for _ in range(300):
                under_way.enter_context(throttle.admit_request("ward", NO_LIMITS))

    def test_there_is_room_for_ever_new_clients(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock)
        with throttle.admit_request("ward", Limits(concurrency=1)):
            for number in range(600):
                clock.at += 1
                with throttle.admit_request(f"client-{number}", NO_LIMITS):
                    pass
            with pytest.raises(Busy), throttle.admit_request("ward", Limits(concurrency=1)):
                pass


class TestTurns:
    @pytest.mark.rule("SMSP-PERF-001")
    def test_no_more_are_at_spine_than_may(self, table: Path) -> None:
        throttle = throttle_at(table, max_in_flight=2, max_wait=0.05)
        with at_spine(throttle), at_spine(throttle), pytest.raises(Busy), at_spine(throttle):
            pass
        with at_spine(throttle), at_spine(throttle):
            pass

    def test_a_process_keeps_threads_free_for_refusing(self, table: Path) -> None:
        throttle = throttle_at(table, process_limit=1)
        with at_spine(throttle), pytest.raises(Busy, match="as many threads"), at_spine(throttle):
            pass

    def test_a_request_needs_no_second_place_for_its_later_queries(self, table: Path) -> None:
        throttle = throttle_at(table, max_in_flight=1)
        with throttle.admit_inquiry(turn()) as leave:
            for _ in range(3):
                with leave.query():
                    pass

    def test_what_a_killed_process_had_at_spine_is_taken_back(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1)
        kill(in_child(lambda: throttle.take_turn(turn(clock=clock), has_place=False)))
        with at_spine(throttle, clock):
            pass

    def test_a_ticket_of_a_killed_process_is_in_nobodys_way(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1)
        with at_spine(throttle, clock):

            def wait_for_ever() -> None:
                threading.Thread(
                    target=throttle.take_turn, args=(turn(clock=clock),), kwargs={"has_place": False}
                ).start()
                wait_until(lambda: bool(throttle._parking))

            kill(in_child(wait_for_ever))
            assert throttle.take_back() == 1
        with at_spine(throttle, clock):
            pass

    def test_a_waiting_query_has_its_turn_when_a_place_becomes_free(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1)
        done = threading.Event()

        def wait() -> None:
            with at_spine(throttle, clock):
                done.set()

        with at_spine(throttle, clock):
            waiting = threading.Thread(target=wait)
            waiting.start()
            wait_until(lambda: bool(throttle._parking))
            assert not done.is_set()
        waiting.join(10)
        assert done.is_set()

    def test_it_has_its_turn_too_when_another_process_leaves(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1)

        def leave_soon() -> None:
            throttle.take_turn(turn(clock=clock), has_place=False)
            threading.Timer(0.1, throttle.leave_place, [clock.at]).start()

        child = in_child(leave_soon)
        try:
            with at_spine(throttle, clock):
                pass
        finally:
            kill(child)

    @pytest.mark.rule("SMSP-PERF-007")
    def test_attended_ones_have_their_turn_first(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1)
        order: list[str] = []

        def ask(name: str, *, attended: bool) -> None:
            with at_spine(throttle, clock, attended=attended):
                order.append(name)

        requests = (("batch", False), ("batch", False), ("ward", True), ("ward", True))
        threads = [threading.Thread(target=ask, args=(name,), kwargs={"attended": told}) for name, told in requests]
        with at_spine(throttle, clock):
            for thread in threads:
                thread.start()
            wait_until(lambda: len(throttle._parking) == len(threads))
        for thread in threads:
            thread.join(10)
        assert order == ["ward", "ward", "batch", "batch"]

    @pytest.mark.rule("SMSP-PERF-001")
    def test_threads_and_processes_keep_the_pace_together(self, table: Path, tmp_path: Path) -> None:
        """However fast all of them ask, no second sees more than rate and burst, and nobody waits in vain."""
        rate, burst, seconds = 100, 10, 0.6
        throttle = throttle_at(table, rate=rate, burst=burst, max_wait=0.5)
        journal = tmp_path / "journal"
        journal.touch()

        def ask_much() -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                try:
                    with throttle.admit_inquiry(turn()) as leave, leave.query(), journal.open("a") as file:
                        file.write(f"{time.monotonic()}\n")
                except Busy:
                    time.sleep(0.01)

        def many_threads() -> None:
            threads = [threading.Thread(target=ask_much) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        children = [in_child(many_threads) for _ in range(2)]
        for child in children:
            kill(child)
        moments = sorted(map(float, journal.read_text().split()))
        assert len(moments) > burst + rate * seconds / 3
        # All within less than one and a half seconds.
        assert len(moments) <= burst + rate * (moments[-1] - moments[0] + 0.2)

    def test_who_cannot_have_a_turn_in_time_is_refused_at_once(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, rate=1, max_wait=0.5)
        with at_spine(throttle, clock):
            pass
        with pytest.raises(Busy, match="more wait for Spine") as busy, at_spine(throttle, clock):
            pass
        assert busy.value.retry_after == 1

    def test_who_has_no_time_left_does_not_wait(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, rate=1)
        with at_spine(throttle, clock):
            pass
        with throttle.admit_inquiry(turn(seconds=0, clock=clock)) as leave, pytest.raises(Busy), leave.query():
            pass

    def test_nobody_waits_for_places_that_stay_taken(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, max_in_flight=1, max_wait=100)
        with at_spine(throttle, clock):
            clock.at += 1
            with pytest.raises(Busy, match="none of them comes to its end"), at_spine(throttle, clock):
                pass

    def test_who_waits_when_spine_becomes_slow_is_refused_then(self, table: Path) -> None:
        throttle = throttle_at(table, max_in_flight=1, max_wait=60)
        with at_spine(throttle):
            began = time.monotonic()
            with pytest.raises(Busy), at_spine(throttle):
                pass
            assert time.monotonic() - began < 30

    def test_a_repeated_message_counts_towards_the_rate(self, table: Path, clock: StandingClock) -> None:
        throttle = throttle_at(table, clock, rate=1, burst=2)
        with at_spine(throttle, clock):
            assert throttle.admit_repeat(Deadline(clock.at + 1))
            assert not throttle.admit_repeat(Deadline(clock.at))


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
        waiting.join(10)
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
                waiting.join(10)
        assert len(ends) == 1
        with at_spine(throttle, clock):
            pass
