"""``smsp config``: look at the configuration without starting anything."""

from datetime import UTC, datetime
from pathlib import Path

import click

from smsp_provider.cli.checks import check_files
from smsp_provider.cli.client_ready import registry_warnings
from smsp_provider.cli.config_origin import config_option, effective_values, print_warnings, read_settings
from smsp_provider.cli.endpoint_files import attention
from smsp_provider.cli.table import print_table
from smsp_provider.config.policies import policies_in_force
from smsp_provider.wiring.roots import witness_warnings

__all__ = ["config"]


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@config_option
def check(config_file: Path) -> None:
    """Print every effective setting with its origin and the policies they amount to, and check all files they name.

    Certificates and keys are loaded, the schemas compiled and the vocabulary read, as at a start.
    Warnings go to standard error.
    Exit code 2 with one readable text where something cannot be used.
    """
    settings = read_settings(config_file)
    print_table(
        ("setting", "value", "origin"),
        [(item.name, item.value, item.origin.value) for item in effective_values(config_file, settings)],
    )
    click.echo()
    print_table(
        ("policy", "in force", "what it means"),
        [(policy.subject, policy.value, policy.meaning) for policy in policies_in_force(settings)],
    )
    print_warnings(settings)
    check_files(settings)
    for warning in (*attention(settings, datetime.now(UTC)), *registry_warnings(settings), *witness_warnings(settings)):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"\n{config_file}: usable, environment {settings.environment.value}")
