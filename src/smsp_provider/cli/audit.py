"""``smsp audit``: the audit trail, for those who look after it and those who look into it."""

import click

from smsp_provider.cli.audit_prepare import prepare

__all__ = ["audit"]


@click.group()
def audit() -> None:
    """The audit trail."""


for _command in (prepare,):
    audit.add_command(_command)
