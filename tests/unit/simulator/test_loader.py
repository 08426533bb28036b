"""Import of patient tables: good lines, odd lines, and files that are something else."""

from pathlib import Path

import pytest

from smsp_provider.simulator.loader import COLUMNS, LoadReport, NotAPatientFile, list_patients, load_file
from smsp_provider.simulator.patients import PatientStore

ONE, TWO, THREE = "9990000018", "9990000026", "9990000034"


def table(path: Path, *rows: dict[str, str]) -> Path:
    plain = {"DATE_OF_BIRTH": "19800517", "FAMILY_NAME": "HARROWGATE", "GIVEN_NAME": "NESTA", "GENDER": "Female"}
    lines = [",".join(COLUMNS)]
    lines += [
        ",".join('"' + (plain | row).get(column, "").replace('"', '""') + '"' for column in COLUMNS) for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def loaded(tmp_path: Path, *rows: dict[str, str]) -> tuple[PatientStore, LoadReport]:
    store = PatientStore()
    return store, load_file(store, table(tmp_path / "patients.csv", *rows))


def test_every_column_stands_on_the_page_of_the_embedded_spine() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "simulator.md").read_text(encoding="utf-8")
    assert [column for column in COLUMNS if f"`{column}`" not in page] == []


def test_a_whole_line_becomes_a_whole_record(tmp_path: Path) -> None:
    row = {
        "NHS_NUMBER": ONE,
        "OTHER_GIVEN_NAME": "JUNE",
        "TITLE": "MS",
        "ADDRESS_LINE_2": "4 MILL ROW",
        "ADDRESS_LINE_4": "MARSKBY",
        "PAF_KEY": "12345",
        "POST_CODE": "ZZ10 1AA",
        "PRIMARY_CARE_CODE": "Z90001",
        "DATE_OF_DEATH": "20200131",
    }
    store, report = loaded(tmp_path, row)
    with store:
        patient = store.get(ONE)
        assert patient is not None
        name, address = patient.names[0], patient.addresses[0]
        assert (name.use, name.family, name.given, name.prefix) == ("L", "HARROWGATE", ("NESTA", "JUNE"), "MS")
        assert (address.use, address.lines) == ("H", ("", "4 MILL ROW", "", "MARSKBY", ""))
        assert (address.postcode, address.address_key) == ("ZZ10 1AA", "12345")
        assert (patient.gender, patient.birth_time, patient.deceased_time) == ("2", "19800517", "20200131")
        assert [practice.ods_code for practice in patient.practices] == ["Z90001"]
        assert report == LoadReport(loaded=1, deceased=1)


@pytest.mark.parametrize(
    ("word", "code"), [("Male", "1"), ("Female", "2"), ("Not known", "0"), ("Indeterminate", "9"), ("", None)]
)
def test_genders_are_words(tmp_path: Path, word: str, code: str | None) -> None:
    store, report = loaded(tmp_path, {"NHS_NUMBER": ONE, "GENDER": word})
    with store:
        found = store.get(ONE)
        assert found is not None
        assert found.gender == code
        assert report.problems == []


@pytest.mark.parametrize(
    ("written", "held"),
    [("2014051200", "2014051200"), ("201405", "201405"), ("2.01206E+11", "201206"), ("2.0120605E+13", "201206")],
)
def test_odd_dates_are_kept_and_damaged_ones_undone(tmp_path: Path, written: str, held: str) -> None:
    store, report = loaded(tmp_path, {"NHS_NUMBER": ONE, "DATE_OF_BIRTH": written, "DATE_OF_DEATH": written})
    with store:
        found = store.get(ONE)
        assert found is not None
        assert (found.birth_time, found.deceased_time) == (held, held)
        assert report.problems == []


