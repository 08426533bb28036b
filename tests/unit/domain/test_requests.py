from dataclasses import replace

import pytest

from core_samples import LOCAL, TODAY, A
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.requests import ByNumber, BySearch, InputInvalid, RequestFields, check_fields
from smsp_provider.domain.service import Service

BY_NUMBER = (Service.VERIFY_NHS_NUMBER, Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER)
BY_SEARCH = (Service.GET_NHS_NUMBER, Service.GET_PATIENT_DETAILS_BY_SEARCH, Service.GET_PATIENT_DETAILS)
FULL_DATE_ONLY = tuple(service for service in Service if service is not Service.GET_NHS_NUMBER)

NUMBERED = RequestFields(date_of_birth="19620317", nhs_number=A.digits, family="QUIMBLE", given="ORLA")
SEARCHED = RequestFields(date_of_birth="19620317", gender="2", family="QUIMBLE", given="ORLA", postcode="ZZ1 1ZZ")


def fields_of(service: Service) -> RequestFields:
    return NUMBERED if service in BY_NUMBER else SEARCHED


def numbered(service: Service, fields: RequestFields) -> ByNumber:
    request = check_fields(service, fields, TODAY)
    assert isinstance(request, ByNumber)
    return request


def searched(service: Service, fields: RequestFields) -> BySearch:
    request = check_fields(service, fields, TODAY)
    assert isinstance(request, BySearch)
    return request


def breach(service: Service, fields: RequestFields) -> tuple[str, str]:
    """Field and rule of the refusal, having checked that neither it nor its chain says a value that was sent."""
    with pytest.raises(InputInvalid) as caught:
        check_fields(service, fields, TODAY)
    error = caught.value
    assert str(error) == f"{error.field}: {error.rule}"
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    sent = (fields.date_of_birth, fields.nhs_number, fields.family, fields.given, fields.gender, fields.postcode)
    for value in sent:
        # A value of one or two characters may well stand in a sentence by chance.
        assert value is None or len(value.strip()) < 3 or value.strip() not in str(error)
    return error.field, error.rule


@pytest.mark.rule("SMSP-VAL-001")
def test_a_complete_request_by_number_is_taken_as_sent() -> None:
    for service in (*BY_NUMBER, Service.GET_PATIENT_DETAILS):
        request = numbered(service, replace(NUMBERED, local_identifier=LOCAL))
        assert request == ByNumber(service, A, HL7Date("19620317"), "QUIMBLE", "ORLA", LOCAL)


@pytest.mark.rule("SMSP-VAL-001")
def test_a_complete_search_is_taken_as_sent() -> None:
    for service in BY_SEARCH:
        request = searched(service, replace(SEARCHED, local_identifier=LOCAL))
        assert request == BySearch(service, HL7Date("19620317"), "2", "QUIMBLE", "ORLA", "ZZ1 1ZZ", LOCAL)


@pytest.mark.rule("SMSP-VAL-002")
def test_a_number_that_is_no_nhs_number_is_refused_by_every_service_that_uses_one() -> None:
    full_width = "".join(chr(ord(digit) - ord("0") + 0xFF10) for digit in A.digits)
    for service in (*BY_NUMBER, Service.GET_PATIENT_DETAILS):
        for text in (
            "",
            " ",
            A.digits[:9],
            A.digits + "0",
            A.digits[:9] + "X",
            full_width,
            f" {A.digits}",
            A.digits[:9] + str((int(A.digits[9]) + 1) % 10),
        ):
            field, rule = breach(service, replace(NUMBERED, nhs_number=text))
            assert (field, rule) == ("Person.NHSNumber", "is not ten digits with a valid check digit")


def test_a_missing_number_is_refused_where_it_is_mandatory() -> None:
    for service in BY_NUMBER:
        assert breach(service, replace(NUMBERED, nhs_number=None)) == ("Person.NHSNumber", "is missing")


def test_a_missing_date_of_birth_is_refused() -> None:
    for service in Service:
        fields = replace(fields_of(service), date_of_birth=None)
        assert breach(service, fields) == ("Person.DateOfBirth", "is missing")


