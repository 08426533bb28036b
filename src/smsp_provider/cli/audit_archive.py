"""``smsp audit archive``, ``archive-verify`` and ``restore``: whole past days of the trail as a file of their own."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.chain import Unsealer
from smsp_provider.audit.verification import VerificationReport
from smsp_provider.audit.verified_lane import Finding
from smsp_provider.audit.witness import WitnessLineInvalid
from smsp_provider.cli.archived_trail import CheckedArchive, checked_archive, restored, verified_archive
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.deletion_desk import Progress
from smsp_provider.cli.exit_codes import CannotStart, ExitCode
from smsp_provider.cli.files import made_or_regular_file, regular_file
from smsp_provider.cli.moments import DAY
from smsp_provider.cli.operator_session import office_of, requires
from smsp_provider.cli.table import print_table
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.storage.audit_archive import ArchiveRefused, new_manifest, write_archive
from smsp_provider.storage.audit_archive_file import ArchiveFile
from smsp_provider.storage.audit_keys import AuditKeysUnusable, read_key_ring
from smsp_provider.storage.audit_sealing import KeyRingUnsealer
from smsp_provider.storage.audit_signing_key import SigningKeyUnusable, read_public_key
from smsp_provider.storage.witness_file import read_witness_file
from smsp_provider.wiring.roots import build_books, build_signing_keys

__all__ = ["archive", "archive_verify", "restore"]

_SHOWN: Final = 20


@click.command()
@config_option
@click.option("--since", type=DAY, help="The first day (UTC); the first one on record where it is not given.")
@click.option("--until", type=DAY, required=True, help="The last day (UTC): one that is over.")
@click.option("--output", type=made_or_regular_file, required=True, help="The file to make, for its owner alone.")
@requires(Permission.AUDIT_DELETE, everything=True)
def archive(config_file: Path, operator: Operator, since: datetime | None, until: datetime, output: Path) -> None:
    """Write everything of whole past days to one file: sealed, signed, and verifiable without the database.

    Contents stay encrypted: keep the keys of the trail as long as the archive, elsewhere.
    Nothing is erased: `smsp audit retire` does that.
    """
    with office_of(read_settings(config_file)) as office:
        now, database = office.clock.now(), office.trail.database
        last = until.date()
        if last >= now.date():
            raise click.UsageError("--until is not over yet (UTC)")
        first = min((lane.day for lane in database.lanes()), default=last) if since is None else since.date()
        if first > last:
            raise click.UsageError("--since is after --until")
        try:
            signer = build_signing_keys(office.settings).current()
            manifest = write_archive(
                database,
                build_books(office.settings),
                output,
                new_manifest(first, last, now, operator.name),
                signer,
                told=Progress("archiving").day,
            )
        except ArchiveRefused as refused:
            raise CannotStart(str(refused)) from None
        except SigningKeyUnusable as error:
            raise CannotStart(f"audit.signing_key: {error}") from None
        except OSError as error:
            raise CannotStart(f"{error.filename or output}: {error.strerror}") from None
    rows = [
        ("days", f"{manifest.since} to {manifest.until}"),
        ("lanes", str(manifest.lanes)),
        ("records", str(manifest.records)),
        ("contents", str(manifest.contents)),
        ("roots", f"{manifest.first_root} to {manifest.last_root}"),
        ("keys needed", ", ".join(manifest.key_ids)),
        ("SHA-256", ArchiveFile(output).sha256()),
    ]
    print_table((str(output), ""), rows)
    click.echo(f"verify it: smsp audit archive-verify {output} --keys KEYS --public-key KEY --witness FILE", err=True)


@click.command("archive-verify")
@click.argument("file", type=regular_file)
@click.option("--public-key", "key_file", type=regular_file, help="PEM of the key that is known to be the trail's.")
@click.option("--witness", "witness_file", type=regular_file, help="The roots that a witness kept, one line each.")
@click.option(
    "--keys", "keys_file", type=regular_file, help="The keys of the trail (audit.keys), to open the contents."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def archive_verify(
    file: Path, *, key_file: Path | None, witness_file: Path | None, keys_file: Path | None, as_json: bool
) -> int:
    """Verify an archive by itself, without settings or database.

    Needs about three times its size beside it for a while. What was not given is not checked, and the output says so.
    """
    checked = checked_archive(file)
    public_key = None if key_file is None else _public_key(key_file)
    try:
        witness = None if witness_file is None else read_witness_file(witness_file)
        report = verified_archive(checked, _unsealer(keys_file), witness, public_key)
    except (OSError, WitnessLineInvalid) as error:
        raise CannotStart(f"{witness_file}: {error}") from None
    findings = [*_of_signature(checked, report, public_key), *report.findings]
    if as_json:
        click.echo(json.dumps(_as_json(checked, report, findings), indent=2))
    else:
        print_table((str(file), ""), list(_rows(checked, report)))
        for text in report.not_checked:
            click.echo(f"not checked: {text}")
        for finding in findings[:_SHOWN]:
            click.echo(f"WRONG: {_shown(finding)}")
        click.echo("nothing is wrong with what was checked" if not findings else f"{len(findings)} findings")
    return ExitCode.UNEXPECTED if findings else ExitCode.OK


@click.command()
@click.argument("file", type=regular_file)
@config_option
@click.option("--database", type=made_or_regular_file, required=True, help="The file to make: a trail of its own.")
@requires(Permission.AUDIT_DELETE, everything=True)
def restore(file: Path, config_file: Path, operator: Operator, database: Path) -> None:
    """Load an archive into an audit trail of its own, for `smsp audit verify` and `smsp audit search`.

    The trail of the provider is not touched. Contents stay encrypted; the keys are those of the time.
    """
    del config_file, operator
    checked = checked_archive(file)
    restored(checked, database)
    click.echo(
        f"{database}: {checked.manifest.records} records of {checked.manifest.since} to {checked.manifest.until}"
    )


def _public_key(file: Path) -> bytes:
    try:
        return read_public_key(file)
    except SigningKeyUnusable as error:
        raise CannotStart(f"--public-key: {error}") from None


def _unsealer(file: Path | None) -> Unsealer | None:
    try:
        return None if file is None else KeyRingUnsealer(read_key_ring(file))
    except AuditKeysUnusable as error:
        raise CannotStart(f"--keys: {error}") from None


def _of_signature(checked: CheckedArchive, report: VerificationReport, public_key: bytes | None) -> Iterator[Finding]:
    """What is wrong with who signed the archive: the key has to be one of those that signed the roots, or given."""
    if checked.signed_by not in (*report.signers, public_key):
        yield Finding("the archive is signed with a key that signed none of the roots in it")


def _rows(checked: CheckedArchive, report: VerificationReport) -> Iterator[tuple[str, str]]:
    manifest = checked.manifest
    yield "trail", manifest.trail
    yield "days", f"{manifest.since} to {manifest.until}"
    yield "made", f"{manifest.made_at} by {manifest.made_by}"
    yield "signed by", checked.signed_by.hex()
    yield "records", str(report.records)
    yield "contents", f"{report.contents}, and {report.erased} erased before"
    yield "roots", f"{manifest.first_root} to {manifest.last_root}"
    yield "records that no root binds", str(report.unbound)
    if report.witnessed is not None:
        yield "roots that the witness has", str(report.witnessed)
    yield "keys needed", ", ".join(manifest.key_ids)


def _shown(finding: Finding) -> str:
    place = (
        "" if finding.lane is None else f"lane {finding.lane}" + ("" if finding.n is None else f" record {finding.n}")
    )
    root = "" if finding.root is None else f"root {finding.root}"
    return ": ".join(part for part in (root, place, finding.what) if part)


def _as_json(checked: CheckedArchive, report: VerificationReport, findings: list[Finding]) -> dict[str, object]:
    manifest = checked.manifest
    return {
        "trail": manifest.trail,
        "since": manifest.since.isoformat(),
        "until": manifest.until.isoformat(),
        "signed_by": checked.signed_by.hex(),
        "records": report.records,
        "contents": report.contents,
        "erased": report.erased,
        "roots": report.roots,
        "unbound": report.unbound,
        "witnessed": report.witnessed,
        "not_checked": list(report.not_checked),
        "findings": [asdict(finding) for finding in findings],
    }
