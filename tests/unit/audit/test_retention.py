"""Which records are due, and how they are named."""

import itertools
from datetime import date
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.audit.chain import ChainedRecord
from smsp_provider.audit.deletion import count_of
from smsp_provider.audit.deletion_events import RecordRange
from smsp_provider.audit.encoding import Kind
from smsp_provider.audit.retention import RecordClass, RetentionPolicy, class_of, ranges_of

pytestmark = pytest.mark.rule("SMSP-AUDIT-001")

POLICY = RetentionPolicy({RecordClass.EXCHANGES: 10, RecordClass.ADMINISTRATION: 20, RecordClass.REFUSALS: 5})
TODAY = date(2026, 3, 31)


def _chained(n: int) -> ChainedRecord:
    return ChainedRecord(1, n, "intent", 0, None, bytes(32), bytes(32))


def test_a_day_is_kept_for_the_whole_of_its_time() -> None:
    assert not POLICY.is_due("intent", date(2026, 3, 21), TODAY)
    assert POLICY.is_due("intent", date(2026, 3, 20), TODAY)


def test_each_class_has_its_own_time() -> None:
    day = date(2026, 3, 20)
    due = {kind for kind in get_args(Kind) if POLICY.is_due(kind, day, TODAY)}
    assert due == {"intent", "ending", "closure", "refusals"}
    assert POLICY.last_due_of_all(TODAY) == date(2026, 3, 25)


def test_what_frames_the_trail_is_never_due() -> None:
    for kind in ("start", "opening", "closing", "lane-ended", "erasure", "deletion-proposed", "deletion-withdrawn"):
        assert class_of(kind) is None
        assert not POLICY.is_due(kind, date.min, TODAY)


def test_a_kind_of_a_later_version_is_not_due() -> None:
    assert not POLICY.is_due("something-new", date.min, TODAY)


@given(st.sets(st.integers(1, 60)))
def test_ranges_name_these_records_and_no_other(numbers: set[int]) -> None:
    ranges = list(ranges_of("LANE", [_chained(n) for n in sorted(numbers)]))
    named = [n for one in ranges for n in range(one.first, one.last + 1)]
    assert named == sorted(numbers)
    assert count_of(ranges) == len(numbers)
    assert all(after.first > before.last + 1 for before, after in itertools.pairwise(ranges))


def test_a_range_knows_its_lane() -> None:
    assert list(ranges_of("LANE", [_chained(4), _chained(5)])) == [RecordRange("LANE", 4, 5)]
