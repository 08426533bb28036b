"""The search of PDS FHIR: its parameters, what is wrong with them, and who is found.

Source: facts.md of PDS FHIR, section 7. The matching is written here on its own, as everything in this package is.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Final
from urllib.parse import parse_qsl

from smsp_provider.domain.masking import Masked
from smsp_provider.simulator.fhir_outcome import Declined
from smsp_provider.simulator.fhir_patient import name_use
from smsp_provider.simulator.patients import PatientStore, birth_digits, fold
from smsp_provider.simulator.records import SpineName, SpinePatient, is_current

__all__ = ["Search", "find", "read_search"]

_TEXTS: Final = ("family", "given", "address-postalcode")
_KNOWN: Final = frozenset({*_TEXTS, "birthdate", "gender", "_max-results"})
"""What this server knows of the API's parameters; it refuses the others as the API refuses what it does not know."""
_GENDERS: Final = {"male": "1", "female": "2", "other": "9", "unknown": "0"}
_DATE: Final = re.compile(r"(eq|ge|le)?([0-9]{4})-([0-9]{2})-([0-9]{2})")
_ESCAPED: Final = re.compile(r"\\([,|$\\])")
_LONGEST: Final = 35
_BEFORE_WILDCARD: Final = 2
_SEARCHED: Final = frozenset({"usual", "nickname", "temp"})


@dataclass(frozen=True, slots=True, repr=False)
class Search(Masked):
    """What is searched for: texts folded, dates from and to as YYYYMMDD."""

    family: str
    born_from: str
    born_to: str
    given: tuple[str, ...] = ()
    gender: str | None = None
    postcode: str | None = None


@dataclass(slots=True)
class _Parameters:
    values: dict[str, list[str]] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        found = self.values.get(name, [])
        if len(found) > 1:
            raise Declined("INVALID_SEARCH_DATA", f"{name} is given twice")
        return found[0] if found else None


def read_search(query_string: str) -> Search:
    """The search in a query string.

    Raises:
        Declined: a parameter is unknown, missing or not allowed.
    """
    parameters = _Parameters()
    for name, value in parse_qsl(query_string, keep_blank_values=True, errors="replace"):
        parameters.values.setdefault(name, []).append(value)
    if not parameters.values:
        raise Declined("UNSUPPORTED_SERVICE")
    for name in parameters.values:
        if name not in _KNOWN:
            raise Declined("ADDITIONAL_PROPERTIES", f"Additional properties are not allowed ('{name}')")
    if parameters.one("_max-results") not in (None, "1"):
        raise Declined("INVALID_VALUE", "more than one result is not for this application", status=403)
    births = parameters.values.get("birthdate", [])
    if not births:
        raise Declined("MISSING_VALUE", "Missing value - 'birthdate'")
    family = _text(parameters.one("family") or "", "family")
    if not family:
        raise Declined("INVALID_SEARCH_DATA", "family is missing")
    gender = parameters.one("gender")
    if gender is not None and gender not in _GENDERS:
        raise Declined("INVALID_VALUE", "Invalid value in field 'gender'")
    postcode = parameters.one("address-postalcode")
    born_from, born_to = _range(births)
    return Search(
        family,
        born_from,
        born_to,
        tuple(_text(given, "given") for given in parameters.values.get("given", [])),
        _GENDERS[gender] if gender is not None else None,
        _text(postcode, "address-postalcode").replace(" ", "") if postcode is not None else None,
    )


def _text(value: str, name: str) -> str:
    text = _ESCAPED.sub(r"\1", value)
    if len(text) > _LONGEST:
        raise Declined("INVALID_VALUE", f"Invalid value in field '{name}'")
    if "*" in text[:_BEFORE_WILDCARD]:
        raise Declined("INVALID_SEARCH_DATA", f"{name}: a wildcard needs two characters before it")
    return fold(text)


def _range(births: list[str]) -> tuple[str, str]:
    bounds = {"ge": "00000000", "le": "99999999"}
    for birth in births:
        match = _DATE.fullmatch(birth)
        if match is None or not _is_day(match[2], match[3], match[4]):
            raise Declined("INVALID_VALUE", f"Invalid value - '{birth}' in field 'birthdate'")
        digits = match[2] + match[3] + match[4]
        for prefix in ("ge", "le") if match[1] in (None, "eq") else (match[1],):
            bounds[prefix] = digits
    return bounds["ge"], bounds["le"]


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def find(store: PatientStore, search: Search, today: str) -> SpinePatient | None:
    """The one record that is found, or None.

    Raises:
        Declined: there is more than one.
    """
    prefix = search.family.partition("*")[0]
    found = [patient for patient in store.beginning_with(prefix) if _is_found(patient, search, today)]
    if len(found) > 1:
        raise Declined("TOO_MANY_MATCHES")
    return found[0] if found else None


def _is_found(patient: SpinePatient, search: Search, today: str) -> bool:
    if patient.superseded_by is not None or patient.invalidated or patient.is_very_restricted:
        return False
    if search.gender not in (None, patient.gender) or not _born_within(patient, search):
        return False
    if search.postcode is not None and patient.confidentiality is not None:
        return False
    names = [name for name in patient.names if name_use(name) in _SEARCHED and is_current(name, today)]
    if not any(_is_named(name, search) for name in names):
        return False
    fits = _form(search.postcode)
    return search.postcode is None or any(
        fits(fold(address.postcode or "").replace(" ", ""))
        for address in patient.addresses
        if is_current(address, today)
    )


def _born_within(patient: SpinePatient, search: Search) -> bool:
    """Whether some day that the record's date may mean lies in the range."""
    digits = birth_digits(patient.birth_time)
    return bool(digits) and digits.ljust(8, "0") <= search.born_to and digits.ljust(8, "9") >= search.born_from


def _is_named(name: SpineName, search: Search) -> bool:
    if name.family is None or not _form(search.family)(fold(name.family)):
        return False
    held = [fold(given) for given in name.given]
    return len(search.given) <= len(held) and all(
        _form(asked)(given) for asked, given in zip(search.given, held, strict=False)
    )


def _form(asked: str | None) -> Callable[[str], bool]:
    """Whether a text is of the form asked for, ``*`` being anything."""
    pattern = re.compile(".*".join(re.escape(part) for part in (asked or "").split("*")), re.DOTALL)
    return lambda held: pattern.fullmatch(held) is not None
