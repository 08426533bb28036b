"""A shared throttle for tests, and a clock that stands still until it is told to go on."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

from smsp_provider.domain.failures import SentNoAnswer
from smsp_provider.engine.admission import Leave, Turn
from smsp_provider.engine.admission_rate import Pace
from smsp_provider.engine.breaker import BreakerPolicy
from smsp_provider.engine.ports import Clock, Deadline
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.shared_throttle import SharedThrottle
from smsp_provider.storage.throttle_turns import ThrottlePolicy

__all__ = [
    "StandingClock",
    "at_spine",
    "fails",
    "free_leave",
    "in_child",
    "kill",
    "throttle_at",
    "turn",
    "wait_until",
]


class _FreeLeave:
    def query(self) -> AbstractContextManager[None]:
        return nullcontext()


def free_leave() -> Leave:
    """Every query may go at once."""
    return _FreeLeave()


class StandingClock:
    """The time is what the test says."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def go_on(self, seconds: float) -> None:
        self.at += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at


def throttle_at(
    path: Path,
    clock: Clock | None = None,
    *,
    rate: float | None = None,
    burst: int = 1,
    max_in_flight: int = 1000,
    process_limit: int = 1000,
    max_wait: float = 2.0,
    max_queue: int = 256,
    breaker: BreakerPolicy | None = None,
    wait_s: float = 1.0,
) -> SharedThrottle:
    """A throttle with the limits that matter to a test, and hardly any others."""
    policy = ThrottlePolicy(
        Pace.of(rate, burst) if rate is not None else None,
        max_in_flight,
        process_limit,
        max_wait,
        max_queue,
        breaker or BreakerPolicy(),
    )
    return SharedThrottle(path, policy, clock or SystemClock(), wait_s=wait_s)


def turn(client: str = "ward", *, attended: bool = True, seconds: float = 60.0, clock: Clock | None = None) -> Turn:
    """A turn with so many seconds left."""
    now = time.monotonic() if clock is None else clock.monotonic()
    return Turn(client, attended, Deadline(now + seconds))


@contextmanager
def at_spine(throttle: SharedThrottle, clock: StandingClock | None = None, *, attended: bool = True) -> Iterator[None]:
    """While a request has its place at Spine."""
    with throttle.admit_inquiry(turn(attended=attended, clock=clock)) as leave:
        with leave.query():
            pass
        yield


def fails(throttle: SharedThrottle, at: Turn, meanwhile: Callable[[], object] = lambda: None) -> None:
    """A query that Spine does not answer."""
    with suppress(SentNoAnswer), throttle.admit_inquiry(at) as leave, leave.query():
        meanwhile()
        raise SentNoAnswer("cut")


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait, up to a minute, until it holds."""
    give_up = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def in_child(work: Callable[[], object]) -> int:
    """Do ``work`` in a forked process that stays until it is killed; its number."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(tell, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(told, 1) == b"!"
    os.close(told)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
