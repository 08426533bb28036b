"""The content of ``itk:payload``: as it stands, or from base64 and gzip, within a bound (DE-PDS-03).

Two kinds of mistake are told apart: what cannot be decoded is the envelope's fault (1000); what decodes and then is no
XML, or is nothing, is an invalid input (SMSP-0001).
"""

import binascii
import zlib
from typing import Final, NoReturn

from lxml import etree

from smsp_provider.domain.faults import invalid_message
from smsp_provider.domain.requests import InputInvalid
from smsp_provider.xmlcore.parse import MalformedXML, parse
from smsp_provider.xmlcore.read import XML_SPACE

__all__ = ["payload_content"]

_FIELD: Final = "payload"
_GZIP: Final = 16 + zlib.MAX_WBITS
"""zlib's way to say: a gzip stream (RFC 1952) and nothing else."""


def payload_content(
    payload: etree._Element, *, base64: bool, compressed: bool, max_bytes: int
) -> etree._Element | InputInvalid:
    """The root element inside the payload, or why there is none. ``max_bytes`` bounds what decoding may yield.

    Raises:
        ToolkitFault: 1000: not base64, not gzip, or more than ``max_bytes``.
    """
    if compressed and not base64:
        # Gzip bytes cannot stand in XML: the flags contradict the content, whatever it is.
        _refuse("The payload is compressed and not base64")
    if not base64:
        return _child_of(payload)
    if len(payload):
        _refuse("The payload is base64 and holds elements")
    content = _from_base64(payload.text or "")
    if compressed:
        content = _from_gzip(content, max_bytes)
    elif len(content) > max_bytes:
        _refuse("The payload is too large")
    if not content:
        return InputInvalid(_FIELD, "has no content")
    try:
        return parse(content)
    except MalformedXML as error:
        return InputInvalid(_FIELD, error.reason)


def _child_of(payload: etree._Element) -> etree._Element | InputInvalid:
    if len(payload) == 0:
        return InputInvalid(_FIELD, "holds no element" if (payload.text or "").strip(XML_SPACE) else "has no content")
    if len(payload) > 1:
        return InputInvalid(_FIELD, "holds more than one element")
    return payload[0]


def _from_base64(content: str) -> bytes:
    if not content.isascii():
        _refuse("The payload is not base64")
    try:
        # Lines are broken by most encoders: white space is no part of the alphabet and no error.
        return binascii.a2b_base64("".join(content.split()), strict_mode=True)
    except binascii.Error:
        _refuse("The payload is not base64")


def _from_gzip(content: bytes, max_bytes: int) -> bytes:
    """All members of a gzip stream, never more than one byte over the bound in memory."""
    plain = b""
    while content:
        inflating = zlib.decompressobj(_GZIP)
        try:
            plain += inflating.decompress(content, max_bytes + 1 - len(plain))
        except zlib.error:
            _refuse("The payload is not gzip")
        if len(plain) > max_bytes:
            _refuse("The payload is too large")
        if not inflating.eof:
            _refuse("The payload is not a whole gzip stream")
        content = inflating.unused_data
    return plain


def _refuse(text: str) -> NoReturn:
    raise invalid_message(text, rule="DE-PDS-03") from None
