"""Which CPU a worker keeps to.

The threads of a worker take turns at one interpreter, so that a worker cannot use more than one CPU for long. Left to
the kernel they are spread over all of them: each time the interpreter is let go, another CPU is woken for a thread that
mostly finds it taken again, and what the last one had in its caches is of no use. On CPUs of their own two workers
answer a fourth more requests a second (docs/reference/benchmark.md, ADR 0021).
"""

import os
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress

__all__ = ["cpu_for", "keep_to", "usable_cpus"]


def usable_cpus() -> frozenset[int]:
    """The CPUs that this process may use; none where the system does not tell."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def cpu_for(taken: Iterable[int | None], usable: AbstractSet[int], workers: int) -> int | None:
    """The CPU for the next worker: the one that the fewest workers have (``taken``); None where it is free to move.

    It is free where ``workers`` of them would not share the CPUs evenly: on a large machine several providers would
    crowd on the first few CPUs, and leave the others to nobody.
    """
    # (With one CPU there is nothing to choose.)
    if len(usable) < 2 or workers % len(usable):
        return None
    count = Counter(taken)
    return min(usable, key=lambda cpu: (count[cpu], cpu))


def keep_to(cpu: int | None) -> None:
    """From here on this process, and each thread that it starts, runs on ``cpu`` only; None is any."""
    if cpu is not None:
        # It is about speed only: where the system does not let us, it serves all the same.
        with suppress(OSError):
            os.sched_setaffinity(0, {cpu})
