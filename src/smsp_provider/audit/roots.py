"""Roots of the audit trail: signed statements that bind where every lane was at one moment.

A root names, for each lane that moved since the root before it, the number and the link of its last record. Because a
link covers everything before it in its lane, and a root the hash of the root before it, one root that somebody else
has kept is enough to find any change of what was on record when it was made.

The statement is JSON in one form only (ASCII, sorted keys, no blanks), so that its bytes can be signed, compared and
printed. It is signed with Ed25519. The keys follow each other: a root that names the next key is the last one of its
own key, so whoever trusts one key of a trail can follow it to all later roots.

Source: SMSP-AUDIT-001, 009; anchors.md decision 3; RFC 8032 (Ed25519).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from smsp_provider.audit.chain import DIGEST_BYTES, SignedRoot
from smsp_provider.audit.encoding import timestamp

__all__ = [
    "NO_ROOT",
    "BoundLane",
    "RootChain",
    "RootInvalid",
    "RootStatement",
    "Signer",
    "check_signature",
    "next_statement",
    "parse",
    "sign",
    "statement_hash",
]

NO_ROOT: Final = bytes(DIGEST_BYTES)
"""What the first root names as the hash of the root before it."""
_FORM: Final = 1
_KEY_BYTES: Final = 32

_to_json: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=True, allow_nan=False).encode


class RootInvalid(ValueError):
    """A root that is none, is not signed as it must be, or does not follow the one before it; the text says which."""


class BoundLane(NamedTuple):
    """Where a lane was: its token, the number of its last record, and that record's link."""

    token: str
    n: int
    link: bytes


@dataclass(frozen=True, slots=True)
class RootStatement:
    """What is signed.

    ``trail`` is the trail's id, ``made_at`` when it was begun, as its database has that. ``number`` counts from 1,
    ``previous`` is the :func:`statement_hash` of the root before. ``records`` is how many records all roots up to this
    one bind. ``lanes`` are those that moved, ordered by token. ``key`` is the public key that signs (32 bytes);
    ``next_key``, where set, signs from the next root on.
    """

    trail: str
    made_at: str
    number: int
    at: datetime
    previous: bytes
    records: int
    lanes: tuple[BoundLane, ...]
    key: bytes
    next_key: bytes | None = None

    def encode(self) -> bytes:
        """The one form in which it is signed and kept."""
        fields: dict[str, object] = {
            "form": _FORM,
            "trail": self.trail,
            "made_at": self.made_at,
            "number": self.number,
            "at": timestamp(self.at),
            "previous": self.previous.hex(),
            "records": self.records,
            "lanes": [[lane.token, lane.n, lane.link.hex()] for lane in self.lanes],
            "key": self.key.hex(),
        }
        if self.next_key is not None:
            fields["next_key"] = self.next_key.hex()
        return _to_json(fields).encode("ascii")


