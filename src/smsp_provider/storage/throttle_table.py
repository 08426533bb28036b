"""The layout of the table that all workers of a host share to keep to the limits towards clients and Spine.

One head, the breaker, then rows of fixed size for processes, clients and waiting queries. Whatever a process holds is
also counted in its own row, so that what a killed process held can be taken back.

A place at Spine may be given back without the lock: each process has a byte that counts up, and that it alone writes.
Until somebody who has the lock counts it in, such a place passes for a taken one.
"""

from bisect import bisect_left
from collections.abc import Iterator
from struct import Struct
from typing import Final

from smsp_provider.engine.admission_queue import Waiting
from smsp_provider.engine.breaker import BreakerState
from smsp_provider.storage.throttle_rows import (
    MARK,
    WAIT_BOUNDS,
    ClientRow,
    Head,
    Refusal,
    State,
    Ticket,
    started_at,
)

__all__ = ["CLIENTS", "PROCESSES", "SIZE", "TICKETS", "ThrottleTable"]

PROCESSES: Final = 512
CLIENTS: Final = 256
TICKETS: Final = 1024

_HEAD: Final = Struct("<8d4q")
_BREAKER: Final = Struct("<q2d4qd2q")
_PROCESS: Final = Struct("<4Q")
_PLACES: Final = Struct("<2Q")
_CLIENT: Final = Struct("<64s6d4q")
_CLIENT_IN_FLIGHT_AT: Final = 64 + 6 * 8 + 8
_TICKET: Final = Struct("<??HHxxdqdd")
_COUNT: Final = Struct("<H")
_NUMBER: Final = Struct("<q")
_WAITS: Final = Struct(f"<{len(WAIT_BOUNDS)}qd")
_REFUSALS: Final = Struct(f"<{len(Refusal)}q")

_WAITING_AT: Final = 8 * 8 + 2 * 8
_BREAKER_AT: Final = 256
_PROCESSES_AT: Final = 512
_PLACES_AT: Final = _PROCESSES_AT + MARK.size
_CLIENTS_AT: Final = _PROCESSES_AT + PROCESSES * _PROCESS.size
_HELD_AT: Final = _CLIENTS_AT + CLIENTS * _CLIENT.size
"""How many requests of each client each process has under way: a row of small numbers for each client."""
_HELD_ROW: Final = PROCESSES * _COUNT.size
_STATES_AT: Final = _HELD_AT + CLIENTS * _HELD_ROW
_TICKETS_AT: Final = _STATES_AT + TICKETS
_WAITS_AT: Final = _TICKETS_AT + TICKETS * _TICKET.size
_REFUSALS_AT: Final = _WAITS_AT + 2 * _WAITS.size
_LEFT_AT: Final = _REFUSALS_AT + _REFUSALS.size
"""How many places each process has given back without the lock: a byte, which is whole whenever it is read."""
_COUNTED_AT: Final = _LEFT_AT + PROCESSES
"""How many of these were counted in."""
_BYTE: Final = 255
_MOST_UNCOUNTED: Final = 100
"""So many differ from none, whatever the byte has come to."""
SIZE: Final = _COUNTED_AT + PROCESSES


