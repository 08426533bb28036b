"""The sections ``[throttle]`` and ``[breaker]`` of the settings: how much Spine is asked, and when it is left alone."""

from typing import Final

from pydantic import Field

from smsp_provider.config.section import Seconds, Section
from smsp_provider.engine.admission_rate import Pace
from smsp_provider.engine.breaker import BreakerPolicy
from smsp_provider.storage.throttle_turns import ThrottlePolicy

__all__ = ["BreakerSettings", "ThrottleSettings", "threads_for_spine", "throttle_policy"]

_SPREAD_SECONDS: Final = 0.1
"""Between a query's leave and its arrival at Spine lies up to so much more for one than for another."""

_FAIR_SECONDS: Final = 2.0
"""So much time, or half of a request's if that is less, Spine must have had before its silence counts."""

_FREE_PART: Final = 8
"""One thread in so many is kept free, so that a refusal never waits for one."""


class ThrottleSettings(Section):
    """How much this provider asks of Spine; the limits of each client are in the registry."""

    rate_per_second: float = Field(
        200, gt=0, le=100_000, description="Queries a second to Spine, of all hosts together; agree it with Spine."
    )
    burst: int = Field(
        50, ge=1, le=100_000, description="How many more may go within one second after a pause, of all hosts together."
    )
    host_share: float = Field(
        1, gt=0, le=1, description="The part of rate, burst and max_in_flight that this host may use."
    )
    max_in_flight: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Requests that may be at Spine at once, of all hosts together; unset: three quarters of the "
        "threads of one listener. Less than these threads.",
    )
    max_wait_seconds: Seconds = Field(
        2,
        le=600,
        description="Longest wait of a query for its turn, half of it where a person waits; who cannot have one by "
        "then is refused at once.",
    )
    max_queue: int = Field(256, ge=1, le=1024, description="How many queries of this host may wait for their turn.")


class BreakerSettings(Section):
    """When Spine is taken to be out of order: for a while it is not asked, and the answer is SMSP-0004 at once."""

    failures: int = Field(
        10, ge=1, le=1_000_000, description="So many failed or slow queries within the window open the breaker,"
    )
    failing_part: float = Field(0.5, gt=0, le=1, description="if they are at least this part of all.")
    window_seconds: Seconds = Field(10, le=3600, description="How long a failure counts.")
    slow_seconds: Seconds = Field(5, le=600, description="A query that takes so long counts as failed.")
    probe_seconds: Seconds = Field(1, le=600, description="While it is open, one query goes to Spine so often.")
    successes: int = Field(3, ge=1, le=1000, description="So many of these in a row must succeed to close it.")


def threads_for_spine(threads: int) -> int:
    """How many threads of a worker may be at Spine, or wait for a turn there, at the same time."""
    return max(1, threads - max(1, threads // _FREE_PART))


def throttle_policy(
    throttle: ThrottleSettings, breaker: BreakerSettings, *, workers: int, threads: int, request_seconds: float
) -> ThrottlePolicy:
    """The limits of a host with ``threads`` in each of the ``workers`` of a listener, and so long for a request."""
    share = throttle.host_share
    in_flight = throttle.max_in_flight or workers * threads * 3 // 4
    return ThrottlePolicy(
        Pace.of(throttle.rate_per_second * share, max(1, int(throttle.burst * share)), _SPREAD_SECONDS),
        max(1, int(in_flight * share)),
        threads_for_spine(threads),
        throttle.max_wait_seconds,
        throttle.max_queue,
        BreakerPolicy(
            breaker.failures,
            breaker.failing_part,
            breaker.window_seconds,
            breaker.slow_seconds,
            breaker.probe_seconds,
            breaker.successes,
        ),
        min(_FAIR_SECONDS, request_seconds / 2),
    )
