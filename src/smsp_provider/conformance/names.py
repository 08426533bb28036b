"""Namespaces and fixed identifiers, restated here: the harness shares no table with what it tests."""

from typing import Final

__all__ = ["ACTION_PREFIX", "NAMESPACES", "NHS_NUMBER_ROOT", "PROFILE_PREFIX", "qualified"]

NAMESPACES: Final = {
    "soap": "http://schemas.xmlsoap.org/soap/envelope/",
    "env": "http://www.w3.org/2003/05/soap-envelope",
    "wsa": "http://www.w3.org/2005/08/addressing",
    "wsse": "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd",
    "wsu": "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "itk": "urn:nhs-itk:ns:201005",
    "hl7": "urn:hl7-org:v3",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "re": "http://exslt.org/regular-expressions",
}
"""The prefixes that case files, expectations and rules may use; ``re`` is EXSLT's ``re:test``."""

ACTION_PREFIX: Final = "urn:nhs-itk:services:201005:"
PROFILE_PREFIX: Final = "urn:nhs-en:profile:"
NHS_NUMBER_ROOT: Final = "2.16.840.1.113883.2.1.4.1"


def qualified(name: str) -> str:
    """``prefix:local`` in lxml's ``{namespace}local`` form; a name without a prefix has no namespace.

    Raises:
        KeyError: an unknown prefix.
    """
    prefix, colon, local = name.rpartition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}" if colon else name
