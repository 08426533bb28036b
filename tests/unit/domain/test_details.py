from dataclasses import replace

import pytest

from core_samples import BORN, ENDED, FUTURE, HOME, TODAY, UNREADABLE, USUAL, WITHDRAWN, A, record
from smsp_provider.domain.details import ComposedDetails, UnusableRecord, compose_details
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.outcomes import PatientDetails, Repair, ResponseAddress, ResponseName, ResponseTelecom
from smsp_provider.domain.person import Address, Name, PatientRecord, Practice, Telecom, Validity

NOT_CURRENT = (ENDED, FUTURE, WITHDRAWN, UNREADABLE)


def composed(held: PatientRecord) -> ComposedDetails:
    return compose_details(held, A, TODAY)


def details(held: PatientRecord) -> PatientDetails:
    return composed(held).details


def test_an_ordinary_record_is_given_as_it_is() -> None:
    found = composed(record(deceased_time="20240101"))
    assert found == ComposedDetails(
        PatientDetails(
            nhs_number=A,
            name=ResponseName("MS", ("ORLA", "JUNE"), "QUIMBLE"),
            addresses=(ResponseAddress("H", ("", "1 FIRST STREET", "", "TOWN", "COUNTY"), "ZZ1 1ZZ"),),
            telecoms=(ResponseTelecom("H", "tel:01130000000"),),
            gender="2",
            date_of_birth=BORN,
            date_of_death=HL7Date("20240101"),
            practice="Z99999",
        ),
        (),
    )


@pytest.mark.rule("SMSP-PDS-006")
def test_what_pds_does_not_say_is_left_out() -> None:
    silent = PatientRecord((A.digits,))
    assert composed(silent) == ComposedDetails(PatientDetails(A), ())


@pytest.mark.rule("SMSP-PDS-006")
def test_what_pds_has_blank_is_given_blank() -> None:
    blank = record(
        names=(Name(("L",), "", ("",), ""),), addresses=(Address(("H",), ("", "", "", "", ""), ""),), telecoms=()
    )
    assert details(blank).name == ResponseName("", ("",), "")
    assert details(blank).addresses == (ResponseAddress("H", ("", "", "", "", ""), ""),)


def test_parts_of_a_name_that_pds_does_not_hold_are_left_out() -> None:
    assert details(record(names=(Name(("L",), None),))).name == ResponseName(None, (), None)


def test_names_without_a_current_usual_one_leave_an_empty_usual_name() -> None:
    for names in ((replace(USUAL, use=("A",)),), *((replace(USUAL, validity=validity),) for validity in NOT_CURRENT)):
        assert details(record(names=names)).name == ResponseName(None, ("",), "")


def test_further_forenames_are_joined_by_one_blank() -> None:
    for given, expected in (
        (("ORLA",), ("ORLA",)),
        (("ORLA", "JUNE"), ("ORLA", "JUNE")),
        (("ORLA", "JUNE", "ANN", "MAE"), ("ORLA", "JUNE ANN MAE")),
    ):
        name = details(record(names=(replace(USUAL, given=given),))).name
        assert name is not None
        assert name.given == expected


@pytest.mark.rule("SMSP-ERR-006")
def test_the_first_of_several_usual_names_is_given_and_the_choice_recorded() -> None:
    second = replace(USUAL, family="SECOND")
    for names, family in (((USUAL, second), "QUIMBLE"), ((second, USUAL), "SECOND")):
        found = composed(record(names=names))
        assert found.details.name is not None
        assert found.details.name.family == family
        assert found.repairs == (Repair("name", "several current usual names, first taken", truncation=True),)
    alias = replace(second, use=("A",))
    assert composed(record(names=(alias, USUAL))) == composed(record())
    for validity in NOT_CURRENT:
        former = replace(second, validity=validity)
        assert details(record(names=(former, USUAL))) == details(record())


def test_current_home_temporary_and_correspondence_addresses_are_given() -> None:
    temporary, post = replace(HOME, use=("TMP",), postal_code="ZZ2 2ZZ"), replace(HOME, use=("PST",), postal_code=None)
    found = composed(record(addresses=(post, temporary, HOME)))
    assert [(address.use, address.postal_code) for address in found.details.addresses] == [
        ("H", "ZZ1 1ZZ"),
        ("TMP", "ZZ2 2ZZ"),
        ("PST", None),
    ]
    assert found.repairs == ()


