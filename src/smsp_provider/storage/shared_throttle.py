"""Limits towards clients and Spine that all workers of a host keep together (:mod:`smsp_provider.engine.admission`).

What counts is in a table that all of them map. Who finds a turn free takes it there and then, and gives its place back
without the table's lock where nobody waits for it and the breaker need not hear of it at once. Who has to wait takes a
ticket; whoever holds the lock next, in whatever process, gives the turns that are due. In each process with waiting
threads one of them looks at the table every few milliseconds, for all of them; nobody does while nobody waits.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from smsp_provider.domain.clients import Limits
from smsp_provider.domain.failures import NotSent
from smsp_provider.engine.admission import Busy, Turn
from smsp_provider.engine.admission_use import ClientUse, ThrottleUse
from smsp_provider.engine.breaker import BreakerState, speaks_against_spine
from smsp_provider.engine.ports import Clock, Deadline
from smsp_provider.storage.shared_region import SharedRegion
from smsp_provider.storage.throttle_access import AtTable
from smsp_provider.storage.throttle_parking import Parking
from smsp_provider.storage.throttle_rows import Head, Refusal, State, mark_of_process
from smsp_provider.storage.throttle_table import CLIENTS, SIZE, ThrottleTable
from smsp_provider.storage.throttle_turns import (
    Applicant,
    Refused,
    ThrottlePolicy,
    Turns,
    clients_in,
    count_in,
)

__all__ = ["SharedThrottle", "current_use"]

_KIND: Final = b"throttle"
_VERSION: Final = 2
_NAME_BYTES: Final = 64

_LOOK_AFTER_SECONDS: Final = 1.0
"""How often at most it is looked whether processes died."""


_Debt = Callable[[ThrottleTable, Head], None]
"""What this process still has to do at the table: give something back, or tell the breaker of a query."""


class SharedThrottle:
    """Keeps the table at ``path``; safe for threads, processes and forks.

    A table that cannot be used lets nobody pass: :class:`Busy`. What could not be given back to it is given back later.
    """

    def __init__(self, path: Path, policy: ThrottlePolicy, clock: Clock, *, wait_s: float = 1.0) -> None:
        self._policy: Final = policy
        self._clock: Final = clock
        self._turns: Final = Turns(policy)
        self._region: Final = SharedRegion(path, kind=_KIND, version=_VERSION, size=SIZE, wait_s=wait_s)
        self._table: Final = AtTable(self._region, self._be_known)
        self._begin(0)

    def _begin(self, pid: int) -> None:
        """The state of one process."""
        self._pid, self._process = pid, 0
        self._mark = mark_of_process() if pid else b""
        self._rows: dict[str, int] = {}
        self._parking = Parking()
        self._owed: list[_Debt] = []
        self._is_pressing = False
        self._leaving = threading.Lock()

    def admit_request(self, client: str, limits: Limits) -> "_RequestUnderWay":
        """See :meth:`smsp_provider.engine.admission.Admission.admit_request`."""
        return _RequestUnderWay(self, client, limits)

    def admit_inquiry(self, turn: Turn) -> "_Leave":
        """See :meth:`smsp_provider.engine.admission.Admission.admit_inquiry`."""
        return _Leave(self, turn)

    def admit_repeat(self, deadline: Deadline) -> bool:
        """See :meth:`smsp_provider.engine.admission.Admission.admit_repeat`."""
        try:
            self.take_turn(Turn("", attended=True, deadline=deadline), has_place=True)
        except (Busy, NotSent):
            return False
        return True

    def clear(self) -> None:
        """Forget all: at the start of a provider, when nobody else uses the table.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked() as view:
            ThrottleTable(view).clear()

    def take_back(self) -> int:
        """Take back what processes held that are no more; how many those were.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked() as view:
            return ThrottleTable(view).take_back()

    def begin_draining(self) -> None:
        """Let every process of the host know that the provider stops.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked() as view:
            table = ThrottleTable(view)
            table.head().draining_since = self._clock.now().timestamp()
            table.put_head()

    def is_draining(self) -> bool:
        """Whether the provider stops; not as long as that cannot be told."""
        with suppress(OSError), self._region.locked() as view:
            return ThrottleTable(view).head().draining_since > 0
        return False

    def takes_requests(self) -> bool:
        """Whether the table can be used, without which nothing passes, and the provider does not stop."""
        with suppress(OSError), self._region.locked() as view:
            return not ThrottleTable(view).head().draining_since
        return False

    def breaker(self) -> BreakerState:
        """The state of the breaker alone: much less than :meth:`use`, for who looks every second.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked() as view:
            return ThrottleTable(view).breaker()

    def waiting(self) -> int:
        """How many queries wait for their turn.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked() as view:
            return ThrottleTable(view).head().waiting

    def times_lost(self) -> int:
        """How often the table was found deleted or replaced, and made anew, since this process uses it.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked():
            return self._region.lost

    def use(self) -> ThrottleUse:
        """What is used of the limits now.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked() as view:
            table, now = ThrottleTable(view), self._clock.monotonic()
            table.count_left(table.head(), now)
            table.put_head()
            return self._turns.use(table, now)

    def enter_request(self, client: str, limits: Limits) -> int:
        """Count a request of a client; returns what :meth:`leave_request` needs.

        Raises:
            Busy: the client has used up its rate or its concurrency.
        """
        with self._table as table:
            now = self._clock.monotonic()
            index = self._row_of(table, client)
            row = table.client(index)
            if limits.concurrency is not None and row.in_flight >= limits.concurrency:
                self._look_after(table, now)
                row = table.client(index)
            refused = count_in(row, limits, now)
            if refused is None:
                row.in_flight += 1
                table.hold(index, self._process, 1)
            else:
                table.count_refusal(refused.why)
            table.put_client(index, row)
        if refused is not None:
            raise refused
        return index

    def leave_request(self, client: int) -> None:
        """Count a request off."""
        self._give_back(partial(self._hold_no_more, client))

    def take_turn(self, turn: Turn, *, has_place: bool) -> float:
        """Wait for a turn at Spine, and for a place unless the request has one; the moment it came.

        Raises:
            Busy: there is none in time.
            NotSent: the breaker is open.
        """
        try:
            with self._table as table:
                head, now = table.head(), self._clock.monotonic()
                if head.waiting or head.in_flight >= self._policy.max_in_flight:
                    self._look_after(table, now)
                applicant = Applicant(self._process, turn.attended, has_place, turn.deadline.at)
                ticket = None
                try:
                    if not self._turns.take_at_once(table, head, applicant, now):
                        client = 0 if has_place else self._row_of(table, turn.client)
                        ticket = self._turns.queue(table, head, applicant, client, now)
                except Refused as refused:
                    table.count_refusal(refused.why)
                    raise
                if ticket is None:
                    return now
                parked = self._parking.park(ticket)
                self._decide(table, now)
            self._parking.wait(parked, self._look, self._abandon)
        except Refused as refused:
            if refused.why is Refusal.BREAKER:
                raise NotSent(refused.reason) from None
            raise
        return self._clock.monotonic()

    def leave_place(self, since: float) -> None:
        """Give back the place of a request that it took at ``since``."""
        if not self._leave_quietly(since):
            self._give_back(partial(self._place_free, since))

    def _leave_quietly(self, since: float) -> bool:
        """Give a place back without the lock, unless the breaker has to hear of something now."""
        view = self._region.unlocked
        if view is None or self._is_pressing:
            return False
        table = ThrottleTable(view)
        with self._leaving:
            is_ours = table.is_process(self._process, self._mark)
            if not is_ours or table.breaker_phase() or not table.leave_quietly(self._process):
                return False
        self._owed.append(partial(self._place_left, since, self._clock.monotonic()))
        if self._parking or table.anybody_waits():
            self._pass_on()
        return True

    def note(self, turn: Turn, began: float, failure: BaseException | None) -> None:
        """Tell the breaker how a query ended; it hears of it with whatever this process does next."""
        failed, ended = speaks_against_spine(failure), self._clock.monotonic()
        is_unfair = ended >= turn.deadline.at and ended - began < self._policy.fair_seconds
        if failed is not None and not (failed and is_unfair):
            self._owed.append(partial(self._tell, began, ended, failed))
            if failed or ended - began >= self._policy.breaker.slow_seconds:
                self._is_pressing = True

    def _look(self) -> None:
        """What a waiting process does at the table every few milliseconds."""
        with self._table as table:
            now = self._clock.monotonic()
            self._look_after(table, now)
            self._decide(table, now)

    def _abandon(self, ticket: int) -> None:
        self._owed.append(partial(self._clear_away, ticket))

    def _decide(self, table: ThrottleTable, now: float) -> None:
        """Give the turns that are due, and wake those threads of this process about whose tickets was decided."""
        self._turns.give(table, table.head(), now)
        self._parking.tell(table)

    # The table

    def _be_known(self, table: ThrottleTable) -> None:
        """At the table: have a row for this process, and owe nothing."""
        pid = os.getpid()
        if self._pid != pid:
            self._begin(pid)
        if not table.is_process(self._process, self._mark):
            self._claim(table)
        if self._owed or table.has_left(self._process):
            self._is_pressing = False
            head = table.head()
            table.count_left_by(self._process, head)
            while self._owed:
                self._owed.pop(0)(table, head)

    def _claim(self, table: ThrottleTable) -> None:
        process = table.claim_process(self._mark)
        if process is None:
            raise Busy("the table of limits is full", 1)
        self._process = process
        self._rows.clear()

    def _give_back(self, debt: _Debt) -> None:
        self._owed.append(debt)
        self._pass_on()

    def _pass_on(self) -> None:
        """Settle what is owed, and give others the turns that are due for it."""
        try:
            with self._table as table:
                if self._parking or table.anybody_waits():
                    self._decide(table, self._clock.monotonic())
        except Busy:
            # It stays owed.
            return

    def _hold_no_more(self, client: int, table: ThrottleTable, _head: Head) -> None:
        table.hold(client, self._process, -1)

    def _tell(self, began: float, ended: float, failed: bool, table: ThrottleTable, _head: Head) -> None:
        self._turns.tell(table, began, ended, failed=failed)

    def _place_free(self, since: float, table: ThrottleTable, head: Head) -> None:
        self._turns.leave(table, head, self._process, since, self._clock.monotonic())

    def _place_left(self, since: float, left_at: float, _table: ThrottleTable, head: Head) -> None:
        self._turns.learn(head, since, left_at)

    def _clear_away(self, ticket: int, table: ThrottleTable, head: Head) -> None:
        """Clear a ticket away whose thread could not wait for the decision."""
        now = self._clock.monotonic()
        if table.state(ticket) == State.WAITING:
            self._turns.refuse(table, head, ticket, Refusal.LATE)
        elif table.state(ticket) == State.GRANTED and not table.ticket(ticket).follow_up:
            self._turns.leave(table, head, self._process, now, now)
        table.put_state(ticket, State.FREE)

    def _look_after(self, table: ThrottleTable, now: float) -> None:
        """Take back what the dead held, not too often."""
        head = table.head()
        if now >= head.looked_after_at + _LOOK_AFTER_SECONDS:
            head.looked_after_at = now
            table.take_back()

    def _row_of(self, table: ThrottleTable, client: str) -> int:
        name = client.encode().ljust(_NAME_BYTES, b"\0")[:_NAME_BYTES]
        index = self._rows.get(client)
        if index is None or not table.is_client(index, name):
            index = table.find_client(name, make=True)
            if index is None:
                raise Busy("too many clients have requests under way", 1)
            if len(self._rows) >= CLIENTS:
                self._rows.clear()
            self._rows[client] = index
        return index


