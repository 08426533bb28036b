"""Captured messages: XML files, and HTTP captures with one or more requests and answers, also in MIME parts.

What is found is one :class:`Message` for each SOAP envelope or bare document, with its parts taken out of one another:
the SOAP envelope, the distribution envelope or HL7 message in it, and how it was called on the wire.
"""

import email
import email.policy
import re
import zlib
from base64 import b64decode
from codecs import BOM_UTF8
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

from lxml import etree

from smsp_provider.conformance.names import NAMESPACES
from smsp_provider.conformance.xpath import elements, only_element

__all__ = ["Message", "Unreadable", "messages_in"]

_LINE: Final = rb"(?:[A-Z]{3,7} [^ \r\n]+ HTTP/1\.[01]|HTTP/1\.[01] [0-9]{3}[^\r\n]*)\r?\n"
_HERE: Final = re.compile(_LINE)
_START: Final = re.compile(rb"(?m)^" + _LINE)
_LENGTH: Final = re.compile(rb"(?i)^content-length: *([0-9]+)", re.MULTILINE)
_CHUNKED: Final = re.compile(rb"(?im)^transfer-encoding: *chunked")
_TYPE: Final = re.compile(rb"(?im)^content-type: *(multipart/[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)")
_INTERACTION: Final = re.compile(r"[A-Z]{4}_[A-Z]{2}[0-9]{6}[A-Z]{2}[0-9]{2}")
_MOST_BYTES: Final = 50_000_000
_MOST_UNPACKED: Final = 1_000_000
_GZIP: Final = 16 + zlib.MAX_WBITS


class Unreadable(ValueError):
    """A file or a part of it is no message; the text says where, without its content."""


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One message. ``soap`` is the envelope's document, ``itk`` the distribution envelope, ``hl7`` the message inside.

    ``names`` are what rules may call it by: the local name of the HL7 message, the ITK action, ``Fault``.
    """

    label: str
    soap: etree._Element | None
    itk: etree._Element | None
    hl7: etree._Element | None
    names: tuple[str, ...]

    @property
    def root(self) -> etree._Element:
        """The outermost of its documents."""
        found = next((part for part in (self.soap, self.itk, self.hl7) if part is not None), None)
        if found is None:
            raise Unreadable(f"{self.label}: no part of it is XML")
        return found


def messages_in(name: str, content: bytes) -> list[Message]:
    """The messages of a file.

    Raises:
        Unreadable: it holds none, or one of them is not XML.
    """
    starts = list(_START.finditer(content))
    if not starts or content[: starts[0].start()].strip():
        return [_message(name, _documents(content, name))]
    found = []
    for number, (body, content_type) in enumerate(_bodies(content), 1):
        label = f"{name}, message {number}"
        parts = _parts(body, content_type) if content_type else [body]
        if any(part.strip() for part in parts):
            found.append(_message(label, [document for part in parts for document in _documents(part, label)]))
    if not found:
        raise Unreadable(f"{name}: no HTTP message with a body")
    return found


def _bodies(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The body of each HTTP message, and its content type where that is a multipart one."""
    position = 0
    # The next message may follow a body at once, without a line break.
    while (start := _HERE.match(content, position) or _START.search(content, position)) is not None:
        head_end = re.compile(rb"\r?\n\r?\n").search(content, start.start())
        if head_end is None:
            return
        head = content[start.start() : head_end.start()]
        length = _LENGTH.search(head)
        following = _START.search(content, head_end.end())
        end = following.start() if following is not None else len(content)
        if length is not None:
            end = min(head_end.end() + int(length.group(1)), len(content))
        body = content[head_end.end() : end]
        kind = _TYPE.search(head)
        yield _dechunked(body) if _CHUNKED.search(head) else body, kind.group(1) if kind else b""
        position = end


