"""Which CPU a worker keeps to."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.web.cpus import cpu_for, keep_to, usable_cpus


@given(st.sets(st.integers(0, 127), min_size=2, max_size=16), st.integers(1, 4), st.data())
def test_workers_share_the_cpus_evenly_whoever_ends_and_begins(cpus: set[int], each: int, data: st.DataObject) -> None:
    workers = each * len(cpus)
    taken: list[int | None] = []
    for _ in range(workers):
        taken.append(cpu_for(taken, cpus, workers))
    for _ in range(5):
        taken.remove(data.draw(st.sampled_from(taken)))
        taken.append(cpu_for(taken, cpus, workers))
    assert sorted(taken, key=str) == sorted(list(cpus) * each, key=str)


@pytest.mark.parametrize(
    ("cpus", "workers"),
    [(set(), 2), ({3}, 2), ({0, 1, 2, 3}, 2), ({0, 1, 2}, 4)],
    ids=["not told", "one CPU", "more CPUs than workers", "not evenly"],
)
def test_a_worker_is_free_where_there_is_nothing_to_share_evenly(cpus: set[int], workers: int) -> None:
    assert cpu_for([], cpus, workers) is None


def test_a_process_serves_also_where_it_may_not_choose() -> None:
    before = usable_cpus()
    # (No system has it.)
    keep_to(1_000_000)
    keep_to(None)
    assert usable_cpus() == before == os.sched_getaffinity(0)