def test_flags_and_notes(tmp_path: Path) -> None:
    store, report = loaded(
        tmp_path,
        {"NHS_NUMBER": ONE, "SENSITIVE_FLAG": "S", "Notes": '"tel: "'},
        {"NHS_NUMBER": TWO, "SENSITIVE_FLAG": "I", "FAMILY_NAME": "OTHER"},
        {"NHS_NUMBER": THREE, "FAMILY_NAME": "THIRD", "Notes": "Previously Ann Mary Oldname"},
    )
    with store:
        sensitive, invalidated, renamed = (store.get(number) for number in (ONE, TWO, THREE))
        assert sensitive is not None
        assert invalidated is not None
        assert renamed is not None
        assert sensitive.confidentiality == "S"
        assert [item.value for item in sensitive.telecoms] == ["tel: "]
        assert invalidated.invalidated
        former = renamed.names[1]
        assert (former.family, former.given) == ("Oldname", ("Ann", "Mary"))
        assert former.period.has_ended("20200101")
        assert (report.sensitive, report.invalidated, report.with_history) == (1, 1, 1)


def test_superseded_means_replaced_by_the_one_other_line_of_the_person(tmp_path: Path) -> None:
    store, report = loaded(tmp_path, {"NHS_NUMBER": ONE, "Notes": "Superseded"}, {"NHS_NUMBER": TWO})
    with store:
        old = store.get(ONE)
        assert old is not None
        assert old.superseded_by == TWO
        assert (report.superseded, report.problems) == (1, [])


@pytest.mark.parametrize("others", [(), (TWO, THREE)])
def test_superseded_by_nobody_or_by_several_is_reported(tmp_path: Path, others: tuple[str, ...]) -> None:
    rows = [{"NHS_NUMBER": number} for number in others]
    store, report = loaded(tmp_path, {"NHS_NUMBER": ONE, "Notes": "Superseded"}, *rows)
    with store:
        old = store.get(ONE)
        assert old is not None
        assert old.superseded_by is None
        assert report.problems == ["line 2: Superseded, but not one other row is the same person"]


def test_what_cannot_be_used_is_reported_without_its_value(tmp_path: Path) -> None:
    store, report = loaded(
        tmp_path,
        {"NHS_NUMBER": "9990000019"},
        {"NHS_NUMBER": ONE, "GENDER": "Secret", "SENSITIVE_FLAG": "X", "DATE_OF_BIRTH": "Tuesday"},
        {"NHS_NUMBER": ONE},
    )
    with store:
        assert store.count() == report.loaded == 1
    assert [problem.split(" is ")[0].split(" stands ")[0] for problem in report.problems] == [
        "line 2: NHS_NUMBER",
        "line 3: GENDER",
        "line 3: SENSITIVE_FLAG",
        "line 3: DATE_OF_BIRTH",
        "line 4: NHS_NUMBER",
    ]
    assert "Secret" not in str(report)
    assert "Tuesday" not in str(report)


@pytest.mark.parametrize("content", [b"", b"A,B\n1,2\n", "NHS_NUMBER\nM\u00c4RZ\n".encode("latin-1"), b"\x00\x01\xff"])
def test_what_is_no_patient_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with PatientStore() as store:
        with pytest.raises(NotAPatientFile):
            load_file(store, path)
        assert store.count() == 0


def test_patients_are_listed_in_pages_and_by_family(tmp_path: Path) -> None:
    store, _ = loaded(
        tmp_path,
        {"NHS_NUMBER": THREE, "FAMILY_NAME": "THIRD", "SENSITIVE_FLAG": "S", "POST_CODE": "ZZ10 1AA"},
        {"NHS_NUMBER": ONE},
        {"NHS_NUMBER": TWO, "SENSITIVE_FLAG": "I"},
    )
    with store:
        assert [row["nhs_number"] for row in list_patients(store, limit=2)] == [ONE, TWO]
        assert [row["nhs_number"] for row in list_patients(store, limit=2, after=TWO)] == [THREE]
        (third,) = list_patients(store, family="third")
        assert third == {
            "nhs_number": THREE,
            "family": "THIRD",
            "given": "NESTA",
            "birth_time": "19800517",
            "gender": "2",
            "postcode": "ZZ10 1AA",
            "state": "sensitive S",
        }
