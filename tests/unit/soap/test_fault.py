"""Faults on the wire."""

import re

import pytest
from lxml import etree

from smsp_provider.domain.faults import (
    ErrorCode,
    FaultCode,
    ToolkitFault,
    access_denied,
    invalid_message,
    provider_failure,
    try_again,
)
from smsp_provider.soap.fault import build_fault
from smsp_provider.xmlcore.parse import parse
from smsp_provider.xmlcore.schemas import SchemaName, Schemas

NS = {
    "soap": "http://schemas.xmlsoap.org/soap/envelope/",
    "wsa": "http://www.w3.org/2005/08/addressing",
    "itk": "urn:nhs-itk:ns:201005",
}
ERROR_ID = "3F0B8D52-4C5E-4C0B-9E0F-4D3E1F0A9B77"
MESSAGE_ID = "C2A4E6D8-1B3D-4F5A-8C7E-9D0B2F4A6C8E"
REQUEST_ID = "urn:uuid:9c41f6be-6e0b-4c7b-8c55-30ad0cf0b7e4"
URL = "https://smsp.example.nhs.uk/smsp/pds?a=1&b=2"
FAULTS = [
    invalid_message("profileid is missing", rule="COR-DEH-07"),
    try_again("The provider is busy", rule="SMSP-PERF-001", diagnostic="limit of requests in flight"),
    provider_failure("Encrypted payloads are not supported", rule="COR-DEH-06"),
    access_denied("wsu:Expires has passed", rule="WS-SEC-06"),
    ToolkitFault(FaultCode.VERSION_MISMATCH, ErrorCode.INVALID_MESSAGE, "SOAP 1.1 only", rule="WS-STD-01"),
    ToolkitFault(FaultCode.MUST_UNDERSTAND, ErrorCode.INVALID_MESSAGE, "A block is not known", rule="WS-EXT-03"),
]
WITH_DETAIL = FAULTS[:-1]


def built(fault: ToolkitFault, relates_to: str | None = REQUEST_ID) -> etree._Element:
    document = build_fault(fault, error_id=ERROR_ID, message_id=MESSAGE_ID, relates_to=relates_to, endpoint_url=URL)
    return parse(document)


def text(root: etree._Element, path: str) -> str | None:
    return root.findtext(path, namespaces=NS)


@pytest.mark.rule("WS-FLT-01", "WS-FLT-02", "WS-ADR-04", "WS-ADR-09")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.faultcode.value + fault.error_code.value)
def test_a_fault_says_what_it_is_and_where_it_comes_from(fault: ToolkitFault) -> None:
    root = built(fault)
    assert root.tag == f"{{{NS['soap']}}}Envelope"
    assert text(root, "soap:Header/wsa:MessageID") == MESSAGE_ID
    assert text(root, "soap:Header/wsa:Action") == "http://www.w3.org/2005/08/addressing/soap/fault"
    assert text(root, "soap:Header/wsa:RelatesTo") == REQUEST_ID
    assert text(root, "soap:Body/soap:Fault/faultcode") == f"soap:{fault.faultcode.value}"
    assert text(root, "soap:Body/soap:Fault/faultstring") == fault.text
    assert text(root, "soap:Body/soap:Fault/faultactor") == URL
    # faultcode is a QName: its prefix has to be bound where it stands.
    code = root.find("soap:Body/soap:Fault/faultcode", NS)
    assert code is not None
    assert code.nsmap["soap"] == NS["soap"]


@pytest.mark.rule("WS-FLT-03", "WS-FDT-01", "WS-FDT-02", "WS-FDT-03", "WS-FDT-05", "WS-FDT-06")
@pytest.mark.parametrize("fault", WITH_DETAIL, ids=lambda fault: fault.faultcode.value + fault.error_code.value)
def test_the_detail_is_valid_and_tells_user_and_administrator(fault: ToolkitFault) -> None:
    detail = built(fault).find("soap:Body/soap:Fault/detail/itk:ToolkitErrorInfo", NS)
    assert detail is not None
    assert Schemas().findings(SchemaName.TOOLKIT_ERROR_INFO, detail) == ()
    assert re.fullmatch("[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", text(detail, "itk:ErrorID") or "")
    code = detail.find("itk:ErrorCode", NS)
    assert code is not None
    assert code.text == fault.error_code.value
    assert code.get("codeSystem") == "2.16.840.1.113883.2.1.3.2.4.17.268"
    assert text(detail, "itk:ErrorText") == fault.text
    diagnostic = text(detail, "itk:ErrorDiagnosticText") or ""
    assert fault.rule in diagnostic
    assert fault.diagnostic in diagnostic


@pytest.mark.rule("WS-FLT-01", "WS-EXT-03")
def test_must_understand_has_no_detail() -> None:
    assert built(FAULTS[-1]).find("soap:Body/soap:Fault/detail", NS) is None


@pytest.mark.rule("WS-ADR-09")
def test_relates_to_is_left_out_where_the_request_had_no_readable_id() -> None:
    assert built(FAULTS[0], None).find("soap:Header/wsa:RelatesTo", NS) is None


def test_texts_are_escaped() -> None:
    fault = invalid_message("a < b & c", rule="X")
    assert text(built(fault), "soap:Body/soap:Fault/faultstring") == "a < b & c"