def _dechunked(body: bytes) -> bytes:
    parts, position = [], 0
    while (size := re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r\n").match(body, position)) is not None:
        length = int(size.group(1), 16)
        parts.append(body[size.end() : size.end() + length])
        position = size.end() + length + 2
    return b"".join(parts)


def _parts(body: bytes, content_type: bytes) -> list[bytes]:
    """The parts of a multipart body, decoded."""
    whole = email.message_from_bytes(b"Content-Type: " + content_type + b"\r\n\r\n" + body, policy=email.policy.HTTP)
    found = [part.get_payload(decode=True) for part in whole.iter_parts()]
    return [part for part in found if isinstance(part, bytes)]


def _documents(content: bytes, label: str) -> list[etree._Element]:
    if len(content) > _MOST_BYTES:
        raise Unreadable(f"{label}: more than {_MOST_BYTES} bytes")
    # UTF-8 is the only encoding of these messages, whatever a declaration says.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, encoding="utf-8")
    try:
        root = etree.fromstring(content.removeprefix(BOM_UTF8).strip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        # The parser's words may quote the message; where it is, is enough.
        line = getattr(error, "lineno", None)
        raise Unreadable(f"{label}: not XML{f' (line {line})' if line else ''}") from None
    if root.getroottree().docinfo.doctype:
        raise Unreadable(f"{label}: a document type, which no message has")
    return [root]


def _message(label: str, documents: list[etree._Element]) -> Message:
    soap = next((document for document in documents if etree.QName(document).localname == "Envelope"), None)
    others = [document for document in documents if document is not soap]
    itk = _itk(soap, others)
    hl7 = _hl7(soap, others) if itk is None else _payload(itk)
    names = [etree.QName(hl7).localname] if hl7 is not None else []
    if itk is not None:
        header = only_element(itk, "/itk:DistributionEnvelope/itk:header")
        names += [(header.get("service") or "") if header is not None else "", "DistributionEnvelope"]
    if soap is not None and elements(soap, "/*/*[local-name()='Body']/*[local-name()='Fault']"):
        names.append("Fault")
    return Message(label, soap, itk, hl7, tuple(name for name in names if name))


def _itk(soap: etree._Element | None, others: list[etree._Element]) -> etree._Element | None:
    inside = elements(soap, "/*/*[local-name()='Body']/itk:DistributionEnvelope") if soap is not None else []
    found = inside or [document for document in others if etree.QName(document).localname == "DistributionEnvelope"]
    return _alone(found[0]) if found else None


def _payload(itk: etree._Element) -> etree._Element | None:
    """The HL7 message in a distribution envelope, out of base64 and gzip where its manifest says so."""
    payload = next(iter(elements(itk, "//itk:payload")), None)
    item = next(iter(elements(itk, "//itk:manifestitem")), None)
    if payload is None:
        return None
    if item is None or item.get("base64") not in ("true", "1"):
        children = elements(payload, "*")
        return _alone(children[0]) if children else None
    try:
        content = b64decode(payload.text or "", validate=False)
        if item.get("compressed") in ("true", "1"):
            content = _unpacked(content)
        return _documents(content, "the packed payload")[0]
    except (ValueError, zlib.error):
        return None


def _unpacked(content: bytes) -> bytes:
    """gzip, up to a bound: a small message may unfold into a very large one.

    Raises:
        ValueError: it is more, or not all of it is there.
    """
    unpacker = zlib.decompressobj(_GZIP)
    unpacked = unpacker.decompress(content, _MOST_UNPACKED)
    if not unpacker.eof:
        raise ValueError("cut short, or too large")
    return unpacked


def _hl7(soap: etree._Element | None, others: list[etree._Element]) -> etree._Element | None:
    """An HL7 V3 message: a part of its own, the child of soap:Body, or inside the wrapper that Spine puts around."""
    candidates = [*others]
    if soap is not None:
        candidates += elements(soap, "/*/*[local-name()='Body']/*")
        candidates += elements(soap, "/*/*[local-name()='Body']/*/*")
    for candidate in candidates:
        if _INTERACTION.fullmatch(etree.QName(candidate).localname):
            return _alone(candidate)
    plain = [one for one in candidates if etree.QName(one).namespace == NAMESPACES["hl7"]]
    return _alone(plain[0]) if plain else None


def _alone(element: etree._Element) -> etree._Element:
    """The element as the root of a document of its own."""
    copy = deepcopy(element)
    copy.tail = None
    return copy
