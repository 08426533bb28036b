"""Whether a telecom value can stand in a details response.

Source: COMT_MT000016GB01, where TEL/@value is an xs:anyURI that begins with a lower-case scheme. libxml2 reads an
xs:anyURI by RFC 3986 after it has replaced what a URI cannot hold (spaces, quotes, letters of other alphabets): so
those pass, and what is refused is the structure: a percent sign without two hexadecimal digits, brackets, a second
number sign, an authority with a wrong port. A value that is refused here is dropped and audited as a repair
(pds-services.md).
"""

import re
from typing import Final

__all__ = ["is_schema_url"]

_XML_SPACE: Final = " \t\r\n"
"""The outer white space that the schema's type does not count."""

# Characters that XML 1.0 cannot carry (the builder would leave them out, and another value would leave).
_FORBIDDEN: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_ESCAPED: Final = "%[0-9A-Fa-f]{2}"
_URL: Final = re.compile(
    # The scheme: RFC 3986 wants a letter first, the schema's pattern knows no dot and no upper case.
    r"[a-z][a-z0-9+-]*:"
    # An authority without user or port: PDS has neither, and libxml2 is strict about both.
    rf"(?://(?:[^/?#%\[\]:@{_FORBIDDEN}]|{_ESCAPED})*(?=[/?#]|\Z))?"
    # Path and query, then a fragment, in which libxml2 lets brackets stand.
    rf"(?!//)(?:[^#%\[\]{_FORBIDDEN}]|{_ESCAPED})*(?:#(?:[^#%{_FORBIDDEN}]|{_ESCAPED})*)?"
)


def is_schema_url(value: str) -> bool:
    """Whether the response schema takes ``value`` in a telecom; never true for one that it refuses."""
    return _URL.fullmatch(value.strip(_XML_SPACE)) is not None
