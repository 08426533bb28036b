"""More than Spine may be asked, and more than it can answer: what callers, operators and Spine see of it.

    PYTHONPATH=src:tests python -m e2e.test_overload

prints the figures. The tests bound only what no machine that does many other things can spoil.
"""

import queue
import statistics
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from served_provider import ATTENDED, UNATTENDED, Answer, ServedProvider, served

RATE, BURST = 20, 10


@dataclass(frozen=True)
class Asked:
    """An answer, and for whom."""

    identity: str
    answer: Answer


class Callers:
    """Threads with kept connections; each takes the next request when it is due and free."""

    def __init__(self, provider: ServedProvider, number: int) -> None:
        self._provider = provider
        self._due: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
        self.asked: list[Asked] = []
        self._threads = [threading.Thread(target=self._work) for _ in range(number)]

    def _work(self) -> None:
        with closing(self._provider.connection()) as connection:
            while (due := self._due.get()) is not None:
                at, identity = due
                time.sleep(max(0.0, at - time.monotonic()))
                self.asked.append(Asked(identity, self._provider.ask(connection, identity=identity)))

    def run(self, requests: Iterable[tuple[float, str]]) -> list[Asked]:
        """Have these requests made, each at its moment, and wait for all answers."""
        for request in requests:
            self._due.put(request)
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        return self.asked


def most_in_a_second(moments: list[float]) -> int:
    ordered = sorted(moments)
    return max(bisect_left(ordered, first + 1.0) - place for place, first in enumerate(ordered))


def too_soon(moments: list[float], began: float) -> int:
    """How many arrived before their turn; a query that is held up on its way only comes later than that."""
    return sum(number > BURST + RATE * (at - began) + 1 for number, at in enumerate(sorted(moments), 1))


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


@dataclass(frozen=True)
class Burst:
    """What came of many requests at once."""

    codes: Counter[str]
    most_at_spine: int
    too_soon: int
    at_spine: int
    attended_after: float
    unattended_after: float
    attended_p95: float
    unattended_p95: float
    refusals_p95: float


def burst(folder: Path, requests: int) -> Burst:
    """So many requests, every second one attended, as fast as they can be made."""
    settings = f"rate_per_second = {RATE}, burst = {BURST}, max_wait_seconds = 2"
    with served(folder, throttle=settings, threads=120, request_seconds=120) as (provider, spine):
        for _ in range(2):
            provider.ask()
        spine.arrivals.clear()
        began = time.monotonic()
        identities = [ATTENDED, UNATTENDED] * (requests // 2)
        asked = Callers(provider, 200).run((0.0, identity) for identity in identities)
        answered = [one for one in asked if one.answer.code == "SMSP-0000"]
        waits = {
            identity: [one.answer.seconds for one in answered if one.identity == identity]
            for identity in (ATTENDED, UNATTENDED)
        }

        def after(identity: str) -> float:
            """When the middle one of the answers was there."""
            return statistics.median(
                one.answer.asked + one.answer.seconds - began for one in answered if one.identity == identity
            )

        return Burst(
            Counter(one.answer.code for one in asked),
            most_in_a_second(spine.arrivals),
            too_soon(spine.arrivals, began),
            len(spine.arrivals),
            after(ATTENDED),
            after(UNATTENDED),
            percentile(waits[ATTENDED], 0.95),
            percentile(waits[UNATTENDED], 0.95),
            percentile([one.answer.seconds for one in asked if one.answer.code == "2100"], 0.95),
        )


@dataclass(frozen=True)
class Slow:
    """What came of a Spine that took 8 s for every answer, and of its recovery."""

    codes: Counter[str]
    refusals_p50: float
    refusals_p95: float
    unreachable_p95: float
    health_p50: float
    health_worst: float
    recovered_after: float


def slow(folder: Path, *, rate: int, seconds: float, delay: float, threads: int, callers: int) -> Slow:
    """``rate`` requests a second while Spine takes ``delay`` seconds; then it is well again."""
    settings, breaker = "rate_per_second = 1000, burst = 100", f"slow_seconds = {delay * 5 / 8}"
    with served(folder, throttle=settings, breaker=breaker, threads=threads) as (provider, spine):
        for _ in range(20):
            provider.ask()
        spine.delay = delay
        health: list[float] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.1):
                health.append(provider.ops_get("/healthz").seconds)

        watching = threading.Thread(target=watch)
        watching.start()
        start = time.monotonic() + 0.2
        # Enough callers that a new one is free for each request, although some wait for Spine.
        due = ((start + number / rate, ATTENDED) for number in range(int(rate * seconds)))
        asked = Callers(provider, callers).run(due)
        ended.set()
        watching.join()
        spine.delay = 0
        well = time.monotonic()
        while provider.ask().code != "SMSP-0000":
            assert time.monotonic() - well < 60
            time.sleep(0.05)
        # Normal service is more than one good answer.
        while any(provider.ask().code != "SMSP-0000" for _ in range(20)):
            assert time.monotonic() - well < 60
        recovered = time.monotonic() - well
        refused = [one.answer.seconds for one in asked if one.answer.code == "2100"]
        unreachable = [one.answer.seconds for one in asked if one.answer.code == "SMSP-0004"]
        return Slow(
            Counter(one.answer.code for one in asked),
            statistics.median(refused),
            percentile(refused, 0.95),
            percentile(unreachable, 0.95) if unreachable else 0.0,
            statistics.median(health),
            max(health),
            recovered,
        )


@pytest.mark.slow
@pytest.mark.rule("SMSP-PERF-001", "SMSP-PERF-007")
def test_spine_never_sees_more_than_the_limit_and_people_go_before_batches(tmp_path: Path) -> None:
    seen = burst(tmp_path / "state", 600)
    assert seen.too_soon == 0
    assert set(seen.codes) == {"SMSP-0000", "2100"}
    assert sum(seen.codes.values()) == 600
    assert seen.at_spine == seen.codes["SMSP-0000"]
    assert seen.attended_after < seen.unattended_after


@pytest.mark.slow
@pytest.mark.rule("SMSP-PERF-006")
def test_a_slow_spine_leaves_refusals_and_health_quick_and_is_used_again_soon(tmp_path: Path) -> None:
    seen = slow(tmp_path / "state", rate=80, seconds=2.5, delay=1.6, threads=16, callers=60)
    assert set(seen.codes) <= {"SMSP-0000", "SMSP-0004", "2100"}
    assert seen.codes["2100"] > 20
    assert seen.refusals_p50 < 0.5
    assert seen.health_p50 < 0.5
    assert seen.recovered_after < 60


def main(show: Callable[[object], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        show(burst(Path(folder) / "burst", 1000))
        show(slow(Path(folder) / "slow", rate=200, seconds=16, delay=8, threads=48, callers=150))


if __name__ == "__main__":
    main(lambda figures: print(figures, file=sys.stdout))  # noqa: T201 - figures are what it is run for
