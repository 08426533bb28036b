"""What PDS FHIR says instead of a record: an OperationOutcome with one of its codes, under the status for it.

Source: facts.md of PDS FHIR, section 10. Display texts and diagnostics are this project's own.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["FHIR_JSON", "Declined", "FHIRReply", "outcome"]

FHIR_JSON: Final = "application/fhir+json"

_CODE_SYSTEM: Final = "https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode"
_STATUSES: Final = {
    "TOO_MANY_MATCHES": 200,
    "ACCESS_DENIED": 401,
    "RESOURCE_NOT_FOUND": 404,
    "INVALIDATED_RESOURCE": 404,
    "UNABLE_TO_CALL_SERVICE": 408,
    "TOO_MANY_REQUESTS": 429,
    "UNKNOWN_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
}
"""Every other code comes with 400."""


class Declined(Exception):
    """A request is answered with an outcome: ``code`` of PDS, ``diagnostics`` in free text."""

    def __init__(self, code: str, diagnostics: str = "", status: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.diagnostics = diagnostics
        self.status = status or _STATUSES.get(code, 400)


@dataclass(frozen=True, slots=True, repr=False)
class FHIRReply:
    """An answer before it is written: a test or a fault can change any of it.

    ``request_id`` is what goes into X-Request-Id; None leaves the header out.
    """

    status: int
    document: dict[str, Any]
    request_id: str | None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = FHIR_JSON

    @property
    def body(self) -> bytes:
        """The document as it is sent."""
        return json.dumps(self.document, ensure_ascii=False).encode("utf-8")


def outcome(declined: Declined) -> dict[str, Any]:
    """The body for a refusal."""
    coding = {
        "system": _CODE_SYSTEM,
        "version": "1",
        "code": declined.code,
        "display": declined.code.replace("_", " ").capitalize(),
    }
    severity = "information" if declined.status == 200 else "error"
    issue: dict[str, Any] = {"severity": severity, "code": "processing", "details": {"coding": [coding]}}
    if declined.diagnostics:
        issue["diagnostics"] = declined.diagnostics
    return {"resourceType": "OperationOutcome", "issue": [issue]}
