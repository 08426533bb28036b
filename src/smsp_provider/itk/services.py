"""The table of the five PDS mini services, and which of them an action and a request path mean.

Source: pds-services.md (services, payload roots, schemas) and transport.md (actions, profiles, paths); WS-ADR-04.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from smsp_provider.domain.faults import invalid_message
from smsp_provider.domain.service import Service
from smsp_provider.xmlcore.names import HL7
from smsp_provider.xmlcore.schemas import SchemaName

__all__ = ["SERVICES", "ServiceEntry", "ServicePaths", "select_service", "service_of_action"]

_ACTIONS: Final = "urn:nhs-itk:services:201005:"
_PROFILES: Final = "urn:nhs-en:profile:"
_DETAILS_RESPONSE: Final = "getPatientDetailsResponse-v1-0"


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """One service on the wire. Roots are local names of urn:hl7-org:v3.

    ``request_alias`` is another root met in the field, renamed to ``request_root`` before validation. The code of a
    response payload is its root's name.
    """

    service: Service
    action: str
    request_root: str
    request_schema: SchemaName
    request_profile: str
    response_action: str
    response_root: str
    response_schema: SchemaName
    response_profile: str
    request_alias: str | None = None

    @property
    def request_tag(self) -> str:
        """The root of the request payload in Clark notation."""
        return f"{{{HL7}}}{self.request_root}"


def _entry(
    service: Service,
    *,
    request_schema: SchemaName,
    response_schema: SchemaName,
    response_root: str | None = None,
    request_root: str | None = None,
) -> ServiceEntry:
    """A row: all names follow from the operation's, but for what is given here."""
    action = _ACTIONS + service.value
    operation, _, version = service.value.partition("-")
    request_name = f"{operation}Request-{version}"
    response_name = response_root or f"{operation}Response-{version}"
    return ServiceEntry(
        service=service,
        action=action,
        request_root=request_root or request_name,
        request_schema=request_schema,
        request_profile=_PROFILES + request_name,
        response_action=action + "Response",
        response_root=response_name,
        response_schema=response_schema,
        response_profile=_PROFILES + response_name,
        request_alias=None if request_root is None else request_name,
    )


SERVICES: Final = MappingProxyType(
    {
        entry.service: entry
        for entry in (
            _entry(
                Service.VERIFY_NHS_NUMBER,
                request_schema=SchemaName.VERIFY_NHS_NUMBER_REQUEST,
                response_schema=SchemaName.VERIFY_NHS_NUMBER_RESPONSE,
            ),
            _entry(
                Service.GET_NHS_NUMBER,
                request_schema=SchemaName.GET_NHS_NUMBER_REQUEST,
                response_schema=SchemaName.GET_NHS_NUMBER_RESPONSE,
            ),
            _entry(
                Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER,
                request_schema=SchemaName.GET_PATIENT_DETAILS_BY_NHS_NUMBER_REQUEST,
                response_schema=SchemaName.GET_PATIENT_DETAILS_RESPONSE,
                response_root=_DETAILS_RESPONSE,
            ),
            _entry(
                Service.GET_PATIENT_DETAILS_BY_SEARCH,
                request_schema=SchemaName.GET_PATIENT_DETAILS_BY_SEARCH_REQUEST,
                response_schema=SchemaName.GET_PATIENT_DETAILS_RESPONSE,
                response_root=_DETAILS_RESPONSE,
            ),
            _entry(
                Service.GET_PATIENT_DETAILS,
                request_schema=SchemaName.GET_PATIENT_DETAILS_REQUEST,
                response_schema=SchemaName.GET_PATIENT_DETAILS_RESPONSE,
                # The schema's name of the root; its code has the name that the other services have for both.
                request_root="getPatientDetails-v1-0",
            ),
        )
    }
)
"""Every service's row."""

_ALL: Final = frozenset(SERVICES)
_BY_ACTION: Final = MappingProxyType({entry.action: entry.service for entry in SERVICES.values()})


def service_of_action(action: str) -> Service | None:
    """The service of an action; None for one that is not ours."""
    return _BY_ACTION.get(action)


@dataclass(frozen=True, slots=True)
class ServicePaths:
    """Request paths: ``shared`` ones serve all services; ``prefix`` + operation, as in the WSDL, serves that one.

    ``prefix`` None = no paths of single services.
    """

    shared: frozenset[str] = frozenset({"/smsp/pds"})
    prefix: str | None = "/interoperability.toolkit/HL7v3/"

    def services_at(self, path: str) -> frozenset[Service]:
        """What a path serves; nothing for one that does not exist (404)."""
        if path in self.shared:
            return _ALL
        if self.prefix is None or not path.startswith(self.prefix):
            return frozenset()
        operation = path[len(self.prefix) :]
        return frozenset(service for service in SERVICES if service.value == operation)


def select_service(action: str, path: str, paths: ServicePaths) -> Service:
    """The service of a request by its action, which the path must serve.

    Raises:
        ToolkitFault: 1000: the action is unknown, or belongs to another service's path.
    """
    service = service_of_action(action)
    if service is None:
        raise invalid_message("wsa:Action is not a service of this endpoint", rule="WS-ADR-04")
    if service not in paths.services_at(path):
        raise invalid_message("wsa:Action is not the service of this address", rule="WS-ADR-04")
    return service
