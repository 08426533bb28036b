"""WS-Security in a request: timestamp, username and signature (WS-SEC-04 to 07, WS-DSC-03, WS-DSC-04, transport.md).

Every breach is 3000 with the name of the element.
"""

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, NoReturn

from lxml import etree

from smsp_provider.domain.clients import SignaturePolicy
from smsp_provider.domain.faults import access_denied
from smsp_provider.domain.immutable import immutable
from smsp_provider.soap.envelope import SoapMessage
from smsp_provider.soap.signature import is_signed, verify_signature
from smsp_provider.soap.signature_key import SignerCertificates
from smsp_provider.xmlcore.names import WSSE, WSU
from smsp_provider.xmlcore.read import leaf_text, only_child

__all__ = ["SecurityFacts", "SecurityPolicy", "UsernamePolicy", "check_security", "find_username"]

_SECURITY: Final = f"{{{WSSE}}}Security"
_TIMESTAMP: Final = f"{{{WSU}}}Timestamp"
_CREATED: Final = f"{{{WSU}}}Created"
_EXPIRES: Final = f"{{{WSU}}}Expires"
_TOKEN: Final = f"{{{WSSE}}}UsernameToken"
_USERNAME: Final = f"{{{WSSE}}}Username"

_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z")


class UsernamePolicy(Enum):
    """What the username is compared with; its presence is always required. The value is the word of the settings."""

    REQUIRE_MATCH = "require-match"
    """The common name of the TLS certificate (WS-SEC-07)."""
    KNOWN_NAME = "known-name"
    """The names that the client is registered with."""
    IGNORE = "ignore"
    """Nothing: for local use."""


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """``clock_skew`` is how far ahead of us a sender's clock may run (allowed for Created, never for Expires).

    ``longest_life`` is how long after Created a message may expire. ``clients_may_ignore`` lets a client have
    :attr:`SignaturePolicy.IGNORE` of its own, never in live. ``allow_sha1`` accepts signatures with SHA-1 too: for test
    systems with old toolkits, never for live.
    """

    username: UsernamePolicy = UsernamePolicy.REQUIRE_MATCH
    clock_skew: timedelta = timedelta(seconds=300)
    signatures: SignaturePolicy = SignaturePolicy.VERIFY_IF_PRESENT
    allow_sha1: bool = False
    longest_life: timedelta = timedelta(days=1)
    clients_may_ignore: bool = False


@immutable
class SecurityFacts:
    """What the security header says; both times aware, in UTC.

    ``signed``: there is a signature, looked at or not. ``signer``: it was verified, and this is the fingerprint of the
    registered certificate that it was verified with (SHA-256 of the DER, lower-case hexadecimal digits).
    """

    username: str
    created: datetime
    expires: datetime
    signed: bool
    signer: str | None = None


def check_security(
    message: SoapMessage,
    now: datetime,
    peer_common_name: str | None,
    policy: SecurityPolicy,
    *,
    known_names: AbstractSet[str] = frozenset(),
    signers: Callable[[], SignerCertificates] = SignerCertificates,
) -> SecurityFacts:
    """Check the security header at the moment ``now`` (aware).

    ``peer_common_name`` is the CN of the caller's certificate, ``known_names`` are the usernames that the client is
    registered with, ``signers`` tells the certificates that it may sign with (none unless it is given), and is asked
    only where there is a signature to verify.

    Raises:
        ToolkitFault: 3000, the first breach in the order Security, Timestamp, Created, Expires, UsernameToken,
            Signature.
    """
    blocks = message.by_tag.get(_SECURITY, ())
    if len(blocks) != 1:
        _refuse("wsse:Security", "is missing" if not blocks else "is given more than once", rule="WS-SEC-04")
    security = blocks[0]
    parts = security[:]
    timestamp = _one(parts, _TIMESTAMP, "wsu:Timestamp", rule="WS-SEC-04")
    moments = timestamp[:]
    created = _instant(moments, _CREATED, "wsu:Created", rule="WS-SEC-04")
    expires = _instant(moments, _EXPIRES, "wsu:Expires", rule="WS-SEC-05")
    if created > expires:
        _refuse("wsu:Created", "lies after wsu:Expires", rule="WS-SEC-05")
    if created - now > policy.clock_skew:
        _refuse("wsu:Created", "lies in the future", rule="WS-SEC-04")
    if expires < now:
        _refuse("wsu:Expires", "has passed", rule="WS-SEC-06")
    if expires - created > policy.longest_life:
        _refuse("wsu:Expires", "lies too long after wsu:Created", rule="WS-SEC-05")
    username = _username(parts)
    if policy.username is UsernamePolicy.REQUIRE_MATCH and username != peer_common_name:
        _refuse("wsse:Username", "is not the common name of the client certificate", rule="WS-SEC-07")
    if policy.username is UsernamePolicy.KNOWN_NAME and username not in known_names:
        _refuse("wsse:Username", "is not a registered name of the client", rule="WS-SEC-07")
    signed, signer = is_signed(message), None
    if policy.signatures is SignaturePolicy.REQUIRE or (signed and policy.signatures is not SignaturePolicy.IGNORE):
        signer = verify_signature(
            message, security, timestamp, now, signers(), allow_sha1=policy.allow_sha1
        ).fingerprint
    return SecurityFacts(username, created, expires, signed, signer)


def find_username(message: SoapMessage) -> str | None:
    """The username that a message claims, checked or not: for the audit of one that was refused."""
    for block in message.by_tag.get(_SECURITY, ()):
        return block.findtext(f"{_TOKEN}/{_USERNAME}")
    return None


def _one(parent: etree._Element | list[etree._Element], tag: str, name: str, *, rule: str) -> etree._Element:
    found = only_child(parent, tag)
    if found is None:
        _refuse(name, "is missing or given more than once", rule=rule)
    return found


def _instant(moments: list[etree._Element], tag: str, name: str, *, rule: str) -> datetime:
    """A moment in UTC; fractions finer than a microsecond are cut off."""
    text = leaf_text(_one(moments, tag, name, rule=rule))
    if _INSTANT.fullmatch(text) is None:
        _refuse(name, "is not a date and time in UTC ending in Z", rule="WS-DSC-03")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        _refuse(name, "is not a real date and time", rule="WS-DSC-03")


def _username(parts: list[etree._Element]) -> str:
    token = _one(parts, _TOKEN, "wsse:UsernameToken", rule="WS-DSC-04")
    username = leaf_text(_one(token, _USERNAME, "wsse:Username", rule="WS-DSC-04"))
    if not username:
        _refuse("wsse:Username", "is empty", rule="WS-DSC-04")
    return username


def _refuse(name: str, problem: str, *, rule: str) -> NoReturn:
    raise access_denied(f"{name} {problem}", rule=rule) from None
