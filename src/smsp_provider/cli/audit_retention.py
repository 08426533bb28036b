"""``smsp audit retention`` and ``retire``: what is past its time, and the end of it once an archive holds it."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import click

from smsp_provider.audit.retention import KEPT_FOR_EVER, RecordClass, RetentionPolicy
from smsp_provider.cli.archived_trail import checked_archive, whole_archive
from smsp_provider.cli.audit_deletion import print_proposed
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.deletion_desk import Progress, deletion_desk
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.moments import DAY
from smsp_provider.cli.operator_session import office_of, requires
from smsp_provider.cli.table import print_table
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.storage.audit_selection import count_due, records_retired

__all__ = ["retention", "retire"]


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@requires(Permission.AUDIT_DELETE, everything=True)
def retention(config_file: Path, operator: Operator, *, as_json: bool) -> None:
    """Show how long which records are kept, and how many are past their time.

    Nothing is erased by itself: `smsp audit archive` and `smsp audit retire` do that.
    """
    del operator
    with office_of(read_settings(config_file)) as office:
        policy, today = office.settings.audit.retention(), office.clock.now().date()
        due = count_due(office.trail.database, policy, today, Progress("counting").lane)
    if as_json:
        click.echo(json.dumps([_as_json(one, policy, today, due[one]) for one in RecordClass], indent=2))
        return
    rows = [
        (one.value, f"{policy.days[one]} days", policy.last_due(one, today).isoformat(), str(due[one]))
        for one in RecordClass
    ]
    print_table(
        ("class", "kept", "due up to", "records due"), [*rows, ("lanes, roots, tombstones", KEPT_FOR_EVER, "", "")]
    )


@click.command()
@config_option
@click.option("--until", type=DAY, required=True, help="The last day (UTC) whose records go.")
@click.option("--archive", "file", type=regular_file, required=True, help="The archive that holds them.")
def retire(config_file: Path, until: datetime, file: Path) -> None:
    """Propose to erase the contents of records that are past their time and stand in an archive.

    The archive is verified first, and each content compared with the one here.
    Another officer approves with `smsp audit deletion approve`; the tombstone names the archive by its SHA-256.
    """
    with deletion_desk(config_file) as desk:
        archive = checked_archive(file)
        whole_archive(archive, desk.unsealer, desk.database.roots())
        policy, today = desk.settings.audit.retention(), datetime.now(UTC).date()
        lanes = archive.file.lanes()
        records = archive.file.records({one.lane.token: one.lane for one in lanes})
        found = records_retired(desk.database, records, lanes, policy, until=until.date(), today=today)
        proposed = desk.deletions.propose(
            desk.officer,
            found,
            reason="past their time, and kept in an archive",
            legal_basis=f"retention schedule: {_schedule(policy)}",
            archive=archive.file.sha256(),
        )
        print_proposed(desk, proposed)


def _schedule(policy: RetentionPolicy) -> str:
    return ", ".join(f"{one.value} {policy.days[one]} days" for one in RecordClass)


def _as_json(one: RecordClass, policy: RetentionPolicy, today: date, due: int) -> dict[str, object]:
    return {
        "class": one.value,
        "days": policy.days[one],
        "due_until": policy.last_due(one, today).isoformat(),
        "due": due,
    }
