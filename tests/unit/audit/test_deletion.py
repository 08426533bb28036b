"""The rules of an exceptional deletion."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.audit.deletion import (
    MOST_RANGES,
    DeletionRefused,
    Proposal,
    check_approval,
    check_proposal,
    covers,
    digest_of,
    proposal_of,
    tombstone_of,
)
from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Officer, RecordRange

pytestmark = pytest.mark.rule("SMSP-AUDIT-001", "SMSP-IG-001")

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ONE = Officer("jsmith", "john", "desk one")
OTHER = Officer("agrey", "ann", "desk two")
PROPOSED = DeletionProposed(
    AT, "P1", ONE, "recorded about another person", "order of a court, 7 February", (RecordRange("LANE", 2, 3),)
)
OPEN = Proposal(PROPOSED)
DIGEST = digest_of(PROPOSED)
SOON = AT + timedelta(hours=1)


def test_another_officer_approves() -> None:
    check_approval(OPEN, OTHER, DIGEST, SOON)
    check_approval(OPEN, OTHER, f" {DIGEST.upper()} ", SOON)


@pytest.mark.parametrize(
    ("officer", "digest", "now", "text"),
    [
        pytest.param(ONE, DIGEST, SOON, "you proposed it", id="the same account"),
        pytest.param(Officer("agrey", "john", "x"), DIGEST, SOON, "same user", id="the same login"),
        pytest.param(Officer("jsmith", "ann", "x"), DIGEST, SOON, "you proposed it", id="the same account elsewhere"),
        pytest.param(OTHER, "ab" * 32, SOON, "digest", id="another digest"),
        pytest.param(OTHER, "", SOON, "digest", id="no digest"),
        pytest.param(OTHER, DIGEST, AT + timedelta(days=7), "7 days", id="too late"),
    ],
)
def test_an_approval_is_refused(officer: Officer, digest: str, now: datetime, text: str) -> None:
    with pytest.raises(DeletionRefused, match=text):
        check_approval(OPEN, officer, digest, now)


def test_what_was_withdrawn_cannot_be_approved() -> None:
    withdrawn = replace(OPEN, withdrawn=DeletionWithdrawn(AT, "P1", ONE))
    with pytest.raises(DeletionRefused, match="withdrawn"):
        check_approval(withdrawn, OTHER, DIGEST, SOON)
    assert withdrawn.state(SOON) == "withdrawn"


def test_what_was_approved_can_be_finished_at_any_time() -> None:
    done = replace(OPEN, erasure=tombstone_of(PROPOSED, OTHER, SOON))
    check_approval(done, OTHER, DIGEST, AT + timedelta(days=400))
    assert done.state(SOON) == "carried out"


def test_a_proposal_waits_and_is_over() -> None:
    assert OPEN.state(SOON) == "waits for another officer"
    assert OPEN.state(AT + timedelta(days=7)) == "over"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        pytest.param(replace(PROPOSED, reason="because"), "reason", id="a short reason"),
        pytest.param(replace(PROPOSED, legal_basis=""), "legal basis", id="no legal basis"),
        pytest.param(replace(PROPOSED, reason="x" * 1001), "reason", id="a long reason"),
        pytest.param(replace(PROPOSED, reason="a reason\x1b[2J of sorts"), "reason", id="control characters"),
        pytest.param(replace(PROPOSED, reason="about 943 476 5919 by mistake"), "reason", id="a number in the reason"),
        pytest.param(replace(PROPOSED, legal_basis="order on 9434765919"), "legal basis", id="a number in the basis"),
        pytest.param(replace(PROPOSED, records=()), "no record", id="nothing"),
        pytest.param(
            replace(PROPOSED, records=(RecordRange("LANE", 1, 1),) * (MOST_RANGES + 1)), "separate", id="too much"
        ),
    ],
)
def test_a_proposal_is_refused(changed: DeletionProposed, text: str) -> None:
    with pytest.raises(DeletionRefused, match=text) as refused:
        check_proposal(changed)
    assert "5919" not in str(refused.value)


def test_the_digest_is_of_every_field() -> None:
    changed = (
        replace(PROPOSED, at=SOON),
        replace(PROPOSED, proposal_id="P2"),
        replace(PROPOSED, by=OTHER),
        replace(PROPOSED, reason="another reason"),
        replace(PROPOSED, legal_basis="another basis"),
        replace(PROPOSED, records=(RecordRange("LANE", 2, 4),)),
        replace(PROPOSED, archive="ab" * 32),
    )
    assert len({DIGEST, *map(digest_of, changed)}) == 1 + len(changed)


def test_a_proposal_is_put_together_from_its_records() -> None:
    withdrawn, erasure = DeletionWithdrawn(SOON, "P1", OTHER), tombstone_of(PROPOSED, OTHER, SOON)
    foreign = replace(PROPOSED, proposal_id="P2")
    assert proposal_of("P1", [foreign, withdrawn, PROPOSED]) == Proposal(PROPOSED, withdrawn)
    assert proposal_of("P1", [erasure, PROPOSED]) == Proposal(PROPOSED, None, erasure)
    assert proposal_of("P3", [foreign, PROPOSED]) is None


def test_the_tombstone_says_what_was_proposed_and_who_agreed() -> None:
    erasure = tombstone_of(replace(PROPOSED, archive="ab" * 32), OTHER, SOON)
    assert (erasure.proposed_by, erasure.approved_by, erasure.archive) == (ONE, OTHER, "ab" * 32)
    assert (erasure.records, erasure.reason, erasure.legal_basis) == (
        PROPOSED.records,
        PROPOSED.reason,
        PROPOSED.legal_basis,
    )


_RANGE = st.tuples(st.sampled_from("AB"), st.integers(1, 30), st.integers(0, 6)).map(
    lambda one: RecordRange(one[0], one[1], one[1] + one[2])
)


@given(st.lists(_RANGE), _RANGE)
def test_what_ranges_cover(ranges: list[RecordRange], asked: RecordRange) -> None:
    named = {(lane, n) for lane, first, last in ranges for n in range(first, last + 1)}
    expected = all((asked.lane, n) in named for n in range(asked.first, asked.last + 1))
    assert covers(ranges)(asked) == expected
