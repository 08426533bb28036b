from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.engine.admission_queue import SHARE, Waiting, next_turn, one_to_refuse, tag_after


class Queue:
    """The rules with the memory that a table keeps for them."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.client: dict[int, str] = {}
        self.finish: dict[tuple[str, bool], float] = {}
        self.now = {True: 0.0, False: 0.0}
        self.passed_over = 0
        self.arrivals = 0

    def join(self, client: str, *, attended: bool, follow_up: bool = False) -> int:
        self.arrivals += 1
        tag = 0.0
        if not follow_up:
            tag = tag_after(self.now[attended], self.finish.get((client, attended), 0.0))
            self.finish[client, attended] = tag + 1
        self.waiting.append(Waiting(self.arrivals, attended, follow_up, tag, self.arrivals))
        self.client[self.arrivals] = client
        return self.arrivals

    def serve(self) -> Waiting:
        turn = next_turn(self.waiting, self.passed_over)
        assert turn is not None
        self.waiting.remove(turn)
        if not turn.follow_up:
            others = any(not (one.attended or one.follow_up) for one in self.waiting)
            self.now[turn.attended] = max(self.now[turn.attended], turn.tag)
            self.passed_over = (self.passed_over + 1 if others else 0) if turn.attended else 0
        return turn


def test_nobody_is_next_where_nobody_waits() -> None:
    assert next_turn([], 0) is None


@pytest.mark.rule("SMSP-PERF-007")
def test_attended_requests_overtake_unattended_ones() -> None:
    queue = Queue()
    first = [queue.join("batch", attended=False) for _ in range(3)]
    later = [queue.join("ward", attended=True) for _ in range(3)]
    assert [queue.serve().ticket for _ in range(6)] == later + first


def test_later_queries_of_a_request_come_first() -> None:
    queue = Queue()
    queue.join("ward", attended=True)
    follow_up = queue.join("batch", attended=False, follow_up=True)
    assert queue.serve().ticket == follow_up


@pytest.mark.rule("SMSP-PERF-007")
@given(st.lists(st.sampled_from(["attended", "unattended", "serve"]), max_size=300))
def test_no_unattended_one_is_passed_over_for_long(events: list[str]) -> None:
    """While any unattended one waits, it is never more than SHARE - 1 turns until one has its turn."""
    queue, in_a_row = Queue(), 0
    for event in events:
        if event == "serve":
            if not queue.waiting:
                continue
            waits = any(not one.attended for one in queue.waiting)
            turn = queue.serve()
            in_a_row = in_a_row + 1 if turn.attended and waits else 0
            assert in_a_row < SHARE
        else:
            queue.join("any", attended=event == "attended")


@pytest.mark.rule("SMSP-PERF-007")
def test_under_endless_attended_load_the_wait_of_an_unattended_one_is_bounded_by_its_place() -> None:
    queue = Queue()
    for _ in range(50):
        queue.join("ward", attended=True)
    places = [queue.join("batch", attended=False) for _ in range(10)]
    served: list[int] = []
    for _ in range(SHARE * len(places)):
        queue.join("ward", attended=True)
        served.append(queue.serve().ticket)
    for place, ticket in enumerate(places, start=1):
        assert served.index(ticket) < SHARE * place


@given(st.integers(1, 40), st.integers(1, 10), st.booleans())
def test_clients_take_turns_whatever_their_backlog(backlog: int, few: int, attended: bool) -> None:
    """A client with few in the queue gets every second turn, although another came first with many."""
    queue = Queue()
    for _ in range(backlog + few):
        queue.join("greedy", attended=attended)
    mine = {queue.join("modest", attended=attended) for _ in range(few)}
    served = [queue.serve().ticket for _ in range(2 * few)]
    assert mine <= set(served)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=20, max_size=120))
def test_backlogged_clients_get_equal_shares(arrivals: list[tuple[str, bool]]) -> None:
    queue = Queue()
    for _, attended in arrivals:
        for client in "abcd":
            queue.join(client, attended=attended)
    counts = Counter(queue.client[queue.serve().ticket] for _ in range(len(arrivals)))
    # One turn of difference for each of the two classes.
    assert max(counts.values()) - min(counts[client] for client in "abcd") <= 2


def test_a_client_that_was_away_gets_no_credit_for_it() -> None:
    queue = Queue()
    for _ in range(20):
        queue.join("steady", attended=True)
    for _ in range(10):
        queue.serve()
    newcomer = {queue.join("newcomer", attended=True) for _ in range(10)}
    first = [queue.serve().ticket for _ in range(10)]
    assert len(newcomer & set(first)) == 5


def test_who_has_to_go_is_the_last_of_the_client_with_most() -> None:
    queue = Queue()
    queue.join("modest", attended=False)
    last = [queue.join("greedy", attended=False) for _ in range(5)][-1]
    queue.join("other", attended=False)
    assert one_to_refuse(queue.waiting).ticket == last


@pytest.mark.rule("SMSP-PERF-007")
@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(5, 30))
def test_unattended_ones_give_way_but_keep_their_share_of_the_places(arrivals: list[bool], places: int) -> None:
    queue, seen = Queue(), 0
    for attended in arrivals:
        queue.join("any", attended=attended)
        seen += not attended
        if len(queue.waiting) > places:
            out = one_to_refuse(queue.waiting)
            others = [one for one in queue.waiting if not one.attended]
            assert out.attended == (len(others) * SHARE <= len(queue.waiting))
            queue.waiting.remove(out)
    kept = sum(not one.attended for one in queue.waiting)
    assert kept >= min(seen, places // SHARE)


def test_later_queries_go_last() -> None:
    queue = Queue()
    follow_up = queue.join("ward", attended=True, follow_up=True)
    assert one_to_refuse(queue.waiting).ticket == follow_up
    queue.join("ward", attended=True)
    assert one_to_refuse(queue.waiting).ticket != follow_up
