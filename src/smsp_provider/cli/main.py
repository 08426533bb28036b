"""The command ``smsp``: its groups, and how it ends."""

import click

from smsp_provider import __version__
from smsp_provider.cli.alerts import alerts
from smsp_provider.cli.audit import audit
from smsp_provider.cli.call import call
from smsp_provider.cli.client import client
from smsp_provider.cli.clock import clock
from smsp_provider.cli.config import config
from smsp_provider.cli.conformance import conformance
from smsp_provider.cli.deploy import deploy
from smsp_provider.cli.endpoint import endpoint
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.cli.incident import incident
from smsp_provider.cli.login import login, logout, whoami
from smsp_provider.cli.pds_fhir import pds_fhir
from smsp_provider.cli.reference import reference
from smsp_provider.cli.sandbox import sandbox
from smsp_provider.cli.serve import serve
from smsp_provider.cli.simulate import simulate
from smsp_provider.cli.traffic import traffic
from smsp_provider.cli.upstream import upstream
from smsp_provider.cli.user import user

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="smsp")
def cli() -> None:
    """A Spine Mini Service Provider: the five PDS mini services over ITK SOAP, answered from Spine."""


for _command in (
    serve,
    sandbox,
    alerts,
    clock,
    audit,
    incident,
    traffic,
    client,
    user,
    login,
    logout,
    whoami,
    simulate,
    call,
    conformance,
    config,
    deploy,
    endpoint,
    pds_fhir,
    upstream,
    reference,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and leave the process with a code of the table (:class:`ExitCode`)."""
    try:
        raise SystemExit(cli.main(prog_name="smsp", standalone_mode=False) or ExitCode.OK)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("smsp: interrupted", err=True)
        raise SystemExit(ExitCode.INTERRUPTED) from None
