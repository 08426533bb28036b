"""Who is registered, as one worker process knows it: a copy that a thread of its own keeps fresh.

A request never waits for the database, but for a look that is under way where nothing is known, or nothing new enough:
the first one of a worker, one of a worker that stood still, one at a slow database. The thread starts with the first
request, so that no thread crosses a fork.
"""

import os
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.domain.access import ClientBook
from smsp_provider.domain.clients import REVIEW_NOTICE_DAYS, Client
from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.engine.ports import Clock, RegistryUnavailable
from smsp_provider.storage.client_database import RegistryBroken
from smsp_provider.storage.client_registry import ClientStore, Mark, RegistryState
from smsp_provider.storage.daily_notices import DailyNotices

__all__ = ["ClientSnapshot", "SnapshotPolicy"]

_REPEAT_ALERT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """How fresh a copy has to be, in seconds.

    ``refresh_seconds`` pass between two looks at the registry. A copy whose last look that succeeded began more than
    ``stale_seconds`` ago is not used. ``look_seconds`` is how long requests wait then for the look that is under way,
    unless the one before it failed. ``enforce_review`` is that of :class:`ClientBook`.
    """

    refresh_seconds: float
    stale_seconds: float
    look_seconds: float = 4.0
    enforce_review: bool = True


@dataclass(frozen=True, slots=True)
class _Copy:
    mark: Mark
    book: ClientBook
    clients: tuple[Client, ...]
    looked_at: float
    """When the last look began that found nothing newer, on the monotonic clock."""


class ClientSnapshot:
    """A :class:`smsp_provider.engine.ports.ClientRegistry` over a :class:`ClientStore`.

    ``shared`` is the settings' map of ASIDs. A client whose rows are broken is not in the book, so it is refused as if
    nobody knew it, and an alert names it; the others are served.
    """

    def __init__(
        self,
        store: ClientStore,
        shared: ASIDDirectory,
        clock: Clock,
        observer: Observer,
        notices: DailyNotices,
        policy: SnapshotPolicy,
    ) -> None:
        self._store: Final = store
        self._shared: Final = shared
        self._clock: Final = clock
        self._observer: Final = observer
        self._notices: Final = notices
        self._policy: Final = policy
        self._begin()
        _snapshots.add(self)

    def _begin(self) -> None:
        """The state of one process: nothing is known yet."""
        self._copy: _Copy | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._looks = threading.Condition()
        self._lost = False
        """Whether the last look failed, or was waited for in vain: nobody waits for the next one."""
        self._stop = threading.Event()
        self._next_alert = float("-inf")
        self._told: tuple[date, frozenset[str]] = (date.min, frozenset())

    def begin_anew(self) -> None:
        """After a fork, in the child, which has neither its parent's thread nor its connections."""
        self._store.database.abandon()
        self._begin()

    def book(self) -> ClientBook:
        """See :meth:`smsp_provider.engine.ports.ClientRegistry.book`."""
        if self._thread is None or not self._thread.is_alive():
            self._start()
        copy = self._copy
        if copy is None or self._is_stale(copy):
            copy = self._after_the_look()
        return copy.book

    def _is_stale(self, copy: _Copy) -> bool:
        return self._clock.monotonic() - copy.looked_at > self._policy.stale_seconds

    def _after_the_look(self) -> _Copy:
        """The copy, once the look that is under way has made it new enough.

        Raises:
            RegistryUnavailable: it has not.
        """

        def is_over() -> bool:
            return self._lost or not (self._copy is None or self._is_stale(self._copy))

        with self._looks:
            if not self._looks.wait_for(is_over, self._policy.look_seconds):
                self._lost = True
        copy = self._copy
        if copy is None:
            raise RegistryUnavailable("the client registry cannot be read")
        if self._is_stale(copy):
            raise RegistryUnavailable("the client registry has not been read for too long")
        return copy

    def close(self) -> None:
        """End the thread and close the database; the next :meth:`book` begins again."""
        with self._starting:
            thread = self._thread
            self._stop.set()
        if thread is not None:
            thread.join()
        self._store.database.close()
        self._begin()

    def _start(self) -> None:
        with self._starting:
            if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._keep_fresh, name="client-registry", daemon=True)
            self._thread.start()

    def _keep_fresh(self) -> None:
        stop = self._stop
        while not stop.is_set():
            lost = True
            try:
                self._look()
                lost = False
            except RegistryBroken as broken:
                self._alert_unavailable(str(broken))
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave the copy to grow old
                self._alert_unavailable(f"unexpected {type(error).__name__}")
            copy = self._copy
            if not lost and copy is not None and self._is_stale(copy):
                # Nothing failed, and yet nobody is let in.
                self._alert_unavailable("a look at it takes longer than clients.stale_seconds")
            with self._looks:
                self._lost = lost
                self._looks.notify_all()
            stop.wait(self._policy.refresh_seconds)

    def _look(self) -> None:
        began = self._clock.monotonic()
        copy = self._copy
        if copy is None or self._store.mark() != copy.mark:
            self._copy = copy = self._made_of(self._store.read(), began)
        else:
            self._copy = _Copy(copy.mark, copy.book, copy.clients, began)
        self._tell_reviews(copy)

    def _made_of(self, state: RegistryState, began: float) -> _Copy:
        clients = tuple(found for found in state.clients.values() if isinstance(found, Client))
        for name in state.clients.keys() - {client.name for client in clients}:
            reason = f"client {name}: what the registry holds of it is no registration; it is refused"
            self._observer.notify(Alert(AlertKind.CLIENT_UNREADABLE, None, reason))
        version, enforce_review = state.mark.version, self._policy.enforce_review
        book = ClientBook(clients, self._shared, version=version, enforce_review=enforce_review)
        return _Copy(state.mark, book, clients, began)

    def _alert_unavailable(self, reason: str) -> None:
        now = self._clock.monotonic()
        if now >= self._next_alert:
            self._next_alert = now + _REPEAT_ALERT_SECONDS
            self._observer.notify(Alert(AlertKind.CLIENT_REGISTRY_UNAVAILABLE, None, reason))

    def _tell_reviews(self, copy: _Copy) -> None:
        """An alert a day for each enabled client whose authority to access is to be reviewed soon, or was to be."""
        today = self._clock.now().date()
        due = {
            client.name: client.days_to_review(today)
            for client in copy.clients
            if client.enabled and client.days_to_review(today) <= REVIEW_NOTICE_DAYS
        }
        told = self._told[1] if self._told[0] == today else frozenset()
        untold = frozenset(due.keys() - told)
        if not untold:
            return
        # Whatever comes of it, this process does not tell it again today.
        self._told = (today, told | untold)
        with suppress(OSError):
            # Where it cannot be written down, every process tells it: too often rather than not at all.
            untold = self._notices.take(today, untold)
        for name in sorted(untold):
            self._observer.notify(Alert(AlertKind.CLIENT_REVIEW_DUE, None, _review_notice(name, due[name])))


def _review_notice(name: str, days: int) -> str:
    when = f"is to be reviewed in {days} days" if days >= 0 else f"was to be reviewed {-days} days ago"
    return f"client {name}: the authority to access {when}"


_snapshots: "weakref.WeakSet[ClientSnapshot]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for snapshot in list(_snapshots):
        snapshot.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
