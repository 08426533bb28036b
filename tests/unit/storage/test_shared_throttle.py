"""Who is let pass at the shared table of limits: requests of clients, and turns at Spine, in threads and processes."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from smsp_provider.domain.clients import Limits
from smsp_provider.engine.admission import Busy
from smsp_provider.engine.ports import Deadline
from throttles import StandingClock, at_spine, in_child, kill, throttle_at, turn, wait_until

# The children do nothing that another thread of the parent could have been in the middle of.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

NO_LIMITS = Limits()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "throttle.table"


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


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
        waiting.join(60)
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

    def test_a_place_is_given_back_while_another_process_has_the_lock(self, table: Path) -> None:
        throttle, other = (throttle_at(table, max_in_flight=1, wait_s=0.05) for _ in range(2))
        with ExitStack() as busy, at_spine(throttle):
            busy.enter_context(other._region.locked())
        assert other.use().in_flight == 0
        with at_spine(other), pytest.raises(Busy), at_spine(throttle):
            pass

    @pytest.mark.rule("SMSP-PERF-001")
    def test_places_are_exact_for_processes_that_never_meet_at_the_table(self, table: Path) -> None:
        throttle, other = (throttle_at(table, max_in_flight=3, max_wait=0.05) for _ in range(2))
        for _ in range(300):
            with at_spine(throttle):
                pass
            with at_spine(other), at_spine(other):
                pass
        with at_spine(throttle), at_spine(other), at_spine(throttle), pytest.raises(Busy), at_spine(other):
            pass
        assert throttle.use().in_flight == 0

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
            thread.join(60)
        assert order == ["ward", "ward", "batch", "batch"]

    @pytest.mark.rule("SMSP-PERF-001")
    def test_threads_and_processes_keep_the_pace_together(self, table: Path, tmp_path: Path) -> None:
        """However fast all of them ask, no second sees more than rate and burst, and nobody waits in vain."""
        rate, burst, asked = 100, 10, 60
        throttle = throttle_at(table, rate=rate, burst=burst, max_wait=0.5)
        journal = tmp_path / "journal"
        journal.touch()

        def ask_much() -> None:
            while True:
                try:
                    with throttle.admit_inquiry(turn()) as leave, leave.query(), journal.open("a") as file:
                        file.write(f"{time.monotonic()}\n")
                except Busy:
                    time.sleep(0.01)

        def many_threads() -> None:
            for _ in range(10):
                threading.Thread(target=ask_much, daemon=True).start()

        children = [in_child(many_threads) for _ in range(2)]
        try:
            wait_until(lambda: len(journal.read_text().split()) >= asked)
        finally:
            for child in children:
                kill(child)
        moments = sorted(map(float, journal.read_text().split()))
        # Each thread may have had its turn already when the first of all comes to write that down.
        assert len(moments) <= 2 * 10 + burst + rate * (moments[-1] - moments[0])

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
