"""What a file of patients in the Opentest layout must lead to, worked out from its rows alone.

Nothing of the provider's or the embedded Spine's matching is used: this is the third opinion. Source: the README beside
the Opentest file (flags, notes, collisions) and pds-services.md (rules of each service).
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from smsp_provider.domain.masking import Masked
from smsp_provider.domain.requests import RequestFields
from smsp_provider.domain.service import Service

__all__ = ["Expectation", "PatientRow", "UnreadableRows", "expectations", "read_rows"]

SUCCESS: Final = "SMSP-0000"
_INVALID: Final = "SMSP-0001"
_NO_WAY: Final = "SMSP-9999"
_NO_MATCH: Final = "DEMOG-0001"
_SEVERAL: Final = "DEMOG-0007"
_SUPERSEDED: Final = "DEMOG-0017"
_INVALIDATED: Final = "DEMOG-0022"

_GENDERS: Final = {"Male": "1", "Female": "2", "Not known": "0", "Indeterminate": "9"}
_FULL_DATE: Final = 8
_SHORTEST_VERIFIED: Final = 3
_INWARD_PART: Final = 3
_POSTCODE: Final = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2}")

_VERIFY: Final = Service.VERIFY_NHS_NUMBER
_NUMBER: Final = Service.GET_NHS_NUMBER
_BY_NUMBER: Final = Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER
_BY_SEARCH: Final = Service.GET_PATIENT_DETAILS_BY_SEARCH
_DETAILS: Final = Service.GET_PATIENT_DETAILS


class UnreadableRows(ValueError):
    """The file is not a table in the Opentest layout."""


@dataclass(frozen=True, slots=True, repr=False)
class PatientRow(Masked):
    """A row as far as it matters here: ``born`` is cut to the day, ``flag`` S, I or empty, ``gender`` a code.

    ``living`` is the number that answers for a superseded row, the row's own otherwise.
    """

    nhs_number: str
    born: str
    family: str
    given: str
    gender: str
    postcode: str
    flag: str
    notes: str
    lines: tuple[str, ...]
    practice: str
    living: str = ""

    @property
    def is_superseded(self) -> bool:
        """Whether another row's number replaced this one."""
        return self.living != self.nhs_number

    @property
    def searchable_postcode(self) -> str:
        """The postcode as a caller would write it: with its blank; empty where there is none."""
        if _POSTCODE.fullmatch(self.postcode) or not self.postcode:
            return self.postcode
        return f"{self.postcode[:-_INWARD_PART]} {self.postcode[-_INWARD_PART:]}"

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing special about it."""
        return not self.flag and not self.notes and len(self.born) == _FULL_DATE


@dataclass(frozen=True, slots=True, repr=False)
class Expectation(Masked):
    """One call and what must come back: ``code``, and the NHS number where there is a patient in the answer.

    ``variant`` is the column of the table, ``row`` the patient asked for, ``holder`` whose details may come back.
    """

    service: Service
    variant: str
    fields: RequestFields
    code: str
    row: PatientRow
    nhs_number: str | None = None
    holder: PatientRow | None = None


def read_rows(path: Path) -> list[PatientRow]:
    """The rows of a file.

    Raises:
        OSError: it cannot be read.
        UnreadableRows: a column is missing, or it is no text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [_row(record) for record in csv.DictReader(file)]
    except (KeyError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise UnreadableRows(f"not a table in the Opentest layout ({type(error).__name__}: {error})") from None
    living = {_person(row): row.nhs_number for row in rows if row.notes != "Superseded"}
    return [
        replace(row, living=living.get(_person(row), row.nhs_number) if row.notes == "Superseded" else row.nhs_number)
        for row in rows
    ]


def _row(record: Mapping[str, str]) -> PatientRow:
    return PatientRow(
        nhs_number=record["NHS_NUMBER"].strip(),
        born=record["DATE_OF_BIRTH"].strip()[:_FULL_DATE],
        family=record["FAMILY_NAME"].strip(),
        given=record["GIVEN_NAME"].strip(),
        gender=_GENDERS[record["GENDER"].strip()],
        postcode=record["POST_CODE"].strip(),
        flag=record["SENSITIVE_FLAG"].strip(),
        notes=record["Notes"].strip(),
        lines=tuple(record[f"ADDRESS_LINE_{number}"].strip() for number in range(1, 6)),
        practice=record["PRIMARY_CARE_CODE"].strip(),
    )


_Key = tuple[str, ...]


def _person(row: PatientRow) -> _Key:
    return row.family.upper(), row.gender, row.born


def _forename(row: PatientRow) -> _Key:
    return (*_person(row), row.given.upper())


def _address(row: PatientRow) -> _Key:
    return (*_forename(row), row.searchable_postcode)


@dataclass(frozen=True, slots=True)
class _Crowd:
    """How many living, findable people share what is asked for; a number's row."""

    persons: Counter[_Key] = field(default_factory=Counter)
    forenames: Counter[_Key] = field(default_factory=Counter)
    addresses: Counter[_Key] = field(default_factory=Counter)
    rows: dict[str, PatientRow] = field(default_factory=dict)


def _crowd(rows: list[PatientRow]) -> _Crowd:
    crowd = _Crowd()
    for row in rows:
        crowd.rows[row.nhs_number] = row
        if row.flag != "I" and not row.is_superseded:
            crowd.persons[_person(row)] += 1
            crowd.forenames[_forename(row)] += 1
            # Nobody is found by the address of a sensitive record, nor by a postcode that PDS holds in another form.
            if row.flag != "S" and row.postcode == row.searchable_postcode:
                crowd.addresses[_address(row)] += 1
    return crowd


def expectations(rows: list[PatientRow]) -> Iterator[Expectation]:
    """Eight calls for every row, and one more where a surname is too short to verify or a date is partial."""
    crowd = _crowd(rows)
    for row in rows:
        yield from _by_number(row, crowd)
        yield from _searches(row, crowd)
        yield from _oddities(row, crowd)


def _by_number(row: PatientRow, crowd: _Crowd) -> Iterator[Expectation]:
    # A surname of one or two letters is left out, because sending it is an error.
    family = row.family if len(row.family) >= _SHORTEST_VERIFIED else None
    fields = RequestFields(row.born, None, row.nhs_number, family, row.given)
    for service in (_VERIFY, _BY_NUMBER):
        code = SUCCESS
        if len(row.born) != _FULL_DATE:
            code = _INVALID
        elif row.flag == "I":
            code = _INVALIDATED
        elif row.is_superseded:
            code = _SUPERSEDED
        yield _answered(Expectation(service, "by number", fields, code, row), crowd)


def _searches(row: PatientRow, crowd: _Crowd) -> Iterator[Expectation]:
    bare = RequestFields(row.born, row.gender, None, row.family)
    named = replace(bare, given=row.given)
    full = replace(named, postcode=row.searchable_postcode or None)
    for service in (_NUMBER, _BY_SEARCH, _DETAILS):
        first = named if service is _DETAILS else bare
        several = crowd.forenames[_forename(row)] if service is _DETAILS else crowd.persons[_person(row)]
        yield _answered(Expectation(service, "(a)", first, _search_code(row, service, several), row), crowd)
        # Without a postcode on the row there is none to send.
        located = crowd.addresses[_address(row)] if row.postcode else crowd.forenames[_forename(row)]
        yield _answered(Expectation(service, "(b)", full, _search_code(row, service, located), row), crowd)


def _search_code(row: PatientRow, service: Service, several: int) -> str:
    if len(row.born) != _FULL_DATE:
        # A partial date needs the advanced trace, for which the synchronous upstream has no query.
        return _NO_WAY if service is _NUMBER else _INVALID
    if several > 1:
        return _SEVERAL
    return SUCCESS if several == 1 else _NO_MATCH


def _oddities(row: PatientRow, crowd: _Crowd) -> Iterator[Expectation]:
    if len(row.family) < _SHORTEST_VERIFIED:
        sent = RequestFields(row.born, None, row.nhs_number, row.family, row.given)
        yield Expectation(_VERIFY, "short surname sent", sent, _INVALID, row)
    if len(row.born) == len("YYYYMM"):
        # A day of the month that PDS knows: two of three parts and both names verify, and a search is as coarse as PDS.
        whole = RequestFields(f"{row.born}01", None, row.nhs_number, row.family, row.given)
        yield _answered(Expectation(_VERIFY, "whole date sent", whole, SUCCESS, row), crowd)
        yield _answered(Expectation(_BY_NUMBER, "whole date sent", whole, SUCCESS, row), crowd)
        search = RequestFields(f"{row.born}01", row.gender, None, row.family, row.given)
        yield _answered(Expectation(_NUMBER, "whole date sent", search, SUCCESS, row), crowd)
        yield _answered(Expectation(_BY_SEARCH, "whole date sent", search, SUCCESS, row), crowd)


def _answered(expected: Expectation, crowd: _Crowd) -> Expectation:
    """With the number and the holder that go with its code."""
    if expected.code not in (SUCCESS, _SUPERSEDED):
        return expected
    living = expected.row.living
    return replace(expected, nhs_number=living, holder=crowd.rows[living])
