"""The SOAP 1.1 envelope: header blocks and the one body child (WS-STD-01, WS-STD-03, WS-EXT-01 to 03)."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NoReturn

from lxml import etree

from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault, invalid_message
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.xmlcore.names import SOAP11, SOAP12, WSA, WSSE
from smsp_provider.xmlcore.parse import MalformedXML, parse
from smsp_provider.xmlcore.read import XML_SPACE, by_tag

__all__ = [
    "UNDERSTOOD_HEADERS",
    "SoapMessage",
    "check_must_understand",
    "header_blocks_in",
    "is_soap_12",
    "read_soap",
]

_ENVELOPE: Final = f"{{{SOAP11}}}Envelope"
_ENVELOPE_12: Final = f"{{{SOAP12}}}Envelope"
_HEADER: Final = f"{{{SOAP11}}}Header"
_HEADER_12: Final = f"{{{SOAP12}}}Header"
_BODY: Final = f"{{{SOAP11}}}Body"
_FAULT: Final = f"{{{SOAP11}}}Fault"
_MUST_UNDERSTAND: Final = f"{{{SOAP11}}}mustUnderstand"

UNDERSTOOD_HEADERS: Final = frozenset(
    {f"{{{WSA}}}{name}" for name in ("MessageID", "Action", "To", "From", "ReplyTo", "FaultTo", "RelatesTo")}
    | {f"{{{WSSE}}}Security"}
)
"""The header blocks that transport.md gives a host behaviour for, in Clark notation."""


@immutable
class SoapMessage(Masked):
    """A SOAP message: its root, its header blocks (none where it has no header), and its one body child.

    ``header_blocks`` are in document order, ``by_tag`` are the same by their tags in Clark notation.
    """

    envelope: etree._Element
    header_blocks: Sequence[etree._Element]
    by_tag: Mapping[object, list[etree._Element]]
    body_child: etree._Element


def header_blocks_in(document: bytes) -> tuple[etree._Element, ...]:
    """The header blocks of a message that may be refused for its body or its version: for the fault and the audit."""
    root = _root_of(document)
    if root is None or root.tag not in (_ENVELOPE, _ENVELOPE_12):
        return ()
    header = next((child for child in root if child.tag in (_HEADER, _HEADER_12)), None)
    return () if header is None else tuple(header)


def is_soap_12(document: bytes) -> bool:
    """Whether the document is an envelope of SOAP 1.2, whatever media type it came with."""
    root = _root_of(document)
    return root is not None and root.tag == _ENVELOPE_12


def _root_of(document: bytes) -> etree._Element | None:
    try:
        return parse(document)
    except MalformedXML:
        return None


def read_soap(document: bytes) -> SoapMessage:
    """Read a SOAP 1.1 message of exactly one body child.

    Raises:
        ToolkitFault: 1000 with faultcode Client: not acceptable XML, not SOAP, a part missing, doubled or out of its
            place, or a fault where a request is expected; 1000 with faultcode VersionMismatch: a SOAP 1.2 envelope.
    """
    try:
        root = parse(document)
    except MalformedXML as error:
        _refuse(f"The message cannot be read: {error.reason}")
    if root.tag == _ENVELOPE_12:
        raise ToolkitFault(
            FaultCode.VERSION_MISMATCH,
            ErrorCode.INVALID_MESSAGE,
            "This endpoint speaks SOAP 1.1, the message is a SOAP 1.2 envelope",
            rule="WS-STD-01",
        )
    if root.tag != _ENVELOPE:
        _refuse("The message is not a soap:Envelope of SOAP 1.1")
    header, body = _parts(root)
    if len(body) != 1:
        _refuse("The soap:Body is empty" if len(body) == 0 else "The soap:Body holds more than one element")
    child = body[0]
    if child.tag == _FAULT:
        _refuse("The soap:Body holds a soap:Fault, not a request")
    blocks = () if header is None else header[:]
    return SoapMessage(root, blocks, by_tag(blocks), child)


def _parts(root: etree._Element) -> tuple[etree._Element | None, etree._Element]:
    """The header, which may be missing, and the body: one of each, in this order, and nothing else."""
    header: etree._Element | None = None
    body: etree._Element | None = None
    for child in root[:]:
        tag = child.tag
        if tag == _BODY:
            if body is not None:
                _refuse("The soap:Envelope holds more than one soap:Body")
            body = child
        elif tag == _HEADER:
            if header is not None:
                _refuse("The soap:Envelope holds more than one soap:Header", rule="WS-STD-03")
            if body is not None:
                _refuse("The soap:Header stands after the soap:Body", rule="WS-STD-03")
            header = child
        else:
            _refuse("The soap:Envelope holds an element that is neither soap:Header nor soap:Body")
    if body is None:
        _refuse("The soap:Body is missing")
    return header, body


def check_must_understand(message: SoapMessage, understood: AbstractSet[str] = UNDERSTOOD_HEADERS) -> None:
    """Refuse a header block that must be understood and is not; any other unknown block is ignored (WS-EXT-02).

    ``understood`` holds tags in Clark notation.

    Raises:
        ToolkitFault: with faultcode MustUnderstand (WS-EXT-03). The block is not named: its name is the sender's text.
    """
    for block in message.header_blocks:
        # Hardly any has attributes, and looking one up costs several times as much as finding that there is none.
        value = block.get(_MUST_UNDERSTAND) if block.keys() else None
        if value is not None and value.strip(XML_SPACE) in ("1", "true") and block.tag not in understood:
            raise ToolkitFault(
                FaultCode.MUST_UNDERSTAND,
                ErrorCode.INVALID_MESSAGE,
                "A header block with mustUnderstand is not known here",
                rule="WS-EXT-03",
            )


def _refuse(text: str, *, rule: str = "WS-STD-01") -> NoReturn:
    raise invalid_message(text, rule=rule) from None
