"""Cases as data: what is sent, broken where, and what must come back.

A file of cases is TOML: ``[defaults]`` and a list ``[[case]]``. A case with ``services`` stands for one case a service;
``{S}`` in its id becomes the service's short name. Every key is known here, so that a misspelt one is an error and not
a case that tests nothing.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from smsp_provider.conformance.datafiles import data_tables
from smsp_provider.conformance.message import AuditIds
from smsp_provider.conformance.services import FIELDS, SERVICES, Service

__all__ = ["ABSENT", "Case", "Http", "InvalidCase", "OwnCheck", "packaged_cases", "read_cases"]

ABSENT: Final = "absent"
"""In place of an HTTP header's value: it is not sent."""


class InvalidCase(ValueError):
    """A file of cases cannot be used; the text names file and case."""


@dataclass(frozen=True, slots=True)
class OwnCheck:
    """An expectation of one case alone: an XPath that must be true, what it says, and where to look if it does not."""

    says: str
    xpath: str
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Http:
    """What differs from a plain POST. ``certificate`` False: no client certificate is shown."""

    method: str = "POST"
    content_type: str = "text/xml; charset=utf-8"
    soap_action: str | None = None
    path: str = ""
    query: str = ""
    certificate: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """One case. ``part`` is the patient's part in the population; None sends the ``fields`` alone.

    ``send`` are the fields of the part that are sent (the service's own, where it is None), ``fields`` stand over them.
    ``repeat`` sends the same message twice and judges the second answer.
    ``needs`` are capabilities of the system under test; ``not-`` before one means that it must not be offered.
    """

    id: str
    purpose: str
    requirements: tuple[str, ...]
    service: Service
    expect: tuple[str, ...]
    part: str | None = None
    send: tuple[str, ...] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    audit_ids: AuditIds | None = None
    steps: tuple[Mapping[str, Any], ...] = ()
    http: Http = field(default_factory=Http)
    code: str = ""
    number: str = "own"
    error_codes: tuple[str, ...] = ()
    error_text: str = ""
    checks: tuple[OwnCheck, ...] = ()
    needs: tuple[str, ...] = ()
    repeat: bool = False


_KEYS: Final = frozenset(
    {
        *("id", "purpose", "requirements", "service", "services", "needs", "repeat"),
        *("patient", "send", "omit", "fields", "audit_identity", "steps", "http"),
        *("expect", "code", "number", "error", "error_text", "checks"),
    }
)


def packaged_cases() -> tuple[Case, ...]:
    """All cases of the package."""
    return tuple(case for name, tables in data_tables("cases") for case in _cases(name, tables))


def read_cases(file: Path) -> tuple[Case, ...]:
    """The cases of a file of one's own.

    Raises:
        InvalidCase: it cannot be read, is no TOML, or holds something that is no case.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidCase(f"{file}: {error}") from None
    return tuple(_cases(file.name, tables))


def _cases(name: str, tables: Mapping[str, Any]) -> Iterator[Case]:
    defaults = tables.get("defaults", {})
    for row in tables.get("case", ()):
        table = {**defaults, **row}
        try:
            yield from _expanded(table)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InvalidCase(f"{name}, case {table.get('id', '?')}: {type(error).__name__} {error}") from None


def _expanded(table: Mapping[str, Any]) -> Iterator[Case]:
    unknown = set(table) - _KEYS
    if unknown:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}")
    shorts = [table["service"]] if "service" in table else list(table["services"])
    for short in shorts:
        yield _case(table, SERVICES[short], str(table["id"]).replace("{S}", short))


def _case(table: Mapping[str, Any], service: Service, case_id: str) -> Case:
    return Case(
        id=case_id,
        purpose=table["purpose"],
        requirements=tuple(table["requirements"]),
        service=service,
        expect=_list(table["expect"]),
        part=table.get("patient"),
        send=_sent(table, service),
        fields=_fields(table.get("fields", {})),
        audit_ids=_audit_ids(table.get("audit_identity")),
        steps=tuple(table.get("steps", ())),
        http=Http(**table.get("http", {})),
        code=_of_service(table.get("code", ""), service),
        number=_of_service(table.get("number", "own"), service),
        error_codes=_list(table.get("error", ())),
        error_text=table.get("error_text", ""),
        checks=tuple(OwnCheck(**check) for check in table.get("checks", ())),
        needs=tuple(table.get("needs", ())),
        repeat=bool(table.get("repeat", False)),
    )


def _list(value: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _of_service(value: str | Mapping[str, str], service: Service) -> str:
    """A text, or the text for a service out of a table by short name."""
    return value if isinstance(value, str) else value[service.short]


def _sent(table: Mapping[str, Any], service: Service) -> tuple[str, ...] | None:
    send = tuple(table["send"]) if "send" in table else service.sends
    kept = tuple(name for name in send if name not in table.get("omit", ()))
    unknown = {*send, *table.get("omit", ())} - set(FIELDS)
    if unknown:
        raise ValueError(f"no field {', '.join(sorted(unknown))}")
    return kept


def _fields(fields: Mapping[str, str]) -> Mapping[str, str]:
    if set(fields) - set(FIELDS):
        raise ValueError(f"no field {', '.join(sorted(set(fields) - set(FIELDS)))}")
    return dict(fields)


def _audit_ids(entries: list[dict[str, str]] | None) -> AuditIds | None:
    return None if entries is None else tuple((entry.get("type", ""), entry["uri"]) for entry in entries)
