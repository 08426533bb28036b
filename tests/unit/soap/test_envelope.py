"""What the SOAP envelope reader takes, and how it says what it does not take."""

from dataclasses import replace

import pytest

from itk_messages import NHS_NUMBER, Fields, Request
from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault
from smsp_provider.soap.envelope import UNDERSTOOD_HEADERS, check_must_understand, read_soap

SOAP11 = b"http://schemas.xmlsoap.org/soap/envelope/"


def refused(document: bytes) -> ToolkitFault:
    with pytest.raises(ToolkitFault) as caught:
        read_soap(document)
    return caught.value


@pytest.mark.rule("WS-STD-01", "WS-STD-03")
def test_header_blocks_and_body_child_are_told_apart() -> None:
    message = read_soap(Request().body())
    assert [str(block.tag).rpartition("}")[2] for block in message.header_blocks] == [
        "MessageID",
        "Action",
        "To",
        "Security",
    ]
    assert message.body_child.tag == "{urn:nhs-itk:ns:201005}DistributionEnvelope"


def test_a_message_without_header_has_no_blocks() -> None:
    message = read_soap(b'<s:Envelope xmlns:s="' + SOAP11 + b'"><s:Body><x/></s:Body></s:Envelope>')
    assert message.header_blocks == ()


@pytest.mark.rule("WS-STD-01")
@pytest.mark.parametrize(
    ("inside", "word"),
    [
        ("", "soap:Body is missing"),
        ("<s:Body/>", "empty"),
        ("<s:Body>text</s:Body>", "empty"),
        ("<s:Body><x/><y/></s:Body>", "more than one element"),
        ("<s:Body><s:Fault/></s:Body>", "soap:Fault"),
        ("<s:Body><x/></s:Body><s:Body><x/></s:Body>", "more than one soap:Body"),
        ("<s:Header/><s:Header/><s:Body><x/></s:Body>", "more than one soap:Header"),
        ("<s:Body><x/></s:Body><s:Header/>", "after"),
        ("<x/><s:Body><x/></s:Body>", "neither"),
        ("<s:Body><x/></s:Body><x/>", "neither"),
    ],
)
def test_what_is_wrong_with_the_envelope_is_named(inside: str, word: str) -> None:
    fault = refused(b'<s:Envelope xmlns:s="' + SOAP11 + b'">' + inside.encode() + b"</s:Envelope>")
    assert (fault.faultcode, fault.error_code) == (FaultCode.CLIENT, ErrorCode.INVALID_MESSAGE)
    assert word in fault.text


@pytest.mark.rule("WS-STD-01", "WS-FLT-01")
def test_soap_1_2_is_a_version_mismatch() -> None:
    fault = refused(Request().body().replace(SOAP11, b"http://www.w3.org/2003/05/soap-envelope"))
    assert (fault.faultcode, fault.error_code) == (FaultCode.VERSION_MISMATCH, ErrorCode.INVALID_MESSAGE)


@pytest.mark.rule("WS-STD-01", "IFC-LOG-02")
@pytest.mark.parametrize("broken", [b"</soap:Body>", b"</itk:header>", b"<semanticsText>"])
def test_the_fault_of_a_malformed_message_quotes_nothing_of_it(broken: bytes) -> None:
    request = replace(Request(), fields=Fields(nhs_number=NHS_NUMBER, family="Quillfeather"))
    fault = refused(request.body().replace(broken, b""))
    assert "not well-formed" in fault.text
    told = f"{fault.text} {fault.diagnostic} {fault.args} {fault.__cause__!r}"
    assert NHS_NUMBER not in told
    assert "Quillfeather" not in told


@pytest.mark.rule("IFC-LOG-02")
def test_a_message_does_not_show_itself() -> None:
    assert repr(read_soap(Request().body())) == "<SoapMessage>"


@pytest.mark.rule("WS-EXT-01", "WS-EXT-03", "WS-FLT-01")
@pytest.mark.parametrize("value", ["1", "true", " 1 "])
def test_an_unknown_block_that_must_be_understood_is_a_must_understand_fault(value: str) -> None:
    block = f'<x:route xmlns:x="urn:x" soap:mustUnderstand="{value}"/>'
    message = read_soap(replace(Request(), extra_header_markup=block).body())
    with pytest.raises(ToolkitFault) as caught:
        check_must_understand(message)
    assert caught.value.faultcode is FaultCode.MUST_UNDERSTAND
    assert "route" not in caught.value.text


@pytest.mark.rule("WS-EXT-02")
@pytest.mark.parametrize(
    "attribute", ["", 'soap:mustUnderstand="0"', 'soap:mustUnderstand="false"', 'mustUnderstand="1"']
)
def test_any_other_unknown_block_is_ignored(attribute: str) -> None:
    block = f'<x:route xmlns:x="urn:x" {attribute}/>'
    check_must_understand(read_soap(replace(Request(), extra_header_markup=block).body()))


@pytest.mark.rule("WS-EXT-01")
def test_every_block_of_the_transport_rules_is_understood() -> None:
    body = Request().body()
    for name in (b"<wsa:MessageID", b"<wsa:Action", b"<wsa:To", b"<wsse:Security"):
        body = body.replace(name, name + b' soap:mustUnderstand="1"')
    check_must_understand(read_soap(body))
    assert len(UNDERSTOOD_HEADERS) == 8


@pytest.mark.rule("WS-EXT-01")
def test_what_is_understood_can_be_narrowed() -> None:
    message = read_soap(Request().body().replace(b"<wsse:Security", b'<wsse:Security soap:mustUnderstand="1"'))
    with pytest.raises(ToolkitFault):
        check_must_understand(message, frozenset())
