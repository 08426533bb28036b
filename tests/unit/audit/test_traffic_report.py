"""The report on throughput, and who sees what of it."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.audit.traffic import NOBODY, OutcomeClass, Traffic, hour_of
from smsp_provider.audit.traffic_report import Busiest, Grouping, hours_of, report, within

DAY = date(2026, 3, 29)
NEXT = date(2026, 3, 30)
VERIFY, TRACE = "verifyNHSNumber-v1-0", "getNHSNumber-v1-0"


def at(day: date, hour: int, service: str = VERIFY, client: str = "ward", outcome: str = "success") -> Traffic:
    return Traffic(hour_of(datetime(day.year, day.month, day.day, hour, tzinfo=UTC)), service, client, outcome)


COUNTS = {
    at(DAY, 0): 3,
    at(DAY, 9): 5,
    at(DAY, 9, TRACE, "lab"): 4,
    at(DAY, 9, outcome="fault"): 1,
    at(DAY, 23, TRACE, "lab", "declined"): 8,
    at(NEXT, 0): 2,
    at(NEXT, 14, NOBODY, NOBODY, "refused"): 70,
}


@pytest.mark.rule("SMSP-PERF-002")
def test_each_day_has_its_total_and_its_busiest_hour() -> None:
    totals = [row for row in report(COUNTS, Grouping.SERVICE) if row.service is None]
    assert [(row.day, row.requests, row.busiest) for row in totals] == [
        (DAY, 21, Busiest(9, 10)),
        (NEXT, 72, Busiest(14, 70)),
    ]


@pytest.mark.rule("SMSP-PERF-002")
@pytest.mark.parametrize(
    ("grouping", "rows"),
    [
        (
            Grouping.SERVICE,
            [(None, None, 21), (TRACE, None, 12), (VERIFY, None, 9), (None, None, 72), (NOBODY, None, 70)],
        ),
        (Grouping.CLIENT, [(None, None, 21), (None, "lab", 12), (None, "ward", 9), (None, None, 72)]),
        (Grouping.SERVICE_AND_CLIENT, [(None, None, 21), (TRACE, "lab", 12), (VERIFY, "ward", 9), (None, None, 72)]),
    ],
    ids=lambda value: value.value if isinstance(value, Grouping) else "",
)
def test_rows_are_of_what_was_asked_for(grouping: Grouping, rows: list[tuple[str | None, str | None, int]]) -> None:
    found = [(row.service, row.client, row.requests) for row in report(COUNTS, grouping)]
    assert found[: len(rows)] == rows


def test_a_row_tells_the_outcomes_and_its_own_busiest_hour() -> None:
    (row,) = [row for row in report(COUNTS, Grouping.CLIENT) if row.client == "lab"]
    assert row.outcomes == {OutcomeClass.SUCCESS: 4, OutcomeClass.DECLINED: 8}
    assert row.busiest == Busiest(23, 8)


def test_of_two_hours_that_are_as_busy_the_first_is_told() -> None:
    assert report({at(DAY, 5): 2, at(DAY, 4): 2}, Grouping.SERVICE)[0].busiest == Busiest(4, 2)


def test_days_are_those_of_utc_also_when_the_clocks_change() -> None:
    first, last = hours_of(DAY, DAY)
    assert last - first == 23
    assert first == hour_of(datetime(2026, 3, 29, tzinfo=UTC))
    assert last + 1 == hours_of(NEXT, NEXT)[0]


NAMES = st.sampled_from(["ward", "lab", "night", NOBODY])
ROWS = st.builds(
    Traffic, st.integers(480_000, 480_100), NAMES, NAMES, st.sampled_from([item.value for item in OutcomeClass])
)


@pytest.mark.rule("SMSP-IG-001")
@given(st.dictionaries(ROWS, st.integers(1, 1000)), st.frozensets(NAMES), st.sampled_from(Grouping))
def test_nobody_sees_the_requests_of_another_organisations_clients(
    counts: dict[Traffic, int], mine: frozenset[str], grouping: Grouping
) -> None:
    rows = report(within(counts, mine), grouping)
    assert {row.client for row in rows} <= {*mine, None} - {NOBODY}
    total = sum(count for traffic, count in counts.items() if traffic.client in mine - {NOBODY})
    assert sum(row.requests for row in rows) == 2 * total


@given(st.dictionaries(ROWS, st.integers(1, 1000)), st.sampled_from(Grouping))
def test_nothing_is_lost_or_counted_twice(counts: dict[Traffic, int], grouping: Grouping) -> None:
    rows = report(within(counts, None), grouping)
    totals = sum(row.requests for row in rows if row.service is None and row.client is None)
    assert totals == sum(counts.values())
    assert sum(row.requests for row in rows) == 2 * totals
