"""Import of patients from a file in the column layout of the public Opentest population.

Source: the layout and its odd rows are described with the test data (``itk/testdata/README.md``). What cannot be
understood is reported by line and field, and the rest is loaded: a file of patients is a tool, not a message.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from smsp_provider.simulator.patients import PatientStore, fold
from smsp_provider.simulator.records import Span, SpineAddress, SpineName, SpinePatient, SpinePractice, SpineTelecom
from smsp_provider.simulator.trace import is_new_style

__all__ = ["COLUMNS", "LoadReport", "NotAPatientFile", "list_patients", "load_file", "read_rows"]

COLUMNS: Final = (
    "NHS_NUMBER",
    "DATE_OF_BIRTH",
    "DATE_OF_DEATH",
    "FAMILY_NAME",
    "GIVEN_NAME",
    "OTHER_GIVEN_NAME",
    "TITLE",
    "GENDER",
    "ADDRESS_LINE_1",
    "ADDRESS_LINE_2",
    "ADDRESS_LINE_3",
    "ADDRESS_LINE_4",
    "ADDRESS_LINE_5",
    "PAF_KEY",
    "SENSITIVE_FLAG",
    "PRIMARY_CARE_CODE",
    "POST_CODE",
    "Notes",
)
"""What a file must have; further columns are ignored."""

_GENDERS: Final = {"male": "1", "female": "2", "not known": "0", "indeterminate": "9"}
_DAMAGED: Final = re.compile(r"([0-9])\.([0-9]+)E\+([0-9]{1,2})")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,14}")
_TELECOM: Final = re.compile(r'"(tel:[^"]*)"')
_PREVIOUSLY: Final = "Previously "


class NotAPatientFile(ValueError):
    """The file is not a table with the needed columns, or not text."""


@dataclass(slots=True)
class LoadReport:
    """What came of an import.

    ``problems`` name line and field of what was left out, never the value.
    """

    loaded: int = 0
    superseded: int = 0
    invalidated: int = 0
    sensitive: int = 0
    deceased: int = 0
    with_history: int = 0
    problems: list[str] = field(default_factory=list)


def load_file(store: PatientStore, path: Path) -> LoadReport:
    """Import a file into the store; patients with the same number are replaced.

    Raises:
        NotAPatientFile: see there; nothing is imported.
        OSError: the file cannot be read.
    """
    report = LoadReport()
    patients = list(read_rows(_rows(path), report))
    store.add_all(patients)
    report.loaded = len(patients)
    report.superseded = sum(patient.superseded_by is not None for patient in patients)
    report.invalidated = sum(patient.invalidated for patient in patients)
    report.sensitive = sum(patient.confidentiality is not None for patient in patients)
    report.deceased = sum(patient.deceased_time is not None for patient in patients)
    report.with_history = sum(len(patient.names) > 1 for patient in patients)
    return report


def list_patients(
    store: PatientStore, limit: int = 100, after: str = "", family: str | None = None
) -> Iterator[Mapping[str, str]]:
    """Patients in order of number as mappings of column to text, for a list on a screen."""
    for row in store.page(limit, after, family):
        yield {name: getattr(row, name) for name in row.__slots__}


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, restval="")
            missing = set(COLUMNS) - set(table.fieldnames or ())
            if missing:
                raise NotAPatientFile(f"{path.name} has no column {min(missing)}")
            return [{column: row[column] for column in COLUMNS} for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotAPatientFile(f"{path.name} is not a table: {type(error).__name__}") from None


def read_rows(rows: Iterable[Mapping[str, str]], report: LoadReport) -> Iterator[SpinePatient]:
    """The patients of a table; what is left out is added to the report."""
    read = [(line, row, _patient(line, row, report)) for line, row in enumerate(rows, 2)]
    successors = _successors([(row, patient) for _, row, patient in read if patient is not None])
    seen: set[str] = set()
    for line, row, patient in read:
        if patient is None:
            continue
        if patient.nhs_number in seen:
            report.problems.append(f"line {line}: NHS_NUMBER stands in an earlier line too")
            continue
        seen.add(patient.nhs_number)
        if _is_superseded(row):
            successor = successors.get(_identity(patient))
            if successor is None:
                report.problems.append(f"line {line}: Superseded, but not one other row is the same person")
            yield replace(patient, superseded_by=successor)
        else:
            yield patient


def _is_superseded(row: Mapping[str, str]) -> bool:
    return row["Notes"].strip() == "Superseded"


def _identity(patient: SpinePatient) -> tuple[str, str | None, str | None]:
    return fold(patient.names[0].family or ""), patient.gender, patient.birth_time


def _successors(read: list[tuple[Mapping[str, str], SpinePatient]]) -> dict[tuple[str, str | None, str | None], str]:
    """The one living number of each person, by surname, gender and date of birth; nobody where there are several."""
    living: dict[tuple[str, str | None, str | None], list[str]] = defaultdict(list)
    for row, patient in read:
        if not _is_superseded(row):
            living[_identity(patient)].append(patient.nhs_number)
    return {person: numbers[0] for person, numbers in living.items() if len(numbers) == 1}


def _patient(line: int, row: Mapping[str, str], report: LoadReport) -> SpinePatient | None:
    number = row["NHS_NUMBER"].strip()
    if not is_new_style(number):
        report.problems.append(f"line {line}: NHS_NUMBER is not valid")
        return None
    gender = _GENDERS.get(row["GENDER"].strip().lower())
    if gender is None and row["GENDER"].strip():
        report.problems.append(f"line {line}: GENDER is not one of {', '.join(_GENDERS)}")
    flag = row["SENSITIVE_FLAG"].strip().upper()
    if flag not in ("", "S", "I"):
        report.problems.append(f"line {line}: SENSITIVE_FLAG is neither S nor I")
    died = _date(line, "DATE_OF_DEATH", row, report)
    telecom = _TELECOM.search(row["Notes"])
    practice = row["PRIMARY_CARE_CODE"].strip()
    return SpinePatient(
        number,
        names=_names(row),
        gender=gender,
        birth_time=_date(line, "DATE_OF_BIRTH", row, report),
        deceased_time=died,
        death_status=None if died is None else "2",
        addresses=_addresses(row),
        telecoms=() if telecom is None else (SpineTelecom("H", telecom.group(1)),),
        practices=(SpinePractice(practice),) if practice else (),
        confidentiality="S" if flag == "S" else None,
        invalidated=flag == "I",
    )


def _date(line: int, column: str, row: Mapping[str, str], report: LoadReport) -> str | None:
    """The date as it stands, whatever its precision; a number that a spreadsheet wrote in exponents is undone."""
    value = row[column].strip()
    if not value:
        return None
    damaged = _DAMAGED.fullmatch(value)
    if damaged is not None:
        # Only the digits before the exponent are known: of a date with a time the year and the month have survived.
        return (damaged.group(1) + damaged.group(2))[:6]
    if _TIMESTAMP.fullmatch(value) is None:
        report.problems.append(f"line {line}: {column} is not a date")
        return None
    return value


def _names(row: Mapping[str, str]) -> tuple[SpineName, ...]:
    given = tuple(row[column].strip() for column in ("GIVEN_NAME", "OTHER_GIVEN_NAME") if row[column].strip())
    usual = SpineName("L", row["FAMILY_NAME"].strip(), given, prefix=row["TITLE"].strip() or None)
    notes = row["Notes"].strip()
    if not notes.startswith(_PREVIOUSLY):
        return (usual,)
    *former_given, former_family = notes.removeprefix(_PREVIOUSLY).split()
    # The file does not say when the name changed: it has ended, that is all that is known.
    former = SpineName("L", former_family, tuple(former_given), period=Span(high="20100101"))
    return usual, former


def _addresses(row: Mapping[str, str]) -> tuple[SpineAddress, ...]:
    lines = tuple(row[f"ADDRESS_LINE_{number}"].strip() for number in range(1, 6))
    postcode = row["POST_CODE"].strip() or None
    if not any(lines) and postcode is None:
        return ()
    return (SpineAddress("H", lines, postcode, row["PAF_KEY"].strip() or None),)
