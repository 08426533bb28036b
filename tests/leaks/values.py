"""What must not be found: everybody of the synthetic population, and of the Opentest file where it is at hand.

Some of it are words that also mean something else, so there are rules:

- a number of ten digits with a right check digit that begins with 9 is an NHS number, known or not, as tests make them;
  but within a hexadecimal id of 32 digits or more (a UUID, a digest) only one of somebody known: among thousands of
  random ids some hold such digits by chance;
- a forename alone is nothing, nor is a family name of less than six letters, or one that also stands somewhere in the
  source or the documents of this project; any family name counts in one line with a forename of the same person;
- an address line counts whole, and has two words of which one is a number, or three, and not numbers alone;
- a telephone number has ten digits;
- a postcode counts as a word of its own, with or without its blank.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from smsp_provider.simulator.population import patients
from smsp_provider.simulator.records import SpineAddress, SpineName, SpinePatient

__all__ = ["OPENTEST", "ROOT", "TOKEN", "WORD", "Values", "compact", "known_values", "words_of"]

ROOT: Final = Path(__file__).resolve().parents[2]
OPENTEST: Final = ROOT.parent / "shared" / "spec" / "itk" / "testdata" / "opentest-patients.csv"

TOKEN: Final = re.compile(r"[^\W_]+")
WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_SHORTEST_FAMILY: Final = 6
_LEAST_WORDS_WITH_A_NUMBER: Final = 2
_LEAST_WORDS: Final = 3
_SHORTEST_PHONE: Final = 10
_TEXTS: Final = (("src", "*.py"), ("src", "*.j2"), ("docs", "*.md"), ("docs", "*.toml"), ("config", "*"))
_PEOPLE: Final = ("population", "data")
"""Folders whose files are about people: they are no evidence that a name is also another word."""


@dataclass(slots=True)
class Values:
    """Everything to look for, in the form in which it is compared."""

    numbers: set[str] = field(default_factory=set)
    postcodes: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    lines: dict[str, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))
    """Address lines, as words, by the first one."""
    given: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Forenames by family name."""
    families: set[str] = field(default_factory=set)
    """Family names that are nothing else."""

    def count(self) -> int:
        """How many values there are."""
        lines = sum(map(len, self.lines.values()))
        return len(self.numbers) + len(self.postcodes) + len(self.phones) + lines + sum(map(len, self.given.values()))

    def add_name(self, family: str | None, given: Iterable[str]) -> None:
        if family:
            self.given[family.casefold()].update(one.casefold() for one in given if one)

    def add_address(self, lines: Iterable[str | None], postcode: str | None) -> None:
        if postcode:
            self.postcodes.add(compact(postcode))
        for line in lines:
            words = tuple(TOKEN.findall((line or "").casefold()))
            is_numbered = any(word[0].isdigit() for word in words)
            # Numbers alone are also moments: 40:42 is a time in every hour.
            if all(word.isdigit() for word in words):
                continue
            if len(words) >= (_LEAST_WORDS_WITH_A_NUMBER if is_numbered else _LEAST_WORDS):
                self.lines[words[0]].add(words)

    def add_phone(self, value: str) -> None:
        digits = re.sub(r"\D", "", value)
        if len(digits) >= _SHORTEST_PHONE:
            self.phones.add(digits)


def compact(text: str) -> str:
    """Without blanks, in upper case."""
    return "".join(text.split()).upper()


def words_of(text: str) -> Iterator[str]:
    """The words of a text, as they are compared."""
    return (found[0].casefold() for found in WORD.finditer(text))


def known_values() -> Values:
    """The values of everybody."""
    values = Values()
    for patient in patients():
        _add(values, patient)
    if OPENTEST.exists():
        with OPENTEST.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                values.numbers.add(row["NHS_NUMBER"])
                values.add_name(row["FAMILY_NAME"], (row["GIVEN_NAME"], *row["OTHER_GIVEN_NAME"].split()))
                values.add_address((row[f"ADDRESS_LINE_{number}"] for number in range(1, 6)), row["POST_CODE"])
    ordinary = _ordinary_words()
    values.families = {name for name in values.given if len(name) >= _SHORTEST_FAMILY and name not in ordinary}
    return values


def _add(values: Values, patient: SpinePatient) -> None:
    related = patient.related
    values.numbers.add(patient.nhs_number)
    names: list[SpineName] = [*patient.names, *(one.name for one in related)]
    addresses: list[SpineAddress | None] = [*patient.addresses, *(one.address for one in related)]
    phones = [*patient.telecoms, *(one.telecom for one in related if one.telecom is not None)]
    for name in names:
        values.add_name(name.family, name.given)
    for address in addresses:
        if address is not None:
            values.add_address(address.lines, address.postcode)
    for phone in phones:
        values.add_phone(phone.value)


def _ordinary_words() -> set[str]:
    found: set[str] = set()
    for folder, pattern in _TEXTS:
        for file in (ROOT / folder).rglob(pattern):
            if file.is_file() and not set(file.parts).intersection(_PEOPLE):
                found.update(words_of(file.read_text(encoding="utf-8")))
    return found
