"""``smsp audit``: the audit trail, for those who look after it and those who look into it."""

import click

from smsp_provider.cli.audit_archive import archive, archive_verify, restore
from smsp_provider.cli.audit_deletion import deletion
from smsp_provider.cli.audit_keys import keys
from smsp_provider.cli.audit_prepare import prepare
from smsp_provider.cli.audit_reindex import reindex
from smsp_provider.cli.audit_report import report
from smsp_provider.cli.audit_retention import retention, retire
from smsp_provider.cli.audit_roots import keep, signing_key, witness
from smsp_provider.cli.audit_search import search
from smsp_provider.cli.audit_verify import verify_command

__all__ = ["audit"]


@click.group()
def audit() -> None:
    """The audit trail."""


for _command in (
    keys,
    signing_key,
    witness,
    keep,
    verify_command,
    prepare,
    reindex,
    report,
    search,
    retention,
    archive,
    archive_verify,
    restore,
    retire,
    deletion,
):
    audit.add_command(_command)
