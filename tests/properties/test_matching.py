import unicodedata
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from core_samples import TODAY, USUAL, by_number, by_search, record
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.matching import Verdict, name_agrees, same_text, verify
from smsp_provider.domain.nhs_number import is_nhs_number
from smsp_provider.domain.requests import ByNumber

TEXTS = st.text(
    st.sampled_from(
        "ABCXYZabcxyz '-*\u00c9\u00e9\u00d6\u00f6\u00df\u0130\u0131\u0301\u0308\u0323\u212b\uff0a\uff21\ufb01\u1fb7"
    ),
    max_size=8,
)
FULL_DATES = st.dates(date(1890, 1, 1), date(2024, 6, 15)).map(HL7Date.of)
DATES = st.builds(lambda day, length: HL7Date(day.digits[:length]), FULL_DATES, st.sampled_from((4, 6, 8)))
# Few years, months and days, so that parts agree often.
CLOSE_DATES = st.builds(
    lambda year, month, day: HL7Date(f"{year}{month}{day}"),
    st.sampled_from(("1962", "1963")),
    st.sampled_from(("03", "04")),
    st.sampled_from(("04", "17")),
)
FORMS = st.sampled_from(("NFC", "NFD"))


def verdict(request: ByNumber, born: HL7Date | None, family: str = "QUIMBLE", forename: str = "ORLA") -> Verdict:
    return verify(request, record(names=(replace(USUAL, family=family, given=(forename,)),)), born, TODAY)


def normal(form: str, text: str) -> str:
    return unicodedata.normalize("NFC" if form == "NFC" else "NFD", text)


@given(DATES, DATES)
def test_date_agreement_is_symmetric(one: HL7Date, other: HL7Date) -> None:
    assert one.agrees_with(other) is other.agrees_with(one)


@given(DATES, st.sampled_from((4, 6, 8)))
def test_a_date_agrees_with_itself_and_with_its_coarser_forms(day: HL7Date, length: int) -> None:
    assert day.agrees_with(HL7Date(day.digits[:length]))


@given(FULL_DATES, FULL_DATES)
def test_full_dates_agree_only_when_they_are_the_same(one: HL7Date, other: HL7Date) -> None:
    assert one.agrees_with(other) is (one == other)


@given(DATES, FULL_DATES)
def test_no_date_both_begins_after_and_ends_before_a_day(period: HL7Date, day: HL7Date) -> None:
    assert not (period.begins_after(day) and period.ends_before(day))
    assert (period.begins_after(day) or period.ends_before(day)) is not period.agrees_with(day)


@given(TEXTS, TEXTS)
def test_sameness_is_symmetric(one: str, other: str) -> None:
    assert same_text(one, other) is same_text(other, one)


@given(TEXTS, FORMS, TEXTS, FORMS)
def test_sameness_does_not_know_composition(one: str, one_form: str, other: str, other_form: str) -> None:
    assert same_text(normal(one_form, one), normal(other_form, other)) is same_text(one, other)
    assert same_text(one, normal(one_form, one))


@given(TEXTS, TEXTS, TEXTS, TEXTS, FORMS, CLOSE_DATES)
def test_verification_does_not_know_composition(
    family: str, forename: str, held_family: str, held_forename: str, form: str, born: HL7Date
) -> None:
    request = by_number(family=family, given=forename)
    composed = by_number(family=normal("NFC", family), given=normal("NFC", forename))
    expected = verdict(composed, born, normal("NFC", held_family), normal("NFC", held_forename))
    assert verdict(request, born, normal(form, held_family), normal(form, held_forename)) is expected


@given(TEXTS, FORMS, FORMS)
def test_a_search_does_not_know_composition(family: str, sent: str, held: str) -> None:
    named = record(names=(replace(USUAL, family=normal(held, family)),))
    assert name_agrees(by_search(family=normal(sent, family)), named)


@given(CLOSE_DATES, CLOSE_DATES, TEXTS, TEXTS)
def test_rule_1_is_the_same_day_and_nothing_else(asked: HL7Date, born: HL7Date, family: str, forename: str) -> None:
    request = by_number(date_of_birth=asked, family=family, given=forename)
    assert (verdict(request, born) is Verdict.RULE_1) is (asked == born)


@given(CLOSE_DATES, CLOSE_DATES, st.sampled_from((None, "QUIMBLE")), st.sampled_from((None, "ORLA")))
def test_rule_2_verifies_exactly_with_both_names_and_two_parts(
    asked: HL7Date, born: HL7Date, family: str | None, forename: str | None
) -> None:
    parts = (asked.year == born.year) + (asked.month == born.month) + (asked.day == born.day)
    expected = parts == 2 and family is not None and forename is not None
    assert (verdict(by_number(date_of_birth=asked, family=family, given=forename), born) is Verdict.RULE_2) is expected


@given(DATES)
def test_what_is_not_verified_by_a_full_date_is_not_verified_by_less(born: HL7Date) -> None:
    coarse = HL7Date(born.digits[:4])
    if verdict(by_number(), born) is Verdict.NOT_VERIFIED:
        assert verdict(by_number(), coarse) is Verdict.NOT_VERIFIED


@given(st.text(st.sampled_from("0123456789"), min_size=9, max_size=9))
def test_a_body_has_at_most_one_check_digit(body: str) -> None:
    fitting = [digit for digit in range(10) if is_nhs_number(f"{body}{digit}")]
    weighted = sum((10 - place) * int(digit) for place, digit in enumerate(body))
    assert fitting == [digit for digit in range(10) if (weighted + digit) % 11 == 0]


@given(st.text(st.sampled_from("0123456789"), min_size=9, max_size=9), st.integers(0, 9), st.integers(1, 9))
def test_no_single_digit_error_makes_another_nhs_number(body: str, place: int, by: int) -> None:
    for check in range(10):
        text = f"{body}{check}"
        if is_nhs_number(text):
            wrong = text[:place] + str((int(text[place]) + by) % 10) + text[place + 1 :]
            assert not is_nhs_number(wrong)


@given(st.text(max_size=12))
def test_whatever_the_text_only_ten_ascii_digits_are_an_nhs_number(text: str) -> None:
    if is_nhs_number(text):
        assert len(text) == 10
        assert set(text) <= set("0123456789")
