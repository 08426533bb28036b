"""The token endpoint of the API platform: takes signed assertions of registered applications, gives access tokens.

The assertions are verified with PyJWT, an implementation that has no part in making them.
Source: facts.md of PDS FHIR, section 4.
"""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from smsp_provider.simulator.clock import SpineClock, utc_now

__all__ = ["Application", "TokenDesk", "public_keys"]

_GRANT: Final = "client_credentials"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_SECONDS: Final = 310
"""Five minutes, and what the gateway tolerates."""
_CLOCK_SECONDS: Final = 10
_LIFETIME_SECONDS: Final = 599


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error


def _invalid(description: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> _Refused:
    return _Refused(status, "invalid_request", description)


@dataclass(frozen=True, slots=True)
class Application:
    """A registered application: its API key, and its public keys by kid."""

    api_key: str
    public_keys: Mapping[str, RSAPublicKey]


@dataclass(slots=True)
class TokenDesk:
    """Gives tokens to one application and knows them again.

    ``url`` is the address that assertions must name as their audience, set when it is known. ``lifetime_seconds`` is
    how long a token is good. ``issued`` counts tokens.
    """

    application: Application
    url: str = ""
    clock: SpineClock = utc_now
    lifetime_seconds: int = _LIFETIME_SECONDS
    issued: int = 0
    _used: set[str] = field(default_factory=set)
    _tokens: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, content_type: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and document for a request to the endpoint."""
        try:
            self._check(content_type, body)
        except _Refused as refused:
            document = {"error": refused.error, "error_description": str(refused), "message_id": secrets.token_hex(8)}
            return refused.status, document
        now = self.clock().timestamp()
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens[token] = now + self.lifetime_seconds
            self.issued += 1
        return HTTPStatus.OK, {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": str(self.lifetime_seconds),
            "issued_at": str(round(now * 1000)),
        }

    def knows(self, authorization: str) -> bool:
        """Whether an Authorization header carries a token that is still good."""
        scheme, _, token = authorization.partition(" ")
        with self._lock:
            good_until = self._tokens.get(token.strip(), 0.0)
        return scheme.lower() == "bearer" and self.clock().timestamp() < good_until

    def revoke_all(self) -> None:
        """Forget every token, as a platform may at any time."""
        with self._lock:
            self._tokens.clear()

    def _check(self, content_type: str, body: bytes) -> None:
        if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            raise _invalid("the media type is not supported")
        fields = parse_qs(body.decode("utf-8", errors="replace"))
        if fields.get("grant_type") != [_GRANT]:
            raise _invalid("grant_type is missing or invalid")
        if fields.get("client_assertion_type") != [_ASSERTION_TYPE]:
            raise _invalid("Missing or invalid client_assertion_type")
        assertions = fields.get("client_assertion", [])
        if len(assertions) != 1:
            raise _invalid("Missing or invalid client_assertion")
        self._check_claims(self._verified(assertions[0]))

    def _verified(self, assertion: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(assertion)
        except jwt.InvalidTokenError:
            raise _invalid("Malformed JWT in client_assertion") from None
        if header.get("alg") != "RS512":
            raise _invalid("Invalid 'alg' header in client_assertion JWT")
        if str(header.get("typ", "")).upper() != "JWT":
            raise _invalid("Invalid 'typ' header in client_assertion JWT")
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            raise _invalid("Missing 'kid' header in client_assertion JWT")
        key = self.application.public_keys.get(kid)
        if key is None:
            raise _invalid("no public key for this kid", HTTPStatus.UNAUTHORIZED)
        off = {f"verify_{claim}": False for claim in ("exp", "aud", "iss", "iat", "nbf", "sub", "jti")}
        try:
            claims: dict[str, Any] = jwt.decode(assertion, key, algorithms=["RS512"], options=off)  # type: ignore[arg-type]  # a mapping of its option names
        except jwt.InvalidSignatureError:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "public_key error", "JWT signature verification failed") from None
        except jwt.InvalidTokenError:
            raise _invalid("Malformed JWT in client_assertion") from None
        return claims

    def _check_claims(self, claims: dict[str, Any]) -> None:
        issuer = claims.get("iss")
        if not issuer or issuer != claims.get("sub"):
            raise _invalid("Missing or non-matching iss/sub claims in client_assertion JWT")
        if issuer != self.application.api_key:
            raise _invalid("Invalid iss/sub claims in client_assertion JWT", HTTPStatus.UNAUTHORIZED)
        if claims.get("aud") != self.url:
            raise _invalid("Missing or invalid aud claim in client_assertion JWT", HTTPStatus.UNAUTHORIZED)
        expiry = claims.get("exp")
        if isinstance(expiry, bool) or not isinstance(expiry, int):
            raise _invalid("Missing or invalid exp claim in client_assertion JWT")
        now = self.clock().timestamp()
        if expiry < now - _CLOCK_SECONDS:
            raise _invalid("Invalid exp claim in client_assertion JWT - JWT has expired")
        if expiry > now + _LONGEST_SECONDS:
            raise _invalid("Invalid exp claim in client_assertion JWT - more than 5 minutes in future")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise _invalid("Missing or invalid jti claim in client_assertion JWT")
        with self._lock:
            if jti in self._used:
                raise _invalid("Non-unique jti claim in client_assertion JWT")
            self._used.add(jti)


def public_keys(jwks: bytes) -> dict[str, RSAPublicKey]:
    """The RSA keys of a JWKS document by kid.

    Raises:
        ValueError: it is none, or holds something else than public RSA keys.
    """
    try:
        keys = jwt.PyJWKSet.from_json(jwks.decode("utf-8")).keys
    except jwt.PyJWTError as error:
        raise ValueError(str(error)) from None
    found = {}
    for key in keys:
        if key.key_id is None or not isinstance(key.key, RSAPublicKey):
            raise ValueError("a key is no public RSA key with a kid")
        found[key.key_id] = key.key
    return found
