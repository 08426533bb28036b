"""Limits towards clients and Spine that all workers of a host keep together (:mod:`smsp_provider.engine.admission`).

What counts is in a table that all of them map. Who finds a turn free takes it there and then. Who has to wait takes a
ticket; whoever holds the lock next, in whatever process, gives the turns that are due. In each process with waiting
threads one of them looks at the table every few milliseconds, for all of them; nobody does while nobody waits.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from smsp_provider.domain.clients import Limits
from smsp_provider.domain.failures import NotSent
from smsp_provider.engine.admission import Busy, Turn
from smsp_provider.engine.admission_use import ClientUse, ThrottleUse
from smsp_provider.engine.breaker import speaks_against_spine
from smsp_provider.engine.ports import Clock, Deadline
from smsp_provider.storage.shared_region import SharedRegion
from smsp_provider.storage.throttle_table import CLIENTS, SIZE, ClientRow, Refusal, State, ThrottleTable, started_at
from smsp_provider.storage.throttle_turns import (
    Applicant,
    Refused,
    ThrottlePolicy,
    Turns,
    clients_in,
    pace_of,
    whole_seconds,
)

__all__ = ["SharedThrottle", "current_use"]

_KIND: Final = b"throttle"
_VERSION: Final = 1
_NAME_BYTES: Final = 64

_LOOK_SECONDS: Final = 0.003
"""How often a process with waiting threads looks at the table."""
_LOOK_AFTER_SECONDS: Final = 1.0
"""How often at most it is looked whether processes died."""


class _Parked:
    """A waiting thread of this process."""

    __slots__ = ("event", "state")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.state: int = State.WAITING


class _Place(NamedTuple):
    """To be given back: the place of a request at Spine, since when it held it."""

    since: float


class _Request(NamedTuple):
    """To be given back: one request under way of the client in this row."""

    client: int


class _Abandoned(NamedTuple):
    """To be cleared away: a ticket whose thread went away when the table could not be used."""

    ticket: int


class _Evidence(NamedTuple):
    """To be told to the breaker: how a query ended."""

    began: float
    ended: float
    failed: bool


class SharedThrottle:
    """Keeps the table at ``path``; safe for threads, processes and forks.

    A table that cannot be used lets nobody pass: :class:`Busy`. What could not be given back to it is given back later.
    """

    def __init__(self, path: Path, policy: ThrottlePolicy, clock: Clock, *, wait_s: float = 1.0) -> None:
        self._policy: Final = policy
        self._clock: Final = clock
        self._turns: Final = Turns(policy)
        self._region: Final = SharedRegion(path, kind=_KIND, version=_VERSION, size=SIZE, wait_s=wait_s)
        self._begin(0)

    def _begin(self, pid: int) -> None:
        """The state of one process."""
        self._pid, self._started, self._process = pid, started_at(pid) if pid else 0, 0
        self._rows: dict[str, int] = {}
        self._parked: dict[int, _Parked] = {}
        self._leading = threading.Lock()
        self._owed: list[_Place | _Request | _Abandoned | _Evidence] = []

    def admit_request(self, client: str, limits: Limits) -> "_RequestUnderWay":
        """See :meth:`smsp_provider.engine.admission.Admission.admit_request`."""
        return _RequestUnderWay(self, client, limits)

    def admit_inquiry(self, turn: Turn) -> "_Leave":
        """See :meth:`smsp_provider.engine.admission.Admission.admit_inquiry`."""
        return _Leave(self, turn, self._clock)

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
            head = table.head()
            head.draining_since = self._clock.now().timestamp()
            table.put_head(head)

    def is_draining(self) -> bool:
        """Whether the provider stops; not as long as that cannot be told."""
        with suppress(OSError), self._region.locked() as view:
            return ThrottleTable(view).head().draining_since > 0
        return False

    def use(self) -> ThrottleUse:
        """What is used of the limits now.

        Raises:
            OSError: the table cannot be used.
        """
        with self._region.locked() as view:
            return self._turns.use(ThrottleTable(view), self._clock.monotonic())

    def enter_request(self, client: str, limits: Limits) -> int:
        """Count a request of a client; returns what :meth:`leave_request` needs.

        Raises:
            Busy: the client has used up its rate or its concurrency.
        """
        with self._table() as table:
            now = self._clock.monotonic()
            index = self._row_of(table, client)
            row = table.client(index)
            if limits.concurrency is not None and row.in_flight >= limits.concurrency:
                self._look_after(table, now)
                row = table.client(index)
            refused = _count_in(row, limits, now)
            if refused is None:
                table.hold(index, row, self._process, 1)
            else:
                table.count_refusal(refused.why)
            table.put_client(index, row)
        if refused is not None:
            raise refused
        return index

    def leave_request(self, client: int) -> None:
        """Count a request off."""
        self._give_back(_Request(client))

    def take_turn(self, turn: Turn, *, has_place: bool) -> None:
        """Wait for a turn at Spine, and for a place unless the request has one.

        Raises:
            Busy: there is none in time.
            NotSent: the breaker is open.
        """
        parked = None
        try:
            with self._table() as table:
                head, now = table.head(), self._clock.monotonic()
                self._look_after(table, now, only_when=head.waiting > 0 or head.in_flight >= self._policy.max_in_flight)
                head = table.head()
                client = 0 if has_place else self._row_of(table, turn.client)
                applicant = Applicant(self._process, client, turn.attended, has_place, turn.deadline.at)
                try:
                    ticket = self._turns.apply(table, head, applicant, now)
                except Refused as refused:
                    table.count_refusal(refused.why)
                    raise
                finally:
                    table.put_head(head)
                if ticket is not None:
                    parked = self._parked[ticket] = _Parked()
                    self._decide(table, now)
            if parked is not None and ticket is not None:
                self._wait(parked, ticket)
        except Refused as refused:
            if refused.why is Refusal.BREAKER:
                raise NotSent(refused.reason) from None
            raise

    def leave_place(self, since: float) -> None:
        """Give back the place of a request that it took at ``since``."""
        self._give_back(_Place(since))

    def note(self, began: float, ended: float, *, failed: bool) -> None:
        """Tell the breaker how a query ended; it hears of it with whatever this process does next."""
        self._owed.append(_Evidence(began, ended, failed))

    # Waiting

    def _wait(self, parked: _Parked, ticket: int) -> None:
        """Wait for the decision about a ticket; one of the waiting threads looks at the table for all.

        Raises:
            Refused: it is against it.
        """
        while parked.state == State.WAITING:
            if self._leading.acquire(blocking=False):
                try:
                    self._lead(parked, ticket)
                finally:
                    self._leading.release()
                    self._call_another()
            else:
                parked.event.wait(self._policy.max_wait)
                parked.event.clear()
        if parked.state != State.GRANTED:
            raise Refused(State.why(parked.state))

    def _lead(self, parked: _Parked, ticket: int) -> None:
        while parked.state == State.WAITING:
            try:
                with self._table() as table:
                    now = self._clock.monotonic()
                    self._look_after(table, now)
                    self._decide(table, now)
            except Busy:
                # Each of those who wait will find this out for itself.
                self._parked.pop(ticket, None)
                self._owed.append(_Abandoned(ticket))
                raise
            if parked.state == State.WAITING:
                parked.event.wait(_LOOK_SECONDS)
                parked.event.clear()

    def _call_another(self) -> None:
        """Have another waiting thread look at the table."""
        for other in list(self._parked.values()):
            other.event.set()
            return

    def _decide(self, table: ThrottleTable, now: float) -> None:
        """Give the turns that are due, and wake those threads of this process about whose tickets was decided."""
        head = table.head()
        self._turns.give(table, head, now)
        table.put_head(head)
        for ticket, parked in list(self._parked.items()):
            state = table.state(ticket)
            if state != State.WAITING:
                table.put_state(ticket, State.FREE)
                del self._parked[ticket]
                parked.state = state
                parked.event.set()
                if state >= State.REFUSED:
                    table.count_refusal(State.why(state))

    # The table

    @contextmanager
    def _table(self) -> Iterator[ThrottleTable]:
        """The table, with this process known to it and nothing owed.

        Raises:
            Busy: it cannot be used.
        """
        try:
            with self._region.locked() as view:
                table = ThrottleTable(view)
                if self._pid != os.getpid():
                    self._begin(os.getpid())
                if not table.has_process(self._process, self._pid, self._started):
                    self._claim(table)
                if self._owed:
                    self._settle(table)
                yield table
        except OSError:
            raise Busy("the table of limits cannot be used", 1) from None

    def _claim(self, table: ThrottleTable) -> None:
        process = table.claim_process(self._pid)
        if process is None:
            raise Busy("the table of limits is full", 1)
        self._process = process
        self._rows.clear()

    def _give_back(self, what: _Place | _Request) -> None:
        self._owed.append(what)
        with suppress(Busy), self._table() as table:
            if self._parked or table.head().waiting:
                self._decide(table, self._clock.monotonic())

    def _settle(self, table: ThrottleTable) -> None:
        """Give back what this process owes."""
        now = self._clock.monotonic()
        while self._owed:
            match self._owed.pop(0):
                case _Evidence(began, ended, failed):
                    self._turns.tell(table, began, ended, failed=failed)
                case _Place(since):
                    head = table.head()
                    self._turns.leave(table, head, self._process, since, now)
                    table.put_head(head)
                case _Request(client):
                    row = table.client(client)
                    table.hold(client, row, self._process, -1)
                    table.put_client(client, row)
                case _Abandoned(ticket):
                    head = table.head()
                    if table.state(ticket) == State.WAITING:
                        self._turns.refuse(table, head, ticket, Refusal.LATE)
                    elif table.state(ticket) == State.GRANTED and not table.ticket(ticket).follow_up:
                        self._turns.leave(table, head, self._process, now, now)
                    table.put_state(ticket, State.FREE)
                    table.put_head(head)

    def _look_after(self, table: ThrottleTable, now: float, *, only_when: bool = True) -> None:
        """Take back what the dead held, not too often."""
        if not only_when:
            return
        head = table.head()
        if now >= head.looked_after_at + _LOOK_AFTER_SECONDS:
            head.looked_after_at = now
            table.put_head(head)
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


def _count_in(row: ClientRow, limits: Limits, now: float) -> Refused | None:
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

    __slots__ = ("_clock", "_held_since", "_throttle", "_turn")

    def __init__(self, throttle: SharedThrottle, turn: Turn, clock: Clock) -> None:
        self._throttle, self._turn, self._clock = throttle, turn, clock
        self._held_since: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held_since is not None:
            self._throttle.leave_place(self._held_since)

    def query(self) -> "_Query":
        """See :meth:`smsp_provider.engine.admission.Leave.query`."""
        return _Query(self)

    def begin(self) -> float:
        """Take a turn; the moment it came."""
        self._throttle.take_turn(self._turn, has_place=self._held_since is not None)
        now = self._clock.monotonic()
        if self._held_since is None:
            self._held_since = now
        return now

    def end(self, began: float, failure: BaseException | None) -> None:
        """Let the breaker know how a query ended."""
        failed = speaks_against_spine(failure)
        now = self._clock.monotonic()
        # A query that had hardly any time left says nothing about Spine.
        if failed is None or (failed and now >= self._turn.deadline.at and now - began < _FAIR_SECONDS):
            return
        self._throttle.note(began, now, failed=failed)


_FAIR_SECONDS: Final = 2.0
"""A query that Spine had less time for than this, and that ran out of it, does not count against Spine."""


class _Query:
    """The time of one query."""

    __slots__ = ("_began", "_leave")

    def __init__(self, leave: _Leave) -> None:
        self._leave = leave
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = self._leave.begin()

    def __exit__(
        self, _kind: type[BaseException] | None, failure: BaseException | None, _: TracebackType | None
    ) -> None:
        self._leave.end(self._began, failure)
