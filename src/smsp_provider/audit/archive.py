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

from smsp_provider.audit.chain import ChainedRecord, Lane

__all__ = [
    "FORM",
    "LANES",
    "MANIFEST",
    "PUBLIC_KEY",
    "README",
    "RECORDS",
    "ROOTS",
    "SIGNATURE",
    "SIGNED",
    "TOLD",
    "ArchiveInvalid",
    "ArchivedLane",
    "ArchivedRecord",
    "FileFacts",
    "Manifest",
    "lane_line",
    "manifest_text",
    "read_lane",
    "read_manifest",
    "read_record",
    "record_line",
    "records_file",
]

FORM: Final = "smsp-audit-archive-1"
TOLD: Final = "README.txt"
LANES: Final = "lanes.jsonl"
ROOTS: Final = "roots.jsonl"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
PUBLIC_KEY: Final = "public-key.pem"
SIGNED: Final = (MANIFEST, SIGNATURE, PUBLIC_KEY)
"""The files that the manifest does not name."""
RECORDS: Final = "records/"
"""The directory of the files of records."""

README: Final = f"""\
Archive of the audit trail of a Spine Mini Service Provider, form {FORM}.

{MANIFEST}    What this archive holds: trail, days, counts, and for every other file its SHA-256, bytes and lines.
{SIGNATURE}     Ed25519 signature (64 bytes, RFC 8032) over the bytes of {MANIFEST}; {PUBLIC_KEY} is the key.
                 openssl pkeyutl -verify -pubin -inkey {PUBLIC_KEY} -rawin -in {MANIFEST} -sigfile {SIGNATURE}
                 Compare the key with one that came another way: whoever made another archive made another key.

All other files are lines of JSON, one object a line. Digests are in hexadecimal digits, other bytes in base64 (RFC
4648). Days and moments are UTC; "at" is in microseconds since 1970-01-01.

{LANES}      The lanes: what one process wrote on one day. id: its number in the database. token: its name.
                 writer: the process's name. pid, at: its number there, and when the lane began. key_id, wrapped_key:
                 its key, see below. ended_at: when it ended; without one something may follow that is not in here.
{RECORDS}DAY.jsonl  The records of the lanes of that day. lane (token), n (from 1 without gaps), kind, at, exchange,
                 commitment, link, and sealed, the content. What is "|" below is that character; numbers are decimal;
                 a missing exchange is empty; parts side by side follow each other without anything between them:
                   link of record 0 = SHA-256("smsp-lane|" trail "|" lane "|" DAY)
                   link of record n = SHA-256(link of n-1, commitment, n "|" at "|" kind "|" exchange)
                   sealed = nonce (12 bytes), AES-256-GCM with the key of the lane; authenticated besides: lane "|" n
                   what is sealed = salt (16 bytes), content
                   content = JSON in ASCII; commitment = SHA-256(salt, content)
                   wrapped_key = nonce (12 bytes), AES-256-GCM with the key key_id of the provider's key ring;
                   authenticated besides: the lane's token
                 The key ring is not in here: who keeps the archive keeps that ring as well, elsewhere.
                 Where the content was erased lawfully before this archive was made, erased stands in place of sealed:
                 lane (id) and n of the record, of the kind "erasure", that says by whom and why.
{ROOTS}      The signed roots that bind the lanes, as a witness keeps them: number, statement (JSON, as a string),
                 signature (128 hexadecimal digits; Ed25519 over the bytes of the statement). Each names the heads
                 (lane, n, link) of the lanes that went on, and the SHA-256 of the statement before it.
"""

_to_json: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


class ArchiveInvalid(Exception):
    """It is no archive, or not whole; the text says what is wrong and names the file in it."""


class ArchivedLane(NamedTuple):
    """A lane, the process that wrote it, and the moments of its beginning and its end (microseconds since 1970).

    ``ended_at`` is None for a lane that may go on: what follows is not in this archive.
    """

    lane: Lane
    pid: int
    at: int
    ended_at: int | None


class ArchivedRecord(NamedTuple):
    """A record, with its sealed content or, where that was erased before, the place of the tombstone that says so."""

    record: ChainedRecord
    sealed: bytes | None
    tombstone: tuple[int, int] | None = None
    """Id of the lane, and n."""


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

    ``trail`` and ``trail_made_at`` are the trail's name and beginning. ``since`` and ``until`` are the first and the
    last day, both included. ``contents`` are the records whose content is in it: the others were erased.
    ``first_root`` and ``last_root`` are the numbers of the roots in it, 0 where there are none. ``key_ids`` are the
    keys of the ring that the lanes need.
    """

    trail: str
    trail_made_at: str
    since: date
    until: date
    made_at: str
    made_by: str
    lanes: int
    records: int
    contents: int
    first_root: int
    last_root: int
    key_ids: tuple[str, ...]
    files: tuple[FileFacts, ...]


def records_file(day: date) -> str:
    """The file with the records of a day's lanes."""
    return f"{RECORDS}{day.isoformat()}.jsonl"


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
        texts = {name: _text(fields.pop(name)) for name in ("trail", "trail_made_at", "made_at", "made_by")}
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
        id=lane.id,
        token=lane.token,
        day=lane.day.isoformat(),
        writer=lane.writer,
        key_id=lane.key_id,
        wrapped_key=_base64(lane.wrapped_key),
        pid=archived.pid,
        at=archived.at,
        ended_at=archived.ended_at,
    )


def read_lane(line: bytes) -> ArchivedLane:
    """The lane of a line.

    Raises:
        ArchiveInvalid: the line is none.
    """
    fields = _object(line, LANES)
    try:
        lane = Lane(
            _number(fields["id"]),
            _text(fields["token"]),
            date.fromisoformat(_text(fields["day"])),
            _text(fields["writer"]),
            _text(fields["key_id"]),
            _bytes(fields["wrapped_key"]),
        )
        ended_at = fields["ended_at"]
        return ArchivedLane(
            lane, _number(fields["pid"]), _number(fields["at"]), None if ended_at is None else _number(ended_at)
        )
    except (KeyError, TypeError, ValueError):
        raise ArchiveInvalid(f"{LANES}: a line that is no lane") from None


def record_line(lane: Lane, archived: ArchivedRecord) -> str:
    """A record as a line of its day's file."""
    record, sealed, tombstone = archived
    return _line(
        lane=lane.token,
        n=record.n,
        kind=record.kind,
        at=record.at,
        exchange=record.exchange,
        commitment=record.commitment.hex(),
        link=record.link.hex(),
        **({"erased": tombstone} if sealed is None else {"sealed": _base64(sealed)}),
    )


def read_record(line: bytes, lanes: Mapping[str, Lane]) -> ArchivedRecord:
    """The record of a line, in one of these lanes (by token).

    Raises:
        ArchiveInvalid: the line is none, or of no lane of these.
    """
    fields = _object(line, "records")
    try:
        exchange, sealed = fields["exchange"], fields.get("sealed")
        record = ChainedRecord(
            lanes[_text(fields["lane"])].id,
            _number(fields["n"]),
            _text(fields["kind"]),
            _number(fields["at"]),
            None if exchange is None else _text(exchange),
            bytes.fromhex(_text(fields["commitment"])),
            bytes.fromhex(_text(fields["link"])),
        )
        if sealed is not None:
            return ArchivedRecord(record, _bytes(sealed))
        tombstone, n = _list(fields["erased"])
        return ArchivedRecord(record, None, (_number(tombstone), _number(n)))
    except (KeyError, TypeError, ValueError):
        raise ArchiveInvalid("records: a line that is no record of a lane in here") from None


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
