"""What is kept of an answered request to recognise guessing: keyed digests, from which no value can be learned.

The key is random and stays on the host (RFC 7693, keyed BLAKE2b): without it the digests cannot even be compared with
those of guessed values. Places in bitmaps are moved by a part of a digest, so that they tell no digits of a number.
"""

from collections.abc import Iterator
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from smsp_provider.domain.requests import ByNumber, BySearch
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.engine.probing import Answered

__all__ = [
    "BLOCK",
    "KEY_BYTES",
    "NO_POSTCODE",
    "ROW_KEY_BYTES",
    "NextStep",
    "NumberTrace",
    "SearchTrace",
    "Varied",
    "trace_of_number",
    "trace_of_search",
]

KEY_BYTES: Final = 32
ROW_KEY_BYTES: Final = 8
BLOCK: Final = 128
"""So many numbers without their check digits are looked at together."""

_DIGEST_BYTES: Final = 12
_MARK_BYTES: Final = 4
_STEM_DIGITS: Final = 9
NO_POSTCODE: Final = bytes(_MARK_BYTES)

_UNSUCCESSFUL_NUMBER: Final = frozenset(
    {
        ResponseCode.NOT_VERIFIED,
        ResponseCode.NO_MATCH,
        ResponseCode.INVALIDATED,
        ResponseCode.NOT_NEW_STYLE,
    }
)


class NextStep(IntEnum):
    """What somebody who only looks for a patient does with the postcode after a search."""

    NONE = 0
    LEAVE_OUT = 1
    """Nobody was found: the postcode may be an old one."""
    ADD = 2
    """Too many were found."""


_AFTER: Final = {ResponseCode.NO_MATCH: NextStep.LEAVE_OUT, ResponseCode.MULTIPLE_MATCHES: NextStep.ADD}
"""The searches that did not lead to a patient."""


class NumberTrace(NamedTuple):
    """A request by NHS number.

    ``number`` and ``block`` are keys for the client with the number and with its block; ``place`` (16 bits) stands for
    the number among those of an identity, ``bit`` for its place in the block. ``guess`` tells that the number exists
    and its details did not fit, ``unsuccessful`` that nothing came of it.
    """

    client: bytes
    identity: bytes
    attended: bool
    number: bytes
    place: int
    block: bytes
    bit: int
    guess: bool
    unsuccessful: bool


class Varied(NamedTuple):
    """``others`` is the key of all fields of a search but one, ``mark`` stands for the value of that one (16 bits)."""

    others: bytes
    mark: int


class SearchTrace(NamedTuple):
    """A search. ``base`` is the key of its fields but the postcode, for which ``postcode`` stands.

    ``next_step`` is the ordinary one after its answer. ``varied`` has entries only where it found nobody or too many.
    """

    client: bytes
    identity: bytes
    attended: bool
    base: bytes
    postcode: bytes
    next_step: NextStep
    varied: tuple[Varied, ...]


def trace_of_number(answered: Answered, request: ByNumber, key: bytes) -> NumberTrace:
    """The digests of a request by number."""
    client, digits = answered.client, request.nhs_number.digits
    block, bit = divmod(int(digits[:_STEM_DIGITS]), BLOCK)
    of_number = _digest(key, "number", client, digits)
    of_block = _digest(key, "block", client, str(block))
    return NumberTrace(
        client=_digest(key, "client", client)[:ROW_KEY_BYTES],
        identity=_identity(answered, key),
        attended=answered.attended,
        number=of_number[:ROW_KEY_BYTES],
        place=int.from_bytes(of_number[-2:]),
        block=of_block[:ROW_KEY_BYTES],
        bit=bit ^ of_block[-1] % BLOCK,
        guess=answered.code is ResponseCode.NOT_VERIFIED,
        unsuccessful=answered.code in _UNSUCCESSFUL_NUMBER,
    )


def trace_of_search(answered: Answered, request: BySearch, key: bytes) -> SearchTrace:
    """The digests of a search. Case counts for nothing, nor do blanks in a postcode."""
    client, code = answered.client, answered.code
    postcode = "".join((request.postcode or "").split()).upper()
    born, family, given = request.date_of_birth.digits, request.family.casefold(), (request.given or "").casefold()
    varied: tuple[Varied, ...] = ()
    if code in _AFTER:
        varied = tuple(_varied(key, client, (request.gender, postcode), (born, family, given)))
    return SearchTrace(
        client=_digest(key, "client", client)[:ROW_KEY_BYTES],
        identity=_identity(answered, key),
        attended=answered.attended,
        base=_digest(key, "base", client, request.gender, born, family, given)[:ROW_KEY_BYTES],
        postcode=_digest(key, "postcode", postcode)[:_MARK_BYTES] if postcode else NO_POSTCODE,
        next_step=_AFTER.get(code, NextStep.NONE),
        varied=varied,
    )


def _varied(key: bytes, client: str, fixed: tuple[str, ...], fields: tuple[str, ...]) -> Iterator[Varied]:
    for place, value in enumerate(fields):
        others = (*fields[:place], *fields[place + 1 :])
        mark = _digest(key, "value", value)[:2]
        yield Varied(_digest(key, f"but {place}", client, *fixed, *others)[:ROW_KEY_BYTES], int.from_bytes(mark))


def _identity(answered: Answered, key: bytes) -> bytes:
    ids = sorted([f"{one.type}={one.uri}" for one in answered.identity])
    return _digest(key, "identity", answered.client, *ids)[:ROW_KEY_BYTES]


def _digest(key: bytes, kind: str, *values: str) -> bytes:
    # No text of a message can hold a NUL.
    return blake2b("\0".join((kind, *values)).encode(), digest_size=_DIGEST_BYTES, key=key).digest()
