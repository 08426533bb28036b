"""The form of an archive of the audit trail: what its files say, line by line.

An archive is a tar file with lines of JSON, so that it can be read when nobody has this program any more. Contents stay
sealed as they were; digests are written in hexadecimal digits, everything else that is bytes in base64. The file
``README.txt`` in it says the same in words (:data:`README`).

Source: SMSP-AUDIT-001 (kept for as long as the NHS records code wants, unaltered).
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Final, NamedTuple

from smsp_provider.audit.chain import ChainedRecord, Lane, SealedContent, SignedRoot

__all__ = [
    "ERASED",
    "FORM",
    "LANES",
    "MANIFEST",
    "PUBLIC_KEY",
    "README",
    "ROOTS",
    "SIGNATURE",
    "TOLD",
    "ArchiveInvalid",
    "ArchivedLane",
    "ErasedContent",
    "FileFacts",
    "Manifest",
    "chain_file",
    "chain_line",
    "content_line",
    "contents_file",
    "erased_line",
    "lane_line",
    "manifest_text",
    "read_chain",
    "read_content",
    "read_erased",
    "read_lane",
    "read_manifest",
    "read_root",
    "root_line",
]

FORM: Final = "smsp-audit-archive-1"
TOLD: Final = "README.txt"
LANES: Final = "lanes.jsonl"
ERASED: Final = "erased.jsonl"
ROOTS: Final = "roots.jsonl"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
PUBLIC_KEY: Final = "public-key.pem"

README: Final = f"""\
Archive of the audit trail of a Spine Mini Service Provider, form {FORM}.

{MANIFEST}    What this archive holds: trail, days, counts, and for every other file its SHA-256, bytes and lines.
{SIGNATURE}     Ed25519 signature (64 bytes, RFC 8032) over the bytes of {MANIFEST}; {PUBLIC_KEY} is the key.
                 openssl pkeyutl -verify -pubin -inkey {PUBLIC_KEY} -rawin -in {MANIFEST} -sigfile {SIGNATURE}
                 Compare the key with one that came another way: whoever made another archive made another key.

All other files are lines of JSON, one object a line. Digests are in hexadecimal digits, other bytes in base64 (RFC
4648). Days and moments are UTC; "at" is in microseconds since 1970-01-01.

{LANES}      The lanes: what one process wrote on one day. token: its name. key_id, wrapped_key: its key, see below.
                 ended: whether nothing can follow in it.
chain/DAY.jsonl  The records as they are chained. lane (token), n (from 1 without gaps), kind, at, exchange, commitment,
                 link. All that is "|" below is that character; numbers are decimal; a missing exchange is empty:
                   link of record 0 = SHA-256("smsp-lane|" trail "|" lane "|" DAY)
                   link of record n = SHA-256(link of n-1, commitment, n "|" at "|" kind "|" exchange)
contents/DAY.jsonl  The records' contents, sealed: lane, n, sealed.
                   sealed = nonce (12 bytes), AES-256-GCM(key of the lane, salt and content, associated data)
                   salt = 16 bytes, content = JSON in ASCII, commitment = SHA-256(salt, content)
                 The key of a lane is wrapped with a key of the provider's key ring, which is not in here: who keeps the
                 archive keeps that ring as well, elsewhere.
{ERASED}     Records whose content was erased lawfully before this archive was made, and the record that says by whom
                 and why: lane, n, tombstone_lane, tombstone_n.
{ROOTS}      The signed roots that bind the lanes: number, statement (base64; JSON), signature (base64; Ed25519 over the
                 bytes of the statement). Each names the heads (lane, n, link) of the lanes that went on, and holds the
                 SHA-256 of the statement before it.
"""

_to_json: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


class ArchiveInvalid(Exception):
    """It is no archive, or not whole; the text says what is wrong and names the file in it."""


class ArchivedLane(NamedTuple):
    """A lane, and whether nothing can follow in it."""

    lane: Lane
    ended: bool


class ErasedContent(NamedTuple):
    """A record whose content was erased before, and the tombstone that says so, by the tokens of their lanes."""

    lane: str
    n: int
    tombstone_lane: str
    tombstone_n: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of the archive: its name, SHA-256 in hexadecimal digits, size in bytes and number of lines."""

    name: str
    sha256: str
    bytes: int
    lines: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds.

    ``since`` and ``until`` are the first and the last day, both included. ``first_root`` and ``last_root`` are the
    numbers of the roots in it, 0 where there are none. ``key_ids`` are the keys of the ring that the lanes need.
    """

    trail: str
    since: date
    until: date
    made_at: str
    made_by: str
    lanes: int
    records: int
    contents: int
    erased: int
    first_root: int
    last_root: int
    key_ids: tuple[str, ...]
    files: tuple[FileFacts, ...]


def chain_file(day: date) -> str:
    """The file with the chained records of a day's lanes."""
    return f"chain/{day.isoformat()}.jsonl"


def contents_file(day: date) -> str:
    """The file with the sealed contents of a day's lanes."""
    return f"contents/{day.isoformat()}.jsonl"


def manifest_text(manifest: Manifest) -> bytes:
    """The manifest as it is signed."""
    fields = {
        **asdict(manifest),
        "form": FORM,
        "since": manifest.since.isoformat(),
        "until": manifest.until.isoformat(),
    }
    return _to_json(fields).encode("ascii") + b"\n"


