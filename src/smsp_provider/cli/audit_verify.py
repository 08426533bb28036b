"""``smsp audit verify``: whether the audit trail is as it was written, and where not."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.chain import SignedRoot, TrailReader, Unsealer
from smsp_provider.audit.encoding import timestamp
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.verification import Means, VerificationReport, verify
from smsp_provider.audit.verified_lane import Finding
from smsp_provider.cli.audit_index_findings import index_findings
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import CannotStart, ExitCode, UnusableConfiguration
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.moments import DAY
from smsp_provider.cli.operator_session import requires
from smsp_provider.cli.table import print_table
from smsp_provider.config.settings import Settings
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.audit_keys import AuditKeysUnusable
from smsp_provider.storage.audit_signing_key import SigningKeyUnusable, read_public_key
from smsp_provider.storage.sqlite_audit_books import SqliteTrailBooks
from smsp_provider.storage.sqlite_audit_reading import SqliteTrailReader
from smsp_provider.storage.witness_file import read_witness_file
from smsp_provider.storage.witness_handing import WitnessDiffers
from smsp_provider.wiring.audit import build_audit_database, build_unsealer
from smsp_provider.wiring.roots import build_books, build_signing_keys, check_witnesses

__all__ = ["verify_command"]

_SHOWN: Final = 20
_NO_WITNESS_FILE: Final = (
    "it is not there. If it never was, `smsp audit witness begin` begins it, or for a trail that has no roots yet the "
    "first start of the provider; else somebody removed it: --witness names a copy"
)


@click.command("verify")
@config_option
@click.option("--database", type=regular_file, help="A copy of the SQLite file, in place of the trail itself.")
@click.option(
    "--witness",
    "witnesses",
    type=regular_file,
    multiple=True,
    help="File with the lines of a witness; several in their order. Default: audit.witness_file.",
)
@click.option(
    "--public-key", type=regular_file, help="PEM file of a public key of the trail. Default: audit.signing_key."
)
@click.option("--part", is_flag=True, help="The copy holds some days alone, as `smsp audit restore` makes it.")
@click.option("--since", type=DAY, help="Only records of this day (UTC) and later.")
@click.option("--index", "with_index", is_flag=True, help="Compare the search index with the records, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@requires(Permission.AUDIT_VERIFY)
def verify_command(
    *,
    config_file: Path,
    operator: Operator,
    database: Path | None,
    witnesses: tuple[Path, ...],
    public_key: Path | None,
    part: bool,
    since: datetime | None,
    with_index: bool,
    as_json: bool,
) -> ExitCode:
    """Verify the audit trail: each record, each root, and that the witness has the same roots.

    Names the first record or root that is not as it was written; exit code 1 then.
    Reads only, also while the provider runs.
    Without the keys of the contents the chain, the roots and the witness are verified all the same.
    """
    del operator
    if part and database is None:
        raise click.UsageError("--part needs --database")
    if with_index and database is not None:
        raise click.UsageError("--index goes with the trail itself, and not with --database")
    settings = read_settings(config_file)
    reader, close = _opened(settings, database)
    means = Means(
        unsealer=_unsealer(settings),
        books=build_books(settings) if database is None else SqliteTrailBooks(database),
        witness=_lines(settings, witnesses),
        public_key=_public_key(settings, public_key),
        part=part,
    )
    try:
        day = None if since is None else since.date()
        report = verify(reader, means, since=day, progress=_progress if sys.stderr.isatty() else None)
        elsewhere = _ask_witnesses(settings, reader) if database is None else ()
    except (AuditUnavailable, StorageUnsafe) as error:
        reason = error.reason if isinstance(error, AuditUnavailable) else str(error)
        raise CannotStart(f"the audit trail cannot be read: {reason}") from None
    except OSError as error:
        raise CannotStart(f"{error.filename or 'a file'}: {error.strerror}") from None
    finally:
        close()
    findings = (*report.findings, *elsewhere, *(index_findings(settings, day) if with_index else ()))
    if as_json:
        click.echo(json.dumps(_document(report, findings)))
    else:
        _print(report, findings)
    return ExitCode.UNEXPECTED if findings else ExitCode.OK


def _opened(settings: Settings, copy: Path | None) -> tuple[TrailReader, Callable[[], None]]:
    """What is verified, and how it is closed.

    Raises:
        CannotStart: it is in PostgreSQL, and the driver is not installed.
    """
    if copy is not None:
        of_copy = SqliteTrailReader(copy)
        return of_copy, of_copy.close_reader
    try:
        database = build_audit_database(settings)
    except StorageUnsafe as error:
        raise CannotStart(f"audit.store: {error}") from None
    return database, database.close


def _unsealer(settings: Settings) -> Unsealer | None:
    try:
        return build_unsealer(settings, SystemClock())
    except AuditKeysUnusable as error:
        click.echo(f"warning: contents are not verified: {error}", err=True)
        return None


def _lines(settings: Settings, files: tuple[Path, ...]) -> Iterator[SignedRoot] | None:
    if not files:
        kept = settings.audit.witness_file
        if kept is None:
            return None
        if not kept.exists():
            raise CannotStart(f"audit.witness_file: {kept}: {_NO_WITNESS_FILE}")
        files = (kept,)
    return chain.from_iterable(map(read_witness_file, files))


def _public_key(settings: Settings, file: Path | None) -> bytes | None:
    try:
        if file is not None:
            return read_public_key(file)
        return build_signing_keys(settings).current().public_key
    except SigningKeyUnusable as error:
        if file is not None:
            raise UnusableConfiguration(f"--public-key: {error}") from None
        return None


def _ask_witnesses(settings: Settings, reader: TrailReader) -> tuple[Finding, ...]:
    """What the witnesses say of the last root; a warning where one cannot be asked, or has none."""
    try:
        for silent in check_witnesses(settings, reader, SystemClock()):
            click.echo(f"warning: {silent}", err=True)
    except WitnessDiffers as differs:
        return (Finding(differs.reason),)
    return ()


def _progress(records: int) -> None:
    click.echo(f"\r{records} records", nl=False, err=True)


def _print(report: VerificationReport, findings: tuple[Finding, ...]) -> None:
    if findings:
        print_table(("lane", "record", "root", "what is wrong"), [_row(finding) for finding in findings[:_SHOWN]])
        if len(findings) > _SHOWN:
            click.echo(f"and {len(findings) - _SHOWN} more")
        click.echo()
    print_table(("verified", ""), list(_figures(report)))
    for text in report.not_checked:
        click.echo(f"not verified: {text}")
    click.echo()
    click.echo("The trail is not as it was written." if findings else "Nothing is wrong with what was verified.")


def _row(finding: Finding) -> tuple[str, str, str, str]:
    n = "" if finding.n is None else str(finding.n)
    place = n if finding.since is None else f"{finding.since} to {n}"
    return finding.lane or "", place, "" if finding.root is None else str(finding.root), finding.what


def _figures(report: VerificationReport) -> Iterable[tuple[str, str]]:
    yield "lanes", str(report.lanes)
    yield "records", str(report.records)
    yield "contents", f"{report.contents}, {report.erased} missing"
    yield "roots", str(report.roots)
    if report.last_root_at is not None:
        yield "last root", f"{report.last_root} of {timestamp(report.last_root_at)}"
    yield "records in no root yet", str(report.unbound)
    if report.witnessed is not None:
        yield "roots that the witness has", str(report.witnessed)
    for key in report.signers:
        yield "signed with the public key", key.hex()


def _document(report: VerificationReport, findings: tuple[Finding, ...]) -> dict[str, object]:
    return {
        "whole": not findings,
        "findings": [
            {"what": one.what, "lane": one.lane, "record": one.n, "since_record": one.since, "root": one.root}
            for one in findings
        ],
        "lanes": report.lanes,
        "records": report.records,
        "contents": report.contents,
        "contents_missing": report.erased,
        "roots": report.roots,
        "witnessed": report.witnessed,
        "unbound": report.unbound,
        "last_root": report.last_root,
        "last_root_at": None if report.last_root_at is None else timestamp(report.last_root_at),
        "public_keys": [key.hex() for key in report.signers],
        "not_verified": list(report.not_checked),
    }
