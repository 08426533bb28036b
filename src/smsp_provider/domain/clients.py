"""A registered client: who it is, how it is recognised, what it may ask, and how much.

Source: WS-SEC-07, WS-SEC-08, WS-SEC-09 (several certificates), SMSP-SEC-001, SMSP-PERF-001, SMSP-PERF-007,
audit-identity.md (organisations and ASIDs of a client).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Final

from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.service import Service

__all__ = [
    "REVIEW_NOTICE_DAYS",
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
    "rotated",
]

REVIEW_NOTICE_DAYS: Final = 30
"""How long before the day of its review an authority to access is spoken of."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_ODS_CODE: Final = re.compile(r"[A-Z0-9-]{1,32}")
_ASID: Final = re.compile(r"[0-9]{12}")
"""Spine wants twelve digits in an ASID (rule G06 of its validators)."""
_LONGEST_TEXT: Final = 1000
_MOST: Final = 1_000_000


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

    # Members are unique, so that they can be told apart as any objects are; Enum's own way is a function in Python.
    __hash__ = object.__hash__

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
        if self.certificate is not None and hashlib.sha256(self.certificate).hexdigest() != self.fingerprint:
            raise ClientInvalid("pins: the certificate is not that of the fingerprint")
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
        _check_text("pins: subject", self.subject)
        _check_text("pins: issuer", self.issuer)
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
        if self.rate is not None and not 0 < self.rate <= _MOST:
            raise ClientInvalid(f"limits: rate is more than 0, and at most {_MOST}")
        if self.burst is not None and (self.rate is None or not 1 <= self.burst <= _MOST):
            raise ClientInvalid(f"limits: burst is from 1 to {_MOST}, and belongs to a rate")
        if self.concurrency is not None and not 1 <= self.concurrency <= _MOST:
            raise ClientInvalid(f"limits: concurrency is from 1 to {_MOST}")


@dataclass(frozen=True, slots=True)
class Authority:
    """Why this client may ask at all, and when somebody has to look at that again (``review_on``)."""

    approval_reference: str
    legal_basis: str
    use_case: str
    review_on: date

    def __post_init__(self) -> None:
        for name in ("approval_reference", "legal_basis", "use_case"):
            _check_text(f"authority: {name}", getattr(self, name))


@dataclass(frozen=True, slots=True)
class Client:
    """A calling system and what it is registered for.

    ``name`` is its key here. ``ods_code`` and ``party_key`` say whose system it is. ``organisations`` are those it may
    act for (its audit identities), each with its ASID, or None where the settings' map has it: an aggregator has many
    under one party key. ``usernames`` are WS-Security usernames it may send besides its
    name and the name in its certificate. ``profiles`` narrow the accepted profile ids down; empty accepts what the
    settings accept. ``signatures`` None leaves the policy to the settings. A disabled client has a ``disabled_reason``.
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
        _check_text("contact", self.contact)
        _check_texts("party_key", () if self.party_key is None else (self.party_key,))
        _check_texts("usernames", self.usernames)
        _check_texts("profiles", self.profiles)
        self._check_organisations()
        if not self.services:
            raise ClientInvalid("services: at least one")
        if not self.access_methods - {AccessMethod.NAMED_ASID}:
            raise ClientInvalid("access_methods: at least one besides naming an ASID (5)")
        if len(set(map(_identity, self.pins))) != len(self.pins):
            raise ClientInvalid("pins: one is given twice")
        if self.enabled == bool(self.disabled_reason.strip()):
            raise ClientInvalid("disabled_reason: a disabled client has one, an enabled client has none")
        if self.disabled_reason:
            _check_text("disabled_reason", self.disabled_reason)
        object.__setattr__(self, "organisations", MappingProxyType(dict(self.organisations)))
        # Its own name is always one, whether it was said or not.
        object.__setattr__(self, "usernames", frozenset(self.usernames - {self.name}))

    def _check_organisations(self) -> None:
        if _ODS_CODE.fullmatch(self.ods_code.code) is None:
            raise ClientInvalid("ods_code: letters, digits and hyphens, at most 32")
        if not self.organisations:
            raise ClientInvalid("organisations: at least one that the client may act for")
        # A colon in a code would be where the tokens of a person begin.
        if any(_ODS_CODE.fullmatch(organisation.code) is None for organisation in self.organisations):
            raise ClientInvalid("organisations: an ODS code is letters, digits and hyphens, at most 32")
        if any(asid is not None and _ASID.fullmatch(asid.value) is None for asid in self.organisations.values()):
            raise ClientInvalid("organisations: an ASID has twelve digits")

    def days_to_review(self, today: date) -> int:
        """Days until the authority to access has to be reviewed; negative when that day is over."""
        return (self.authority.review_on - today).days

    def recognises(self, certificate: PeerCertificate, at: datetime) -> bool:
        """Whether one of the pins holds for this certificate at this moment."""
        return any(pin.matches(certificate, at) for pin in self.pins)


def rotated(client: Client, at: datetime, overlap: timedelta) -> Client:
    """The client after a rotation at the moment ``at``: its next pins are the current ones.

    The pins before them are accepted for the ``overlap``, but no longer than they were anyway. Pins whose time is over
    are dropped.

    Raises:
        ClientInvalid: no pin that still holds was registered as the next one.
    """
    holding = tuple(pin for pin in client.pins if pin.until is None or at < pin.until)
    if not any(pin.state is PinState.NEXT for pin in holding):
        raise ClientInvalid("pins: none is registered as the next one, so a rotation would lock the client out")
    pins = tuple(
        replace(pin, state=PinState.CURRENT) if pin.state is PinState.NEXT else _retired(pin, at + overlap)
        for pin in holding
    )
    return replace(client, pins=pins)


def _retired(pin: Pin, end: datetime) -> Pin:
    return replace(pin, state=PinState.RETIRED, until=end if pin.until is None else min(pin.until, end))


def _identity(pin: Pin) -> tuple[str, ...]:
    return (pin.fingerprint,) if isinstance(pin, FingerprintPin) else (pin.subject, pin.issuer)


def _check_moment(moment: datetime | None) -> None:
    if moment is not None and moment.utcoffset() is None:
        raise ClientInvalid("pins: until needs a time zone")


def _check_texts(field_name: str, texts: Iterable[str]) -> None:
    for text in texts:
        _check_text(field_name, text)


def _check_text(field_name: str, text: str) -> None:
    """Every database takes it, every terminal shows it, and it is what it looks like."""
    if not text or text != text.strip():
        raise ClientInvalid(f"{field_name}: is empty, or has blanks around it")
    if len(text) > _LONGEST_TEXT or not text.isprintable():
        raise ClientInvalid(
            f"{field_name}: is longer than {_LONGEST_TEXT} characters, or holds one that cannot be shown"
        )
