"""How fast things may pass: so many a second, and so many at once after a pause.

The generic cell rate algorithm: one number, the mark, is all that is remembered; it says up to when the rate is used
up. Source: SMSP-PERF-001.
"""

from dataclasses import dataclass
from typing import Self

__all__ = ["Pace"]

_FORWARD: float = 1e-9
"""A moment that arithmetic put this little too late is not too late."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``interval`` seconds between two, in the long run; up to ``slack`` seconds ahead of that after a pause."""

    interval: float
    slack: float

    @classmethod
    def of(cls, rate: float, burst: int, spread: float = 0.0) -> Self:
        """The pace at which no second sees more than ``rate`` + ``burst``.

        ``spread`` is how many seconds may pass between the leave and what it was given for, for one more than for
        another: the promise then holds for the moments of the latter. It is paid for by a smaller burst, and where the
        burst does not reach, by a lower rate.

        Raises:
            ValueError: the rate is not above 0, or the burst below 1.
        """
        if not rate > 0 or burst < 1 or spread < 0:
            raise ValueError("a rate is above 0, a burst at least 1, a spread at least 0")
        at_once = max(1.0, burst - rate * spread)
        interval = (1 + spread) / min(rate * (1 + spread), rate + burst - at_once)
        return cls(interval, (at_once - 1) * interval)

    def free_at(self, mark: float) -> float:
        """The moment from which on the next one may pass."""
        return mark - self.slack

    def may_pass(self, mark: float, now: float) -> bool:
        """Whether the next one may pass now."""
        return mark - self.slack <= now + _FORWARD

    def taken(self, mark: float, now: float) -> float:
        """The mark after one has passed now."""
        return max(mark, now) + self.interval

    def in_hand(self, mark: float, now: float) -> int:
        """How many could pass at once now."""
        return (
            max(0, int((now + self.slack - max(mark, now) + _FORWARD) / self.interval) + 1)
            if (self.may_pass(mark, now))
            else 0
        )
