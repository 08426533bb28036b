"""Registered clients for tests: a plain one to change, certificates made up of a word, and any client at all."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from smsp_provider.domain.access import ClientBook
from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.clients import (
    Authority,
    Client,
    FingerprintPin,
    Limits,
    NamePin,
    PeerCertificate,
    PinState,
    PriorityClass,
    SignaturePolicy,
)
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.domain.service import Service

__all__ = ["AT", "NO_ASIDS", "any_clients", "book_of", "certificate_of", "client_of", "pin_of"]

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
NO_ASIDS = ASIDDirectory({})

_AUTHORITY = Authority("DARS-1", "direct care", "patient administration", date(2030, 1, 1))


def certificate_of(word: str, *, subject: str | None = None, issuer: str = "CN=Test authority") -> PeerCertificate:
    """A certificate as TLS would report it; its DER is only bytes."""
    der = word.encode()
    return PeerCertificate(hashlib.sha256(der).hexdigest(), subject or f"CN={word}", issuer, word, der)


def pin_of(word: str, state: PinState = PinState.CURRENT, until: datetime | None = None) -> FingerprintPin:
    """The pin of :func:`certificate_of`."""
    return FingerprintPin(certificate_of(word).fingerprint, state, until)


def client_of(name: str = "ward-system", **changes: Any) -> Client:
    """An enabled client with one pin, ``certificate_of(name)``, and one organisation, A1001."""
    plain = Client(
        name=name,
        ods_code=ODSCode("A1001"),
        contact="service desk",
        authority=_AUTHORITY,
        organisations={ODSCode("A1001"): ASID("200000000115")},
        pins=(pin_of(name),),
    )
    return replace(plain, **changes)


def book_of(*clients: Client, **options: Any) -> ClientBook:
    """A book of these clients, without ASIDs from elsewhere."""
    return ClientBook(clients, NO_ASIDS, **options)


_words = st.text("abcdefghijklmnopqrstuvwxyzéß0123456789 ='\"\\#[]/.", min_size=1, max_size=20).map(
    lambda text: f"a{text}z"
)
_moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis puts the zone on
_states = st.sampled_from(PinState)
_ods_codes = st.text("ABCDEFGH0123456789", min_size=3, max_size=6).map(ODSCode)
_asids = st.text("0123456789", min_size=12, max_size=12).map(ASID)


@st.composite
def _fingerprint_pins(draw: st.DrawFn) -> FingerprintPin:
    der = draw(st.binary(min_size=1, max_size=40))
    fingerprint = hashlib.sha256(der).hexdigest()
    kept = der if draw(st.booleans()) else None
    return FingerprintPin(fingerprint, draw(_states), draw(st.none() | _moments), kept)


_pins = st.lists(
    _fingerprint_pins() | st.builds(NamePin, _words, _words, _moments, _states),
    max_size=4,
    unique_by=lambda pin: pin.fingerprint if isinstance(pin, FingerprintPin) else (pin.subject, pin.issuer),
)


@st.composite
def _limits(draw: st.DrawFn) -> Limits:
    rate = draw(st.none() | st.floats(0.001, 1000))
    numbers = st.none() | st.integers(1, 1000)
    return Limits(rate, None if rate is None else draw(numbers), draw(numbers))


@st.composite
def any_clients(draw: st.DrawFn, names: st.SearchStrategy[str] | None = None) -> Client:
    """Any client that can be registered."""
    enabled = draw(st.booleans())
    organisations: Mapping[ODSCode, ASID | None] = draw(
        st.dictionaries(_ods_codes, st.none() | _asids, min_size=1, max_size=4)
    )
    methods = draw(st.sets(st.sampled_from(AccessMethod)))
    return Client(
        name=draw(names or st.from_regex(r"[a-z0-9](?:[a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True)),
        ods_code=draw(_ods_codes),
        contact=draw(_words),
        authority=Authority(
            draw(_words), draw(_words), draw(_words), draw(st.dates(date(2020, 1, 1), date(2040, 1, 1)))
        ),
        organisations=organisations,
        pins=tuple(draw(_pins)),
        party_key=draw(st.none() | _words),
        usernames=frozenset(draw(st.sets(_words, max_size=3))),
        services=frozenset(draw(st.sets(st.sampled_from(Service), min_size=1))),
        profiles=frozenset(draw(st.sets(_words, max_size=3))),
        access_methods=frozenset(methods | {AccessMethod.UNATTENDED}),
        limits=draw(_limits()),
        priority=draw(st.sampled_from(PriorityClass)),
        signatures=draw(st.none() | st.sampled_from(SignaturePolicy)),
        enabled=enabled,
        disabled_reason="" if enabled else draw(_words),
    )
