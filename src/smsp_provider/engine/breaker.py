"""The circuit breaker towards Spine: when failures or slow answers pile up, Spine is not asked for a while.

Closed, every query passes and its end is counted. Open, none passes except one probe in a while. After a probe went
well, probes follow each other quickly (half open), and after some more the breaker closes. The newest evidence counts:
a query that began before the last change of the state says nothing about Spine after it.

What PDS answers, whatever it is, counts as Spine being well: only silence, cuts, Spine's own trouble and slowness do
not. Source: SMSP-PERF-006; pds-services.md, the one table ("breaker open"); serving.md section 3.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from smsp_provider.domain.failures import NotSent, Refused, SentNoAnswer, Unreadable
from smsp_provider.spine.hl7v3.fault import is_retryable

__all__ = ["Breaker", "BreakerPolicy", "BreakerState", "Phase", "speaks_against_spine"]


class Phase(IntEnum):
    """The state that operators see; the value is what metrics show."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to open and how to come back.

    Opens when, within about ``window_seconds``, at least ``failures`` queries failed or took ``slow_seconds`` or more,
    and these are at least ``ratio`` of all. ``probe_seconds`` lie between two probes; ``successes`` in a row close it.
    """

    failures: int = 10
    ratio: float = 0.5
    window_seconds: float = 10.0
    slow_seconds: float = 5.0
    probe_seconds: float = 1.0
    successes: int = 3


class BreakerState(NamedTuple):
    """All that is remembered; moments are of the monotonic clock.

    What began before ``since`` is not listened to. ``calls`` and ``failures`` are those since ``window_from``, the
    ``former`` ones those of the half window before. ``opened`` counts how often the breaker opened.
    """

    phase: int = Phase.CLOSED
    since: float = 0.0
    window_from: float = 0.0
    calls: int = 0
    failures: int = 0
    former_calls: int = 0
    former_failures: int = 0
    probed_at: float = 0.0
    successes: int = 0
    opened: int = 0


_HASTE: Final = 10
"""Half open, probes follow so many times faster."""


class Breaker:
    """The rules; the state is the caller's to keep."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy: Final = policy

    def is_open(self, state: BreakerState, now: float) -> bool:
        """Whether a query would be refused now."""
        if state.phase == Phase.CLOSED:
            return False
        pause = self._policy.probe_seconds
        return now < state.probed_at + (pause if state.phase == Phase.OPEN else pause / _HASTE)

    def passed(self, state: BreakerState, now: float) -> BreakerState:
        """The state after a query was let pass, which is a probe where the breaker is not closed."""
        return state if state.phase == Phase.CLOSED else state._replace(probed_at=now)

    def told(self, state: BreakerState, began: float, now: float, *, failed: bool) -> BreakerState:
        """The state after a query that began at ``began`` has ended now; ``failed`` is all but an answer of PDS."""
        if began < state.since:
            return state
        well = not failed and now - began < self._policy.slow_seconds
        if state.phase == Phase.CLOSED:
            return self._counted(state, now, well=well)
        if not well:
            return state._replace(phase=Phase.OPEN, since=began, successes=0)
        if state.successes + 1 >= self._policy.successes:
            return BreakerState(since=began, window_from=now, opened=state.opened)
        return state._replace(phase=Phase.HALF_OPEN, since=began, successes=state.successes + 1)

    def _counted(self, state: BreakerState, now: float, *, well: bool) -> BreakerState:
        window, age = self._policy.window_seconds, now - state.window_from
        if age >= window:
            state = BreakerState(since=state.since, window_from=now, opened=state.opened)
        elif age >= window / 2:
            state = state._replace(
                window_from=now, calls=0, failures=0, former_calls=state.calls, former_failures=state.failures
            )
        # (Said in full: for each query, and _replace takes several times as long.)
        state = BreakerState(
            state.phase,
            state.since,
            state.window_from,
            state.calls + 1,
            state.failures + (not well),
            state.former_calls,
            state.former_failures,
            state.probed_at,
            state.successes,
            state.opened,
        )
        failures = state.failures + state.former_failures
        if failures >= self._policy.failures and failures >= self._policy.ratio * (state.calls + state.former_calls):
            return BreakerState(phase=Phase.OPEN, since=now, probed_at=now, opened=state.opened + 1)
        return state


def speaks_against_spine(failure: BaseException | None) -> bool | None:
    """Whether a query that ended with ``failure`` (None: an answer) speaks against Spine; None: it says nothing.

    A whole answer that is of no use is an answer: one odd record must not shut the others out.
    """
    match failure:
        case None | Unreadable():
            return False
        case NotSent() | SentNoAnswer():
            return True
        case Refused():
            return is_retryable(failure.codes)
        case _:
            return None
