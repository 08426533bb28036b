"""An archive in the hands of a command: is it whole, whose is it, and does what it holds verify."""

import sqlite3
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from smsp_provider.audit.archive import ArchiveInvalid, Manifest
from smsp_provider.audit.chain import SignedRoot, Unsealer
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.verification import Means, VerificationReport, verify
from smsp_provider.cli.deletion_desk import Progress
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.storage.audit_archive_file import ArchiveFile
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_reading import SqliteTrailReader
from smsp_provider.storage.sqlite_audit_restore import restore_archive

__all__ = ["CheckedArchive", "checked_archive", "restored", "verified_archive", "whole_archive"]


@dataclass(frozen=True, slots=True)
class CheckedArchive:
    """An archive whose files are those that ``signed_by`` (a public key, 32 bytes) signed."""

    path: Path
    file: ArchiveFile
    manifest: Manifest
    signed_by: bytes


def checked_archive(path: Path) -> CheckedArchive:
    """An archive, once its signature and all its files are right.

    Raises:
        CannotStart: it is none, or was changed, or cannot be read.
    """
    file = ArchiveFile(path)
    try:
        manifest, signed_by = file.manifest()
    except ArchiveInvalid as invalid:
        raise CannotStart(f"{path}: {invalid}") from None
    except OSError as error:
        raise CannotStart(f"{path}: {error.strerror}") from None
    return CheckedArchive(path, file, manifest, signed_by)


def restored(archive: CheckedArchive, database: Path) -> None:
    """Load an archive into a new trail at ``database``.

    Raises:
        CannotStart: there is such a file, or it cannot be written, or the archive does not fit together.
    """
    try:
        restore_archive(archive.file, archive.manifest, database, told=Progress("loading").day)
    except FileExistsError:
        raise CannotStart(f"{database}: there is a file of this name") from None
    except ArchiveInvalid as invalid:
        raise CannotStart(f"{archive.path}: {invalid}") from None
    except OSError as error:
        raise CannotStart(f"{error.filename or database}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise CannotStart(f"{database}: {error}") from None


def verified_archive(
    archive: CheckedArchive,
    unsealer: Unsealer | None,
    witness: Iterable[SignedRoot] | None,
    public_key: bytes | None,
) -> VerificationReport:
    """Verify what an archive holds, in a trail of its own that is gone afterwards.

    Raises:
        CannotStart: there is no room for it beside the archive, or the archive does not fit together.
    """
    with tempfile.TemporaryDirectory(prefix=".archive-", dir=archive.path.absolute().parent) as directory:
        database = Path(directory) / "trail" / "audit.db"
        restored(archive, database)
        reader = SqliteTrailReader(database)
        means = Means(unsealer, SqliteTrailBooks(database), witness, public_key, part=True)
        try:
            return verify(reader, means)
        except AuditUnavailable as error:
            raise CannotStart(f"{archive.path}: {error.reason}") from None
        finally:
            reader.close_reader()


def whole_archive(archive: CheckedArchive, unsealer: Unsealer, roots: Iterable[SignedRoot]) -> None:
    """Pass an archive of the trail with these ``roots`` in which nothing is wrong, and that the trail's own key signed.

    Raises:
        CannotStart: something is, with the first finding.
    """
    report = verified_archive(archive, unsealer, roots, None)
    if report.findings:
        first = report.findings[0]
        place = "" if first.lane is None else f" ({first.lane}:{first.n})"
        raise CannotStart(f"{archive.path}: {first.what}{place}: verify it with `smsp audit archive-verify`")
    if report.unbound or not report.roots:
        raise CannotStart(f"{archive.path}: {report.unbound or 'no'} records in it are bound by a root: archive anew")
    if report.witnessed != report.roots:
        raise CannotStart(f"{archive.path}: it holds roots that this trail has not")
    if archive.signed_by not in report.signers:
        raise CannotStart(f"{archive.path}: it is signed with another key than the roots in it")
