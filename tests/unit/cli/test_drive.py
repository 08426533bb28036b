"""The drive's own judgement: expectations from rows alone, and that no wrong answer passes."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from reference import shared_file
from smsp_provider.cli.drive import DriveReport, Judgement, judge
from smsp_provider.cli.expectations import Expectation, PatientRow, UnreadableRows, expectations, read_rows
from smsp_provider.cli.itk_answer import AddressSeen, FaultSeen, PatientSeen, ServiceAnswer
from smsp_provider.cli.outcome_table import print_outcomes
from smsp_provider.domain.service import Service

VERIFY, GET = Service.VERIFY_NHS_NUMBER, Service.GET_NHS_NUMBER
BY_NUMBER, BY_SEARCH = Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER, Service.GET_PATIENT_DETAILS_BY_SEARCH
DETAILS = Service.GET_PATIENT_DETAILS
OTHER = "9990000026"


def row(number: str = "9990000018", **changes: str) -> PatientRow:
    plain = PatientRow(
        nhs_number=number,
        born="19710523",
        family="QUILLFEATHER",
        given="ORLA",
        gender="2",
        postcode="ZZ9 9ZZ",
        flag="",
        notes="",
        lines=("", "1 ROAD", "", "TOWN", ""),
        practice="Z99999",
        living=number,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # every change is of a text field


def codes(*rows: PatientRow) -> dict[tuple[str, Service, str], str]:
    return {(e.row.nhs_number, e.service, e.variant): e.code for e in expectations(list(rows))}


class TestExpectations:
    def test_a_plain_row_is_eight_successes(self) -> None:
        assert Counter(codes(row()).values()) == {"SMSP-0000": 8}

    def test_an_invalidated_row_is_found_by_nothing(self) -> None:
        found = codes(row(flag="I"))
        assert found["9990000018", VERIFY, "by number"] == "DEMOG-0022"
        assert found["9990000018", BY_NUMBER, "by number"] == "DEMOG-0022"
        assert Counter(found.values()) == {"DEMOG-0022": 2, "DEMOG-0001": 6}

    def test_a_sensitive_row_is_not_found_by_its_postcode(self) -> None:
        found = codes(row(flag="S"))
        assert {variant for (_, _, variant), code in found.items() if code == "DEMOG-0001"} == {"(b)"}
        assert Counter(found.values()) == {"SMSP-0000": 5, "DEMOG-0001": 3}

    def test_two_of_one_name_collide_until_something_tells_them_apart(self) -> None:
        found = codes(row(), row(OTHER, given="UNA", postcode="ZZ8 8ZZ"))
        for number in ("9990000018", OTHER):
            assert found[number, GET, "(a)"] == found[number, BY_SEARCH, "(a)"] == "DEMOG-0007"
            assert found[number, DETAILS, "(a)"] == found[number, GET, "(b)"] == "SMSP-0000"

    def test_two_who_share_everything_are_never_found(self) -> None:
        assert Counter(codes(row(), row(OTHER)).values()) == {"DEMOG-0007": 12, "SMSP-0000": 4}

    def test_a_superseded_row_leads_to_the_living_one(self) -> None:
        old = row(notes="Superseded", living=OTHER)
        expected = [e for e in expectations([old, row(OTHER)]) if e.row is old]
        assert {e.nhs_number for e in expected} == {OTHER}
        assert Counter(e.code for e in expected) == {"DEMOG-0017": 2, "SMSP-0000": 6}

    def test_a_postcode_without_its_blank_finds_nobody(self) -> None:
        found = codes(row(postcode="ZZ99ZZ"))
        assert found["9990000018", GET, "(b)"] == "DEMOG-0001"
        assert found["9990000018", GET, "(a)"] == "SMSP-0000"

    def test_a_short_surname_is_left_out_of_verify_and_sent_once(self) -> None:
        expected = list(expectations([row(family="NG")]))
        by_number = [e for e in expected if e.variant == "by number"]
        assert [(e.fields.family, e.code) for e in by_number] == [(None, "SMSP-0000")] * 2
        (sent,) = (e for e in expected if e.variant == "short surname sent")
        assert (sent.fields.family, sent.code) == ("NG", "SMSP-0001")

    def test_a_row_without_an_address_is_searched_without_a_postcode(self) -> None:
        expected = list(expectations([replace(row(postcode=""), lines=("",) * 5)]))
        assert {e.code for e in expected} == {"SMSP-0000"}
        assert all(e.fields.postcode is None for e in expected)

    def test_the_public_population_has_the_collisions_its_readme_tells_of(self) -> None:
        rows = read_rows(shared_file("spec/itk/testdata/opentest-patients.csv"))
        assert len(rows) == 689
        counts = Counter((e.service, e.variant, e.code) for e in expectations(rows))
        assert counts[GET, "(a)", "DEMOG-0007"] == counts[BY_SEARCH, "(a)", "DEMOG-0007"] == 9
        assert counts[GET, "(b)", "DEMOG-0007"] == counts[BY_SEARCH, "(b)", "DEMOG-0007"] == 2
        assert counts[VERIFY, "by number", "DEMOG-0017"] == 1
        assert counts[VERIFY, "by number", "DEMOG-0022"] == 4
        assert counts[VERIFY, "short surname sent", "SMSP-0001"] == 6

    def test_a_table_of_something_else_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "other.csv"
        file.write_text("a,b\n1,2\n")
        with pytest.raises(UnreadableRows):
            read_rows(file)


def details_of(asked: PatientRow) -> PatientSeen:
    return PatientSeen(
        (asked.nhs_number,),
        given=(asked.given, "X"),
        family=asked.family,
        addresses=(AddressSeen("H", asked.postcode, asked.lines),),
        gender=asked.gender,
        birth_time=asked.born,
        practice=asked.practice,
    )


def answer(code: str, patient: PatientSeen | None = None, response: bytes = b"") -> ServiceAnswer:
    return ServiceAnswer(code, patient, None, b"", response, 0.0)


EVERYBODY = frozenset({"9990000018", OTHER})


def expected_of(service: Service, *rows: PatientRow) -> Expectation:
    return next(e for e in expectations(list(rows) or [row()]) if e.service is service)


class TestJudgement:
    def test_the_right_answer_passes(self) -> None:
        judged = judge(expected_of(BY_NUMBER), answer("SMSP-0000", details_of(row())), EVERYBODY)
        assert judged.problems == ()
        assert not judged.names_other

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"family": "OTHER"}, "another surname"),
            ({"given": ("UNA",)}, "another forename"),
            ({"birth_time": "19710524"}, "another date of birth"),
            ({"gender": "1"}, "another gender"),
            ({"practice": "Y00001"}, "another practice"),
            ({"addresses": ()}, "another address"),
            ({"addresses": (AddressSeen("H", "ZZ1 1ZZ", row().lines),)}, "another postcode"),
            ({"addresses": (AddressSeen("H", "ZZ9 9ZZ", ("2 ROAD", "", "", "", "")),)}, "another address"),
        ],
    )
    def test_details_of_somebody_else_do_not(self, change: dict[str, object], problem: str) -> None:
        seen = replace(details_of(row()), **change)  # type: ignore[arg-type]  # the parameters are fields
        judged = judge(expected_of(BY_NUMBER), answer("SMSP-0000", seen), EVERYBODY)
        assert problem in judged.problems
        assert judged.names_other

    def test_another_number_does_not(self) -> None:
        judged = judge(expected_of(GET), answer("SMSP-0000", PatientSeen((OTHER,))), EVERYBODY)
        assert judged.names_other
        assert judged.problems

    def test_a_second_number_does_not(self) -> None:
        judged = judge(expected_of(GET), answer("SMSP-0000", PatientSeen(("9990000018", OTHER))), EVERYBODY)
        assert judged.names_other

    def test_another_number_anywhere_in_the_message_does_not(self) -> None:
        seen = PatientSeen(("9990000018",))
        judged = judge(expected_of(GET), answer("SMSP-0000", seen, b"<x>9990000026</x>"), EVERYBODY)
        assert judged.names_other
        inside = judge(expected_of(GET), answer("SMSP-0000", seen, b"<x>19990000026</x>"), EVERYBODY)
        assert not inside.names_other

    def test_a_success_without_a_patient_does_not(self) -> None:
        assert judge(expected_of(GET), answer("SMSP-0000"), EVERYBODY).problems

    def test_a_patient_where_there_must_be_none_does_not(self) -> None:
        expected = expected_of(GET, row(), row(OTHER))
        assert expected.code == "DEMOG-0007"
        assert judge(expected, answer("DEMOG-0007", PatientSeen(("9990000018",))), EVERYBODY).problems

    def test_another_code_and_a_fault_do_not(self) -> None:
        expected = expected_of(VERIFY)
        assert judge(expected, answer("DEMOG-0040"), EVERYBODY).problems[0] == "DEMOG-0040 instead of SMSP-0000"
        fault = ServiceAnswer(None, None, FaultSeen("soap:Client", "x", "1000"), b"", b"", 0.0)
        assert judge(expected, fault, EVERYBODY).problems == ("fault 1000 instead of SMSP-0000",)

    def test_location_of_a_sensitive_patient_does_not(self) -> None:
        sensitive = row(flag="S")
        expected = expected_of(BY_NUMBER, sensitive)
        bare = replace(details_of(sensitive), addresses=(), practice=None)
        assert judge(expected, answer("SMSP-0000", bare), EVERYBODY).problems == ()
        assert judge(expected, answer("SMSP-0000", details_of(sensitive)), EVERYBODY).problems


def test_the_table_counts_what_came_and_names_what_was_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = expected_of(VERIFY), expected_of(GET)
    report = DriveReport(
        [Judgement(first, "SMSP-0000"), Judgement(second, "DEMOG-0001", ("DEMOG-0001 instead of SMSP-0000",), True)],
        1.5,
    )
    print_outcomes(report)
    printed = capsys.readouterr().out
    assert "9990000018 QUILLFEATHER, getNHSNumber (a): DEMOG-0001 instead of SMSP-0000" in printed
    assert "2 answers in 1.5 s: 1 as expected, 1 not." in printed
    assert "other than the one asked for: 1." in printed
    assert report.naming_others == 1