class ThrottleTable:
    """The table in the bytes of ``view``, for as long as its lock is held."""

    __slots__ = ("_head", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view: Final = view
        self._head: Head | None = None

    def anybody_waits(self) -> bool:
        """Whether any query waits for its turn."""
        (waiting,) = _NUMBER.unpack_from(self._view, _WAITING_AT)
        return bool(waiting)

    def head(self) -> Head:
        """The head: one copy for all, read once."""
        if self._head is None:
            self._head = Head(*_HEAD.unpack_from(self._view, 0))
        return self._head

    def put_head(self) -> None:
        """Write the head back if it was read."""
        head = self._head
        if head is None:
            return
        _HEAD.pack_into(
            self._view,
            0,
            head.mark,
            head.attended_now,
            head.unattended_now,
            head.busy_since,
            head.released_at,
            head.hold,
            head.draining_since,
            head.looked_after_at,
            head.passed_over,
            head.in_flight,
            head.waiting,
            head.arrivals,
        )

    def breaker_phase(self) -> int:
        """The phase of the breaker alone."""
        (phase,) = _NUMBER.unpack_from(self._view, _BREAKER_AT)
        return int(phase)

    def breaker(self) -> BreakerState:
        """The state of the breaker."""
        return BreakerState(*_BREAKER.unpack_from(self._view, _BREAKER_AT))

    def put_breaker(self, state: BreakerState) -> None:
        """Write the state of the breaker back."""
        _BREAKER.pack_into(self._view, _BREAKER_AT, *state)

    # Processes

    def is_process(self, process: int, mark: bytes) -> bool:
        """Whether the row is still that of the process with this :func:`mark_of_process`."""
        start = _PROCESSES_AT + process * _PROCESS.size
        return bytes(self._view[start : start + MARK.size]) == mark

    def claim_process(self, mark: bytes) -> int | None:
        """A row for the process with this mark; None where all are taken by living ones."""
        for _ in range(2):
            for process in range(PROCESSES):
                if self._process(process)[0] == 0:
                    self._put_process(process, *MARK.unpack(mark))
                    return process
            self.take_back()
        return None

    def places(self, process: int) -> tuple[int, int]:
        """How many requests of a process have a place at Spine, and how many wait for one."""
        in_flight, waiting = _PLACES.unpack_from(self._view, _PLACES_AT + process * _PROCESS.size)
        return in_flight, waiting

    def add_places(self, process: int, in_flight: int, waiting: int) -> None:
        """Count places and waiting requests of a process up or down."""
        at = _PLACES_AT + process * _PROCESS.size
        had, waited = _PLACES.unpack_from(self._view, at)
        _PLACES.pack_into(self._view, at, max(0, had + in_flight), max(0, waited + waiting))

    def take_back(self) -> int:
        """Take back what processes held that are no more; how many those were."""
        dead = [
            process
            for process in range(PROCESSES)
            if (row := self._process(process))[0] and started_at(row[0]) != row[1]
        ]
        for process in dead:
            self._take_back_from(process)
        if dead:
            head = self.head()
            head.in_flight = sum(self._process(process)[2] for process in range(PROCESSES))
            head.waiting = self._states().count(State.WAITING)
            self.put_head()
        return len(dead)

    def _take_back_from(self, process: int) -> None:
        for client in range(CLIENTS):
            held = self.held(client, process)
            if held:
                row = self.client(client)
                row.in_flight = max(0, row.in_flight - held)
                self.put_client(client, row)
                self._put_held(client, process, 0)
        states = self._states()
        for ticket in range(TICKETS):
            if states[ticket] and self.ticket(ticket).process == process:
                self.put_state(ticket, State.FREE)
        self._put_process(process, 0, 0)

    def _put_process(self, process: int, pid: int, started: int) -> None:
        """A row for a process that holds nothing."""
        _PROCESS.pack_into(self._view, _process_at(process), pid, started, 0, 0)
        self._view[_LEFT_AT + process] = self._view[_COUNTED_AT + process] = 0

    def _process(self, process: int) -> tuple[int, int, int, int]:
        pid, started, in_flight, waiting = _PROCESS.unpack_from(self._view, _process_at(process))
        return pid, started, in_flight, waiting

    # Places given back without the lock

    def leave_quietly(self, process: int) -> bool:
        """Give a place of this process back, without the lock and in one thread at a time.

        False: too many of them were not counted in yet.
        """
        left = self._view[_LEFT_AT + process]
        if left - self._view[_COUNTED_AT + process] & _BYTE >= _MOST_UNCOUNTED:
            return False
        self._view[_LEFT_AT + process] = left + 1 & _BYTE
        return True

    def has_left(self, process: int) -> bool:
        """Whether a process gave places back that were not counted in yet."""
        return self._view[_LEFT_AT + process] != self._view[_COUNTED_AT + process]

    def count_left_by(self, process: int, head: Head) -> int:
        """Count in what a process gave back without the lock; returns how many places."""
        left = self._view[_LEFT_AT + process]
        places = left - self._view[_COUNTED_AT + process] & _BYTE
        if places:
            self._view[_COUNTED_AT + process] = left
            self.add_places(process, -places, 0)
            head.in_flight = max(0, head.in_flight - places)
        return places

    def count_left(self, head: Head, now: float) -> None:
        """Count in what any process gave back without the lock. When that was is not known: it passes for now."""
        if self._view[_LEFT_AT:_COUNTED_AT] == self._view[_COUNTED_AT:SIZE]:
            return
        for process in range(PROCESSES):
            if self.count_left_by(process, head):
                head.released_at = now

    # Clients

    def client(self, client: int) -> ClientRow:
        """A copy of a client's row."""
        return ClientRow(*_CLIENT.unpack_from(self._view, _client_at(client)))

    def put_client(self, client: int, row: ClientRow) -> None:
        """Write a client's row back."""
        _CLIENT.pack_into(
            self._view,
            _client_at(client),
            row.name,
            row.mark,
            row.attended_finish,
            row.unattended_finish,
            row.rate,
            row.burst,
            row.used_at,
            row.concurrency,
            row.in_flight,
            row.admitted,
            row.refused,
        )

    def is_client(self, client: int, name: bytes) -> bool:
        """Whether a row is that of the client with this padded name."""
        start = _client_at(client)
        return bytes(self._view[start : start + len(name)]) == name

    def find_client(self, name: bytes, *, make: bool) -> int | None:
        """The row of a client; ``make`` one where there is none, in the place of the one that was idle longest."""
        idle, idle_since = None, float("inf")
        for client in range(CLIENTS):
            row = self.client(client)
            if row.name == name:
                return client
            if row.in_flight == 0 and row.used_at < idle_since:
                idle, idle_since = client, row.used_at
        if not make or idle is None:
            return None
        self.put_client(idle, ClientRow(name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        return idle

    def clients(self) -> Iterator[ClientRow]:
        """The rows in use."""
        for client in range(CLIENTS):
            row = self.client(client)
            if row.name.strip(b"\0"):
                yield row

    def hold(self, client: int, process: int, by: int) -> None:
        """Count requests under way up or down, for the client and for the process."""
        at = _client_at(client) + _CLIENT_IN_FLIGHT_AT
        (in_flight,) = _NUMBER.unpack_from(self._view, at)
        _NUMBER.pack_into(self._view, at, max(0, in_flight + by))
        self._put_held(client, process, max(0, self.held(client, process) + by))

    def held(self, client: int, process: int) -> int:
        """How many requests of a client a process has under way."""
        (count,) = _COUNT.unpack_from(self._view, _held_at(client, process))
        return int(count)

    def _put_held(self, client: int, process: int, count: int) -> None:
        _COUNT.pack_into(self._view, _held_at(client, process), count)

    # Tickets

    def issue(self, one: Waiting, process: int, client: int, since: float, until: float) -> int | None:
        """Put a query into the queue; its ticket, or None where there is no place. ``one.ticket`` does not matter."""
        ticket = self._states().find(State.FREE)
        if ticket < 0:
            return None
        _TICKET.pack_into(
            self._view,
            _ticket_at(ticket),
            one.attended,
            one.follow_up,
            process,
            client,
            one.tag,
            one.arrival,
            since,
            until,
        )
        self.put_state(ticket, State.WAITING)
        return ticket

    def waiting(self) -> list[Waiting]:
        """All that wait."""
        states, found, ticket = self._states(), [], -1
        while (ticket := states.find(State.WAITING, ticket + 1)) >= 0:
            one = self.ticket(ticket)
            found.append(Waiting(ticket, one.attended, one.follow_up, one.tag, one.arrival))
        return found

    def state(self, ticket: int) -> int:
        """What became of a ticket."""
        return self._view[_STATES_AT + ticket]

    def put_state(self, ticket: int, state: int) -> None:
        """Decide about a ticket."""
        self._view[_STATES_AT + ticket] = state

    def ticket(self, ticket: int) -> Ticket:
        """What stands on a ticket."""
        return Ticket(*_TICKET.unpack_from(self._view, _ticket_at(ticket)))

    def _states(self) -> bytes:
        return bytes(self._view[_STATES_AT : _STATES_AT + TICKETS])

    # Counts

    def count_wait(self, seconds: float, *, attended: bool) -> None:
        """Count a turn that was given after so many seconds."""
        at = _WAITS_AT + (0 if attended else _WAITS.size)
        if seconds == 0:
            (count,) = _NUMBER.unpack_from(self._view, at)
            _NUMBER.pack_into(self._view, at, count + 1)
            return
        counts = list(_WAITS.unpack_from(self._view, at))
        counts[bisect_left(WAIT_BOUNDS, seconds)] += 1
        counts[-1] += seconds
        _WAITS.pack_into(self._view, at, *counts)

    def waits(self, *, attended: bool) -> tuple[tuple[int, ...], float]:
        """How many waited up to each of the bounds (and longer than the one before), and the sum of their seconds."""
        *counts, seconds = _WAITS.unpack_from(self._view, _WAITS_AT + (0 if attended else _WAITS.size))
        return tuple(counts), seconds

    def count_refusal(self, why: Refusal) -> None:
        """Count a refusal."""
        counts = list(_REFUSALS.unpack_from(self._view, _REFUSALS_AT))
        counts[why] += 1
        _REFUSALS.pack_into(self._view, _REFUSALS_AT, *counts)

    def refusals(self) -> dict[Refusal, int]:
        """How many were refused, and why."""
        return dict(zip(Refusal, _REFUSALS.unpack_from(self._view, _REFUSALS_AT), strict=True))

    def clear(self) -> None:
        """Forget all."""
        self._view[:] = bytes(len(self._view))
        self._head = None


def _process_at(process: int) -> int:
    return _PROCESSES_AT + process * _PROCESS.size


def _client_at(client: int) -> int:
    return _CLIENTS_AT + client * _CLIENT.size


def _held_at(client: int, process: int) -> int:
    return _HELD_AT + client * _HELD_ROW + process * _COUNT.size


def _ticket_at(ticket: int) -> int:
    return _TICKETS_AT + ticket * _TICKET.size
