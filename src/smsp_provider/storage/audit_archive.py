"""Writes an archive of whole past days; what its lines say is :mod:`smsp_provider.audit.archive`.

The file is made under another name and gets its own when it is whole. Nothing that is there is replaced.
"""

import gzip
import io
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from smsp_provider.audit import archive
from smsp_provider.audit.archive import ArchivedLane, ArchivedRecord, FileFacts, Manifest
from smsp_provider.audit.chain import Lane
from smsp_provider.audit.encoding import timestamp
from smsp_provider.audit.roots import Signer, parse
from smsp_provider.audit.trail_books import BookedLane, TrailBooks
from smsp_provider.audit.witness import write_line
from smsp_provider.storage.audit_database import AuditDatabase, ErasedRow
from smsp_provider.storage.audit_signing_key import public_pem
from smsp_provider.storage.private_file import placing_private

__all__ = ["ArchiveRefused", "new_manifest", "write_archive"]

_MODE: Final = 0o600


class ArchiveRefused(Exception):
    """The archive cannot be made; the text says why."""


def new_manifest(since: date, until: date, at: datetime, made_by: str) -> Manifest:
    """The manifest of an archive that is about to be written, and holds nothing yet."""
    return Manifest("", "", since, until, timestamp(at), made_by, 0, 0, 0, 0, 0, (), ())