def read_manifest(text: bytes) -> Manifest:
    """The manifest behind :func:`manifest_text`.

    Raises:
        ArchiveInvalid: it is none, or of another form.
    """
    fields = _object(text, MANIFEST)
    if fields.pop("form", None) != FORM:
        raise ArchiveInvalid(f"{MANIFEST}: not of the form {FORM}")
    try:
        dates = {name: date.fromisoformat(_text(fields.pop(name))) for name in ("since", "until")}
        texts = {name: _text(fields.pop(name)) for name in ("trail", "made_at", "made_by")}
        files = tuple(_file_facts(item) for item in _list(fields.pop("files")))
        key_ids = tuple(_text(item) for item in _list(fields.pop("key_ids")))
        numbers = {name: _number(value) for name, value in fields.items()}
        return Manifest(**dates, **texts, files=files, key_ids=key_ids, **numbers)  # type: ignore[arg-type]  # fields by name, each checked above
    except (KeyError, TypeError, ValueError):
        raise ArchiveInvalid(f"{MANIFEST}: not what it should be") from None


def _file_facts(item: object) -> FileFacts:
    if not isinstance(item, dict):
        raise TypeError
    return FileFacts(_text(item["name"]), _text(item["sha256"]), _number(item["bytes"]), _number(item["lines"]))


def lane_line(archived: ArchivedLane) -> str:
    """A lane as a line of :data:`LANES`."""
    lane = archived.lane
    return _line(
        token=lane.token,
        day=lane.day.isoformat(),
        writer=lane.writer,
        key_id=lane.key_id,
        wrapped_key=_base64(lane.wrapped_key),
        ended=archived.ended,
    )


def read_lane(line: bytes, number: int) -> ArchivedLane:
    """The lane of a line; ``number`` is the id it gets here.

    Raises:
        ArchiveInvalid: the line is none.
    """
    fields = _object(line, LANES)
    try:
        lane = Lane(
            number,
            _text(fields["token"]),
            date.fromisoformat(_text(fields["day"])),
            _text(fields["writer"]),
            _text(fields["key_id"]),
            _bytes(fields["wrapped_key"]),
        )
        return ArchivedLane(lane, fields["ended"] is True)
    except (KeyError, TypeError, ValueError):
        raise ArchiveInvalid(f"{LANES}: line {number} is not a lane") from None


def chain_line(lane: Lane, record: ChainedRecord) -> str:
    """A chained record as a line of its day's file."""
    return _line(
        lane=lane.token,
        n=record.n,
        kind=record.kind,
        at=record.at,
        exchange=record.exchange,
        commitment=record.commitment.hex(),
        link=record.link.hex(),
    )


def read_chain(line: bytes, lanes: Mapping[str, Lane]) -> ChainedRecord:
    """The chained record of a line, in one of these lanes (by token).

    Raises:
        ArchiveInvalid: the line is none, or of no lane of these.
    """
    fields = _object(line, "chain")
    try:
        exchange = fields["exchange"]
        return ChainedRecord(
            lanes[_text(fields["lane"])].id,
            _number(fields["n"]),
            _text(fields["kind"]),
            _number(fields["at"]),
            None if exchange is None else _text(exchange),
            bytes.fromhex(_text(fields["commitment"])),
            bytes.fromhex(_text(fields["link"])),
        )
    except (KeyError, TypeError, ValueError):
        raise ArchiveInvalid("chain: a line that is no record of a lane in here") from None


def content_line(lane: Lane, content: SealedContent) -> str:
    """A sealed content as a line of its day's file."""
    return _line(lane=lane.token, n=content.n, sealed=_base64(content.sealed))


def read_content(line: bytes, lanes: Mapping[str, Lane]) -> SealedContent:
    """The sealed content of a line, in one of these lanes (by token).

    Raises:
        ArchiveInvalid: the line is none, or of no lane of these.
    """
    fields = _object(line, "contents")
    try:
        return SealedContent(lanes[_text(fields["lane"])].id, _number(fields["n"]), _bytes(fields["sealed"]))
    except (KeyError, TypeError, ValueError):
        raise ArchiveInvalid("contents: a line that is no content of a lane in here") from None


def erased_line(erased: ErasedContent) -> str:
    """What was erased before, as a line of :data:`ERASED`."""
    return _line(**erased._asdict())


def read_erased(line: bytes) -> ErasedContent:
    """What a line says was erased before.

    Raises:
        ArchiveInvalid: the line is none.
    """
    fields = _object(line, ERASED)
    try:
        return ErasedContent(
            _text(fields["lane"]),
            _number(fields["n"]),
            _text(fields["tombstone_lane"]),
            _number(fields["tombstone_n"]),
        )
    except (KeyError, TypeError, ValueError):
        raise ArchiveInvalid(f"{ERASED}: a line that names no erased record") from None


def root_line(root: SignedRoot) -> str:
    """A root as a line of :data:`ROOTS`."""
    return _line(number=root.number, statement=_base64(root.statement), signature=_base64(root.signature))


def read_root(line: bytes) -> SignedRoot:
    """The root of a line.

    Raises:
        ArchiveInvalid: the line is none.
    """
    fields = _object(line, ROOTS)
    try:
        return SignedRoot(_number(fields["number"]), _bytes(fields["statement"]), _bytes(fields["signature"]))
    except (KeyError, TypeError, ValueError):
        raise ArchiveInvalid(f"{ROOTS}: a line that is no root") from None


def _line(**fields: object) -> str:
    return _to_json(fields) + "\n"


def _object(text: bytes, name: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ArchiveInvalid(f"{name}: not JSON as it should be")
    return found


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _bytes(value: object) -> bytes:
    return b64decode(_text(value), validate=True)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return value
