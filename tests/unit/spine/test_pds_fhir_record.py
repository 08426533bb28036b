"""Patient resources as records."""

from typing import Any

import pytest

from core_samples import TODAY
from fhir_samples import patient
from smsp_provider.domain.failures import Unreadable
from smsp_provider.spine.pds_fhir.record import read_patient


def test_an_ordinary_patient_is_read_into_the_codes_of_hl7() -> None:
    record = read_patient(patient(deceasedDateTime="2020-02-03T00:00:00+00:00"))
    assert record.nhs_numbers == ("9990001006",)
    assert (record.birth_time, record.deceased_time, record.gender) == ("19620317", "20200203", "2")
    (name,) = record.names
    assert (name.use, name.family, name.given, name.prefix) == (("L",), "QUIMBLE", ("ORLA", "JUNE", "MAY"), "MS DR")
    (address,) = record.addresses
    assert (address.use, address.lines, address.postal_code) == (("H",), ("1 FIRST STREET", "TOWN"), "ZZ1 1ZZ")
    assert [(one.use, one.value) for one in record.telecoms] == [(("HP",), "tel:01632960000")]
    assert [one.ods_code for one in record.practices] == ["Z99999"]
    assert record.confidentiality == ("N",)
    assert not record.is_sensitive
    assert record.superseded_numbers == ()


def test_nothing_but_a_number_is_needed() -> None:
    bare = patient(name=None, gender=None, birthDate=None, address=None, telecom=None, generalPractitioner=None)
    record = read_patient(bare)
    assert (record.names, record.addresses, record.telecoms, record.practices) == ((), (), (), ())
    assert (record.birth_time, record.deceased_time, record.gender) == (None, None, None)


@pytest.mark.rule("SMSP-PDS-002")
@pytest.mark.parametrize(
    "changes",
    [
        {"id": "9990002002"},
        {"id": None},
        {"identifier": None},
        {"identifier": [{"system": "urn:other", "value": "9990001006"}]},
        {
            "identifier": [
                {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990001006"},
                {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990002002"},
            ]
        },
        {"identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number"}]},
    ],
    ids=["another id", "no id", "no identifier", "another system", "two identifiers", "an identifier without value"],
)
def test_where_id_and_identifier_do_not_say_the_same_there_is_no_number(changes: dict[str, Any]) -> None:
    assert read_patient(patient(**changes)).nhs_numbers == ()


@pytest.mark.parametrize(
    ("security", "sensitive", "very"),
    [
        ([{"code": "U"}], False, False),
        ([{"code": "R"}], True, False),
        ([{"code": "V"}], True, True),
        ([{"code": "REDACTED"}], True, True),
        ([{"code": "SOMETHING"}], True, False),
        ([{"code": "U"}, {"code": "R"}], True, False),
        ([{}], True, False),
        ([], True, False),
    ],
    ids=["unrestricted", "restricted", "very restricted", "redacted", "unknown", "both", "without a code", "none"],
)
@pytest.mark.rule("SMSP-PDS-006")
def test_the_code_says_how_sensitive_a_record_is(security: list[Any], sensitive: bool, very: bool) -> None:
    record = read_patient(patient(meta={"security": security}))
    assert (record.is_sensitive, record.is_very_restricted) == (sensitive, very)
    assert read_patient(patient(meta=None)).is_sensitive


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1962-03-17", "19620317"),
        ("1962-03", "196203"),
        ("1962", "1962"),
        ("1962-13-45", "19621345"),
        ("1962-3-17", "1962-3-17"),
        ("17/03/1962", "17/03/1962"),
        ("", ""),
    ],
    ids=["day", "month", "year", "no such day", "one digit", "British", "blank"],
)
@pytest.mark.rule("SMSP-PDS-007")
def test_dates_lose_their_dashes_and_what_is_none_stays_to_be_found_out(written: str, read: str) -> None:
    assert read_patient(patient(birthDate=written)).birth_time == read


def test_a_moment_of_death_is_not_shifted_into_another_day() -> None:
    record = read_patient(patient(deceasedDateTime="2020-02-03T23:59:59-11:00"))
    assert record.deceased_time == "20200203"


@pytest.mark.parametrize(
    ("system", "use", "read"),
    [
        ("phone", "home", (("HP",), "tel:0")),
        ("phone", "mobile", (("MC",), "tel:0")),
        ("phone", "work", (("WP",), "tel:0")),
        ("phone", None, ((), "tel:0")),
        ("email", "home", (("HP",), "mailto:0")),
        ("email", "work", ((), "mailto:0")),
        ("email", None, ((), "mailto:0")),
        ("fax", "home", ((), "fax:0")),
        ("other", "home", ((), "other:0")),
        (None, None, ((), "other:0")),
    ],
    ids=lambda value: str(value) if not isinstance(value, tuple) else "",
)
def test_telecoms_get_scheme_and_use(system: str | None, use: str | None, read: tuple[Any, ...]) -> None:
    members = {"system": system, "use": use, "value": "0"}
    record = read_patient(patient(telecom=[{key: value for key, value in members.items() if value is not None}]))
    assert [(one.use, one.value) for one in record.telecoms] == [read]


def test_the_use_of_a_telephone_at_home_can_be_chosen() -> None:
    assert read_patient(patient(), home_phone="H").telecoms[0].use == ("H",)


def test_blank_lines_keep_their_place() -> None:
    lines = [None, "1 FIRST STREET", None, "TOWN", None]
    record = read_patient(patient(address=[{"use": "temp", "line": lines, "_line": [{}] * 5}]))
    assert record.addresses[0].lines == ("", "1 FIRST STREET", "", "TOWN", "")
    assert record.addresses[0].use == ("TMP",)
    assert record.addresses[0].postal_code is None


@pytest.mark.parametrize(
    ("period", "current"),
    [
        ({"start": "2010-01-01", "end": "2024-06-15"}, True),
        ({"start": "2010-01-01", "end": "2024-06-14"}, False),
        ({"start": "2024-06-16"}, False),
        ({"end": "2024"}, True),
        ({"start": "soon"}, False),
        ({"start": "2010-02-30"}, False),
        ({}, True),
    ],
    ids=["ends today", "ended", "to come", "ends this year", "no date", "no such day", "open"],
)
def test_periods_are_read_and_unreadable_ones_never_current(period: dict[str, str], current: bool) -> None:
    record = read_patient(patient(name=[{"use": "usual", "family": "QUIMBLE", "period": period}]))
    assert record.names[0].validity.is_current(TODAY) is current


@pytest.mark.parametrize(
    "changes",
    [
        {"birthDate": 19620317},
        {"name": {"family": "QUIMBLE"}},
        {"name": ["QUIMBLE"]},
        {"name": [{"family": ["QUIMBLE"]}]},
        {"name": [{"given": "ORLA"}]},
        {"name": [{"given": [1]}]},
        {"name": [{"period": "2010"}]},
        {"meta": []},
        {"generalPractitioner": [{"identifier": "Z99999"}]},
        {"gender": "fe\u0000male"},
        {"gender": "\ud800"},
        {"gender": "\uffff"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_member_of_another_type_is_refused_without_its_value(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable) as caught:
        read_patient(patient(**changes))
    assert "QUIMBLE" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_line_end_within_an_address_line_is_text() -> None:
    record = read_patient(patient(address=[{"use": "home", "line": ["1 FIRST\nSTREET"]}]))
    assert record.addresses[0].lines == ("1 FIRST\nSTREET",)
