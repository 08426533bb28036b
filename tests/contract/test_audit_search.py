"""What a search of the audit trail finds, and how the index keeps up with the trail, on every database."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from made_trails import erasure_of
from postgres_audit import new_audit_url
from searched_trail import (
    BEGIN,
    KEYS,
    NUMBER,
    OTHER_NUMBER,
    UNSEALER,
    SearchedTrail,
    ending,
    exchange,
    intent,
    postgres_trail,
    refused,
    sqlite_trail,
)
from smsp_provider.audit.deletion_events import RecordRange
from smsp_provider.audit.events import Closure, OperatorAct, OperatorActKind, PatientFacts
from smsp_provider.audit.exchanges import Criteria
from smsp_provider.audit.search_index import DayRows
from smsp_provider.audit.terms import TermKind, term
from smsp_provider.audit.traffic import Traffic, hour_of
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.operators import EVERYTHING, OrganisationScope
from smsp_provider.storage.audit_database import ErasedRow
from smsp_provider.storage.audit_index_check import check_index
from smsp_provider.storage.audit_search import Cursor

ALL = (TermKind.RECORD_KIND, "exchange")
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def trail(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SearchedTrail]:
    made = sqlite_trail(tmp_path) if request.param == "sqlite" else postgres_trail(new_audit_url())
    yield made
    made.close()


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-AUDIT-004")
def test_an_exchange_is_found_whole_by_whatever_one_of_its_records_says(trail: SearchedTrail) -> None:
    lane = trail.begin()
    for name in ("one", "two", "three"):
        trail.maker.write(lane, exchange(name))
    trail.indexer().run_to_the_end()
    for kind, value in (
        (TermKind.MESSAGE, "two-message"),
        (TermKind.MESSAGE, " two-tracking "),
        (TermKind.MESSAGE, "two-reply"),
        (TermKind.USER, "two-user"),
        (TermKind.IDENTITY, "urn:nhs-uk:identity:ODS:x26:two-user"),
        (TermKind.EXCHANGE, "two"),
    ):
        (found,) = trail.find((kind, value))
        assert [part.kind for part in found.parts] == ["intent", "ending"]
        assert found.outcome == "SMSP-0000"
    assert trail.names(
        (TermKind.ORGANISATION, "x26"), (TermKind.OUTCOME, "smsp-0000"), (TermKind.USER, "one-user")
    ) == ["one"]
    assert trail.names((TermKind.NHS_NUMBER, NUMBER.digits)) == ["three", "two", "one"]
    assert trail.names((TermKind.USER, "one-user"), (TermKind.MESSAGE, "two-message")) == []
    assert trail.names((TermKind.CLIENT, "another")) == []


@pytest.mark.rule("SMSP-AUDIT-007")
def test_an_ending_is_found_with_its_intent_of_the_day_before(trail: SearchedTrail) -> None:
    late = MIDNIGHT - timedelta(seconds=1)
    before = trail.begin(late - timedelta(hours=1))
    trail.maker.write(before, [intent("late", late)])
    trail.clock.at = MIDNIGHT
    after = trail.maker.begin("writer", before, closing=True)
    trail.maker.write(after, [ending("late", MIDNIGHT + timedelta(seconds=1))])
    trail.indexer().run_to_the_end()
    (found,) = trail.find((TermKind.OUTCOME, "SMSP-0000"))
    assert [part.kind for part in found.parts] == ["intent", "ending"]
    assert found.place.lane == before.lane.id


@pytest.mark.rule("SMSP-AUDIT-007")
def test_an_ending_that_is_read_before_its_intent_waits_for_it(trail: SearchedTrail) -> None:
    """Two lanes of one writer around midnight: the index reads the older one, then both records come."""
    before = trail.begin(MIDNIGHT - timedelta(hours=1))
    indexer = trail.indexer()
    trail.clock.at = MIDNIGHT
    after = trail.begin(MIDNIGHT)
    trail.maker.write(after, [ending("late", MIDNIGHT + timedelta(seconds=1))])
    indexer.run()
    trail.maker.write(before, [intent("late", MIDNIGHT - timedelta(seconds=1))])
    indexer.run_to_the_end()
    (found,) = trail.find((TermKind.OUTCOME, "SMSP-0000"))
    assert [part.kind for part in found.parts] == ["intent", "ending"]


@pytest.mark.rule("SMSP-AUDIT-007")
def test_an_ending_whose_intent_never_comes_is_found_by_itself(trail: SearchedTrail) -> None:
    lane = trail.begin()
    trail.maker.write(lane, [ending("alone")])
    indexer = trail.indexer()
    assert (indexer.run(), indexer.behind()) == (1, 1)
    assert (indexer.run(), indexer.behind()) == (1, 0)
    assert trail.names((TermKind.OUTCOME, "SMSP-0000")) == ["alone"]


@pytest.mark.rule("SMSP-AUDIT-007")
def test_a_closure_days_later_belongs_to_its_exchange(trail: SearchedTrail) -> None:
    dead = trail.begin(BEGIN, "dead")
    trail.maker.write(dead, [intent("lost")])
    later = BEGIN + timedelta(days=4)
    lane = trail.begin(later, "other")
    trail.maker.end(lane, dead)
    trail.maker.write(lane, [Closure("lost", later, "dead")])
    trail.indexer().run_to_the_end()
    (found,) = trail.find((TermKind.OUTCOME, "unknown"))
    assert [part.kind for part in found.parts] == ["intent", "closure"]
    assert found.outcome == "unknown"


@pytest.mark.rule("SMSP-AUDIT-007")
def test_a_second_ending_belongs_to_its_exchange_and_tells_the_outcome(trail: SearchedTrail) -> None:
    lane = trail.begin()
    trail.maker.write(lane, [refused("junk"), replace(ending("junk"), wire_code="SMSP-9999")])
    trail.indexer().run_to_the_end()
    (found,) = trail.find(ALL)
    assert len(found.parts) == 2
    assert found.outcome == "SMSP-9999"


@pytest.mark.rule("SMSP-AUDIT-007")
def test_pages_do_not_move_when_new_records_come(trail: SearchedTrail) -> None:
    lane = trail.begin()
    for number in range(7):
        trail.maker.write(lane, exchange(f"old-{number}", BEGIN + timedelta(seconds=number)))
    trail.indexer().run_to_the_end()
    seen: list[str | None] = []
    after: Cursor | None = None
    for _ in range(4):
        page = trail.search().find(Criteria((frozenset({term(*ALL)}),)), EVERYTHING, limit=2, after=after)
        seen += [happening.parts[0].exchange for happening in page.found]
        after = None if page.after is None else Cursor.read(str(page.after))
        trail.maker.write(lane, exchange(f"new-{len(seen)}", BEGIN + timedelta(hours=1)))
        trail.indexer().run_to_the_end()
    assert seen == [f"old-{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    assert after is None


@pytest.mark.rule("SMSP-AUDIT-007")
def test_pages_go_over_days_in_both_directions(trail: SearchedTrail) -> None:
    for day in range(3):
        lane = trail.begin(BEGIN + timedelta(days=day), f"writer-{day}")
        for number in range(3):
            trail.maker.write(lane, exchange(f"{day}-{number}", BEGIN + timedelta(days=day, seconds=number)))
    trail.indexer().run_to_the_end()
    names = [f"{day}-{number}" for day in range(3) for number in range(3)]
    for newest_first in (False, True):
        seen, after = [], None
        while True:
            criteria = Criteria((frozenset({term(*ALL)}),))
            page = trail.search().find(criteria, EVERYTHING, limit=2, newest_first=newest_first, after=after)
            seen += [happening.parts[0].exchange for happening in page.found]
            after = page.after
            if after is None:
                break
        assert seen == (names[::-1] if newest_first else names)


@pytest.mark.rule("SMSP-AUDIT-007")
def test_a_range_of_time_begins_with_its_first_moment_and_ends_before_its_last(trail: SearchedTrail) -> None:
    for day in range(5):
        lane = trail.begin(BEGIN + timedelta(days=day), f"writer-{day}")
        trail.maker.write(lane, exchange(f"day-{day}", BEGIN + timedelta(days=day)))
    trail.indexer().run_to_the_end()
    criteria = Criteria((), BEGIN + timedelta(days=1), BEGIN + timedelta(days=3))
    page = trail.search().find(criteria, EVERYTHING, limit=9)
    assert [happening.parts[0].exchange for happening in page.found] == ["day-2", "day-1"]


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-IG-001")
def test_a_record_is_found_by_its_place_within_the_scope_alone(trail: SearchedTrail) -> None:
    lane = trail.begin()
    trail.maker.write(lane, [*exchange("mine"), *exchange("theirs", organisation="Y01")])
    trail.indexer().run_to_the_end()
    mine = OrganisationScope(frozenset({ODSCode("X26")}))
    for n in (2, 3):
        for name in (str(lane.lane.id), lane.lane.token):
            found = trail.search().at(name, n, mine)
            assert found is not None
            assert [part.place.n for part in found.parts] == [2, 3]
    assert trail.search().at(str(lane.lane.id), 4, mine) is None
    assert trail.search().at(str(lane.lane.id), 1, mine) is None
    assert trail.search().at(str(lane.lane.id), 1, EVERYTHING) is not None
    assert trail.search().at("99", 1, EVERYTHING) is None


@pytest.mark.rule("SMSP-AUDIT-007")
def test_two_who_index_at_once_do_not_disturb_each_other(trail: SearchedTrail) -> None:
    lane = trail.begin()
    one, other = trail.indexer(), trail.indexer()
    for number in range(6):
        trail.maker.write(lane, exchange(f"exchange-{number}"))
        (one if number % 2 else other).run()
    other.run_to_the_end()
    assert len(trail.names(ALL)) == 6
    hour = hour_of(BEGIN)
    assert sum(trail.index.traffic(hour, hour).values()) == 6
    assert list(check_index(trail.database, UNSEALER, trail.index, KEYS)) == []


@pytest.mark.rule("SMSP-PERF-002")
def test_traffic_is_counted_once_also_after_a_day_is_made_anew(trail: SearchedTrail) -> None:
    lane = trail.begin()
    trail.maker.write(lane, [*exchange("one"), *exchange("two")])
    indexer = trail.indexer()
    indexer.run_to_the_end()
    counted = {Traffic(hour_of(BEGIN), "verifyNHSNumber-v1-0", "ward-system", "success"): 2}
    assert trail.index.traffic(hour_of(BEGIN), hour_of(BEGIN)) == counted
    indexer.rebuild([BEGIN.date()])
    indexer.run_to_the_end()
    assert trail.index.traffic(hour_of(BEGIN), hour_of(BEGIN)) == counted
    assert trail.index.traffic(hour_of(BEGIN) + 1, hour_of(BEGIN) + 9) == {}


def test_a_day_that_is_made_anew_has_another_key_and_what_ends_later(trail: SearchedTrail) -> None:
    dead = trail.begin(BEGIN, "dead")
    trail.maker.write(dead, [intent("lost"), *exchange("whole")])
    later = BEGIN + timedelta(days=4)
    lane = trail.begin(later, "other")
    trail.maker.write(lane, [Closure("lost", later, "dead")])
    indexer, keeper = trail.indexer(), trail.indexer()
    indexer.run_to_the_end()
    keys = trail.index.day_keys()
    indexer.rebuild([BEGIN.date()])
    assert trail.index.incomplete_days() == [BEGIN.date()]
    trail.maker.write(dead, exchange("meanwhile"))
    keeper.run_to_the_end()
    assert trail.index.incomplete_days() == []
    anew = trail.index.day_keys()
    assert anew[BEGIN.date()] != keys[BEGIN.date()]
    assert anew[later.date()] == keys[later.date()]
    assert trail.names((TermKind.OUTCOME, "unknown")) == ["lost"]
    assert sorted(trail.names(ALL)) == ["lost", "meanwhile", "whole"]
    assert list(check_index(trail.database, UNSEALER, trail.index, KEYS)) == []


@pytest.mark.rule("SMSP-AUDIT-001")
def test_what_was_erased_is_not_found_by_what_it_said_any_more(trail: SearchedTrail) -> None:
    lane = trail.begin()
    act = OperatorAct(BEGIN, OperatorActKind.AUDIT_SEARCHED, "desk", "agrey", nhs_number=OTHER_NUMBER)
    trail.maker.write(lane, [*exchange("erased"), *exchange("kept"), act])
    indexer = trail.indexer()
    indexer.run_to_the_end()
    trail.maker.write(
        lane, [erasure_of(BEGIN, (RecordRange(lane.lane.token, 3, 3), RecordRange(lane.lane.token, 6, 6)))]
    )
    indexer.run_to_the_end()
    trail.database.erase([ErasedRow(lane.lane.id, n, lane.lane.id, lane.n) for n in (3, 6)])
    indexer.forget([(lane.lane.id, 3), (lane.lane.id, 6)])
    assert trail.names((TermKind.MESSAGE, "erased-reply")) == []
    assert trail.names((TermKind.MESSAGE, "erased-message")) == ["erased"]
    assert trail.find((TermKind.NHS_NUMBER, OTHER_NUMBER.digits)) == []
    (found,) = trail.find((TermKind.EXCHANGE, "erased"))
    assert [(part.kind, part.record is None) for part in found.parts] == [("intent", False), ("ending", True)]
    erasure = found.parts[1].erasure
    assert erasure is not None
    assert (erasure.proposed_by.name, erasure.approved_by.name) == ("ann.one", "bob.two")
    assert list(check_index(trail.database, UNSEALER, trail.index, KEYS)) == []


@pytest.mark.rule("SMSP-AUDIT-001")
def test_an_index_that_hides_a_term_or_has_a_foreign_one_is_found(trail: SearchedTrail) -> None:
    lane = trail.begin()
    trail.maker.write(lane, [*exchange("one"), *exchange("two")])
    trail.indexer().run_to_the_end()
    (found,) = trail.find((TermKind.EXCHANGE, "two"))
    trail.index.replace(BEGIN.date(), [found.place], _without_terms(trail))
    findings = list(check_index(trail.database, UNSEALER, trail.index, KEYS))
    assert {(finding.lane, finding.n, finding.hidden) for finding in findings} == {(lane.lane.id, 4, True)}
    trail.indexer().rebuild([BEGIN.date()])
    trail.indexer().run_to_the_end()
    rows = _without_terms(trail)
    rows.postings.add((42, found.place))
    trail.index.replace(BEGIN.date(), [], rows)
    (foreign,) = check_index(trail.database, UNSEALER, trail.index, KEYS)
    assert (foreign.lane, foreign.n, foreign.hidden) == (lane.lane.id, 4, False)


def _without_terms(trail: SearchedTrail) -> DayRows:
    return DayRows(trail.index.day_keys()[BEGIN.date()])


def test_a_record_that_follows_no_other_is_told_and_found_nevertheless(trail: SearchedTrail) -> None:
    lane = trail.begin()
    trail.maker.write(lane, exchange("one"))
    lane.link = bytes(32)
    trail.maker.write(lane, exchange("two"))
    trail.indexer().run_to_the_end()
    assert trail.damage == [(lane.lane.id, 4, "it does not follow the record before it")]
    assert sorted(trail.names(ALL)) == ["one", "two"]


def test_a_day_gets_the_key_that_it_is_given_or_keeps_its_own(trail: SearchedTrail) -> None:
    key = bytes(range(32))
    assert trail.index.begin_day(date(2026, 3, 4), key) == key
    assert trail.index.begin_day(date(2026, 3, 4)) == key
    assert trail.index.begin_day(date(2026, 3, 5)) != key


@pytest.mark.rule("SMSP-AUDIT-007")
def test_records_of_one_commit_are_told_apart_by_more_than_their_moment(trail: SearchedTrail) -> None:
    """Many at the same microsecond, over several batches and pages."""
    lane = trail.begin()
    names = [f"exchange-{number}" for number in range(40)]
    for name in names:
        trail.maker.write(lane, exchange(name))
    indexer = trail.indexer()
    while indexer.run(limit=7):
        pass
    seen, after = [], None
    while True:
        page = trail.search().find(Criteria((frozenset({term(*ALL)}),)), EVERYTHING, limit=9, after=after)
        seen += [happening.parts[0].exchange for happening in page.found]
        after = page.after
        if after is None:
            break
    assert seen == names[::-1]


@pytest.mark.rule("SMSP-IG-001")
def test_what_belongs_to_no_organisation_is_for_those_who_see_everything(trail: SearchedTrail) -> None:
    lane = trail.begin()
    act = OperatorAct(BEGIN, OperatorActKind.LOGIN, "desk", "agrey")
    anonymous = replace(refused("anonymous"), patient=PatientFacts())
    assert anonymous.request is not None
    anonymous = replace(anonymous, request=replace(anonymous.request, ods_code=None))
    trail.maker.write(lane, [act, anonymous, *exchange("mine")])
    trail.indexer().run_to_the_end()
    mine = OrganisationScope(frozenset({ODSCode("X26"), ODSCode("Y01")}))
    assert trail.names(scope=mine) == ["mine"]
    assert len(trail.find()) == 3
    assert trail.names((TermKind.OPERATOR, "agrey"), scope=mine) == []
