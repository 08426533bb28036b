"""Access tokens for PDS FHIR: made-for-once signed assertions against the token endpoint, and the tokens kept.

A token is asked for again a minute before it ends, by one thread, while the others go on with the one there is. Workers
share it through a ``TokenShare``. Nothing of a token or an assertion is in any text. Source: facts of PDS FHIR,
section 4; RFC 7523.
"""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smsp_provider.connectors.http import HTTPAnswer, HTTPTransport
from smsp_provider.domain.failures import NotSent, Refused, SentNoAnswer, SpineFailure, Unreadable
from smsp_provider.engine.ports import Clock, Deadline, IdSource
from smsp_provider.engine.token_share import AccessToken, TokenShare

__all__ = ["OneProcess", "SigningKey", "Tokens", "load_signing_key", "make_assertion"]

_GRANT: Final = {
    "grant_type": "client_credentials",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
}
_FORM: Final = "application/x-www-form-urlencoded"
_ASSERTION_LIFE: Final = timedelta(seconds=150)
"""Half of the five minutes allowed: our clock may be so much ahead of theirs or behind it."""
_RENEW_BEFORE: Final = timedelta(seconds=60)
_EARLY_SECONDS: Final = 2.0
"""For a renewal while the old token is still good: it must not use up the time of the request that makes it."""
_FAILED_SECONDS: Final = 5.0
"""Between two attempts to renew a token that is still good."""
_LEAST_BITS: Final = 2048
_OK: Final = 200
_SERVER_ERROR: Final = 500
_TOO_MANY_REQUESTS: Final = 429
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
_SECONDS: Final = re.compile(r"[0-9]{1,6}")
_ERROR: Final = re.compile(r"[A-Za-z0-9_. -]{1,80}")
"""An error's short name, or the id under which those who run the platform find it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the name under which its public half is registered."""

    kid: str
    key: RSAPrivateKey = field(repr=False)


class OneProcess:
    """No sharing: each process asks for tokens of its own."""

    def load(self) -> AccessToken | None:
        """Nothing."""
        return None

    def save(self, token: AccessToken | None) -> None:
        """Nothing is kept."""


def load_signing_key(kid: str, file: Path) -> SigningKey:
    """The key in a PEM file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no unencrypted RSA key of at least 2048 bits.
    """
    content = file.read_bytes()
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        raise ValueError("no unencrypted private key in PEM") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_BITS:
        raise ValueError("the key must be an RSA key of at least 2048 bits")
    return SigningKey(kid, key)


def make_assertion(key: SigningKey, api_key: str, audience: str, jti: str, now: datetime) -> str:
    """A signed JWT that says, once and for a short time, which application is asking."""
    claims = {
        "iss": api_key,
        "sub": api_key,
        "aud": audience,
        "jti": jti,
        "exp": int((now + _ASSERTION_LIFE).timestamp()),
    }
    return jwt.encode(claims, key.key, algorithm="RS512", headers={"kid": key.kid, "typ": "JWT"})


class Tokens:
    """The tokens of one application. Thread-safe.

    ``keys`` are tried in order: while keys are changed, the platform may know only the old or only the new one.
    """

    def __init__(
        self,
        api_key: str,
        keys: Sequence[SigningKey],
        transport: HTTPTransport,
        clock: Clock,
        ids: IdSource,
        share: TokenShare,
    ) -> None:
        self._api_key: Final = api_key
        self._keys: Final = tuple(keys)
        self._transport: Final = transport
        self._clock: Final = clock
        self._ids: Final = ids
        self._share: Final = share
        self._renewing: Final = threading.Lock()
        self._held: AccessToken | None = None
        self._not_before = float("-inf")
        """When the next attempt may be made while a token is still good, on the monotonic clock."""

    def token(self, deadline: Deadline) -> str:
        """A token that is good for now.

        Raises:
            NotSent: there is none in time: the endpoint cannot be reached, is in trouble, or slow.
            Refused: the endpoint does not know us; its short error and the id of its message are in ``codes``.
        """
        held = self._held
        if held is not None and self._left(held) > _RENEW_BEFORE:
            return held.token
        usable = held is not None and self._left(held) > timedelta(0)
        if held is not None and usable and self._clock.monotonic() < self._not_before:
            return held.token
        if not self._renewing.acquire(timeout=0 if usable else max(deadline.remaining(self._clock), 0)):
            if held is not None and usable:
                return held.token
            raise NotSent("no access token in time")
        try:
            return self._renewed(held, deadline)
        finally:
            self._renewing.release()

    def reject(self, token: str) -> None:
        """PDS did not accept a token: it is not used again, by no worker."""
        held = self._held
        if held is not None and held.token == token:
            self._held = None
        shared = self._share.load()
        if shared is not None and shared.token == token:
            self._share.save(None)

    def _left(self, token: AccessToken) -> timedelta:
        return token.ends - self._clock.now()

    def _renewed(self, before: AccessToken | None, deadline: Deadline) -> str:
        """With the lock held: what another thread or worker has got meanwhile, or a new one."""
        for found in (self._held, self._share.load()):
            if found is not None and self._left(found) > _RENEW_BEFORE:
                self._held = found
                return found.token
        if before is None or self._left(before) <= timedelta(0):
            fresh = self._ask(deadline)
        else:
            try:
                fresh = self._ask(Deadline(min(deadline.at, self._clock.monotonic() + _EARLY_SECONDS)))
            except SpineFailure:
                self._not_before = self._clock.monotonic() + _FAILED_SECONDS
                return before.token
        self._held = fresh
        self._share.save(fresh)
        return fresh.token

    def _ask(self, deadline: Deadline) -> AccessToken:
        refused: Refused | None = None
        for key in self._keys:
            try:
                return self._ask_with(key, deadline)
            except Refused as refusal:
                refused = refused or refusal
        raise refused or NotSent("there is no key to ask for a token with")

    def _ask_with(self, key: SigningKey, deadline: Deadline) -> AccessToken:
        now = self._clock.now()
        url = self._transport.url
        form = {
            **_GRANT,
            "client_assertion": make_assertion(key, self._api_key, url, self._ids.new_uuid(), now),
        }
        headers = {"Content-Type": _FORM, "Accept": "application/json"}
        try:
            answer = self._transport.call("POST", self._transport.target, headers, urlencode(form).encode(), deadline)
        except (SentNoAnswer, Unreadable):
            # Whatever became of it: PDS itself has been asked nothing.
            raise NotSent("no answer from the token endpoint") from None
        return _read(answer, now.astimezone(UTC))


def _read(answer: HTTPAnswer, asked: datetime) -> AccessToken:
    status = answer.status
    if status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR:
        raise NotSent(f"the token endpoint answered HTTP status {status}")
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    members = document if isinstance(document, dict) else {}
    if status != _OK:
        told = (members.get("error"), members.get("message_id"))
        codes = tuple(text for text in told if isinstance(text, str) and _ERROR.fullmatch(text))
        raise Refused(f"the token endpoint answered HTTP status {status}", codes)
    token, seconds = members.get("access_token"), str(members.get("expires_in", ""))
    kind = members.get("token_type")
    if (
        not isinstance(token, str)
        or _TOKEN.fullmatch(token) is None
        or _SECONDS.fullmatch(seconds) is None
        or not isinstance(kind, str)
        or kind.lower() != "bearer"
    ):
        raise NotSent("the token endpoint answered with something else than a token")
    return AccessToken(token, asked + timedelta(seconds=int(seconds)))