def test_other_former_and_future_addresses_are_not_given() -> None:
    others = [replace(HOME, use=(use,)) for use in ("HP", "HV", "WP", "BAD", "PHYS")]
    not_current = [replace(HOME, validity=validity) for validity in NOT_CURRENT]
    found = composed(record(addresses=(*others, *not_current, replace(HOME, use=()))))
    assert found.details.addresses == ()
    assert found.repairs == (Repair("addr", "unreadable period, dropped"),)


def test_an_item_whose_period_cannot_be_read_is_dropped_and_the_loss_recorded() -> None:
    for field, held in (
        ("name", record(names=(replace(USUAL, validity=UNREADABLE),))),
        ("addr", record(addresses=(replace(HOME, validity=UNREADABLE),))),
        ("telecom", record(telecoms=(Telecom(("H",), "tel:0113", UNREADABLE),))),
        ("gPPractice", record(practices=(Practice("Z99999", UNREADABLE),))),
    ):
        assert composed(held).repairs == (Repair(field, "unreadable period, dropped"),)
        location = () if field != "name" else (Repair("name", "unreadable period, dropped"),)
        assert composed(replace(held, confidentiality=("S",))).repairs == location


def test_an_address_runs_from_its_first_to_its_last_day() -> None:
    for low, high, given in (
        ("20240615", "20240615", True),
        ("20240615", None, True),
        (None, "20240615", True),
        ("202406", "202406", True),
        ("20240616", None, False),
        (None, "20240614", False),
        ("2025", None, False),
        (None, "2023", False),
    ):
        applies = Validity(low, high)
        found = details(record(addresses=(replace(HOME, validity=applies),)))
        assert bool(found.addresses) is given


@pytest.mark.rule("SMSP-ERR-006")
def test_the_first_of_several_addresses_of_a_kind_is_given_and_the_choice_recorded() -> None:
    for kind in ("H", "TMP", "PST"):
        first, second = replace(HOME, use=(kind,), postal_code="A"), replace(HOME, use=(kind,), postal_code="B")
        for addresses, expected in (((first, second), "A"), ((second, first), "B")):
            found = composed(record(addresses=addresses))
            assert [address.postal_code for address in found.details.addresses] == [expected]
            assert found.repairs == (Repair(f"addr {kind}", "several current addresses, first taken", truncation=True),)
        ended = replace(second, validity=ENDED)
        assert composed(record(addresses=(ended, first))).repairs == ()


def test_an_address_always_has_five_lines_in_their_places() -> None:
    for lines, expected in (
        ((), ("", "", "", "", "")),
        (("", "TWO"), ("", "TWO", "", "", "")),
        (("1", "2", "3", "4", "5"), ("1", "2", "3", "4", "5")),
        (("1", "", "", "", "5"), ("1", "", "", "", "5")),
    ):
        found = composed(record(addresses=(replace(HOME, lines=lines),)))
        assert found.details.addresses[0].lines == expected
        assert found.repairs == ()


@pytest.mark.rule("SMSP-ERR-006")
def test_lines_after_the_fifth_are_dropped_and_the_loss_recorded() -> None:
    found = composed(record(addresses=(replace(HOME, lines=("1", "2", "3", "4", "5", "6")),)))
    assert found.details.addresses[0].lines == ("1", "2", "3", "4", "5")
    assert found.repairs == (Repair("addr H", "more than five lines, rest dropped"),)


def telecoms(*given: Telecom) -> list[tuple[str | None, str]]:
    found = composed(record(telecoms=given))
    assert found.repairs == ()
    return [(telecom.use, telecom.value) for telecom in found.details.telecoms]


def test_home_and_mobile_telephones_are_all_given_as_pds_has_them() -> None:
    given = [Telecom((use,), f"tel:0113{use}") for use in ("H", "HP", "MC", "H")]
    assert telecoms(*given) == [("H", "tel:0113H"), ("HP", "tel:0113HP"), ("MC", "tel:0113MC"), ("H", "tel:0113H")]


def test_e_mail_is_given_whatever_its_use() -> None:
    for use in ("H", "HV", "WP", "EC"):
        assert telecoms(Telecom((use,), "mailto:someone@example.org")) == [(use, "mailto:someone@example.org")]
    assert telecoms(Telecom((), "mailto:someone@example.org")) == [(None, "mailto:someone@example.org")]


def test_of_several_uses_the_one_that_is_served_is_written() -> None:
    assert telecoms(Telecom(("WP", "H"), "tel:0113")) == [("H", "tel:0113")]
    assert telecoms(Telecom(("XX", "WP"), "mailto:someone@example.org")) == [("WP", "mailto:someone@example.org")]