def test_impossible_dates_of_birth_are_refused() -> None:
    for service in Service:
        for text in ("", "19620230", "1962031", "196", "196203171200", "1962-03-17", " 19620317"):
            field, rule = breach(service, replace(fields_of(service), date_of_birth=text))
            assert field == "Person.DateOfBirth"
            assert rule.startswith("is not a real date of ")


def test_only_get_nhs_number_takes_a_partial_date_of_birth() -> None:
    for text in ("1962", "196203"):
        assert searched(Service.GET_NHS_NUMBER, replace(SEARCHED, date_of_birth=text)).date_of_birth == HL7Date(text)
        for service in FULL_DATE_ONLY:
            field, rule = breach(service, replace(fields_of(service), date_of_birth=text))
            assert (field, rule) == ("Person.DateOfBirth", "is not a real date of 8 digits")


def test_get_patient_details_with_a_number_needs_a_full_date_of_birth() -> None:
    field, _ = breach(Service.GET_PATIENT_DETAILS, replace(NUMBERED, date_of_birth="1962"))
    assert field == "Person.DateOfBirth"


def test_the_rule_names_the_lengths_that_the_service_takes() -> None:
    _, partial = breach(Service.GET_NHS_NUMBER, replace(SEARCHED, date_of_birth="x"))
    _, full = breach(Service.VERIFY_NHS_NUMBER, replace(NUMBERED, date_of_birth="x"))
    assert partial.endswith("4, 6 or 8 digits")
    assert full.endswith("of 8 digits")


def test_a_future_date_of_birth_is_refused_and_today_is_not() -> None:
    for service in Service:
        assert breach(service, replace(fields_of(service), date_of_birth="20240616")) == (
            "Person.DateOfBirth",
            "lies in the future",
        )
        request = check_fields(service, replace(fields_of(service), date_of_birth="20240615"), TODAY)
        assert request.date_of_birth == TODAY


def test_a_future_partial_date_of_birth_is_refused_and_the_current_one_is_not() -> None:
    for text in ("202407", "2025"):
        assert breach(Service.GET_NHS_NUMBER, replace(SEARCHED, date_of_birth=text)) == (
            "Person.DateOfBirth",
            "lies in the future",
        )
    for text in ("202406", "2024"):
        assert searched(Service.GET_NHS_NUMBER, replace(SEARCHED, date_of_birth=text)).date_of_birth == HL7Date(text)


def test_blank_name_parts_count_as_not_sent() -> None:
    for blank in ("", " ", "\t\n ", "\u00a0"):
        for service in BY_NUMBER:
            request = numbered(service, replace(NUMBERED, family=blank, given=blank))
            assert (request.family, request.given) == (None, None)
        for service in BY_SEARCH[:2]:
            assert searched(service, replace(SEARCHED, given=blank)).given is None


def test_a_blank_postcode_counts_as_not_sent() -> None:
    for service in BY_SEARCH:
        assert searched(service, replace(SEARCHED, postcode="  ")).postcode is None


def test_a_search_without_a_surname_is_refused() -> None:
    for service in BY_SEARCH:
        for family in (None, "", "  "):
            assert breach(service, replace(SEARCHED, family=family)) == ("Person.Name/family", "is missing")


def test_get_patient_details_without_a_number_needs_a_forename() -> None:
    for given in (None, " "):
        field, rule = breach(Service.GET_PATIENT_DETAILS, replace(SEARCHED, given=given))
        assert (field, rule) == ("Person.Name/given", "is missing")
        for service in BY_SEARCH[:2]:
            assert searched(service, replace(SEARCHED, given=given)).given is None


def test_get_patient_details_without_number_and_search_fields_is_refused() -> None:
    field, _ = breach(Service.GET_PATIENT_DETAILS, RequestFields(date_of_birth="19620317"))
    assert field == "Person.Name/family"


def test_a_search_without_a_gender_is_refused() -> None:
    for service in BY_SEARCH:
        assert breach(service, replace(SEARCHED, gender=None)) == ("Person.Gender", "is missing")


