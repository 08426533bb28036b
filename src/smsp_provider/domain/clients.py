"""A registered client: who it is, how it is recognised, what it may ask, and how much.

Source: WS-SEC-07, WS-SEC-08, WS-SEC-09 (several certificates), SMSP-SEC-001, SMSP-PERF-001, SMSP-PERF-007,
audit-identity.md (organisations and ASIDs of a client).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from types import MappingProxyType
from typing import Final

from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.service import Service

__all__ = [
    "Authority",
    "Client",
    "ClientInvalid",
    "FingerprintPin",
    "Limits",
    "NamePin",
    "PeerCertificate",
    "Pin",
    "PinState",
    "PriorityClass",
    "SignaturePolicy",
]

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


class ClientInvalid(ValueError):
    """A registration that cannot stand; the text names the field, never the value."""


class PriorityClass(Enum):
    """How a client's requests stand in the queue (SMSP-PERF-007); the value is the word of the registry."""

    NORMAL = "normal"
    """Attended requests overtake unattended ones."""
    BACKGROUND = "background"
    """A batch client: all its requests count as unattended."""


class SignaturePolicy(Enum):
    """What a ds:Signature in the security header is worth; the value is the word of settings and registry."""

    IGNORE = "ignore"
    """It is noted in the audit and not looked at: for local use."""
    VERIFY_IF_PRESENT = "verify-if-present"
    REQUIRE = "require"


class PinState(Enum):
    """Where a pin stands in a rotation; all of them are accepted while their time lasts."""

    CURRENT = "current"
    NEXT = "next"
    """Registered before the certificate is in use: without one, nothing can be rotated."""
    RETIRED = "retired"
    """Of the certificate before: accepted until the overlap ends."""


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A caller's certificate, as TLS verified it.

    ``fingerprint`` is the SHA-256 of its DER in lower-case hexadecimal digits; ``subject`` and ``issuer`` are in the
    form of RFC 4514; ``common_name`` is None where the subject has none, or more than one. ``der`` is the certificate.
    """

    fingerprint: str
    subject: str
    issuer: str
    common_name: str | None
    der: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FingerprintPin:
    """One certificate. ``until`` (aware, UTC) ends it; ``certificate`` is its DER where that was registered."""

    fingerprint: str
    state: PinState = PinState.CURRENT
    until: datetime | None = None
    certificate: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if _FINGERPRINT.fullmatch(self.fingerprint) is None:
            raise ClientInvalid("pins: a fingerprint is 64 lower-case hexadecimal digits (SHA-256)")
        _check_moment(self.until)

    def matches(self, certificate: PeerCertificate, at: datetime) -> bool:
        """Whether the pin holds for this certificate at this moment."""
        return self.fingerprint == certificate.fingerprint and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class NamePin:
    """Any certificate of one subject by one issuer, for the window of a rotation: ``until`` is not optional."""

    subject: str
    issuer: str
    until: datetime
    state: PinState = PinState.NEXT

    def __post_init__(self) -> None:
        if not self.subject or not self.issuer:
            raise ClientInvalid("pins: a pin by name needs subject and issuer")
        _check_moment(self.until)

    def matches(self, certificate: PeerCertificate, at: datetime) -> bool:
        """Whether the pin holds for this certificate at this moment."""
        return self.subject == certificate.subject and self.issuer == certificate.issuer and at < self.until


Pin = FingerprintPin | NamePin


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a client may ask; None is no limit of its own.

    ``rate`` in requests a second, ``burst`` how many may come at once after a pause, ``concurrency`` how many may be
    under way at the same time.
    """

    rate: float | None = None
    burst: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        # Written so that a value that is not a number fails too.
        if self.rate is not None and not 0 < self.rate <= 1_000_000:
            raise ClientInvalid("limits: rate is more than 0")
        if self.burst is not None and (self.rate is None or self.burst < 1):
            raise ClientInvalid("limits: burst is at least 1, and belongs to a rate")
        if self.concurrency is not None and self.concurrency < 1:
            raise ClientInvalid("limits: concurrency is at least 1")


@dataclass(frozen=True, slots=True)
class Authority:
    """Why this client may ask at all, and when somebody has to look at that again (``review_on``)."""

    approval_reference: str
    legal_basis: str
    use_case: str
    review_on: date

    def __post_init__(self) -> None:
        for name in ("approval_reference", "legal_basis", "use_case"):
            if not getattr(self, name).strip():
                raise ClientInvalid(f"authority: {name} is empty")


@dataclass(frozen=True, slots=True)
class Client:
    """A calling system and what it is registered for.

    ``name`` is its key here. ``ods_code`` and ``party_key`` say whose system it is. ``organisations`` are those it may
    act for (its audit identities), each with its ASID, or None where the settings' map has it: an aggregator has many
    under one party key. ``usernames`` are WS-Security usernames it may send besides the name in its certificate.
    ``profiles`` narrow the accepted profile ids down; empty accepts what the settings accept. ``signatures`` None
    leaves the policy to the settings. A disabled client has a ``disabled_reason``.
    """

    name: str
    ods_code: ODSCode
    contact: str
    authority: Authority
    organisations: Mapping[ODSCode, ASID | None]
    pins: tuple[Pin, ...] = ()
    party_key: str | None = None
    usernames: frozenset[str] = frozenset()
    services: frozenset[Service] = frozenset(Service)
    profiles: frozenset[str] = frozenset()
    access_methods: frozenset[AccessMethod] = frozenset({AccessMethod.UNATTENDED, AccessMethod.ATTENDED})
    limits: Limits = Limits()
    priority: PriorityClass = PriorityClass.NORMAL
    signatures: SignaturePolicy | None = None
    enabled: bool = True
    disabled_reason: str = ""

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ClientInvalid("name: lower-case letters, digits, dots, hyphens and underscores, at most 64")
        if not self.contact.strip():
            raise ClientInvalid("contact: is empty")
        if not self.organisations:
            raise ClientInvalid("organisations: at least one that the client may act for")
        if not self.services:
            raise ClientInvalid("services: at least one")
        if not self.access_methods - {AccessMethod.NAMED_ASID}:
            raise ClientInvalid("access_methods: at least one besides naming an ASID (5)")
        if len(set(map(_identity, self.pins))) != len(self.pins):
            raise ClientInvalid("pins: one is given twice")
        if self.enabled == bool(self.disabled_reason.strip()):
            raise ClientInvalid("disabled_reason: a disabled client has one, an enabled client has none")
        object.__setattr__(self, "organisations", MappingProxyType(dict(self.organisations)))

    def recognises(self, certificate: PeerCertificate, at: datetime) -> bool:
        """Whether one of the pins holds for this certificate at this moment."""
        return any(pin.matches(certificate, at) for pin in self.pins)


def _identity(pin: Pin) -> tuple[str, ...]:
    return (pin.fingerprint,) if isinstance(pin, FingerprintPin) else (pin.subject, pin.issuer)


def _check_moment(moment: datetime | None) -> None:
    if moment is not None and moment.utcoffset() is None:
        raise ClientInvalid("pins: until needs a time zone")
