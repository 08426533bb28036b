"""The rules at the table, driven by whole histories of arrivals and ends that no test would think of."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsp_provider.engine.admission_rate import Pace
from smsp_provider.storage.throttle_rows import MARK, State, mark_of_process
from smsp_provider.storage.throttle_table import SIZE, ThrottleTable
from smsp_provider.storage.throttle_turns import Applicant, Refused, ThrottlePolicy, Turns

RATE, BURST, PLACES, LONGEST_WAIT = 20, 5, 6, 1.0
CLIENTS = ("ward", "clinic", "lab")


@dataclass
class Host:
    """One process at a table of its own; the time is what the history says."""

    policy: ThrottlePolicy = field(
        default_factory=lambda: ThrottlePolicy(Pace.of(RATE, BURST), PLACES, 1000, max_wait=LONGEST_WAIT, max_queue=30)
    )
    now: float = 1000.0
    waiting: dict[int, tuple[float, bool]] = field(default_factory=dict)
    held: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    waits: list[tuple[bool, float]] = field(default_factory=list)

    told_to_wait: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = ThrottleTable(memoryview(bytearray(SIZE)))
        process = self.table.claim_process(mark_of_process())
        assert process is not None
        self.process = process
        self.rules = Turns(self.policy)

    def ask(self, client: str, *, attended: bool) -> None:
        """A new request wants its first turn."""
        head = self.table.head()
        row = self.table.find_client(client.encode().ljust(64, b"\0"), make=True)
        assert row is not None
        applicant = Applicant(self.process, attended, has_place=False, until=self.now + 60)
        try:
            if self.rules.take_at_once(self.table, head, applicant, self.now):
                self._has_turn(self.now, attended=attended)
            else:
                ticket = self.rules.queue(self.table, head, applicant, row, self.now)
                self.waiting[ticket] = (self.now, attended)
        except Refused as refused:
            self.told_to_wait.append(refused.retry_after or 0)
        self.table.put_head()
        self.look()

    def look(self) -> None:
        """What waiting threads do."""
        head = self.table.head()
        self.rules.give(self.table, head, self.now)
        self.table.put_head()
        for ticket, (since, attended) in list(self.waiting.items()):
            state = self.table.state(ticket)
            if state != State.WAITING:
                self.table.put_state(ticket, State.FREE)
                del self.waiting[ticket]
                if state == State.GRANTED:
                    self._has_turn(since, attended=attended)

    def leave(self, which: int) -> None:
        """One of those at Spine comes to its end."""
        if self.held:
            head = self.table.head()
            self.rules.leave(self.table, head, self.process, self.held.pop(which % len(self.held)), self.now)
            self.table.put_head()
            self.look()

    def slip_away(self, which: int) -> None:
        """One of those at Spine comes to its end, and gives its place back without the lock."""
        if self.held and self.table.leave_quietly(self.process):
            self.held.pop(which % len(self.held))
            if self.table.anybody_waits():
                self.look()

    def _has_turn(self, since: float, *, attended: bool) -> None:
        self.held.append(self.now)
        self.turns.append(self.now)
        self.waits.append((attended, self.now - since))

    def check(self) -> None:
        """What holds at any time."""
        head = self.table.head()
        assert len(self.held) <= head.in_flight <= PLACES
        # A place that nobody has counted in is in nobody's way.
        assert head.in_flight == len(self.held) or not self.waiting
        assert head.waiting == len(self.waiting) == len(self.table.waiting()) <= self.policy.max_queue
        assert self.table.places(self.process) == (head.in_flight, len(self.waiting))
        recent = [moment for moment in self.turns if moment > self.now - 1]
        assert len(recent) <= RATE + BURST + 1e-6
        assert all(1 <= seconds <= 60 for seconds in self.told_to_wait)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(CLIENTS), st.booleans()),
        st.tuples(st.sampled_from(("leave", "slip away")), st.integers(0, 9), st.none()),
        st.tuples(st.just("pass"), st.floats(0.001, 0.4), st.none()),
    ),
    min_size=30,
    max_size=250,
)


@pytest.mark.rule("SMSP-PERF-001", "SMSP-PERF-007")
@settings(max_examples=100)
@given(EVENTS)
def test_whatever_happens_the_limits_hold_and_everybody_is_told_in_time(
    events: list[tuple[str, object, object]],
) -> None:
    host = Host()
    for kind, what, how in events:
        if kind == "ask":
            host.ask(str(what), attended=bool(how))
        elif kind == "leave":
            assert isinstance(what, int)
            host.leave(what)
        elif kind == "slip away":
            assert isinstance(what, int)
            host.slip_away(what)
        else:
            assert isinstance(what, float)
            host.now += what
            host.look()
        host.check()
        for since, attended in host.waiting.values():
            assert host.now - since < LONGEST_WAIT * (0.5 if attended else 1.0)
    while host.held:
        host.leave(0)
    host.now += LONGEST_WAIT
    host.look()
    while host.held:
        host.leave(0)
    host.check()
    assert not host.waiting
    head = host.table.head()
    host.table.count_left(head, host.now)
    assert head.in_flight == host.table.places(host.process)[0] == 0


def test_places_given_back_without_the_lock_are_free_once_they_are_needed() -> None:
    host = Host()
    for _ in range(PLACES):
        host.ask("ward", attended=True)
        host.slip_away(0)
        host.now += 0.1
    assert host.table.head().in_flight == PLACES
    host.ask("ward", attended=True)
    assert (len(host.held), host.told_to_wait, host.table.head().in_flight) == (1, [], 1)


def test_only_so_many_places_are_given_back_without_the_lock_before_they_are_counted_in() -> None:
    host = Host(ThrottlePolicy(None, 1000, 1000, max_wait=LONGEST_WAIT, max_queue=30))
    for _ in range(300):
        host.ask("ward", attended=True)
    while host.table.leave_quietly(host.process):
        host.held.pop()
    assert 0 < len(host.held) < 300
    head = host.table.head()
    host.table.count_left(head, host.now)
    assert head.in_flight == len(host.held)
    host.table.put_head()
    assert host.table.leave_quietly(host.process)


def test_nothing_is_left_of_a_process_that_died_before_its_places_were_counted_in() -> None:
    host = Host()
    dead = host.table.claim_process(MARK.pack(2**22 + 1, 1))
    assert dead is not None
    living, host.process = host.process, dead
    for _ in range(3):
        host.ask("ward", attended=True)
    host.slip_away(0)
    host.process = living
    host.ask("ward", attended=True)
    assert host.table.take_back() == 1
    head = host.table.head()
    host.table.count_left(head, host.now)
    assert head.in_flight == host.table.places(living)[0] == 1


@pytest.mark.rule("SMSP-PERF-007")
def test_under_endless_load_of_all_kinds_everybody_gets_a_share_and_people_wait_less() -> None:
    host = Host()
    for step in range(1000):
        host.now += 0.01
        host.leave(0)
        for client in CLIENTS:
            # One client asks three times as much as the others.
            for _ in range(3 if client == "ward" else 1):
                host.ask(client, attended=step % 2 == 0)
        host.check()
    people = [wait for attended, wait in host.waits if attended]
    batches = [wait for attended, wait in host.waits if not attended]
    assert len(host.turns) >= 0.95 * RATE * 10
    assert len(batches) >= len(host.turns) / 6
    assert sorted(people)[len(people) * 95 // 100] < sorted(batches)[len(batches) * 95 // 100]
    assert max(people) <= LONGEST_WAIT / 2 + 0.02
    assert max(batches) <= LONGEST_WAIT + 0.02


def test_the_breaker_sends_everybody_away_who_waits() -> None:
    host = Host()
    for _ in range(PLACES + 4):
        host.ask("ward", attended=False)
    assert len(host.waiting) > 0
    for _ in range(host.policy.breaker.failures):
        host.rules.tell(host.table, host.now, host.now, failed=True)
    host.look()
    assert not host.waiting


def test_a_slow_spine_is_nothing_to_wait_for() -> None:
    host = Host()
    for _ in range(PLACES + 4):
        host.ask("ward", attended=False)
    for _ in range(2):
        host.now += 0.3
        host.look()
    assert not host.waiting
    before = len(host.turns)
    host.ask("ward", attended=True)
    assert (len(host.waiting), len(host.turns)) == (0, before)