def current_use(file: Path, client: str, clock: Clock) -> ClientUse | None:
    """What a client uses of its limits now, by the table in ``file``; None where it has not called since the start.

    Raises:
        OSError: the table cannot be used.
    """
    if not file.exists():
        return None
    with SharedRegion(file, kind=_KIND, version=_VERSION, size=SIZE).locked() as view:
        return next((one for one in clients_in(ThrottleTable(view), clock.monotonic()) if one.name == client), None)


class _RequestUnderWay:
    """The time of one request of a client."""

    __slots__ = ("_client", "_limits", "_row", "_throttle")

    def __init__(self, throttle: SharedThrottle, client: str, limits: Limits) -> None:
        self._throttle, self._client, self._limits = throttle, client, limits
        self._row = -1

    def __enter__(self) -> None:
        self._row = self._throttle.enter_request(self._client, self._limits)

    def __exit__(self, *_: object) -> None:
        self._throttle.leave_request(self._row)


class _Leave:
    """The time in which a request asks Spine."""

    __slots__ = ("_throttle", "_turn", "held_since")

    def __init__(self, throttle: SharedThrottle, turn: Turn) -> None:
        self._throttle, self._turn = throttle, turn
        self.held_since: float | None = None
        """When the request took its place at Spine; None before its first query."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.held_since is not None:
            self._throttle.leave_place(self.held_since)

    def query(self) -> "_Query":
        """See :meth:`smsp_provider.engine.admission.Leave.query`."""
        return _Query(self, self._throttle, self._turn)


class _Query:
    """The time of one query."""

    __slots__ = ("_began", "_leave", "_throttle", "_turn")

    def __init__(self, leave: _Leave, throttle: SharedThrottle, turn: Turn) -> None:
        self._leave, self._throttle, self._turn = leave, throttle, turn
        self._began = 0.0

    def __enter__(self) -> None:
        leave = self._leave
        self._began = self._throttle.take_turn(self._turn, has_place=leave.held_since is not None)
        if leave.held_since is None:
            leave.held_since = self._began

    def __exit__(
        self, _kind: type[BaseException] | None, failure: BaseException | None, _: TracebackType | None
    ) -> None:
        self._throttle.note(self._turn, self._began, failure)