@pytest.mark.rule("SMSP-VAL-003")
def test_a_gender_outside_the_vocabulary_is_refused() -> None:
    for service in BY_SEARCH:
        for gender in ("", "3", "01", "12", "M", "male", "１"):  # noqa: RUF001 - a full-width digit is the point
            field, rule = breach(service, replace(SEARCHED, gender=gender))
            assert (field, rule) == ("Person.Gender", "is not in the vocabulary")
        for gender in ("0", "1", "2", "9"):
            assert searched(service, replace(SEARCHED, gender=gender)).gender == gender


def test_get_patient_details_with_a_number_ignores_gender_and_postcode() -> None:
    fields = replace(NUMBERED, gender="nonsense", postcode="not a postcode at all")
    assert numbered(Service.GET_PATIENT_DETAILS, fields) == ByNumber(
        Service.GET_PATIENT_DETAILS, A, HL7Date("19620317"), "QUIMBLE", "ORLA"
    )


def test_a_surname_of_under_three_characters_is_refused_beside_a_number() -> None:
    for service in (*BY_NUMBER, Service.GET_PATIENT_DETAILS):
        for family in ("Q", "QU", " QU ", "O\u0308U"):
            field, rule = breach(service, replace(NUMBERED, family=family))
            assert (field, rule) == ("Person.Name/family", "has fewer than 3 characters")
        assert numbered(service, replace(NUMBERED, family="QUI")).family == "QUI"


def test_a_short_surname_is_no_fault_in_a_search() -> None:
    for service in BY_SEARCH:
        assert searched(service, replace(SEARCHED, family="LI")).family == "LI"


def test_one_character_of_a_forename_is_enough() -> None:
    for service in BY_NUMBER:
        assert numbered(service, replace(NUMBERED, given="O")).given == "O"


def test_names_of_over_35_characters_are_refused() -> None:
    for service in Service:
        for part, field in (("family", "Person.Name/family"), ("given", "Person.Name/given")):
            longest = check_fields(service, with_part(service, part, "N" * 35), TODAY)
            assert getattr(longest, part) == "N" * 35
            assert breach(service, with_part(service, part, "N" * 36)) == (field, "has more than 35 characters")


def with_part(service: Service, part: str, text: str) -> RequestFields:
    fields = fields_of(service)
    return replace(fields, family=text) if part == "family" else replace(fields, given=text)


def test_characters_are_counted_after_composition() -> None:
    decomposed = "E\u0301" * 35
    assert numbered(Service.VERIFY_NHS_NUMBER, replace(NUMBERED, family=decomposed)).family == "\u00c9" * 35


def test_wildcards_are_refused_beside_a_number() -> None:
    for service in (*BY_NUMBER, Service.GET_PATIENT_DETAILS):
        for part, field in (("family", "Person.Name/family"), ("given", "Person.Name/given")):
            fields = replace(NUMBERED, family="QUIM*") if part == "family" else replace(NUMBERED, given="QUIM*")
            assert breach(service, fields) == (field, "holds a wildcard")


@pytest.mark.rule("SMSP-PDS-010")
def test_wildcards_are_taken_in_searches_after_two_other_characters() -> None:
    for service in BY_SEARCH:
        for text in ("QU*", "QUI*BLE", "QU*M*", "QU*M*LE", "QU IM*"):
            assert searched(service, replace(SEARCHED, family=text)).family == text
            assert searched(service, replace(SEARCHED, given=text)).given == text
        for text in ("ZZ*", "ZZ1*", "ZZ1 1*", "ZZ*1*", "ZZ1 1ZZ LONGER*"):
            assert searched(service, replace(SEARCHED, postcode=text)).postcode == text


@pytest.mark.rule("SMSP-PDS-010")
def test_early_adjacent_and_whole_word_wildcards_are_refused() -> None:
    for service in BY_SEARCH:
        for text in ("*", "Q*", "*QU", "QUI**", "QU**M", "Q*UIM*", "  Q*", "**", "QUI *", "QUI * BLE", "* QUI"):
            for field, fields in (
                ("Person.Name/family", replace(SEARCHED, family=text)),
                ("Person.Name/given", replace(SEARCHED, given=text)),
                ("Person.Postcode", replace(SEARCHED, postcode=text)),
            ):
                assert breach(service, fields)[0] == field


