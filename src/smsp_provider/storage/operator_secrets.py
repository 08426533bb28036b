"""What operators prove themselves with: passwords (argon2id), codes of an authenticator (TOTP), random tokens.

The only module that knows argon2, and the parameters of TOTP.

Source: SMSP-IG-002; RFC 9106 (argon2, section 4: the second recommended parameters), RFC 6238 (TOTP, sections 5.2 and
6: one use of each code, and a drift of one step).
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from smsp_provider.domain.operator_passwords import LONGEST_PASSWORD, normalised

__all__ = [
    "Argon2Parameters",
    "Passwords",
    "digest_of",
    "matching_step",
    "new_code",
    "new_seed",
    "new_token",
    "typed_code",
    "uri_of",
]

_STEP_SECONDS: Final = 30
_DIGITS: Final = 6
_SEED_BYTES: Final = 20
_DRIFT: Final = 1
_CODE_BYTES: Final = 15
_GROUP: Final = 6


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """What one hash costs: memory in MiB, passes over it, lanes."""

    memory_mib: int
    passes: int
    lanes: int


class Passwords:
    """Hashes passwords and compares with hashes; each call but :meth:`is_outdated` costs one run of argon2."""

    def __init__(self, parameters: Argon2Parameters) -> None:
        self._hasher: Final = PasswordHasher(
            time_cost=parameters.passes, memory_cost=parameters.memory_mib * 1024, parallelism=parameters.lanes
        )

    def hash(self, password: str) -> str:
        """The hash of a password, with a salt of its own."""
        return self._hasher.hash(normalised(password))

    def verify(self, kept: str | None, password: str) -> bool:
        """Whether it is the password of the hash.

        Without a hash (nobody of this name, no password yet) the same work is done: the time tells nothing.
        """
        bounded = password[: LONGEST_PASSWORD + 1]
        if kept is None:
            self.hash(bounded)
            return False
        try:
            return self._hasher.verify(kept, normalised(bounded))
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, kept: str) -> bool:
        """Whether the hash was made with other parameters than those in force."""
        return self._hasher.check_needs_rehash(kept)


def new_seed() -> bytes:
    """The seed of a second factor."""
    return os.urandom(_SEED_BYTES)


def uri_of(seed: bytes, account: str, issuer: str) -> str:
    """The ``otpauth`` URI that an authenticator takes."""
    return _totp(seed).get_provisioning_uri(account, issuer)


def matching_step(seed: bytes | None, code: str, at: datetime, *, after: int = 0) -> int | None:
    """The time step of a code: this one, or a neighbour; None where it is no code of ``seed``, or a used one.

    ``after`` is the last step whose code was used. Without a seed the same work is done.
    """
    totp = _totp(new_seed() if seed is None else seed)
    given = code.replace(" ", "").encode("utf-8", "replace")
    now = int(at.timestamp()) // _STEP_SECONDS
    found = None
    for step in range(now - _DRIFT, now + _DRIFT + 1):
        is_code = hmac.compare_digest(totp.generate(step * _STEP_SECONDS), given)
        if is_code and step > after and seed is not None:
            found = step
    return found


def _totp(seed: bytes) -> TOTP:
    # SHA-1 is what all authenticators know; as HMAC it is not weakened by its collisions (RFC 6238, section 1.2).
    return TOTP(seed, _DIGITS, SHA1(), _STEP_SECONDS)  # noqa: S303 - see above


def new_token() -> str:
    """A random secret of 256 bits."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """A random secret of 120 bits that a person can pass on and type."""
    text = base64.b32encode(os.urandom(_CODE_BYTES)).decode("ascii")
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def typed_code(text: str) -> str:
    """A code as :func:`new_code` made it, however a person typed it: case, blanks and hyphens do not count."""
    bare = re.sub(r"[\s-]", "", text).upper()
    return "-".join(bare[at : at + _GROUP] for at in range(0, len(bare), _GROUP))


def digest_of(secret: str) -> str:
    """What is kept of a random secret; there is nothing to guess about it, so it needs no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
