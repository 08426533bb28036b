"""The requirement table: what is asked, how it is met, which tests prove it, with their result in this run.

The catalogue is a TOML file of our own words (``docs/reference/requirements.toml``). The results are JUnit XML in which
a test names its requirements by properties called ``rule``: the project's own tests (``-p requirement_results``) and
the runs of this harness alike. A MUST with neither a passing test nor a documented reason is a gap, and so is a failed
test.
"""

import csv
import io
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lxml import etree

from smsp_provider.conformance.datafiles import environment

__all__ = [
    "LEVELS",
    "STATUSES",
    "Catalogue",
    "EvidenceItem",
    "InvalidCatalogue",
    "Requirement",
    "Row",
    "Table",
    "read_catalogue",
    "table_of",
]

LEVELS: Final = ("MUST", "SHOULD", "MAY")
STATUSES: Final = ("met", "partly", "not yet", "not taken", "deployment")
_UNBUILT: Final = ("not yet", "not taken")
_COLUMNS: Final = ("id", "level", "area", "status", "says", "how", "passed", "failed", "tests", "documents", "settings")


class InvalidCatalogue(ValueError):
    """The catalogue or a file of results cannot be used; the text says which row."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A row of the catalogue. ``reason`` says why no test is needed, or why there is none yet."""

    id: str
    level: str
    area: str
    says: str
    status: str
    how: str
    documents: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """A piece of the assurance file that a deployer hands over."""

    topic: str
    what: str
    status: str
    documents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All requirements and pieces of evidence."""

    requirements: tuple[Requirement, ...]
    evidence: tuple[EvidenceItem, ...]


@dataclass(slots=True)
class _Results:
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """A requirement with the tests of this run; a test stands once, however often it ran with other values."""

    requirement: Requirement
    passed: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def gap(self) -> str:
        """Why the row fails a run; empty where it does not."""
        if self.failed:
            return f"{len(self.failed)} tests failed"
        if self.passed and self.requirement.status in _UNBUILT:
            return f"tests prove it, and the catalogue says {self.requirement.status}: bring the row up to date"
        if self.passed or self.requirement.reason or self.requirement.level != "MUST":
            return ""
        return "neither a passing test nor a documented reason"


@dataclass(frozen=True, slots=True)
class Table:
    """All rows; ``unknown`` are ids that tests name and the catalogue does not have."""

    rows: tuple[Row, ...]
    evidence: tuple[EvidenceItem, ...]
    unknown: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]

    def gaps(self) -> Iterator[str]:
        """One line for each gap, and for each id that nobody knows."""
        for row in self.rows:
            if row.gap:
                yield f"{row.requirement.id}: {row.gap}"
        for rule in self.unknown:
            yield f"{rule}: tests name it, the catalogue does not"

    def count(self, status: str) -> int:
        """How many requirements have a status."""
        return sum(1 for row in self.rows if row.requirement.status == status)

    def html(self) -> str:
        """The table as one page."""
        return environment().get_template("requirements.html.j2").render(table=self, statuses=STATUSES)

    def csv(self) -> str:
        """The table as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            one = row.requirement
            tests = "; ".join((*row.passed, *row.failed)) or one.reason
            writer.writerow(
                (
                    *(one.id, one.level, one.area, one.status, one.says, one.how),
                    *(len(row.passed), len(row.failed), tests),
                    *("; ".join(one.documents), "; ".join(one.settings)),
                )
            )
        return text.getvalue()


def read_catalogue(file: Path, root: Path) -> Catalogue:
    """The catalogue; documents are paths below ``root``.

    Raises:
        InvalidCatalogue: it cannot be read, a row says something that none can, or a document is not there.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        rows = tuple(_requirement(table) for table in tables.get("requirement", ()))
        evidence = tuple(EvidenceItem(**_tuples(table)) for table in tables.get("evidence", ()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise InvalidCatalogue(f"{file}: {error}") from None
    ids = [row.id for row in rows]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    named = {name for row in rows for name in row.documents} | {name for item in evidence for name in item.documents}
    missing = sorted(document for document in named if not (root / document).is_file())
    if twice or missing:
        raise InvalidCatalogue(f"{file}: {', '.join((*twice, *missing))}: given twice, or a document that is not there")
    return Catalogue(rows, evidence)


def _requirement(table: Mapping[str, Any]) -> Requirement:
    row = Requirement(**_tuples(table))
    if row.level not in LEVELS or row.status not in STATUSES:
        raise ValueError(f"{row.id}: no such level or status")
    if row.status in ("not yet", "deployment", "not taken") and not row.reason:
        raise ValueError(f"{row.id}: {row.status}, without a reason")
    return row


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def table_of(catalogue: Catalogue, results: Sequence[Path], facts: Iterable[tuple[str, str]] = ()) -> Table:
    """The table for the results in JUnit files.

    Raises:
        InvalidCatalogue: a file of results is not JUnit XML.
    """
    found: dict[str, _Results] = {}
    for file in results:
        _read_results(file, found)
    rows = tuple(_row(requirement, found.get(requirement.id, _Results())) for requirement in catalogue.requirements)
    unknown = tuple(sorted(found.keys() - {requirement.id for requirement in catalogue.requirements}))
    return Table(rows, catalogue.evidence, unknown, tuple(facts))


def _row(requirement: Requirement, results: _Results) -> Row:
    failed = tuple(sorted(set(results.failed)))
    return Row(requirement, tuple(sorted(set(results.passed) - set(failed))), failed)


def _read_results(file: Path, found: dict[str, _Results]) -> None:
    try:
        root = etree.parse(file, etree.XMLParser(resolve_entities=False, no_network=True)).getroot()
    except (OSError, etree.XMLSyntaxError) as error:
        raise InvalidCatalogue(f"{file}: {error}") from None
    for case in root.iter("testcase"):
        if case.find("skipped") is not None:
            continue
        # A parametrised test is one test in the table.
        name = f"{case.get('classname')}.{(case.get('name') or '').partition('[')[0]}"
        is_bad = case.find("failure") is not None or case.find("error") is not None
        for rule in case.iterfind("properties/property[@name='rule']"):
            results = found.setdefault(rule.get("value") or "", _Results())
            (results.failed if is_bad else results.passed).append(name)
