"""What is kept of an answered request to recognise guessing: keyed digests, from which no value can be learned.

The key is random and stays on the host (RFC 7693, keyed BLAKE2b): without it the digests cannot even be compared with
those of guessed values. Places in bitmaps are moved by a part of a digest, so that they tell no digits of a number.
"""

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
    "Tracer",
    "Varied",
]

KEY_BYTES: Final = 32
ROW_KEY_BYTES: Final = 8
BLOCK: Final = 128
"""So many numbers without their check digits are looked at together."""

_DIGEST_BYTES: Final = 11
_POSTCODE_BYTES: Final = 4
_VALUE_BYTES: Final = 2
_MOST_PLACE: Final = 65_535
_STEM_DIGITS: Final = 9
_MOST_CLIENTS: Final = 1024
NO_POSTCODE: Final = bytes(_POSTCODE_BYTES)

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

    ``number`` is the key of the client with the number, None unless nothing came of the request; ``block`` that of the
    client with the block of numbers, in which ``bit`` stands for this one. ``place`` (16 bits) stands for the number
    among those of an identity. ``guess`` tells that the number exists and its details did not fit.
    """

    client: bytes
    identity: bytes
    attended: bool
    number: bytes | None
    block: bytes
    bit: int
    place: int
    guess: bool


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


class Tracer:
    """Makes the digests with the key of this host; the digests of clients, of which there are few, are remembered."""

    def __init__(self, key: bytes) -> None:
        self.key: Final = key
        self._keyed: Final = blake2b(digest_size=_DIGEST_BYTES, key=key)
        self._clients: Final[dict[str, bytes]] = {}

    def number(self, answered: Answered, request: ByNumber) -> NumberTrace:
        """The digests of a request by number."""
        client, digits, code = answered.client, request.nhs_number.digits, answered.code
        block, bit = divmod(int(digits[:_STEM_DIGITS]), BLOCK)
        of_block = self._digest(f"block\0{client}\0{block}")
        bit ^= of_block[-1] % BLOCK
        in_vain = code in _UNSUCCESSFUL_NUMBER
        return NumberTrace(
            self._client(client),
            self._identity(answered),
            answered.attended,
            self._digest(f"number\0{client}\0{digits}")[:ROW_KEY_BYTES] if in_vain else None,
            of_block[:ROW_KEY_BYTES],
            bit,
            # Apart for all numbers of a block; where blocks begin is up to the digest.
            int.from_bytes(of_block[ROW_KEY_BYTES:-1]) + bit & _MOST_PLACE,
            code is ResponseCode.NOT_VERIFIED,
        )

    def search(self, answered: Answered, request: BySearch) -> SearchTrace:
        """The digests of a search. Case counts for nothing, nor do blanks in a postcode."""
        client, code = answered.client, answered.code
        postcode = "".join((request.postcode or "").split()).upper()
        born, family, given = request.date_of_birth.digits, request.family.casefold(), (request.given or "").casefold()
        fixed = f"{client}\0{request.gender}"
        varied: tuple[Varied, ...] = ()
        if code in _AFTER:
            fixed_here = f"{fixed}\0{postcode}"
            varied = (
                self._varied(f"born\0{fixed_here}\0{family}\0{given}", born),
                self._varied(f"family\0{fixed_here}\0{born}\0{given}", family),
                self._varied(f"given\0{fixed_here}\0{born}\0{family}", given),
            )
        return SearchTrace(
            self._client(client),
            self._identity(answered),
            answered.attended,
            self._digest(f"base\0{fixed}\0{born}\0{family}\0{given}")[:ROW_KEY_BYTES],
            self._digest(f"postcode\0{postcode}")[:_POSTCODE_BYTES] if postcode else NO_POSTCODE,
            _AFTER.get(code, NextStep.NONE),
            varied,
        )

    def _client(self, client: str) -> bytes:
        known = self._clients.get(client)
        if known is None:
            if len(self._clients) >= _MOST_CLIENTS:
                self._clients.clear()
            known = self._clients[client] = self._digest(f"client\0{client}")[:ROW_KEY_BYTES]
        return known

    def _identity(self, answered: Answered) -> bytes:
        ids = [f"{one.type}={one.uri}" for one in answered.identity]
        ids.sort()
        return self._digest("\0".join(("identity", answered.client, *ids)))[:ROW_KEY_BYTES]

    def _varied(self, others: str, value: str) -> Varied:
        mark = self._digest(f"value\0{value}")[:_VALUE_BYTES]
        return Varied(self._digest(others)[:ROW_KEY_BYTES], int.from_bytes(mark))

    def _digest(self, text: str) -> bytes:
        # No text of a message can hold the NUL that stands between the parts.
        digest = self._keyed.copy()
        digest.update(text.encode())
        return digest.digest()