def test_a_full_width_asterisk_is_a_character_and_no_wildcard() -> None:
    request = searched(Service.GET_NHS_NUMBER, replace(SEARCHED, family="QUIM\uff0a"))
    assert request.family == "QUIM\uff0a"
    assert not request.needs_advanced_trace


def test_a_postcode_has_letters_digits_and_exactly_one_space() -> None:
    for service in BY_SEARCH:
        for text in ("ZZ1 1ZZ", "ZZ11 1ZZ", "  Z1 1ZZ ", "zz1 1zz", "Z 1"):
            assert searched(service, replace(SEARCHED, postcode=text)).postcode == text.strip()
        for text in (
            "ZZ11ZZ",
            "ZZ1  1ZZ",
            "Z Z1 1ZZ",
            "ZZ1-1ZZ",
            "ZZ1\u00a01ZZ",
            "ZZ\u00c9 1ZZ",
            "ZZ1\n1ZZ",
            "\uff3a1 1ZZ",
            "ZZ1_ 1Z",
        ):
            field, rule = breach(service, replace(SEARCHED, postcode=text))
            assert (field, rule) == ("Person.Postcode", "is not letters and digits with exactly one space")


def test_a_postcode_of_over_eight_characters_is_refused() -> None:
    for service in BY_SEARCH:
        field, rule = breach(service, replace(SEARCHED, postcode="ZZ111 1ZZ"))
        assert (field, rule) == ("Person.Postcode", "has more than 8 characters")


def test_texts_are_composed_but_never_compatibly() -> None:
    request = numbered(Service.VERIFY_NHS_NUMBER, replace(NUMBERED, family="ZOE\u0308SON", given="\ufb01ONA"))
    assert request.family == "ZO\u00cbSON"
    assert request.given == "\ufb01ONA"


def test_the_first_breach_in_the_documented_order_is_named() -> None:
    wrong = RequestFields(date_of_birth="x", nhs_number="x", family="*", given="*", gender="x", postcode="xxx-xxx-xxx")
    first = replace(wrong, date_of_birth="19620317")
    second = replace(first, family="QUIMBLE")
    third = replace(second, given="ORLA")
    fourth = replace(third, gender="2")
    order = [breach(Service.GET_NHS_NUMBER, fields)[0] for fields in (first, second, third, fourth)]
    assert breach(Service.GET_NHS_NUMBER, wrong)[0] == "Person.DateOfBirth"
    assert order == ["Person.Name/family", "Person.Name/given", "Person.Gender", "Person.Postcode"]
    assert breach(Service.VERIFY_NHS_NUMBER, wrong)[0] == "Person.DateOfBirth"
    assert breach(Service.VERIFY_NHS_NUMBER, replace(wrong, date_of_birth="19620317"))[0] == "Person.NHSNumber"


@pytest.mark.rule("SMSP-PDS-010")
def test_a_wildcard_or_a_partial_date_needs_the_advanced_trace() -> None:
    plain = searched(Service.GET_NHS_NUMBER, SEARCHED)
    assert not plain.needs_advanced_trace
    assert not replace(plain, given=None, postcode=None).needs_advanced_trace
    for fields in (
        replace(SEARCHED, date_of_birth="1962"),
        replace(SEARCHED, date_of_birth="196203"),
        replace(SEARCHED, family="QUIM*"),
        replace(SEARCHED, given="OR*"),
        replace(SEARCHED, postcode="ZZ1*"),
    ):
        assert searched(Service.GET_NHS_NUMBER, fields).needs_advanced_trace


@pytest.mark.rule("IFC-LOG-02")
def test_fields_and_requests_do_not_show_themselves() -> None:
    for shown in (
        SEARCHED,
        NUMBERED,
        searched(Service.GET_NHS_NUMBER, SEARCHED),
        numbered(Service.VERIFY_NHS_NUMBER, NUMBERED),
    ):
        assert "QUIMBLE" not in f"{shown!r} {shown}"