def test_a_use_the_response_schema_does_not_know_is_left_out_and_the_loss_recorded() -> None:
    found = composed(record(telecoms=(Telecom(("XX",), "mailto:someone@example.org"),)))
    assert found.details.telecoms == (ResponseTelecom(None, "mailto:someone@example.org"),)
    assert found.repairs == (Repair("telecom", "unknown use, left out"),)


def test_telephones_of_other_uses_and_other_schemes_are_not_given() -> None:
    for use in ("WP", "HV", "AS", "EC", "PG"):
        assert telecoms(Telecom((use,), "tel:01130000000")) == []
    assert telecoms(Telecom((), "tel:01130000000")) == []
    for scheme in ("fax", "textphone", "http", "x-tel"):
        assert telecoms(Telecom(("H",), f"{scheme}:01130000000")) == []


def test_empty_telecoms_are_not_given() -> None:
    for value in ("", " ", "tel", "tel:", "tel: ", "mailto:", "mailto: ", "01130000000"):
        assert telecoms(Telecom(("H",), value)) == []


def test_telecoms_that_are_not_current_are_not_given() -> None:
    for validity in NOT_CURRENT:
        assert details(record(telecoms=(Telecom(("H",), "tel:01130000000", validity),))).telecoms == ()


@pytest.mark.rule("SMSP-ERR-006")
def test_a_telecom_the_schema_refuses_is_dropped_and_the_loss_recorded_without_its_value() -> None:
    found = composed(record(telecoms=(Telecom(("H",), "tel:0113%zz"), Telecom(("H",), "tel:0113"))))
    assert [telecom.value for telecom in found.details.telecoms] == ["tel:0113"]
    (repair,) = found.repairs
    assert repair.field == "telecom"
    assert "0113" not in repair.action


def test_a_gender_outside_the_vocabulary_is_dropped_and_the_loss_recorded() -> None:
    for gender in ("3", "", "M", "12"):
        found = composed(record(gender=gender))
        assert found.details.gender is None
        assert found.repairs == (Repair("administrativeGenderCode", "not in the vocabulary, dropped"),)
    for known in ("0", "1", "2", "9", None):
        found = composed(record(gender=known))
        assert found.details.gender == known
        assert found.repairs == ()


@pytest.mark.rule("SMSP-PDS-007")
def test_dates_are_truncated_and_keep_a_coarse_precision() -> None:
    for text, expected in (
        ("201405121530", "20140512"),
        ("2014051200", "20140512"),
        ("201405", "201405"),
        ("2014", "2014"),
    ):
        found = details(record(birth_time=text, deceased_time=text))
        assert found.date_of_birth == found.date_of_death == HL7Date(expected)


def test_absent_and_blank_dates_are_left_out() -> None:
    for text in (None, "", " "):
        found = details(record(birth_time=text, deceased_time=text))
        assert (found.date_of_birth, found.date_of_death) == (None, None)


@pytest.mark.rule("SMSP-VAL-004", "SMSP-ERR-006")
def test_dates_that_are_no_dates_make_the_record_unusable_and_are_not_quoted() -> None:
    for text in ("20140532", "2.01206E+11", "19", "2014051"):
        for field, held in (("birthTime", record(birth_time=text)), ("deceasedTime", record(deceased_time=text))):
            with pytest.raises(UnusableRecord) as caught:
                composed(held)
            assert caught.value.field == str(caught.value) == field
            assert caught.value.__suppress_context__


def test_the_current_practice_is_given_and_the_first_of_several() -> None:
    current, other = Practice(" Z99999 "), Practice("Z88888")
    assert details(record(practices=())).practice is None
    for validity in NOT_CURRENT:
        assert composed(record(practices=(replace(other, validity=validity), current))).details == details(record())
    blank = composed(record(practices=(Practice("  "), current)))
    assert blank.details == details(record())
    assert blank.repairs == (Repair("gPPractice", "without a code, dropped"),)
    found = composed(record(practices=(current, other)))
    assert found.details.practice == "Z99999"
    assert found.repairs == (Repair("gPPractice", "several current practices, first taken", truncation=True),)


@pytest.mark.rule("SMSP-PDS-006")
def test_a_sensitive_record_loses_address_telecom_and_practice_and_nothing_else() -> None:
    plain = details(record())
    for code in ("S", "B", "R", "Y", "V", "something new"):
        found = details(record(confidentiality=("N", code)))
        assert found == replace(plain, addresses=(), telecoms=(), practice=None)
    for codes in ((), ("N",), ("",)):
        assert details(record(confidentiality=codes)) == plain