def write_archive(
    database: AuditDatabase,
    books: TrailBooks,
    output: Path,
    manifest: Manifest,
    signer: Signer,
    *,
    told: Callable[[date], None],
) -> Manifest:
    """Write everything of the days of ``manifest`` to a new file, and return the manifest with all that is in it.

    Of ``manifest`` the days, the maker and the moment are taken. ``told`` hears of each day that begins.

    Raises:
        ArchiveRefused: there is a file of that name, nothing of these days, or a content gone without a tombstone.
        AuditUnavailable: the trail cannot be read.
        OSError: the file cannot be written.
    """
    lanes = database.lanes(since=manifest.since, until=manifest.until)
    if not lanes:
        raise ArchiveRefused("nothing is on record of these days")
    with (
        _new_file(output) as whole,
        gzip.GzipFile(filename="", fileobj=whole, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        return _Writer(database, books, tar, output.parent, told).write(lanes, manifest, signer)


class _Writer:
    """Fills one archive, with what was on record when it was begun."""

    def __init__(
        self,
        database: AuditDatabase,
        books: TrailBooks,
        tar: tarfile.TarFile,
        directory: Path,
        told: Callable[[date], None],
    ) -> None:
        self._database: Final = database
        self._books: Final = books
        self._tar: Final = tar
        self._directory: Final = directory
        self._told: Final = told
        self._files: Final[list[FileFacts]] = []
        self._root_numbers: Final[list[int]] = []
        self._records = self._contents = 0

    def write(self, lanes: Sequence[Lane], manifest: Manifest, signer: Signer) -> Manifest:
        booked = {one.lane: one for one in self._books.lanes()}
        heads = {head.lane: head.n for head in self._database.heads(since=manifest.since)}
        self._small(archive.TOLD, archive.README.encode("ascii"))
        self._lines(archive.LANES, (archive.lane_line(_archived(lane, booked[lane.id])) for lane in lanes))
        # The roots before the records: whoever checks those knows then which link each lane has to arrive at.
        self._lines(archive.ROOTS, self._roots({lane.token: heads[lane.id] for lane in lanes}, manifest.since))
        for day in sorted({lane.day for lane in lanes}):
            self._told(day)
            of_day = [(lane, heads[lane.id]) for lane in lanes if lane.day == day]
            self._lines(archive.records_file(day), (line for lane, head in of_day for line in self._lane(lane, head)))
        whole = replace(
            manifest,
            trail=self._database.trail_id(),
            trail_made_at=self._books.made_at(),
            lanes=len(lanes),
            records=self._records,
            contents=self._contents,
            first_root=min(self._root_numbers, default=0),
            last_root=max(self._root_numbers, default=0),
            key_ids=tuple(sorted({lane.key_id for lane in lanes})),
            files=tuple(self._files),
        )
        text = archive.manifest_text(whole)
        self._small(archive.MANIFEST, text)
        self._small(archive.SIGNATURE, signer.sign(text))
        self._small(archive.PUBLIC_KEY, public_pem(signer.public_key).encode("ascii"))
        return whole

    def _roots(self, wanted: dict[str, int], since: date) -> Iterator[str]:
        """The roots from the first day on, up to the one that binds the last record of the last lane."""
        for root in self._database.roots(after=_roots_before(self._database, since)):
            if not wanted:
                return
            for lane in parse(root.statement).lanes:
                if lane.n >= wanted.get(lane.token, lane.n + 1):
                    del wanted[lane.token]
            self._root_numbers.append(root.number)
            yield write_line(root).decode("ascii")

    def _lane(self, lane: Lane, head: int) -> Iterator[str]:
        """The records up to the head. Contents may be erased while they are read, and go as lines without one then."""
        contents = self._database.contents(lane)
        content = next(contents, None)
        erased: dict[int, ErasedRow] = {}
        for record in self._database.chain(lane):
            if record.n > head:
                return
            self._records += 1
            if content is not None and content.n == record.n:
                self._contents += 1
                yield archive.record_line(lane, ArchivedRecord(record, content.sealed))
                content = next(contents, None)
                continue
            if record.n not in erased:
                # (Asked again: it may have been erased since, and what is gone from the one table stands in the other.)
                erased = {row.n: row for row in self._database.erased(lane)}
            row = erased.get(record.n)
            if row is None:
                raise ArchiveRefused(
                    f"{lane.token}:{record.n}: its content is not there, and nothing says why: `smsp audit verify`"
                )
            place = (row.tombstone_lane, row.tombstone_n)
            yield archive.record_line(lane, ArchivedRecord(record, None, place))

    def _lines(self, name: str, lines: Iterable[str]) -> None:
        """Add a file of lines: first on the disk, because a tar file says how long a file is before it begins."""
        with tempfile.TemporaryFile(dir=self._directory) as file:
            digest, count = sha256(), 0
            for line in lines:
                encoded = line.encode("ascii")
                digest.update(encoded)
                file.write(encoded)
                count += 1
            size = file.tell()
            file.seek(0)
            self._add(name, file, size)
        self._files.append(FileFacts(name, digest.hexdigest(), size, count))

    def _small(self, name: str, content: bytes) -> None:
        self._add(name, io.BytesIO(content), len(content))
        if name not in archive.SIGNED:
            self._files.append(FileFacts(name, sha256(content).hexdigest(), len(content), content.count(b"\n")))

    def _add(self, name: str, file: IO[bytes], size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, _MODE
        self._tar.addfile(member, file)


def _archived(lane: Lane, booked: BookedLane) -> ArchivedLane:
    return ArchivedLane(lane, booked.pid, booked.at, booked.ended_at)


def _roots_before(database: AuditDatabase, day: date) -> int:
    """The number of the last root that was made before a day began, 0 for none; roots are in the order of time."""
    last = database.last_root()
    low, high = 0, 0 if last is None else last.number
    while low < high:
        middle = (low + high) // 2
        root = next(iter(database.roots(after=middle)))
        if parse(root.statement).at.date() < day:
            low = middle + 1
        else:
            high = middle
    return low


@contextmanager
def _new_file(output: Path) -> Iterator[IO[bytes]]:
    if output.exists():
        raise ArchiveRefused(f"{output}: there is a file of this name")
    try:
        with placing_private(output, new=True) as file:
            yield file
    except FileExistsError:
        raise ArchiveRefused(f"{output}: there is a file of this name") from None
