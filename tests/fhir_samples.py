"""Invented resources of PDS FHIR for tests, and a response around them."""

import json
from typing import Any, Final

from smsp_provider.spine.pds_fhir.answer import Question, Response
from smsp_provider.spine.pds_fhir.query import RETRIEVE, SEARCH

__all__ = ["CORRELATION_ID", "READ", "REQUEST_ID", "SEARCHED", "bundle", "outcome", "patient", "response"]

REQUEST_ID: Final = "6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFEE"
CORRELATION_ID: Final = "6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFED"
READ: Final = Question(RETRIEVE, REQUEST_ID, CORRELATION_ID)
SEARCHED: Final = Question(SEARCH, REQUEST_ID, CORRELATION_ID)


def patient(number: str = "9990001006", **changes: Any) -> dict[str, Any]:
    """An ordinary patient; ``changes`` replace members, None leaves one out."""
    plain: dict[str, Any] = {
        "resourceType": "Patient",
        "id": number,
        "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": number}],
        "meta": {"versionId": "3", "security": [{"code": "U"}]},
        "name": [
            {
                "use": "usual",
                "family": "QUIMBLE",
                "given": ["ORLA", "JUNE", "MAY"],
                "prefix": ["MS", "DR"],
                "suffix": ["OBE"],
                "period": {"start": "2010-01-02"},
            }
        ],
        "gender": "female",
        "birthDate": "1962-03-17",
        "address": [{"use": "home", "line": ["1 FIRST STREET", "TOWN"], "postalCode": "ZZ1 1ZZ"}],
        "telecom": [{"system": "phone", "use": "home", "value": "01632960000"}],
        "generalPractitioner": [{"identifier": {"value": "Z99999", "period": {"start": "2001-02-03"}}}],
    }
    return {name: value for name, value in {**plain, **changes}.items() if value is not None}


def bundle(*patients: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A set of matches."""
    found: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(patients)}
    if patients:
        found["entry"] = [{"search": {"score": 1}, "resource": one} for one in patients]
    return {**found, **changes}


def outcome(code: str, diagnostics: str = "", system: str = "") -> dict[str, Any]:
    """An outcome with one coding."""
    coding = {"system": system or "https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode", "code": code}
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "details": {"coding": [coding]}, "diagnostics": diagnostics}],
    }


def response(
    document: object, status: int = 200, *, request_id: str | None = REQUEST_ID, content_type: str = ""
) -> Response:
    """A response with a document, or with bytes as they are."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {"Content-Type": content_type or "application/fhir+json; charset=utf-8"}
    if request_id is not None:
        headers["X-Request-ID"] = request_id
    return Response(status, headers, body)
