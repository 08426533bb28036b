"""The threads of one process that wait for their turn: one of them looks at the shared table for all.

Nobody looks while nobody waits. The decisions are made at the table, by whatever process; here they are only noticed.
"""

import threading
from collections.abc import Callable
from typing import Final

from smsp_provider.engine.admission import Busy
from smsp_provider.storage.throttle_rows import State
from smsp_provider.storage.throttle_table import ThrottleTable
from smsp_provider.storage.throttle_turns import Refused

__all__ = ["Parked", "Parking"]

_LOOK_SECONDS: Final = 0.003
"""How often it is looked."""
_OVERSIGHT_SECONDS: Final = 1.0
"""How long a thread that does not look waits before it asks whether somebody does."""


class Parked:
    """A waiting thread, and what was decided about its ticket."""

    __slots__ = ("event", "state", "ticket")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.event = threading.Event()
        self.state: int = State.WAITING


class Parking:
    """All of them. :meth:`park` and :meth:`tell` are for whoever holds the table's lock."""

    def __init__(self) -> None:
        self._parked: Final[dict[int, Parked]] = {}
        self._leading: Final = threading.Lock()

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, ticket: int) -> Parked:
        """Take note of a ticket that this thread is about to wait with."""
        parked = self._parked[ticket] = Parked(ticket)
        return parked

    def tell(self, table: ThrottleTable) -> None:
        """Wake the threads about whose tickets was decided, and free these."""
        for ticket, parked in list(self._parked.items()):
            state = table.state(ticket)
            if state != State.WAITING:
                table.put_state(ticket, State.FREE)
                del self._parked[ticket]
                parked.state = state
                parked.event.set()
                if state >= State.REFUSED:
                    table.count_refusal(State.why(state))

    def wait(self, parked: Parked, look: Callable[[], None], abandon: Callable[[int], None]) -> None:
        """Wait for the decision.

        ``look`` looks at the table; where that cannot be used, ``abandon`` is told which ticket is left behind.

        Raises:
            Refused: the decision is against it.
            Busy: the table cannot be used.
        """
        while parked.state == State.WAITING:
            if self._leading.acquire(blocking=False):
                try:
                    self._lead(parked, look, abandon)
                finally:
                    self._leading.release()
                    self._call_another()
            else:
                parked.event.wait(_OVERSIGHT_SECONDS)
                parked.event.clear()
        if parked.state != State.GRANTED:
            raise Refused(State.why(parked.state))

    def _lead(self, parked: Parked, look: Callable[[], None], abandon: Callable[[int], None]) -> None:
        while parked.state == State.WAITING:
            try:
                look()
            except Busy:
                # Each of those who wait finds this out for itself.
                self._parked.pop(parked.ticket, None)
                abandon(parked.ticket)
                raise
            if parked.state == State.WAITING:
                parked.event.wait(_LOOK_SECONDS)
                parked.event.clear()

    def _call_another(self) -> None:
        """Have another waiting thread look."""
        for other in list(self._parked.values()):
            other.event.set()
            return
