"""The population file: which patients of the system under test play the parts of the cases, and what it offers.

Cases speak of parts (``found``, ``superseded``, ...). A part that a population does not fill leaves its cases out of
the run, as not applicable, in so many words. The packaged population is that of ``smsp sandbox``.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from smsp_provider.conformance.datafiles import data_text
from smsp_provider.conformance.message import AuditIds
from smsp_provider.conformance.services import FIELDS

__all__ = ["PACKAGED", "InvalidPopulation", "Patient", "Population", "read_population"]

PACKAGED: Final = "population.toml"
_REPLACED_BY: Final = "replaced_by"


class InvalidPopulation(ValueError):
    """A population file cannot be used; the text says where."""


@dataclass(frozen=True, slots=True, repr=False)
class Patient:
    """A part and its patient: ``fields`` are sent, ``replaced_by`` is the number that replaced theirs, or empty."""

    part: str
    fields: Mapping[str, str]
    replaced_by: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Population:
    """Who is who, and the system: ``offers`` are capabilities that cases may need.

    A message of more than ``too_large_bytes`` is over its limit.
    """

    patients: Mapping[str, Patient]
    offers: frozenset[str]
    username: str
    audit_ids: AuditIds
    too_large_bytes: int = 100_000


def read_population(file: Path | None = None) -> Population:
    """The population in a file, or the packaged one.

    Raises:
        InvalidPopulation: the file is unreadable, no TOML, or says something that a population cannot say.
    """
    try:
        text = data_text(PACKAGED) if file is None else file.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidPopulation(f"{file}: {error}") from None
    system = _table(tables, "system")
    patients = {part: _patient(part, table) for part, table in _table(tables, "patients").items()}
    return Population(
        patients,
        frozenset(map(str, system.get("offers", ()))),
        str(system.get("username", "conformance")),
        tuple((str(entry.get("type", "")), str(entry["uri"])) for entry in system.get("audit_identity", ())),
        int(system.get("too_large_bytes", 100_000)),
    )


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise InvalidPopulation(f"[{name}] is not a table")
    return table


def _patient(part: str, table: object) -> Patient:
    if not isinstance(table, dict):
        raise InvalidPopulation(f"[patients.{part}] is not a table")
    unknown = set(table) - {*FIELDS, _REPLACED_BY}
    if unknown:
        raise InvalidPopulation(f"[patients.{part}]: unknown {', '.join(sorted(unknown))}")
    fields = {name: str(table[name]) for name in FIELDS if name in table}
    return Patient(part, fields, str(table.get(_REPLACED_BY, "")))
