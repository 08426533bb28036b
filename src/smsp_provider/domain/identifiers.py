"""Identifiers and the object identifiers (OIDs) under which they stand."""

import re
from typing import Final

from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked

__all__ = ["ASID", "OID", "LocalIdentifier", "ODSCode", "bare_uuid", "is_uuid", "same_uuid"]

_MESSAGE_ID: Final = re.compile(
    # Both cases by name: ignoring case looks each character up several times.
    "(?:(?:[Uu][Rr][Nn]:)?[Uu][Uu][Ii][Dd]:)?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
)


class OID:
    """Object identifiers, each named once; the comment names the document it comes from."""

    NHS_NUMBER: Final = "2.16.840.1.113883.2.1.4.1"
    """PDS mini services message specification: a verified new style NHS number."""
    LOCAL_IDENTIFIER: Final = "2.16.840.1.113883.2.1.3.2.4.18.24"
    SERVICE_MESSAGE: Final = "2.16.840.1.113883.2.1.3.2.4.17.284"
    """PDS mini services message specification: the code of every payload."""
    RESPONSE_CODE: Final = "2.16.840.1.113883.2.1.3.2.4.17.285"
    """PDS mini services message specification: the response vocabulary."""
    IDENTIFIER_VALIDITY: Final = "2.16.840.1.113883.2.1.3.2.4.17.287"
    GENDER: Final = "2.16.840.1.113883.2.1.3.2.4.16.25"
    PRACTICE: Final = "2.16.840.1.113883.2.1.3.2.4.19.2"
    """PDS mini services message specification: ODS code of the registered practice in a response."""
    TOOLKIT_ERROR: Final = "2.16.840.1.113883.2.1.3.2.4.17.268"
    """ITK web-service transport, WS-FDT-03."""
    ITK_IDENTITY: Final = "2.16.840.1.113883.2.1.3.2.4.18.27"
    """Distribution envelope and audit identity guidance; the default type of an audit identity."""
    ASID: Final = "1.2.826.0.1285.0.2.0.107"
    """Audit identity guidance; also every device of the HL7 V3 wrapper."""
    ROLE_PROFILE: Final = "1.2.826.0.1285.0.2.0.67"
    USER: Final = "1.2.826.0.1285.0.2.0.65"
    ROLE: Final = "1.2.826.0.1285.0.2.1.104"
    SSO_TOKEN: Final = "2.16.840.1.113883.2.1.3.2.4.18.47"  # noqa: S105 - the name of a kind of token, not one


@immutable
class ODSCode:
    """An organisation code; compared without regard to case, so it is kept in upper case."""

    code: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", self.code.strip().upper())


@immutable
class ASID:
    """An accredited system identifier: which system of which organisation speaks to Spine."""

    value: str


@immutable
class LocalIdentifier(Masked):
    """The caller's own patient number, reflected in the response and used for nothing else (SMSP-PDS-009)."""

    root: str
    extension: str


def same_uuid(one: str, other: str) -> bool:
    """Whether two message ids name the same UUID; ``uuid:`` and ``urn:uuid:`` prefixes and case do not count."""
    return one == other or bare_uuid(one) == bare_uuid(other)


def bare_uuid(text: str) -> str:
    """The UUID of a message id in upper case without any prefix."""
    return text.strip().rpartition(":")[2].upper()


def is_uuid(text: str) -> bool:
    """Whether a message id is a UUID: bare, or after ``urn:uuid:`` or ``uuid:``, in any case (WS-ADR-01)."""
    return _MESSAGE_ID.fullmatch(text) is not None
