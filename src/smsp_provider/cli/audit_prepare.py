"""``smsp audit prepare``: an audit trail in PostgreSQL, made by the role that owns it."""

from typing import Final

import click
from click.core import ParameterSource

from smsp_provider.cli.exit_codes import CannotStart, ExitCode
from smsp_provider.storage.postgres_audit_form import CannotPrepare
from smsp_provider.storage.postgres_audit_form import prepare as prepare_trail
from smsp_provider.storage.postgres_driver import NO_DRIVER
from smsp_provider.storage.postgres_owner_url import parse_owner_url

__all__ = ["prepare"]

_VARIABLE: Final = "SMSP_AUDIT_OWNER_URL"


@click.command()
@click.option(
    "--owner-url",
    "url",
    metavar="URL",
    required=True,
    envvar=_VARIABLE,
    show_envvar=True,
    help="The database as its owner: postgresql://OWNER@HOST/DATABASE. A password belongs into the variable or into a "
    "file that the driver reads, not into the command line.",
)
@click.option("--role", required=True, help="The role of the provider, which owns nothing; it has to be there.")
@click.pass_context
def prepare(context: click.Context, url: str, role: str) -> int:
    """Make the audit trail in PostgreSQL, or bring it to the form of this version, and give the provider its rights.

    To be run before the first start with audit.store, and again after each update; a second time it changes nothing.
    Rights that somebody gave the provider besides are taken back.
    Functions and triggers that somebody changed or removed are made anew.
    It says which, and what it leaves as it is, since it is none of the provider's: exit code 1 then.
    Where something belongs to another role it names that, and changes nothing.
    """
    try:
        parsed = parse_owner_url(url)
    except ValueError as error:
        raise click.UsageError(f"--owner-url {error}") from None
    if parsed.password is not None and context.get_parameter_source("url") is ParameterSource.COMMANDLINE:
        raise click.UsageError(f"others can read the password in a command line: put the URL into {_VARIABLE}")
    try:
        prepared = prepare_trail(parsed, role, click.echo)
    except ImportError:
        raise CannotStart(NO_DRIVER) from None
    except CannotPrepare as error:
        raise CannotStart(str(error)) from None
    return ExitCode.UNEXPECTED if prepared.left else ExitCode.OK
