"""The chain of the audit trail: how records are bound, in lanes, so that no change of them goes unseen.

A *lane* is what one writer (a process) writes on one day (UTC): records numbered from 1 without gaps, the first of them
an opening, the last a closing where the writer had the time. A record's place in the trail is (lane, n).

What is chained is a *commitment*: the SHA-256 of a random salt and the record's content. The content itself is kept
elsewhere, sealed together with the salt. So it can be erased where the law wants that, the chain stays whole, and
nobody can guess from the commitment what was erased. Each record's *link* covers the link before it, its own place,
moment, kind and exchange, and the commitment; the link before the first record covers the trail's and the lane's name.

A *root* binds the heads of all lanes at one moment, see :mod:`smsp_provider.audit.roots`.

Source: SMSP-AUDIT-001, 009; anchors.md decision 3; safety.md section 5.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

__all__ = [
    "DIGEST_BYTES",
    "SALT_BYTES",
    "ChainedRecord",
    "Lane",
    "SealBroken",
    "SealedContent",
    "SignedRoot",
    "TrailReader",
    "Unsealer",
    "commitment_of",
    "first_link",
    "microseconds",
    "moment_of",
    "next_link",
]

DIGEST_BYTES: Final = 32
SALT_BYTES: Final = 16

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class ChainedRecord(NamedTuple):
    """One record as the chain has it, with nothing of its content.

    ``lane`` is the lane's id in this database, ``at`` the record's moment in microseconds since 1970 (UTC), ``kind``
    as :func:`smsp_provider.audit.encoding.kind_of` says, ``exchange`` the id of the exchange it belongs to.
    """

    lane: int
    n: int
    kind: str
    at: int
    exchange: str | None
    commitment: bytes
    link: bytes


class SealedContent(NamedTuple):
    """The content of one record and its salt, encrypted with the lane's key."""

    lane: int
    n: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Lane:
    """What one writer writes on one day.

    ``id`` is its number in this database, in the order of opening; ``token`` its own name, a UUID that is never used
    again; ``writer`` names the process. ``wrapped_key`` is the key of its contents, wrapped with the key ``key_id`` of
    the key ring.
    """

    id: int
    token: str
    day: date
    writer: str
    key_id: str
    wrapped_key: bytes


class SignedRoot(NamedTuple):
    """A root as kept and as the witness has it: the very bytes of the statement, and the signature over them."""

    number: int
    statement: bytes
    signature: bytes


class SealBroken(Exception):
    """A content cannot be opened: it was changed, belongs to another record, or its key is not at hand.

    ``key_missing`` is the id of a key that is not in the key ring; None where the key is there and the seal is broken.
    """

    def __init__(self, key_missing: str | None = None) -> None:
        super().__init__("the key is not in the key ring" if key_missing else "the seal is broken")
        self.key_missing = key_missing


class Unsealer(Protocol):
    """Who can open contents."""

    def unseal(self, lane: Lane, content: SealedContent) -> tuple[bytes, bytes]:
        """Salt and content of a record of this lane.

        Raises:
            SealBroken: it cannot be opened.
        """
        ...


class TrailReader(Protocol):
    """All that is kept of a trail, in the order in which it is bound. Implemented by each database.

    Every method raises :class:`smsp_provider.audit.trail.AuditUnavailable` where the database cannot be read.

    Iterations read page by page, and hold nothing open in the database between two rows: what is written waits for no
    reader. Each ends at the last row that there was when its first one was asked for. A content that is erased
    meanwhile may be among the rows or not.
    """

    def trail_id(self) -> str:
        """The trail's own name, a UUID made at its beginning."""
        ...

    def lanes(self, *, since: date | None = None, until: date | None = None) -> Sequence[Lane]:
        """The lanes of these days, both included, by ascending id."""
        ...

    def chain(self, lane: Lane, *, after: int = 0) -> Iterator[ChainedRecord]:
        """The records of a lane with ``n`` above ``after``, by ascending n."""
        ...

    def contents(self, lane: Lane, *, after: int = 0) -> Iterator[SealedContent]:
        """The contents of a lane with ``n`` above ``after``, by ascending n; what was erased is missing."""
        ...

    def content(self, lane: Lane, n: int) -> SealedContent | None:
        """The content of one record; None where it was erased, or never was."""
        ...

    def record(self, lane: Lane, n: int) -> ChainedRecord | None:
        """One record of the chain."""
        ...

    def roots(self, *, after: int = 0) -> Iterator[SignedRoot]:
        """The roots with a number above ``after``, by ascending number."""
        ...


def microseconds(at: datetime) -> int:
    """An aware moment as the chain has it."""
    return (at - _EPOCH) // _MICROSECOND


def moment_of(at: int) -> datetime:
    """The moment behind :func:`microseconds`, in UTC."""
    return _EPOCH + at * _MICROSECOND


def commitment_of(salt: bytes, content: bytes) -> bytes:
    """What stands for a content in the chain; ``salt`` has :data:`SALT_BYTES` random bytes."""
    return sha256(salt + content).digest()


def first_link(trail_id: str, token: str, day: date) -> bytes:
    """The link before the first record of a lane."""
    return sha256(f"smsp-lane|{trail_id}|{token}|{day.isoformat()}".encode()).digest()


def next_link(previous: bytes, n: int, kind: str, at: int, exchange: str | None, commitment: bytes) -> bytes:
    """The link of a record; unambiguous, since ``previous`` and ``commitment`` have a fixed length and kinds no bar."""
    return sha256(b"%b%b%d|%d|%b|%b" % (previous, commitment, n, at, kind.encode(), (exchange or "").encode())).digest()
