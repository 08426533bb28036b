"""Rows of the audit trail for people who may not see patients."""

from datetime import UTC, datetime

import pytest

from searched_trail import NUMBER, exchange
from smsp_provider.audit.encoding import kind_of
from smsp_provider.audit.events import OperatorAct, OperatorActKind, Record
from smsp_provider.audit.exchanges import Happening, Part, Place, whole
from smsp_provider.cli.audit_rows import row_of

AT = datetime(2026, 3, 4, tzinfo=UTC)
DIGITS = NUMBER.digits
SPACED = f"{DIGITS[:3]} {DIGITS[3:6]} {DIGITS[6:]}"
UUID = f"ABCD{DIGITS[:4]}-{DIGITS[4:8]}-{DIGITS[8:]}00-ABCD-0123456789AB"


def _act(detail: str) -> Happening:
    act = OperatorAct(AT, OperatorActKind.AUDIT_SEARCHED, "desk", "agrey", detail=detail, nhs_number=NUMBER)
    return whole([Part(Place(1, 1, 1), "act", None, act)])


@pytest.mark.rule("SMSP-IG-001")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"user={DIGITS}", "user=[masked]"),
        (f"user={SPACED} and more", "user=[masked] and more"),
        (SPACED.replace(" ", "."), "[masked]"),
        (SPACED.replace(" ", "/"), "[masked]"),
        (f"urn:nhs-uk:identity:ods:X26:{DIGITS}", "urn:nhs-uk:identity:ods:X26:[masked]"),
        ("user=1234567890", "user=1234567890"),
        (f"user={DIGITS}1", f"user={DIGITS}1"),
        (f"message_id={UUID}", f"message_id={UUID}"),
    ],
    ids=["bare", "in groups", "with points", "with strokes", "in an identity", "no number", "longer", "in a uuid"],
)
def test_a_number_is_masked_wherever_somebody_put_it_and_nothing_else_is(text: str, shown: str) -> None:
    row = row_of(_act(text), patients=False)
    assert (row["detail"], row["asked"]) == (shown, "[masked]")
    whole_row = row_of(_act(text), patients=True)
    assert (whole_row["detail"], whole_row["asked"]) == (text, DIGITS)


@pytest.mark.rule("SMSP-IG-001")
def test_nothing_of_the_patient_of_an_exchange_is_in_a_masked_row() -> None:
    records: tuple[Record, ...] = exchange("one")
    parts = [Part(Place(number, 1, number), kind_of(record), "one", record) for number, record in enumerate(records)]
    row = row_of(whole(parts), patients=False)
    assert DIGITS not in " ".join(row.values())
    assert (row["asked"], row["returned"], row["records"]) == ("[masked]", "[masked]", "1:0 1:1")


def test_what_cannot_be_read_says_why() -> None:
    row = row_of(whole([Part(Place(1, 1, 7), "ending", "one", None, problem="the seal is broken")]), patients=True)
    assert (row["kind"], row["outcome"], row["detail"]) == ("exchange", "unreadable", "ending: the seal is broken")
