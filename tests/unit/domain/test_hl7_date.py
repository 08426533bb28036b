from datetime import date

import pytest

from smsp_provider.domain.hl7_date import HL7Date, InvalidDate


def test_a_date_has_day_month_or_year_precision() -> None:
    for digits, parts, is_full in (
        ("19620317", ("1962", "03", "17"), True),
        ("196203", ("1962", "03", None), False),
        ("1962", ("1962", None, None), False),
    ):
        found = HL7Date(digits)
        assert (found.year, found.month, found.day) == parts
        assert found.is_full is is_full


@pytest.mark.rule("SMSP-VAL-004")
def test_days_that_no_calendar_has_are_refused() -> None:
    for digits in (
        "19620230",
        "19000229",
        "20230229",
        "19620001",
        "19621301",
        "19620100",
        "19620132",
        "196213",
        "196200",
        "0000",
    ):
        with pytest.raises(InvalidDate):
            HL7Date(digits)


@pytest.mark.rule("SMSP-VAL-004")
def test_leap_days_are_real() -> None:
    assert HL7Date("20000229").day == "29"
    assert HL7Date("20240229").day == "29"


def test_other_lengths_and_other_characters_are_refused_and_not_quoted() -> None:
    full_width = "".join(chr(ord(digit) - ord("0") + 0xFF10) for digit in "1962")
    for text in (
        "",
        "1",
        "196",
        "19620",
        "1962031",
        "196203171",
        "1962-3-1",
        "+962",
        "196203 7",
        full_width,
        " 196",
        "1962\n",
    ):
        with pytest.raises(InvalidDate) as caught:
            HL7Date(text)
        assert len(text) < 2 or text not in str(caught.value)


def test_a_calendar_day_becomes_a_full_date() -> None:
    assert HL7Date.of(date(2024, 6, 5)) == HL7Date("20240605")


@pytest.mark.rule("SMSP-PDS-007")
def test_finer_timestamps_are_truncated_to_the_day() -> None:
    for text in (
        "20140512",
        "2014051200",
        "201405121530",
        "20140512153059",
        "20140512153059.123",
        "20140512153059.123+0100",
        "20140512+0000",
        " 20140512 ",
    ):
        assert HL7Date.from_timestamp(text) == HL7Date("20140512")


def test_coarse_timestamps_keep_their_precision() -> None:
    assert HL7Date.from_timestamp("201405") == HL7Date("201405")
    assert HL7Date.from_timestamp("2014") == HL7Date("2014")


@pytest.mark.rule("SMSP-VAL-004")
def test_what_is_no_timestamp_is_refused() -> None:
    for text in (
        "",
        " ",
        "20",
        "201",
        "20145",
        "2014051",
        "2.01206E+11",
        "201405121530591",
        "20140532",
        "2014/05/12",
        "unknown",
    ):
        with pytest.raises(InvalidDate):
            HL7Date.from_timestamp(text)


def test_dates_agree_at_the_coarser_precision() -> None:
    day, month, year = HL7Date("19620317"), HL7Date("196203"), HL7Date("1962")
    for one in (day, month, year):
        for other in (day, month, year):
            assert one.agrees_with(other)
    assert not day.agrees_with(HL7Date("19620318"))
    assert not month.agrees_with(HL7Date("19620417"))
    assert not year.agrees_with(HL7Date("1963"))


def test_a_date_begins_after_a_day_at_its_own_precision() -> None:
    today = HL7Date("20240615")
    assert HL7Date("20240616").begins_after(today)
    assert HL7Date("202407").begins_after(today)
    assert HL7Date("2025").begins_after(today)
    for digits in ("20240615", "20240614", "202406", "2024", "202405"):
        assert not HL7Date(digits).begins_after(today)


def test_a_date_ends_before_a_day_at_its_own_precision() -> None:
    today = HL7Date("20240615")
    assert HL7Date("20240614").ends_before(today)
    assert HL7Date("202405").ends_before(today)
    assert HL7Date("2023").ends_before(today)
    for digits in ("20240615", "20240616", "202406", "2024", "202407"):
        assert not HL7Date(digits).ends_before(today)


@pytest.mark.rule("IFC-LOG-02")
def test_a_date_does_not_show_itself() -> None:
    assert "1962" not in f"{HL7Date('19620317')!r} {HL7Date('19620317')}"
