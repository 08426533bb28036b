"""The only XML builder: writes elements to text, escaping every value.

A tree library is not used for writing: what leaves is read again from its bytes anyway (safety rule W10), so the tree
would be built twice. Names come from code, values from people: only names may be written unescaped.
"""

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["PROLOG", "attribute_text", "document", "element", "text"]

PROLOG: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'

# Characters that XML 1.0 cannot carry at all; lxml refuses them on input, Spine or a FHIR answer might not.
_FORBIDDEN: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF))
_TEXT: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", **{chr(c): None for c in _FORBIDDEN}}
)
_ATTRIBUTE: Final = {**_TEXT, ord('"'): "&quot;", ord("\n"): "&#10;", ord("\t"): "&#9;"}

# Nearly every value holds nothing to escape, and a search that finds nothing is many times quicker than a translation.
_IN_TEXT: Final = re.compile("[" + re.escape("".join(map(chr, _TEXT))) + "]")
_IN_ATTRIBUTE: Final = re.compile("[" + re.escape("".join(map(chr, _ATTRIBUTE))) + "]")


def text(value: str) -> str:
    """A value as element content."""
    return value.translate(_TEXT) if _IN_TEXT.search(value) else value


def attribute_text(value: str) -> str:
    """A value as attribute content, between double quotes."""
    return value.translate(_ATTRIBUTE) if _IN_ATTRIBUTE.search(value) else value


def element(name: str, *content: str, **attributes: str | None) -> str:
    """One element: ``content`` is markup already written (:func:`text` for values), ``attributes`` are plain values.

    An attribute of value None is left out; a trailing underscore in a keyword is dropped (``class_``).
    """
    written = [
        f' {key.rstrip("_")}="{attribute_text(value)}"' for key, value in attributes.items() if value is not None
    ]
    inner = "".join(content)
    opening = f"<{name}{''.join(written)}"
    return f"{opening}>{inner}</{name}>" if inner else f"{opening}/>"


def document(parts: Iterable[str]) -> bytes:
    """A whole document as UTF-8 bytes with its XML declaration."""
    return (PROLOG + "".join(parts)).encode("utf-8")
