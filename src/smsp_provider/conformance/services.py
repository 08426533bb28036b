"""The five services as a tester knows them: names on the wire, and what a plain request sends."""

from dataclasses import dataclass
from typing import Final

from smsp_provider.conformance.names import ACTION_PREFIX, PROFILE_PREFIX
from smsp_provider.xmlcore.schemas import SchemaName

__all__ = ["FIELDS", "SERVICES", "Service", "service_of_action"]

FIELDS: Final = ("date_of_birth", "gender", "local_identifier", "nhs_number", "given", "family", "postcode")
"""The fields of a request, in the order of the schemas."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service. ``short`` stands in case ids; ``sends`` are the fields of its plain request.

    ``root`` and ``code`` are those of the request payload; ``response`` is both for the response payload.
    """

    short: str
    operation: str
    root: str
    code: str
    response: str
    request_schema: SchemaName
    response_schema: SchemaName
    sends: tuple[str, ...]

    @property
    def action(self) -> str:
        """The request's action."""
        return ACTION_PREFIX + self.operation

    @property
    def response_action(self) -> str:
        """The response's action."""
        return f"{self.action}Response"

    @property
    def profile(self) -> str:
        """The request's profile id."""
        return PROFILE_PREFIX + self.code

    @property
    def response_profile(self) -> str:
        """The response's profile id."""
        return PROFILE_PREFIX + self.response


def _service(short: str, name: str, schemas: tuple[SchemaName, SchemaName], sends: str, **names: str) -> Service:
    return Service(
        short,
        f"{name}-v1-0",
        names.get("root", f"{name}Request-v1-0"),
        f"{name}Request-v1-0",
        names.get("response", f"{name}Response-v1-0"),
        *schemas,
        tuple(sends.split()),
    )


_DETAILS: Final = "getPatientDetailsResponse-v1-0"
_BY_NUMBER: Final = "date_of_birth nhs_number given family"
_BY_SEARCH: Final = "date_of_birth gender given family postcode"

SERVICES: Final = {
    service.short: service
    for service in (
        _service(
            "VER",
            "verifyNHSNumber",
            (SchemaName.VERIFY_NHS_NUMBER_REQUEST, SchemaName.VERIFY_NHS_NUMBER_RESPONSE),
            _BY_NUMBER,
        ),
        _service(
            "GET",
            "getNHSNumber",
            (SchemaName.GET_NHS_NUMBER_REQUEST, SchemaName.GET_NHS_NUMBER_RESPONSE),
            _BY_SEARCH,
        ),
        _service(
            "GETPDNHS",
            "getPatientDetailsByNHSNumber",
            (SchemaName.GET_PATIENT_DETAILS_BY_NHS_NUMBER_REQUEST, SchemaName.GET_PATIENT_DETAILS_RESPONSE),
            _BY_NUMBER,
            response=_DETAILS,
        ),
        _service(
            "GETPDSRCH",
            "getPatientDetailsBySearch",
            (SchemaName.GET_PATIENT_DETAILS_BY_SEARCH_REQUEST, SchemaName.GET_PATIENT_DETAILS_RESPONSE),
            _BY_SEARCH,
            response=_DETAILS,
        ),
        _service(
            "GETPD",
            "getPatientDetails",
            (SchemaName.GET_PATIENT_DETAILS_REQUEST, SchemaName.GET_PATIENT_DETAILS_RESPONSE),
            _BY_SEARCH,
            root="getPatientDetails-v1-0",
            response=_DETAILS,
        ),
    )
}
"""The services by the short name of the case ids."""


def service_of_action(action: str) -> Service | None:
    """The service that an action names; None for another action."""
    return next((service for service in SERVICES.values() if service.action == action), None)
