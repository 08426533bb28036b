"""Places and turns at Spine, as operations on the shared table: who has one, who waits for one, who gets the next.

All of it happens while the table's lock is held; nothing here waits. The head is read before and written after by the
caller. A request keeps its place from its first query to its end, so that its later queries need none.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from smsp_provider.domain.clients import Limits
from smsp_provider.engine.admission import Busy
from smsp_provider.engine.admission_queue import SHARE, Waiting, next_turn, one_to_refuse, tag_after
from smsp_provider.engine.admission_rate import Pace
from smsp_provider.engine.admission_use import ClientUse, ThrottleUse, Waits
from smsp_provider.engine.breaker import Breaker, BreakerPolicy, Phase
from smsp_provider.storage.throttle_rows import WAIT_BOUNDS, ClientRow, Head, Refusal, State
from smsp_provider.storage.throttle_table import ThrottleTable

__all__ = ["Applicant", "Refused", "ThrottlePolicy", "Turns", "clients_in", "count_in", "pace_of", "whole_seconds"]

_HOLD_WEIGHT: Final = 0.1
"""What the newest request adds to the mean time for which requests keep their places."""
_STALL_SECONDS: Final = 0.25
_STALL_TIMES: Final = 2.0
"""No place became free for so long and so many mean times: then Spine is slow, and there is nothing to wait for."""
_PATIENCE_OF_PEOPLE: Final = 0.5
"""Attended requests wait for this part of the longest wait only: people would rather be told than wait, and when more
of them come than Spine may be asked for, they still wait less than batches do."""
_LONGEST_RETRY_AFTER: Final = 60
_CLOSED: Final = int(Phase.CLOSED)
_TEXTS: Final = {
    Refusal.CLIENT_RATE: "the client has used up its rate",
    Refusal.CLIENT_CONCURRENCY: "the client has as many requests under way as it may",
    Refusal.THREADS: "as many threads as may are at Spine or wait for it",
    Refusal.QUEUE: "more wait for Spine than can have their turn in time",
    Refusal.STALLED: "as many requests as may are at Spine, and none of them comes to its end",
    Refusal.LATE: "no turn at Spine came in time",
    Refusal.BREAKER: "the circuit breaker to Spine is open",
}


class Refused(Busy):
    """Busy, and why."""

    def __init__(self, why: Refusal, retry_after: int = 1) -> None:
        super().__init__(_TEXTS[why], retry_after)
        self.why: Final = why


@dataclass(frozen=True, slots=True)
class ThrottlePolicy:
    """The limits of this host.

    ``pace`` of queries to Spine, None for any. At most ``max_in_flight`` requests are at Spine at once; in each process
    at most ``process_limit`` are there or wait. Nobody waits longer than ``max_wait`` seconds, people not longer than
    half of that, nor do more than ``max_queue`` wait. A query that ran out of time says nothing about Spine where Spine
    had less than ``fair_seconds`` for it.
    """

    pace: Pace | None
    max_in_flight: int
    process_limit: int
    max_wait: float = 2.0
    max_queue: int = 256
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    fair_seconds: float = 2.0


class Applicant(NamedTuple):
    """Who wants a turn: the row of its process, and whether it has its place already.

    ``until`` is when the answer would be of no use any more.
    """

    process: int
    attended: bool
    has_place: bool
    until: float


class Turns:
    """The rules of one host."""

    def __init__(self, policy: ThrottlePolicy) -> None:
        self.policy: Final = policy
        self._breaker: Final = Breaker(policy.breaker)

    def take_at_once(self, table: ThrottleTable, head: Head, applicant: Applicant, now: float) -> bool:
        """Take a turn there and then; False: the applicant has to :meth:`queue`.

        Raises:
            Refused: neither, and why.
        """
        if self._is_open(table, now):
            raise Refused(Refusal.BREAKER)
        if not applicant.has_place:
            if applicant.until <= now:
                raise Refused(Refusal.LATE)
            in_flight, waiting = table.places(applicant.process)
            if in_flight + waiting >= self.policy.process_limit:
                raise Refused(Refusal.THREADS)
        if head.waiting or head.in_flight >= self.policy.max_in_flight:
            table.count_left(head, now)
        if head.waiting or not self._has_turn(head, now, has_place=applicant.has_place):
            return False
        self._grant(table, head, applicant.process, now, has_place=applicant.has_place)
        table.count_wait(0.0, attended=applicant.attended)
        return True

    def queue(self, table: ThrottleTable, head: Head, applicant: Applicant, client: int, now: float) -> int:
        """A ticket to wait with, for who found no turn; ``client`` is the row of its client.

        Raises:
            Refused: there is nothing to wait for, or too many wait.
        """
        retry_after = self._retry_after(head, now)
        if not applicant.has_place and self._is_stalled(head, now):
            raise Refused(Refusal.STALLED, retry_after)
        until = min(now + self._longest_wait(attended=applicant.attended), applicant.until)
        tag = 0.0 if applicant.has_place else self._take_tag(table, head, client, attended=applicant.attended)
        head.arrivals += 1
        one = Waiting(-1, applicant.attended, applicant.has_place, tag, head.arrivals)
        if not applicant.has_place:
            out = self._one_too_many(table, head, one, now)
            if out is not None:
                self._give_tag_back(table, out, client if out is one else table.ticket(out.ticket).client)
                if out is one:
                    raise Refused(Refusal.QUEUE, retry_after)
                self.refuse(table, head, out.ticket, Refusal.QUEUE)
        ticket = table.issue(one, applicant.process, client, now, until)
        if ticket is None:
            raise Refused(Refusal.QUEUE, retry_after)
        head.waiting += 1
        table.add_places(applicant.process, 0, 1)
        return ticket

    def give(self, table: ThrottleTable, head: Head, now: float) -> None:
        """Decide about all that wait, as far as it can be decided now."""
        if head.waiting == 0:
            return
        table.count_left(head, now)
        waiting = self._without_hopeless(table, head, now)
        while waiting and not self._is_open(table, now):
            has_room = head.in_flight < self.policy.max_in_flight
            turn = next_turn((one for one in waiting if has_room or one.follow_up), head.passed_over)
            if turn is None or not self._has_turn(head, now, has_place=turn.follow_up):
                return
            waiting.remove(turn)
            self._serve(table, head, turn, now, unattended_wait=any(_is_unattended(one) for one in waiting))
        for one in waiting:
            self.refuse(table, head, one.ticket, Refusal.BREAKER)

    def refuse(self, table: ThrottleTable, head: Head, ticket: int, why: Refusal) -> None:
        """Decide against a ticket that waits; its owner frees it."""
        self._decide(table, head, ticket, State.refused(why))

    def leave(self, table: ThrottleTable, head: Head, process: int, held_since: float, now: float) -> None:
        """Give a place back that was taken at ``held_since``."""
        head.in_flight = max(0, head.in_flight - 1)
        table.add_places(process, -1, 0)
        self.learn(head, held_since, now)

    @staticmethod
    def learn(head: Head, held_since: float, left_at: float) -> None:
        """Take note of how long a place was kept."""
        head.released_at = max(head.released_at, left_at)
        seconds = left_at - held_since
        head.hold = seconds if head.hold == 0 else head.hold + _HOLD_WEIGHT * (seconds - head.hold)

    def use(self, table: ThrottleTable, now: float) -> ThrottleUse:
        """What is used of the limits now."""
        head, breaker = table.head(), table.breaker()
        attended, unattended = (Waits(WAIT_BOUNDS, *table.waits(attended=which)) for which in (True, False))
        return ThrottleUse(
            in_flight=head.in_flight,
            max_in_flight=self.policy.max_in_flight,
            waiting=head.waiting,
            in_hand=None if self.policy.pace is None else self.policy.pace.in_hand(head.mark, now),
            breaker=Phase(breaker.phase),
            breaker_opened=breaker.opened,
            draining=head.draining_since > 0,
            refusals={why.name.lower().replace("_", "-"): count for why, count in table.refusals().items()},
            attended=attended,
            unattended=unattended,
            clients=tuple(clients_in(table, now)),
        )

    def tell(self, table: ThrottleTable, began: float, ended: float, *, failed: bool) -> None:
        """Tell the breaker how a query ended."""
        state = table.breaker()
        told = self._breaker.told(state, began, ended, failed=failed)
        if told is not state:
            table.put_breaker(told)

    def _has_turn(self, head: Head, now: float, *, has_place: bool) -> bool:
        pace = self.policy.pace
        return (has_place or head.in_flight < self.policy.max_in_flight) and (
            pace is None or pace.may_pass(head.mark, now)
        )

    def _is_open(self, table: ThrottleTable, now: float) -> bool:
        return table.breaker_phase() != _CLOSED and self._breaker.is_open(table.breaker(), now)

    def _grant(self, table: ThrottleTable, head: Head, process: int, now: float, *, has_place: bool) -> None:
        if self.policy.pace is not None:
            head.mark = self.policy.pace.taken(head.mark, now)
        if not has_place:
            if head.in_flight == 0:
                head.busy_since = now
            head.in_flight += 1
            table.add_places(process, 1, 0)
        if table.breaker_phase() != _CLOSED:
            table.put_breaker(self._breaker.passed(table.breaker(), now))

    def _one_too_many(self, table: ThrottleTable, head: Head, one: Waiting, now: float) -> Waiting | None:
        """Who has to go so that all that wait can have their turn in time; None where all can."""
        waiting = [*table.waiting(), one]
        if one.attended:
            attended = [other for other in waiting if other.attended and not other.follow_up]
            # Of the turns that people wait for, some go to others.
            part = (SHARE - 1) / SHARE if any(map(_is_unattended, waiting)) else 1.0
            if len(attended) > part * self._turns_in_time(head, now, self._longest_wait(attended=True)):
                return one_to_refuse(attended)
        if len(waiting) > min(self.policy.max_queue, self._turns_in_time(head, now, self.policy.max_wait)):
            return one_to_refuse(waiting)
        return None

    def _longest_wait(self, *, attended: bool) -> float:
        return self.policy.max_wait * (_PATIENCE_OF_PEOPLE if attended else 1.0)

    @staticmethod
    def _take_tag(table: ThrottleTable, head: Head, client: int, *, attended: bool) -> float:
        row = table.client(client)
        if attended:
            tag = tag_after(head.attended_now, row.attended_finish)
            row.attended_finish = tag + 1
        else:
            tag = tag_after(head.unattended_now, row.unattended_finish)
            row.unattended_finish = tag + 1
        table.put_client(client, row)
        return tag

    @staticmethod
    def _give_tag_back(table: ThrottleTable, one: Waiting, client: int) -> None:
        """It is the client's last one: its next one may have it."""
        row = table.client(client)
        if one.attended:
            row.attended_finish = one.tag
        else:
            row.unattended_finish = one.tag
        table.put_client(client, row)

    def _turns_in_time(self, head: Head, now: float, seconds: float) -> float:
        """How many turns will be given within so many seconds, as far as can be told."""
        turns, pace = math.inf, self.policy.pace
        if pace is not None:
            turns = max(0.0, (seconds - max(0.0, pace.free_at(head.mark) - now)) / pace.interval)
        if head.in_flight >= self.policy.max_in_flight and head.hold > 0:
            turns = min(turns, seconds * self.policy.max_in_flight / head.hold)
        return turns

    def _retry_after(self, head: Head, now: float) -> int:
        """Seconds until those who wait now have had their turn."""
        turns = self._turns_in_time(head, now, self.policy.max_wait)
        return whole_seconds(head.waiting * self.policy.max_wait / turns if turns > 1 else self.policy.max_wait)

    def _is_stalled(self, head: Head, now: float) -> bool:
        quiet = now - max(head.released_at, head.busy_since)
        return head.in_flight >= self.policy.max_in_flight and quiet > _STALL_SECONDS + _STALL_TIMES * head.hold

    def _without_hopeless(self, table: ThrottleTable, head: Head, now: float) -> list[Waiting]:
        """Those that wait, after those were refused whose time is over or who wait for places that stay taken."""
        stalled, hopeful = self._is_stalled(head, now), []
        for one in table.waiting():
            if table.ticket(one.ticket).until <= now:
                self.refuse(table, head, one.ticket, Refusal.LATE)
            elif stalled and not one.follow_up:
                self.refuse(table, head, one.ticket, Refusal.STALLED)
            else:
                hopeful.append(one)
        return hopeful

    def _serve(self, table: ThrottleTable, head: Head, one: Waiting, now: float, *, unattended_wait: bool) -> None:
        ticket = table.ticket(one.ticket)
        self._decide(table, head, one.ticket, State.GRANTED)
        self._grant(table, head, ticket.process, now, has_place=one.follow_up)
        table.count_wait(now - ticket.since, attended=one.attended)
        if one.follow_up:
            return
        if one.attended:
            head.attended_now = max(head.attended_now, one.tag)
            head.passed_over = min(head.passed_over + 1, SHARE) if unattended_wait else 0
        else:
            head.unattended_now = max(head.unattended_now, one.tag)
            head.passed_over = 0

    @staticmethod
    def _decide(table: ThrottleTable, head: Head, ticket: int, state: int) -> None:
        table.put_state(ticket, state)
        table.add_places(table.ticket(ticket).process, 0, -1)
        head.waiting = max(0, head.waiting - 1)


