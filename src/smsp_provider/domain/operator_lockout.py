"""What failed attempts to log in lead to: growing delays, then a lock, but never an installation without a way in.

A delay is counted from the failure that caused it. An attempt during a delay is refused whatever it brings, and does
not make the delay longer: so nobody who keeps guessing can keep the owner out longer than ``longest_seconds`` at a
time. After ``attempts`` failures in a row the account is locked until an administrator unlocks it.

**The last administrator** is an account of an administrator while no other administrator could unlock it: each other
one is disabled, locked, or has never had a password. It is not locked, its delays stay at the longest. And nobody can
disable, reset or demote it.

Source: SMSP-IG-002 (lockout).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from smsp_provider.domain.operators import Account, Role

__all__ = [
    "NO_FAILURES",
    "Failures",
    "LockoutPolicy",
    "Standing",
    "after_failure",
    "is_last_administrator",
    "leaves_nobody",
]

_MOST_COUNTED: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LockoutPolicy:
    """``free`` failures in a row cost nothing, the next one ``first_seconds``, and each further one twice as much.

    The ``attempts``-th locks the account.
    """

    attempts: int
    free: int
    first_seconds: float
    longest_seconds: float

    def delay(self, failures: int) -> timedelta:
        """How long nobody is let in after so many failures in a row."""
        beyond = failures - self.free
        if beyond <= 0:
            return timedelta(0)
        # (2.0 ** 1024 is no number any more; long before that the longest delay is reached.)
        return timedelta(seconds=min(self.longest_seconds, self.first_seconds * 2.0 ** min(beyond - 1, 64)))


@dataclass(frozen=True, slots=True)
class Failures:
    """How an account stands: failures since the last success, when the next attempt counts, and whether it is locked.

    ``not_before`` is aware.
    """

    count: int = 0
    not_before: datetime | None = None
    locked: bool = False

    def refuses(self, at: datetime) -> bool:
        """Whether an attempt at this moment is refused whatever it brings."""
        return self.locked or (self.not_before is not None and at < self.not_before)


NO_FAILURES: Final = Failures()


def after_failure(policy: LockoutPolicy, before: Failures, at: datetime, *, last_administrator: bool) -> Failures:
    """How an account stands after one more failed attempt that was not refused beforehand."""
    count = min(before.count + 1, _MOST_COUNTED)
    if count >= policy.attempts and not last_administrator:
        return Failures(count, None, locked=True)
    delay = policy.delay(count)
    if count >= policy.attempts:
        delay = timedelta(seconds=policy.longest_seconds)
    return replace(before, count=count, not_before=at + delay if delay else None)


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether an administrator can let others in: ``enrolled`` tells that there is a password."""

    account: Account
    enrolled: bool
    locked: bool

    @property
    def can_unlock(self) -> bool:
        """Whether this one can log in and unlock others."""
        return self.account.enabled and self.enrolled and not self.locked and Role.ADMINISTRATOR in self.account.roles


def is_last_administrator(name: str, everybody: Iterable[Standing]) -> bool:
    """Whether the account can unlock others, and no other one can."""
    able = {standing.account.name for standing in everybody if standing.can_unlock}
    return able == {name}


def leaves_nobody(before: Iterable[Standing], after: Iterable[Standing]) -> bool:
    """Whether a change takes away the last one who could let others in."""
    return any(one.can_unlock for one in before) and not any(one.can_unlock for one in after)