class Signer(Protocol):
    """Whoever holds the signing key."""

    @property
    def public_key(self) -> bytes:
        """The public key, 32 bytes."""
        ...

    def sign(self, statement: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes."""
        ...


def statement_hash(statement: bytes) -> bytes:
    """What the next root names of this one."""
    return sha256(statement).digest()


def sign(statement: RootStatement, signer: Signer) -> SignedRoot:
    """A statement as it is kept.

    Raises:
        RootInvalid: the statement names another key than the signer's.
    """
    if statement.key != signer.public_key:
        raise RootInvalid("the statement names another key than the one that would sign it")
    encoded = statement.encode()
    return SignedRoot(statement.number, encoded, signer.sign(encoded))


def parse(statement: bytes) -> RootStatement:
    """The statement behind its bytes.

    Raises:
        RootInvalid: it is not what :meth:`RootStatement.encode` makes, to the byte.
    """
    try:
        fields = json.loads(statement.decode("ascii"))
        found = _from_fields(fields)
        again = found.encode()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise RootInvalid("it is not a statement of this form") from None
    if again != statement:
        raise RootInvalid("it is not written in the one form of a statement")
    return found


def _from_fields(fields: Mapping[str, object]) -> RootStatement:
    if fields["form"] != _FORM:
        raise ValueError
    lanes, next_key = fields["lanes"], fields.get("next_key")
    if not isinstance(lanes, list):
        raise TypeError
    return RootStatement(
        trail=_text(fields["trail"]),
        made_at=_text(fields["made_at"]),
        number=_count(fields["number"]),
        at=datetime.fromisoformat(_text(fields["at"])),
        previous=_bytes(fields["previous"], DIGEST_BYTES),
        records=_count(fields["records"]),
        lanes=tuple(BoundLane(_text(token), _count(n), _bytes(link, DIGEST_BYTES)) for token, n, link in lanes),
        key=_bytes(fields["key"], _KEY_BYTES),
        next_key=None if next_key is None else _bytes(next_key, _KEY_BYTES),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value


def _bytes(value: object, length: int) -> bytes:
    found = bytes.fromhex(_text(value))
    if len(found) != length:
        raise ValueError
    return found


def next_statement(
    last: SignedRoot | None,
    moved: Sequence[tuple[BoundLane, int]],
    *,
    trail: str,
    made_at: str,
    at: datetime,
    signer: Signer,
    next_key: bytes | None = None,
) -> RootStatement:
    """The statement that follows ``last``, or the first one.

    ``moved`` has each lane as it is now, and the number of its last record as bound before (0 for a new one). A clock
    that went back does not make a root older than the one before.

    Raises:
        RootInvalid: ``last`` is none.
    """
    lanes = tuple(sorted((lane for lane, _ in moved), key=lambda lane: lane.token))
    grown = sum(lane.n - before for lane, before in moved)
    statement = RootStatement(trail, made_at, 1, at, NO_ROOT, grown, lanes, signer.public_key, next_key)
    if last is None:
        return statement
    before = parse(last.statement)
    return replace(
        statement,
        number=before.number + 1,
        at=max(at, before.at),
        previous=statement_hash(last.statement),
        records=before.records + grown,
    )


class RootChain:
    """Follows the roots of one trail, and refuses one that does not follow.

    Signatures are checked with the key that the root itself names, which must be the one that the root before wants:
    so the first key is taken as found, and :attr:`signers` is for whoever knows one of the keys from elsewhere.

    Of a ``part`` of a trail the first root may be any, and what roots count is not compared: the ones before are not
    there.
    """

    def __init__(self, trail: str, *, part: bool = False) -> None:
        self._trail: Final = trail
        self._part: Final = part
        self._bound: Final[dict[str, int]] = {}
        self._last: RootStatement | None = None
        self._hash = NO_ROOT
        self.signers: Final[list[bytes]] = []
        """The keys that signed, in order."""

    @property
    def last(self) -> RootStatement | None:
        """The last root that was accepted."""
        return self._last

    @property
    def last_hash(self) -> bytes:
        """What the next root has to name of it."""
        return self._hash

    def check(self, root: SignedRoot, *, signed_since: date | None = None) -> RootStatement:
        """The statement of what could be the next root; see :meth:`accept`.

        Raises:
            RootInvalid: it could not.
        """
        statement = parse(root.statement)
        self._check_place(root.number, statement)
        self._check_lanes(statement)
        if signed_since is None or statement.at.date() >= signed_since:
            check_signature(root, statement.key)
        return statement

    def accept(self, root: SignedRoot, *, signed_since: date | None = None) -> RootStatement:
        """The statement of the next root, and go on to it.

        Signatures of roots before the day ``signed_since`` are not looked at: later roots name them by their hashes.

        Raises:
            RootInvalid: it is none, or does not follow; the chain stays where it was.
        """
        statement = self.check(root, signed_since=signed_since)
        if statement.key not in self.signers:
            self.signers.append(statement.key)
        for lane in statement.lanes:
            self._bound[lane.token] = lane.n
        self._last, self._hash = statement, statement_hash(root.statement)
        return statement

    def _check_place(self, number: int, statement: RootStatement) -> None:
        last = self._last
        if statement.trail != self._trail:
            raise RootInvalid("it is the root of another trail")
        if statement.number != number:
            raise RootInvalid("it is kept under another number than its own")
        if last is None and self._part:
            return
        if number != (1 if last is None else last.number + 1):
            raise RootInvalid("the roots before it are missing")
        if statement.previous != self._hash:
            raise RootInvalid("it does not name the root before it")
        if last is None:
            return
        if statement.made_at != last.made_at:
            raise RootInvalid("it names another beginning of the trail than the root before it")
        if statement.key != (last.next_key or last.key):
            raise RootInvalid("it is not signed with the key that the root before it wants")
        if statement.at < last.at:
            raise RootInvalid("it is older than the root before it")

    def _check_lanes(self, statement: RootStatement) -> None:
        tokens = [lane.token for lane in statement.lanes]
        if tokens != sorted(set(tokens)):
            raise RootInvalid("its lanes are not in order")
        grown = 0
        for token, n, _ in statement.lanes:
            step = n - self._bound.get(token, 0)
            if step <= 0:
                raise RootInvalid("a lane in it went back")
            grown += step
        if not self._part and statement.records != (0 if self._last is None else self._last.records) + grown:
            raise RootInvalid("its number of records is not that of its lanes")


def check_signature(root: SignedRoot, public_key: bytes) -> None:
    """Pass a root that this key signed.

    Raises:
        RootInvalid: it did not.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(root.signature, root.statement)
    except (InvalidSignature, ValueError, TypeError):
        raise RootInvalid("its signature is not that of its key") from None
