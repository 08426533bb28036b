"""SOAP faults as bytes, with ToolkitErrorInfo (WS-FLT-01 to 03, WS-FDT-01 to 06, WS-ADR-04)."""

from typing import Final

from smsp_provider.domain.faults import FaultCode, ToolkitFault
from smsp_provider.domain.identifiers import OID
from smsp_provider.xmlcore.build import document, text
from smsp_provider.xmlcore.names import ITK, SOAP11, WSA

__all__ = ["FAULT_ACTION", "build_fault"]

FAULT_ACTION: Final = "http://www.w3.org/2005/08/addressing/soap/fault"
"""The action of every fault: transport.md decides for this one (WS-ADR-04)."""

_OPENING: Final = f'<soap:Envelope xmlns:soap="{SOAP11}" xmlns:wsa="{WSA}"><soap:Header><wsa:MessageID>'
_TO_CODE: Final = "</soap:Header><soap:Body><soap:Fault><faultcode>soap:"
_CLOSING: Final = "</soap:Fault></soap:Body></soap:Envelope>"


def build_fault(
    fault: ToolkitFault, *, error_id: str, message_id: str, relates_to: str | None, endpoint_url: str
) -> bytes:
    """A whole SOAP message that carries the fault.

    ``error_id`` and ``message_id`` are new UUIDs, bare and in upper case; ``relates_to`` is the MessageID of the
    request, None where it could not be read; ``endpoint_url`` becomes faultactor. ErrorText goes to an end user,
    ErrorDiagnosticText to an administrator: it names at least the requirement that was broken.
    """
    related = "" if relates_to is None else f"<wsa:RelatesTo>{text(relates_to)}</wsa:RelatesTo>"
    return document(
        (
            _OPENING,
            text(message_id),
            f"</wsa:MessageID><wsa:Action>{FAULT_ACTION}</wsa:Action>",
            related,
            _TO_CODE,
            fault.faultcode.value,
            f"</faultcode><faultstring>{text(fault.text)}</faultstring>",
            f"<faultactor>{text(endpoint_url)}</faultactor>",
            _detail(fault, error_id),
            _CLOSING,
        )
    )


def _detail(fault: ToolkitFault, error_id: str) -> str:
    """ToolkitErrorInfo; not on MustUnderstand, where SOAP 1.1 (section 4.4) forbids a detail about a header entry."""
    if fault.faultcode is FaultCode.MUST_UNDERSTAND:
        return ""
    diagnostic = f"Requirement {fault.rule}. {fault.diagnostic}".rstrip()
    return (
        f'<detail><itk:ToolkitErrorInfo xmlns:itk="{ITK}"><itk:ErrorID>{text(error_id)}</itk:ErrorID>'
        f'<itk:ErrorCode codeSystem="{OID.TOOLKIT_ERROR}">{fault.error_code.value}</itk:ErrorCode>'
        f"<itk:ErrorText>{text(fault.text)}</itk:ErrorText>"
        f"<itk:ErrorDiagnosticText>{text(diagnostic)}</itk:ErrorDiagnosticText></itk:ToolkitErrorInfo></detail>"
    )
