"""What is done beside the requests: tasks in turn, each by itself, and a process for them that is kept alive.

A task that fails is tried again, and stops no other. Operators are told once that it fails, and once that it is over.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.processes import Child
from smsp_provider.storage.audit_database import HeldLock
from smsp_provider.storage.audit_folder import FoldRefused

__all__ = ["Keeper", "KeeperTask", "SupervisedChild"]

_LONGEST_PAUSE_SECONDS: Final = 15.0
_LONGEST_RESTART_SECONDS: Final = 60.0
_SILENT_SECONDS: Final = 120.0
"""Without a sign of life for so long a process hangs, or has far more to do than it should."""
_STEADY_SECONDS: Final = 60.0
"""A process that lived for so long is started again at once."""


@dataclass(frozen=True, slots=True)
class KeeperTask:
    """Something to do now and then.

    ``every`` is in seconds, 0 for each turn. ``alone`` tells that of all hosts of a trail only one may do it; what is
    about one host alone is done by each.
    """

    name: str
    run: Callable[[], None]
    every: float = 0.0
    alone: bool = True


@dataclass(slots=True)
class _Turns:
    task: KeeperTask
    next_at: float = 0.0
    pause: float = 0.0
    failing: bool = field(default=False)


class Keeper:
    """Runs tasks in turn. ``take_lock`` gives the lock of whoever does what one process alone may, or None."""

    def __init__(
        self,
        tasks: Sequence[KeeperTask],
        take_lock: Callable[[], HeldLock | None],
        observer: Observer,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._turns: Final = [_Turns(task) for task in tasks]
        self._take_lock: Final = take_lock
        self._observer: Final = observer
        self._monotonic: Final = monotonic
        self._lock: HeldLock | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the one process that does what one alone may, as of the last turn."""
        return self._lock is not None

    def turn(self) -> None:
        """Do once what is due."""
        self._find_out_who_leads()
        for turns in self._turns:
            now = self._monotonic()
            if now >= turns.next_at and (self._lock is not None or not turns.task.alone):
                self._run(turns, now)

    def do_last(self, tasks: Iterable[KeeperTask], seconds: float) -> None:
        """Do these once more before the end, due or not, in this order; none is begun when so many seconds are over."""
        until = self._monotonic() + seconds
        self._find_out_who_leads()
        for task in tasks:
            now = self._monotonic()
            if now < until and (self._lock is not None or not task.alone):
                self._run(self._turns_of(task), now)

    def end(self) -> None:
        """Let another process lead."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _find_out_who_leads(self) -> None:
        try:
            if self._lock is not None and not self._lock.is_held():
                self.end()
            if self._lock is None:
                self._lock = self._take_lock()
        except AuditUnavailable:
            # The tasks will say so.
            self._lock = None

    def _turns_of(self, task: KeeperTask) -> _Turns:
        """What is known of a task, so that nothing is told twice of it; a task that is for the end alone is new."""
        return next((turns for turns in self._turns if turns.task is task), None) or _Turns(task)

    def _run(self, turns: _Turns, now: float) -> None:
        task = turns.task
        try:
            task.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other tasks go on
            turns.pause = min(_LONGEST_PAUSE_SECONDS, 2 * turns.pause or 1.0)
            turns.next_at = now + turns.pause
            if not turns.failing:
                turns.failing = True
                self._tell(f"{task.name}: {_reason(error)}")
        else:
            turns.pause, turns.next_at = 0.0, now + task.every
            if turns.failing:
                turns.failing = False
                self._tell(f"over: {task.name}")

    def _tell(self, reason: str) -> None:
        self._observer.notify(Alert(AlertKind.KEEPER_TASK_FAILED, None, reason))


def _reason(error: Exception) -> str:
    """A text without values: our own, or the name of the kind of error."""
    match error:
        case AuditUnavailable():
            return error.reason
        case FoldRefused():
            return str(error)
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return type(error).__name__


class SupervisedChild:
    """A child process that is started again when it ends: at once at first, then after longer and longer pauses.

    ``sign`` gives its last sign of life, a value that changes with each. A process without is left alone: whatever it
    waits for may be what killing it would not end. But operators are told, and told again when it is over.
    """

    def __init__(
        self,
        start: Callable[[], Child],
        observer: Observer,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        sign: Callable[[], object] | None = None,
    ) -> None:
        self._start: Final = start
        self._observer: Final = observer
        self._monotonic: Final = monotonic
        self._pause = 0.0
        self._next_start = 0.0
        self._started_at = monotonic()
        self._sign: Final = sign
        self._last_sign: object = None
        self._last_sign_at = self._started_at
        self._silent = False
        self.child: Child = start()

    def attend(self) -> None:
        """Look after it; called often."""
        now = self._monotonic()
        if self._next_start:
            if now >= self._next_start:
                self._begin(now)
        elif self.child.ended():
            self._pause = 0.0 if now - self._started_at >= _STEADY_SECONDS else self._pause
            reason = f"{self.child.name}: it ended by itself ({self.child.exit_code}) and is started again"
            self._tell(reason)
            self._put_off(now)
        if self._sign is not None:
            self._look_for_life(self._sign(), now)

    def _look_for_life(self, sign: object, now: float) -> None:
        if sign != self._last_sign:
            self._last_sign, self._last_sign_at = sign, now
            if self._silent:
                self._silent = False
                self._tell(f"over: {self.child.name}: it goes on")
        elif not self._silent and now - self._last_sign_at >= _SILENT_SECONDS:
            self._silent = True
            self._tell(f"{self.child.name}: no sign of life for {_SILENT_SECONDS:.0f} seconds: what it does, waits")

    def _tell(self, reason: str) -> None:
        self._observer.notify(Alert(AlertKind.KEEPER_DOWN, None, reason))

    def _begin(self, now: float) -> None:
        try:
            self.child = self._start()
        except OSError:
            # No memory or no process left: a reason more to go on serving.
            self._put_off(now)
        else:
            self._next_start, self._started_at = 0.0, now

    def _put_off(self, now: float) -> None:
        self._next_start = now + self._pause
        self._pause = min(_LONGEST_RESTART_SECONDS, 2 * self._pause or 1.0)
