"""``smsp audit reindex``: the search index made anew from the trail."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider.cli.audit_looking import index_office
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.moments import DAY
from smsp_provider.cli.operator_session import requires
from smsp_provider.domain.operators import Operator, Permission

__all__ = ["reindex"]

_TOLD_EVERY: Final = 100_000


@click.command()
@config_option
@click.option("--day", "days", type=DAY, multiple=True, help="This day alone (UTC); repeatable.")
@requires(Permission.AUDIT_VERIFY)
def reindex(config_file: Path, operator: Operator, days: Sequence[datetime]) -> None:
    """Make the search index anew, with new keys, from what the audit trail holds.

    Searches go on meanwhile, and miss what is not in it again yet. It shows nothing of the trail.
    """
    del operator
    with index_office(read_settings(config_file)) as office:
        wanted = [day.date() for day in days] or sorted(
            {lane.day for lane in office.database.lanes()} | set(office.index.day_keys())
        )
        office.indexer.rebuild(wanted)
        total = told = 0
        while count := office.indexer.run():
            total += count
            if total - told >= _TOLD_EVERY:
                told = total
                click.echo(f"{total} records", err=True)
        click.echo(f"{total} records of {len(wanted)} days are in the search index")
