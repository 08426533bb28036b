"""Who asks: the ids of the envelope's audit identity, and the access method they make.

Source: Audit Identity Guidance (audit-identity.md), SMSP-AUDIT-002 to 005, SMSP-IG-003.
"""

import re
from enum import Enum
from typing import Final

from smsp_provider.domain.identifiers import ASID, OID, ODSCode
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.requests import InputInvalid

__all__ = ["AccessMethod", "AuditId", "AuthorRefused", "Caller", "SpineAuthor", "organisation_in", "recognise"]

_TWELVE_DIGITS: Final = re.compile("[0-9]{12}")
"""What Spine's validators look for in the ids of people and systems (rule G06)."""
_ODS_IDENTITY: Final = "urn:nhs-uk:identity:ods:"

_PERSONAL: Final = frozenset({OID.ROLE_PROFILE, OID.USER, OID.ROLE, OID.SSO_TOKEN})
"""The kinds of id that name a person to Spine."""
_SEVERAL: Final = "names more than one organisation"


class AuthorRefused(Exception):
    """The user behind the request cannot be named to Spine: SMSP-0005. ``rule`` says why, without values."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@immutable
class AuditId:
    """One ``itk:id`` of the audit identity, both values trimmed."""

    type: str
    uri: str


class AccessMethod(Enum):
    """How a user comes to PDS; the value is the number of the guidance."""

    # Members are unique, so that they can be told apart as any objects are; Enum's own way is a function in Python.
    __hash__ = object.__hash__

    UNATTENDED = 1
    ATTENDED = 2
    SMARTCARD = 3
    NAMED_ASID = 5
    """Naming an ASID beside the organisation: never alone, always with one of the others."""


@immutable
class SpineAuthor:
    """The person for the author block of a Spine message (access method 3): all three ids."""

    role_profile: str
    user: str
    role: str


@immutable
class Caller:
    """The initiating organisation and user.

    ``method`` is 1, 2 or 3. ``ods_code`` is None when only an ASID identifies the organisation; ``named_asid`` is set
    when the request names one (access method 5 where other ids stand beside it).
    """

    method: AccessMethod
    ods_code: ODSCode | None
    named_asid: ASID | None
    author: SpineAuthor | None

    @property
    def names_asid(self) -> bool:
        """Whether an ASID is named beside the organisation (access method 5)."""
        return self.ods_code is not None and self.named_asid is not None

    @property
    def methods(self) -> frozenset[AccessMethod]:
        """All access methods that the audit identity makes use of: a client has to be registered for each."""
        if self.names_asid:
            return frozenset({self.method, AccessMethod.NAMED_ASID})
        return frozenset({self.method})


def recognise(ids: tuple[AuditId, ...]) -> Caller:
    """Tell organisation, user and access method from the ids of an audit identity.

    Unknown kinds of id are for the audit and are ignored here. Until role checks against SDS exist, method 3 needs the
    role as well (Spine's author block is invalid without it) and a session token (method 4) is refused.

    Raises:
        InputInvalid: neither an ITK identity with an ODS code nor an ASID (SMSP-AUDIT-005), or two that differ.
        AuthorRefused: smartcard ids that are incomplete or contradict each other, or a session token.
    """
    by_type: dict[str, set[str]] = {}
    for item in ids:
        uri = item.uri.strip()
        if uri:
            by_type.setdefault(item.type.strip(), set()).add(uri)
    ods_code: ODSCode | None = None
    has_local_tokens = False
    for identity in by_type.get(OID.ITK_IDENTITY, ()):
        code, has_tokens = _read_identity(identity)
        has_local_tokens = has_local_tokens or has_tokens
        # One organisation may stand here twice, with and without the tokens of a person, or in another case.
        if code is not None and ods_code is not None and code != ods_code:
            raise InputInvalid("auditIdentity", _SEVERAL)
        ods_code = code or ods_code
    asids = by_type.get(OID.ASID, ())
    if len(asids) > 1:
        raise InputInvalid("auditIdentity", _SEVERAL)
    if ods_code is None and not asids:
        raise InputInvalid("auditIdentity", "holds neither an ITK identity nor an ASID")
    author = _author(by_type)
    method = AccessMethod.UNATTENDED
    if author is not None:
        method = AccessMethod.SMARTCARD
    elif has_local_tokens:
        method = AccessMethod.ATTENDED
    return Caller(method, ods_code, ASID(*asids) if asids else None, author)


def organisation_in(ids: tuple[AuditId, ...]) -> ODSCode | None:
    """The first organisation among audit ids, for the audit of a request that went no further."""
    codes = (_read_identity(item.uri.strip())[0] for item in ids if item.type.strip() == OID.ITK_IDENTITY)
    return next((code for code in codes if code is not None), None)


def _read_identity(identity: str) -> tuple[ODSCode | None, bool]:
    """The organisation of an ITK identity, and whether tokens after it identify a person."""
    if not identity.lower().startswith(_ODS_IDENTITY):
        return None, False
    organisation, _, tokens = identity[len(_ODS_IDENTITY) :].partition(":")
    if not organisation.strip():
        return None, False
    return ODSCode(organisation), bool(tokens.replace(":", "").strip())


def _author(by_type: dict[str, set[str]]) -> SpineAuthor | None:
    if _PERSONAL.isdisjoint(by_type):
        return None
    if OID.SSO_TOKEN in by_type:
        raise AuthorRefused("session tokens are not supported")
    sent = {kind: by_type[kind] for kind in (OID.ROLE_PROFILE, OID.USER, OID.ROLE) if kind in by_type}
    if any(len(values) > 1 for values in sent.values()):
        raise AuthorRefused("a smartcard id is given twice with different values")
    if OID.ROLE_PROFILE not in sent or OID.USER not in sent:
        raise AuthorRefused("smartcard ids need both a role profile and a user id")
    if OID.ROLE not in sent:
        raise AuthorRefused("the role id is missing and cannot be looked up")
    (role_profile,), (user,), (role,) = sent[OID.ROLE_PROFILE], sent[OID.USER], sent[OID.ROLE]
    if not _TWELVE_DIGITS.search(role_profile) or not _TWELVE_DIGITS.search(user):
        raise AuthorRefused("a role profile or user id has no twelve digits")
    return SpineAuthor(role_profile, user, role)
