"""The only XML parser: hardened, bounded, one parser for each thread.

Nothing is fetched, no entity is expanded, a DTD is refused, depth and size are bounded. Errors name the rule, never the
content, so that they may be shown to a caller.
"""

import threading
from typing import Final

from lxml import etree

__all__ = ["MAX_DEPTH", "MalformedXML", "local_name", "namespace", "parse"]

MAX_DEPTH: Final = 256
"""Elements below each other: the parser's own bound while ``huge_tree`` is off. A real request has about a dozen."""


class _PerThread(threading.local):
    """Parsers of each thread: making one costs as much as parsing a request, and sharing one would take turns.

    ``parsers`` holds one that keeps white space between elements (True) and one that does not (False).
    A parser keeps nothing of a document it has parsed; its complaints about one it refused can hold the document's
    words until its next use, so such a parser is thrown away (safety rule W12).
    """

    def __init__(self) -> None:
        self.parsers = {keep_blanks: _new_parser(keep_blanks=keep_blanks) for keep_blanks in (True, False)}


def _new_parser(*, keep_blanks: bool) -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        dtd_validation=False,
        remove_comments=True,
        remove_pis=True,
        remove_blank_text=not keep_blanks,
    )


_local: Final = _PerThread()


class MalformedXML(ValueError):
    """The bytes are not an acceptable XML document; ``reason`` says why without quoting them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(document: bytes, *, keep_blanks: bool = True) -> etree._Element:
    """Parse a whole UTF-8 document and return its root element.

    The bytes are taken as UTF-8 whatever an XML declaration claims: transport.md makes UTF-8 the only encoding.
    Without ``keep_blanks``, white space between elements is left out: of an indented document, that is every other
    node. A leaf of white space alone stays as it is. Not for what may be signed.

    Raises:
        MalformedXML: not UTF-8, not well formed, a DTD, or nested more than ``MAX_DEPTH`` deep.
    """
    # Nearly every document is ASCII: to find that out makes no text of it.
    if not document.isascii() and not _is_utf8(document):
        raise MalformedXML("the document is not UTF-8")
    root = _root_of(document, keep_blanks=keep_blanks)
    if root is None:
        raise MalformedXML("the document is not well-formed XML")
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedXML("a document type declaration is not allowed")
    return root


def _is_utf8(document: bytes) -> bool:
    try:
        document.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _root_of(document: bytes, *, keep_blanks: bool) -> etree._Element | None:
    """The root element, or None: the parser's exception can quote the document, so it must not outlive this call."""
    try:
        return etree.fromstring(document, _local.parsers[keep_blanks])
    except (etree.XMLSyntaxError, ValueError):
        _local.parsers[keep_blanks] = _new_parser(keep_blanks=keep_blanks)
        return None


def local_name(element: etree._Element) -> str:
    """The name without its namespace."""
    tag = str(element.tag)
    return tag[tag.index("}") + 1 :] if tag.startswith("{") else tag


def namespace(element: etree._Element) -> str:
    """The namespace name, or the empty string."""
    tag = str(element.tag)
    return tag[1 : tag.index("}")] if tag.startswith("{") else ""
