"""Reads an archive of the audit trail; what its lines say is :mod:`smsp_provider.audit.archive`."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from smsp_provider.audit import archive
from smsp_provider.audit.archive import ArchivedLane, ArchivedRecord, ArchiveInvalid, FileFacts, Manifest
from smsp_provider.audit.chain import Lane, SignedRoot
from smsp_provider.audit.witness import WitnessLineInvalid, read_line

__all__ = ["ArchiveFile"]

_LONGEST_LINE: Final = 64_000_000
_LONGEST_MANIFEST: Final = 100_000_000
_PIECE: Final = 1_048_576


class ArchiveFile:
    """An archive that is there: opened twice, first to see that it is whole, then for what is in it.

    Every method raises :class:`ArchiveInvalid` where the file is not what it should be, and OSError where it cannot be
    read.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path

    def sha256(self) -> str:
        """The digest of the file itself, by which a tombstone names it."""
        with self._path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()

    def manifest(self) -> tuple[Manifest, bytes]:
        """The manifest and the key that signed it (32 bytes), once that and all the files that it names are right."""
        signed: dict[str, bytes] = {}
        found: dict[str, FileFacts] = {}
        for name, file in self._members():
            if name in found or name in signed:
                raise ArchiveInvalid(f"{name}: is in it twice")
            if name in archive.SIGNED:
                with _whole():
                    signed[name] = file.read(_LONGEST_MANIFEST)
            else:
                found[name] = _facts(name, file)
        if set(signed) != set(archive.SIGNED):
            raise ArchiveInvalid("it is not whole: the manifest or its signature is missing")
        public_key = _check_signature(signed)
        manifest = archive.read_manifest(signed[archive.MANIFEST])
        for facts in manifest.files:
            if found.pop(facts.name, None) != facts:
                raise ArchiveInvalid(f"{facts.name}: is missing, or not what was signed")
        if found:
            raise ArchiveInvalid(f"{next(iter(found))}: is not named by the manifest")
        return manifest, public_key

    def lanes(self) -> list[ArchivedLane]:
        """The lanes, in the order in which they were opened."""
        return [archive.read_lane(line) for line in self._lines_of(archive.LANES)]

    def roots(self) -> Iterator[SignedRoot]:
        """The roots, by ascending number."""
        for line in self._lines_of(archive.ROOTS):
            try:
                yield read_line(line)
            except WitnessLineInvalid:
                raise ArchiveInvalid(f"{archive.ROOTS}: a line that is no root") from None

    def records(self, lanes: Mapping[str, Lane]) -> Iterator[ArchivedRecord]:
        """The records of the lanes (by token): day by day, lane by lane, by ascending n."""
        for name, file in self._members():
            if name.startswith(archive.RECORDS):
                for line in _lines(name, file):
                    yield archive.read_record(line, lanes)

    def _lines_of(self, wanted: str) -> Iterator[bytes]:
        for name, file in self._members():
            if name == wanted:
                yield from _lines(name, file)
                return

    def _members(self) -> Iterator[tuple[str, IO[bytes]]]:
        with _whole(), tarfile.open(self._path, mode="r|gz") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                if file is None:
                    raise ArchiveInvalid("it holds something else than files")
                yield member.name, file


@contextmanager
def _whole() -> Iterator[None]:
    """Around whatever reads: what tar and gzip find wrong with the file."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError):
        raise ArchiveInvalid("it is not a tar file in gzip, or not whole") from None


def _lines(name: str, file: IO[bytes]) -> Iterator[bytes]:
    while True:
        with _whole():
            line = file.readline(_LONGEST_LINE)
        if not line:
            return
        if not line.endswith(b"\n"):
            raise ArchiveInvalid(f"{name}: a line without an end")
        yield line


def _facts(name: str, file: IO[bytes]) -> FileFacts:
    digest, size, lines = sha256(), 0, 0
    with _whole():
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            lines += piece.count(b"\n")
    return FileFacts(name, digest.hexdigest(), size, lines)


def _check_signature(signed: Mapping[str, bytes]) -> bytes:
    try:
        key = load_pem_public_key(signed[archive.PUBLIC_KEY])
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ArchiveInvalid(f"{archive.PUBLIC_KEY}: is no Ed25519 key")
    try:
        key.verify(signed[archive.SIGNATURE], signed[archive.MANIFEST])
    except InvalidSignature:
        raise ArchiveInvalid(f"{archive.SIGNATURE}: is not the signature of the manifest by its key") from None
    return key.public_bytes_raw()
