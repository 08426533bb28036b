"""``smsp audit``: the audit trail, for those who look after it and those who look into it."""

from typing import Final

import click

from smsp_provider.cli.lazy import LazyGroup

__all__ = ["audit"]

_COMMANDS: Final = {
    "keys": "smsp_provider.cli.audit_keys:keys",
    "signing-key": "smsp_provider.cli.audit_roots:signing_key",
    "witness": "smsp_provider.cli.audit_roots:witness",
    "keep": "smsp_provider.cli.audit_roots:keep",
    "verify": "smsp_provider.cli.audit_verify:verify_command",
    "prepare": "smsp_provider.cli.audit_prepare:prepare",
    "reindex": "smsp_provider.cli.audit_reindex:reindex",
    "report": "smsp_provider.cli.audit_report:report",
    "search": "smsp_provider.cli.audit_search:search",
    "retention": "smsp_provider.cli.audit_retention:retention",
    "archive": "smsp_provider.cli.audit_archive:archive",
    "archive-verify": "smsp_provider.cli.audit_archive:archive_verify",
    "restore": "smsp_provider.cli.audit_archive:restore",
    "retire": "smsp_provider.cli.audit_retention:retire",
    "deletion": "smsp_provider.cli.audit_deletion:deletion",
}


@click.group(cls=LazyGroup, places=_COMMANDS)
def audit() -> None:
    """The audit trail."""
