"""Which passwords somebody may choose."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsp_provider.domain.operator_passwords import LONGEST_PASSWORD, PasswordPolicy, normalised, weaknesses

POLICY = PasswordPolicy(length=14, remembered=5, days=90)
OWN = ("jsmith", "Jane Smith-Okafor")

pytestmark = pytest.mark.rule("SMSP-IG-002")


@pytest.mark.parametrize(
    "password",
    [
        "Password123456!",
        "P@ssw0rdP@ssw0rd",
        "correct horse battery staple",
        "qwertyuiop12345",
        "Winter2026Winter!",
        "Hospital2025!!!!",
        "11223344556677",
        "abcdefghijklmnop",
        "ponmlkjihgfedcba",
        "1qaz2wsx3edc4rfv",
        "abcabcabcabcabcabc",
        "aaaaaaaaaaaaaaab",
        "letmein-letmein-now",
        "NHS-nhs-NHS-nhs-1948",
        "MondayTuesdayFriday",
        "xq7 xq7 xq7 xq7 xq7",
    ],
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    assert weaknesses(password, POLICY, OWN)


@pytest.mark.parametrize(
    "password",
    [
        "tulip-engine-maple-84",
        "gT7 lamp under nine",
        "vier grüne Äpfel im Korb",
        "kP9#vX2$mQ7!zL4@",
        "девять зелёных ламп",
    ],
)
def test_what_takes_long_to_guess_is_taken(password: str) -> None:
    assert weaknesses(password, POLICY, OWN) == ()


@pytest.mark.parametrize(
    "password",
    [
        "the jsmith of all trades",
        "SMITH under nine lamps",
        "0kaf0r under nine lamps",
        "okAFor-tulip-engine",
        "j5m!th tulip lamp",
    ],
)
def test_no_part_of_a_name_stands_in_it(password: str) -> None:
    assert "it contains a name of yours" in weaknesses(password, POLICY, OWN)


def test_a_short_part_of_a_name_says_nothing() -> None:
    assert weaknesses("tulip li engine maple", POLICY, ("li", "Li Wu")) == ()


@pytest.mark.parametrize("length", [8, 14, 30])
def test_length_is_counted_in_characters(length: int) -> None:
    policy = PasswordPolicy(length, 5, 90)
    long_enough = "tülip engine maple under nine"[: length - 1] + "ß"
    assert not any("characters or more" in text for text in weaknesses(long_enough + " x", policy, ()))
    assert f"it needs {length} characters or more" in weaknesses(long_enough[1:], policy, ())


def test_a_composed_letter_counts_as_one() -> None:
    assert normalised("e\u0301") == "\u00e9"
    assert "it needs 14 characters or more" in weaknesses("e\u0301" * 7, POLICY, ())


@given(st.text(max_size=2 * LONGEST_PASSWORD), st.integers(8, 40))
def test_whatever_is_typed_is_judged_and_not_repeated(password: str, length: int) -> None:
    found = weaknesses(password, PasswordPolicy(length, 5, 90), OWN)
    text = " ".join(found)
    if len(normalised(password)) < length:
        assert found
    if len(password) > 8:
        assert password not in text


@given(st.text(min_size=1, max_size=40), st.sampled_from(OWN[0:1]))
def test_a_name_makes_any_password_unusable(password: str, name: str) -> None:
    assert weaknesses(password + name.upper(), POLICY, OWN)


def test_it_lasts_as_many_days_as_the_policy_says() -> None:
    since = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
    almost = since + timedelta(days=90) - timedelta(seconds=1)
    assert not POLICY.is_over(since, almost)
    assert POLICY.is_over(since, since + timedelta(days=90))
