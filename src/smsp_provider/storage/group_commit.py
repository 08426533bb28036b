"""Group commit: many callers, one durable write, no thread of its own.

A caller that finds nobody writing becomes the leader and writes everything that is pending; the others wait for the
batch that holds their item. A leader writes one batch and then hands over to a waiting caller, so that nobody works for
the others for long. A single caller writes its own item at once and never switches threads.

A leader waits a little before it writes where others are about: when it comes after another leader, or the batch before
its own had more than one item. Every batch costs a flush, a few changes of threads and pages of the database however
many items it has, and under load those that are about to come fill it. The wait is half of what the last batch took,
within bounds.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["BatchFailed", "CommitTimeout", "GroupCommit"]

T = TypeVar("T")

_GATHER_SHARE = 0.5
_GATHER_LEAST_SECONDS = 0.001
_GATHER_MOST_SECONDS = 0.005
"""How long a leader gathers: this share of what the last batch took, but no less and no more than that."""


class CommitTimeout(Exception):
    """The batch did not end within the bound; whether the item was written is not known."""


class BatchFailed(Exception):
    """The batch was not written; ``cause`` is what the writing raised (one exception for all callers of the batch)."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause


class _Ticket(Generic[T]):
    """A caller's place: ``turn`` is locked until the caller has something to do (it is to lead) or to know.

    It is released by others with the mutex of the group held.
    """

    __slots__ = ("error", "item", "leads", "turn")

    def __init__(self, item: T) -> None:
        self.item = item
        self.leads = False
        self.error: BaseException | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class GroupCommit(Generic[T]):
    """Hands items to ``write`` in batches, in the order in which they came.

    ``write`` is never run by two threads at once and returns only when the whole batch is durable; when it raises,
    every caller of that batch is told. ``wait_s`` bounds how long a caller waits for others, in seconds.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], None],
        *,
        wait_s: float,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._wait_s = wait_s
        self._sleep = sleep
        self._monotonic = monotonic
        self._took_s = 0.0
        self._others_about = False
        self._mutex = threading.Lock()
        self._pending: list[_Ticket[T]] = []
        self._writing = False

    def submit(self, item: T) -> None:
        """Return when the item is durable.

        Raises:
            CommitTimeout: others were writing for too long.
            BatchFailed: ``write`` raised for the batch of this item.
        """
        with self._mutex:
            leads = not self._writing
            self._writing = True
            if leads and not self._others_about:
                # Nobody writes, so nobody waits: no ticket for a caller who is alone.
                ticket = None
            else:
                ticket = _Ticket(item)
                self._pending.append(ticket)
        if ticket is None:
            self._write_alone(item)
            return
        if leads or self._await_turn(ticket):
            self._lead(ticket)
        if ticket.error is not None:
            raise BatchFailed(ticket.error)

    def _write_alone(self, item: T) -> None:
        try:
            self._write_timed([item])
        except Exception as error:  # noqa: BLE001 - told as for a batch
            raise BatchFailed(error) from None
        finally:
            with self._mutex:
                self._hand_over()

    def _await_turn(self, ticket: _Ticket[T]) -> bool:
        """Wait until the item is written, failed, or this caller is to lead (True)."""
        if not ticket.turn.acquire(timeout=self._wait_s):
            with self._mutex:
                # It may have been released in the very moment of giving up: a chosen leader has to lead.
                if not ticket.turn.acquire(blocking=False):
                    if ticket in self._pending:
                        # Withdrawn before any leader took it: it certainly is not written.
                        self._pending.remove(ticket)
                    raise CommitTimeout
        return ticket.leads

    def _lead(self, own: _Ticket[T]) -> None:
        try:
            self._sleep(min(_GATHER_MOST_SECONDS, max(_GATHER_LEAST_SECONDS, self._took_s * _GATHER_SHARE)))
        except BaseException:
            with self._mutex:
                self._pending.remove(own)
                self._hand_over()
            raise
        with self._mutex:
            batch, self._pending = self._pending, []
        error: BaseException | None = None
        try:
            self._write_timed([ticket.item for ticket in batch])
        except BaseException as caught:  # noqa: BLE001 - kept for every caller of the batch, none may wait for ever
            error = caught
        with self._mutex:
            self._hand_over()
            for ticket in batch:
                ticket.error = error
                ticket.turn.release()
        if error is not None and not isinstance(error, Exception):
            raise error

    def _write_timed(self, items: Sequence[T]) -> None:
        began = self._monotonic()
        try:
            self._write(items)
        finally:
            self._took_s = self._monotonic() - began
            self._others_about = len(items) > 1

    def _hand_over(self) -> None:
        """Make the first who waits the next leader; called with the mutex held, by who has just written."""
        if self._pending:
            successor = self._pending[0]
            successor.leads = True
            successor.turn.release()
        else:
            self._writing = False
