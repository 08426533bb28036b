"""Nothing passes that should not, even when an event was made wrongly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.observe.redaction import MASK, keep_safe, masked

pytestmark = pytest.mark.rule("IFC-LOG-02")

NUMBERS = (
    "9434765919",
    "943 476 5919",
    "943-476-5919",
    "943.476.5919",
    "19620504",
    "04/05/1962",
    "1962-05-04",
    "01632 960001",
)


@pytest.mark.parametrize("number", NUMBERS, ids=range(len(NUMBERS)))
def test_digits_that_may_be_a_number_or_a_date_are_masked_in_text(number: str) -> None:
    assert masked(f"before {number} after") == f"before {MASK} after"


@given(st.text(alphabet="0123456789 -./ax\n", max_size=60))
def test_no_ten_digits_in_a_row_ever_pass(text: str) -> None:
    digits_in_a_row = "".join(character if character.isdigit() else " " for character in masked(text)).split()
    assert all(len(run) < 8 for run in digits_in_a_row)


def test_text_is_bounded_and_on_one_line() -> None:
    assert masked("a\r\nb" + "x" * 1000) == ("a b" + "x" * 1000)[:200]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("body", "anything"),
        ("family", "anything"),
        ("message_id", "9434765919"),
        ("message_id", "not-a-uuid"),
        ("username", "Mr John Smith"),
        ("code", "not a code"),
        ("status", "9434765919"),
        ("exchange_id", None),
        ("reason", b"bytes"),
        ("codes", "17"),
        ("at", "2026-01-01"),
    ],
)
def test_an_unknown_field_or_another_form_is_dropped(name: str, value: object) -> None:
    assert keep_safe(None, "", {name: value}) == {}


def test_what_an_operator_needs_passes() -> None:
    fields: dict[str, object] = {
        "at": "2026-01-01T12:00:00.000000Z",
        "event": "request-answered",
        "level": "info",
        "exchange_id": "0B9D8F4E-6F0C-4A7E-9A33-120000000011",
        "message_id": "urn:uuid:0b9d8f4e-6f0c-4a7e-9a33-120000000011",
        "service": "getNHSNumber-v1-0",
        "code": "SMSP-0000",
        "codes": ["PDS-17", "44"],
        "username": "client.example-1",
        "status": 200,
        "duration_ms": 212,
    }
    assert keep_safe(None, "", dict(fields)) == fields


def test_a_code_or_username_made_of_ten_digits_is_masked() -> None:
    assert keep_safe(None, "", {"username": "9434765919", "codes": ("9434765919", "17")}) == {
        "username": MASK,
        "codes": ["17"],
    }
