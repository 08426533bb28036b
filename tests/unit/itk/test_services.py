"""The table of the five services."""

import pytest

from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault
from smsp_provider.domain.service import Service
from smsp_provider.itk.services import SERVICES, ServicePaths, select_service, service_of_action

ACTIONS = "urn:nhs-itk:services:201005:"
DETAILS = ("getPatientDetailsResponse-v1-0", "COMT_MT000016GB01.xsd")
TABLE = {
    Service.VERIFY_NHS_NUMBER: (
        "verifyNHSNumber-v1-0",
        "verifyNHSNumberRequest-v1-0",
        "QUPA_MT000001GB01.xsd",
        "verifyNHSNumberResponse-v1-0",
        "COMT_MT000013GB01.xsd",
    ),
    Service.GET_NHS_NUMBER: (
        "getNHSNumber-v1-0",
        "getNHSNumberRequest-v1-0",
        "QUPA_MT000002GB01.xsd",
        "getNHSNumberResponse-v1-0",
        "COMT_MT000014GB01.xsd",
    ),
    Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER: (
        "getPatientDetailsByNHSNumber-v1-0",
        "getPatientDetailsByNHSNumberRequest-v1-0",
        "QUPA_MT000003GB01.xsd",
        *DETAILS,
    ),
    Service.GET_PATIENT_DETAILS_BY_SEARCH: (
        "getPatientDetailsBySearch-v1-0",
        "getPatientDetailsBySearchRequest-v1-0",
        "QUPA_MT000004GB01.xsd",
        *DETAILS,
    ),
    Service.GET_PATIENT_DETAILS: (
        "getPatientDetails-v1-0",
        "getPatientDetails-v1-0",
        "QUPA_MT000005GB01.xsd",
        *DETAILS,
    ),
}


@pytest.mark.rule("SMSP-GEN-001", "WS-ADR-04")
@pytest.mark.parametrize("service", Service)
def test_a_row_has_the_published_names(service: Service) -> None:
    operation, request_root, request_schema, response_root, response_schema = TABLE[service]
    entry = SERVICES[service]
    assert entry.action == ACTIONS + operation
    assert entry.response_action == ACTIONS + operation + "Response"
    assert entry.request_root == request_root
    assert entry.request_tag == "{urn:hl7-org:v3}" + request_root
    assert entry.request_schema.value == request_schema
    assert entry.response_root == response_root
    assert entry.response_schema.value == response_schema
    assert entry.response_profile == f"urn:nhs-en:profile:{response_root}"
    assert entry.request_profile == "urn:nhs-en:profile:" + operation.replace("-v1-0", "Request-v1-0")


def test_only_get_patient_details_has_an_alias() -> None:
    aliases = {entry.request_alias for entry in SERVICES.values()}
    assert aliases == {None, "getPatientDetailsRequest-v1-0"}
    assert SERVICES[Service.GET_PATIENT_DETAILS].request_alias == "getPatientDetailsRequest-v1-0"


def test_an_action_leads_back_to_its_service() -> None:
    assert {service_of_action(entry.action) for entry in SERVICES.values()} == set(Service)
    assert service_of_action(ACTIONS + "getNHSNumber-v1-0Response") is None


@pytest.mark.parametrize("service", Service)
def test_both_kinds_of_path_serve_a_service(service: Service) -> None:
    action = SERVICES[service].action
    paths = ServicePaths()
    assert select_service(action, "/smsp/pds", paths) is service
    assert select_service(action, f"/interoperability.toolkit/HL7v3/{service.value}", paths) is service


@pytest.mark.rule("WS-ADR-04")
@pytest.mark.parametrize(
    ("action", "path"),
    [
        (ACTIONS + "getEverything-v1-0", "/smsp/pds"),
        ("", "/smsp/pds"),
        (ACTIONS + "getNHSNumber-v1-0", "/interoperability.toolkit/HL7v3/verifyNHSNumber-v1-0"),
        (ACTIONS + "getNHSNumber-v1-0", "/elsewhere"),
    ],
)
def test_an_action_must_be_known_and_served_by_its_path(action: str, path: str) -> None:
    with pytest.raises(ToolkitFault) as caught:
        select_service(action, path, ServicePaths())
    assert (caught.value.faultcode, caught.value.error_code) == (FaultCode.CLIENT, ErrorCode.INVALID_MESSAGE)
    assert "wsa:Action" in caught.value.text


def test_a_path_that_serves_nothing_is_told() -> None:
    paths = ServicePaths()
    assert paths.services_at("/") == frozenset()
    assert paths.services_at("/interoperability.toolkit/HL7v3/") == frozenset()
    assert paths.services_at("/smsp/pds") == frozenset(Service)


def test_paths_can_be_configured() -> None:
    paths = ServicePaths(shared=frozenset({"/syncsoap"}), prefix=None)
    assert paths.services_at("/syncsoap") == frozenset(Service)
    assert paths.services_at("/smsp/pds") == frozenset()
    assert paths.services_at("/interoperability.toolkit/HL7v3/verifyNHSNumber-v1-0") == frozenset()
