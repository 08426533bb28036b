import traceback

import pytest

from smsp_provider.domain import nhs_number

# Numbers of published test material, not made by this project.
PUBLISHED = ("9434765919", "9449304424", "4010232137")


def test_published_numbers_are_nhs_numbers() -> None:
    for text in PUBLISHED:
        assert nhs_number.is_nhs_number(text)


def test_a_remainder_of_zero_has_check_digit_zero() -> None:
    assert nhs_number.is_nhs_number("9434765870")
    assert nhs_number.is_nhs_number("0000000000")


def test_a_remainder_of_one_has_no_number_at_all() -> None:
    # Its check digit would be 10, so no tenth digit is right.
    weighted = sum(int(digit) * (10 - place) for place, digit in enumerate("000000006"))
    assert weighted % 11 == 1
    assert not any(nhs_number.is_nhs_number(f"000000006{digit}") for digit in range(10))


@pytest.mark.rule("SMSP-VAL-002")
def test_every_single_digit_error_is_found() -> None:
    for text in PUBLISHED:
        for place in range(10):
            for digit in "0123456789":
                changed = text[:place] + digit + text[place + 1 :]
                assert nhs_number.is_nhs_number(changed) == (changed == text)


@pytest.mark.rule("SMSP-VAL-002")
def test_every_transposition_of_two_different_digits_is_found() -> None:
    for text in PUBLISHED:
        for one in range(10):
            for other in range(one + 1, 10):
                swapped = list(text)
                swapped[one], swapped[other] = swapped[other], swapped[one]
                assert nhs_number.is_nhs_number("".join(swapped)) == (text[one] == text[other])


def test_exactly_one_check_digit_fits_where_one_fits_at_all() -> None:
    fitting = [
        sum(nhs_number.is_nhs_number(f"{body:09d}{digit}") for digit in range(10))
        for body in range(943_476_000, 943_476_200)
    ]
    assert set(fitting) == {0, 1}
    # One body in eleven has the remainder 1.
    assert fitting.count(0) in (18, 19)


def test_the_judgement_is_a_plain_truth_value() -> None:
    assert nhs_number.is_nhs_number(PUBLISHED[0]) is True
    assert nhs_number.is_nhs_number(PUBLISHED[0][:9]) is False
    assert nhs_number.is_nhs_number("943?765919") is False


def test_nine_eleven_and_no_digits_are_refused() -> None:
    for text in (
        "",
        "943476591",
        "94347659190",
        "09434765919",
        "94347659109",  # nine digits, something, and their check digit
        "943476591 ",
        " 9434765919",
        "9434765919 ",
        "943 476 5919",
    ):
        assert not nhs_number.is_nhs_number(text)


@pytest.mark.rule("SMSP-VAL-002")
def test_only_ascii_digits_are_digits() -> None:
    full_width = "".join(chr(ord(digit) - ord("0") + 0xFF10) for digit in "9434765919")
    arabic = "".join(chr(ord(digit) - ord("0") + 0x0660) for digit in "9434765919")
    for text in (
        full_width,
        arabic,
        "943476591" + full_width[-1],
        full_width[0] + "434765919",
        "943476591X",
        "94347659-9",
    ):
        assert not nhs_number.is_nhs_number(text)


def test_an_nhs_number_keeps_its_digits_and_compares_by_them() -> None:
    assert nhs_number.NHSNumber("9434765919").digits == "9434765919"
    assert nhs_number.NHSNumber("9434765919") == nhs_number.NHSNumber("9434765919")
    assert nhs_number.NHSNumber("9434765919") != nhs_number.NHSNumber("9449304424")
    assert len({nhs_number.NHSNumber("9434765919"), nhs_number.NHSNumber("9434765919")}) == 1


def test_an_nhs_number_cannot_be_changed() -> None:
    number = nhs_number.NHSNumber("9434765919")
    with pytest.raises(AttributeError):
        number.digits = "9449304424"  # type: ignore[misc]  # what the test proves impossible
    assert not hasattr(number, "__dict__")


def test_what_is_not_an_nhs_number_cannot_become_one_and_is_not_quoted() -> None:
    for text in ("9434765918", "943476591", ""):
        with pytest.raises(nhs_number.InvalidNHSNumber) as caught:
            nhs_number.NHSNumber(text)
        assert not text or text not in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.rule("IFC-LOG-02")
def test_an_nhs_number_does_not_show_itself() -> None:
    number = nhs_number.NHSNumber("9434765919")
    assert "9434765919" not in f"{number!r} {number} {[number]}"