@lru_cache(maxsize=1024)
def pace_of(rate: float | None, burst: int | None) -> Pace | None:
    """The pace of a client; without a burst of its own, as many as in a second may come at once."""
    return None if rate is None else Pace.of(rate, burst or max(1, int(rate)))


def count_in(row: ClientRow, limits: Limits, now: float) -> Refused | None:
    """Count a request in, or say why not."""
    row.used_at = now
    row.rate, row.burst, row.concurrency = limits.rate or 0.0, limits.burst or 0, limits.concurrency or 0
    pace = pace_of(limits.rate, limits.burst)
    refused = None
    if limits.concurrency is not None and row.in_flight >= limits.concurrency:
        refused = Refused(Refusal.CLIENT_CONCURRENCY)
    elif pace is not None and not pace.may_pass(row.mark, now):
        refused = Refused(Refusal.CLIENT_RATE, whole_seconds(pace.free_at(row.mark) - now))
    elif pace is not None:
        row.mark = pace.taken(row.mark, now)
    if refused is None:
        row.admitted += 1
    else:
        row.refused += 1
    return refused


def clients_in(table: ThrottleTable, now: float) -> Iterator[ClientUse]:
    """What each client uses of its limits now."""
    for row in table.clients():
        rate, burst = row.rate or None, int(row.burst) or None
        pace = pace_of(rate, burst)
        yield ClientUse(
            row.name.rstrip(b"\0").decode(errors="replace"),
            rate,
            burst,
            row.concurrency or None,
            row.in_flight,
            None if pace is None else pace.in_hand(row.mark, now),
            row.admitted,
            row.refused,
        )


def whole_seconds(seconds: float) -> int:
    """What stands in Retry-After: at least 1, and never so much that a caller would give up."""
    return min(max(1, math.ceil(seconds)), _LONGEST_RETRY_AFTER)


def _is_unattended(one: Waiting) -> bool:
    return not one.attended and not one.follow_up
