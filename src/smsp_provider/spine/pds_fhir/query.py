"""Writes a query as a request of PDS FHIR: the path and query string, and nothing of it anywhere else.

A search never asks for more than the one match that an application may see, nor for a fuzzy one, nor for history, of
which no answer could be checked. Source: facts.md of PDS FHIR, sections 5 to 7 and 11; SMSP-PDS-010 for the wildcard.
"""

import re
from calendar import monthrange
from typing import Final
from urllib.parse import quote, urlencode

from smsp_provider.domain.failures import QueryNotBuilt
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace, SpineQuery

__all__ = ["RETRIEVE", "SEARCH", "interaction_of", "organisation_header", "request_target"]

RETRIEVE: Final = "PDS FHIR retrieve"
SEARCH: Final = "PDS FHIR search"

_GENDERS: Final = {"1": "male", "2": "female", "9": "other", "0": "unknown"}
_FHIR_SYNTAX: Final = frozenset(",|$\\")
"""What FHIR reads as syntax in a value: a comma means "or"."""
_ODS_CODE: Final = re.compile(r"[A-Z0-9-]{1,32}")


def interaction_of(query: SpineQuery) -> str:
    """The kind of request, as the audit trail names it."""
    return RETRIEVE if isinstance(query, CrossCheckTrace | Retrieval) else SEARCH


def request_target(base_path: str, query: SpineQuery) -> str:
    """The path of the record under a number (PDS FHIR has no other question about one), or of a search for one match.

    Raises:
        QueryNotBuilt: a gender that FHIR has no word for.
    """
    if isinstance(query, CrossCheckTrace | Retrieval):
        return f"{base_path}/Patient/{query.nhs_number.digits}"
    return f"{base_path}/Patient?{urlencode(_parameters(query), quote_via=quote, safe='')}"


def _parameters(query: SimpleTrace | AdvancedTrace) -> list[tuple[str, str]]:
    if query.gender not in _GENDERS:
        raise QueryNotBuilt("the gender has no word in FHIR")
    parameters = [("family", _escaped(query.family))]
    if query.given is not None:
        parameters.append(("given", _escaped(query.given)))
    parameters += [("birthdate", value) for value in _birthdates(query.date_of_birth)]
    parameters.append(("gender", _GENDERS[query.gender]))
    if query.postcode is not None:
        parameters.append(("address-postalcode", _escaped(query.postcode)))
    parameters.append(("_max-results", "1"))
    return parameters


def organisation_header(ods_code: ODSCode | None) -> str:
    """The value of NHSD-End-User-Organisation-ODS, which a product for several organisations must send.

    Raises:
        QueryNotBuilt: the request names no organisation, or one that no header can carry.
    """
    if ods_code is None:
        raise QueryNotBuilt("PDS FHIR needs the ODS code of the organisation, and the request names none")
    if _ODS_CODE.fullmatch(ods_code.code) is None:
        raise QueryNotBuilt("the ODS code of the organisation cannot stand in a header")
    return ods_code.code


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in _FHIR_SYNTAX else character for character in text)


def _birthdates(born: HL7Date) -> tuple[str, ...]:
    """The one day, or the first and the last day of the month or year that is known."""
    if born.is_full:
        return (f"eq{born.year}-{born.month}-{born.day}",)
    first, last = ("01", "12") if born.month is None else (born.month, born.month)
    _, days = monthrange(int(born.year), int(last))
    return f"ge{born.year}-{first}-01", f"le{born.year}-{last}-{days:02}"
