"""The command ``smsp``: its groups, and how it ends."""

from typing import Final

import click

from smsp_provider import __version__
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.cli.lazy import LazyGroup

__all__ = ["cli", "main"]

_COMMANDS: Final = {
    "serve": "smsp_provider.cli.serve:serve",
    "sandbox": "smsp_provider.cli.sandbox:sandbox",
    "alerts": "smsp_provider.cli.alerts:alerts",
    "clock": "smsp_provider.cli.clock:clock",
    "audit": "smsp_provider.cli.audit:audit",
    "incident": "smsp_provider.cli.incident:incident",
    "traffic": "smsp_provider.cli.traffic:traffic",
    "client": "smsp_provider.cli.client:client",
    "user": "smsp_provider.cli.user:user",
    "login": "smsp_provider.cli.login:login",
    "logout": "smsp_provider.cli.login:logout",
    "whoami": "smsp_provider.cli.login:whoami",
    "simulate": "smsp_provider.cli.simulate:simulate",
    "call": "smsp_provider.cli.call:call",
    "conformance": "smsp_provider.cli.conformance:conformance",
    "config": "smsp_provider.cli.config:config",
    "deploy": "smsp_provider.cli.deploy:deploy",
    "endpoint": "smsp_provider.cli.endpoint:endpoint",
    "pds-fhir": "smsp_provider.cli.pds_fhir:pds_fhir",
    "upstream": "smsp_provider.cli.upstream:upstream",
    "reference": "smsp_provider.cli.reference:reference",
}


@click.group(
    cls=LazyGroup,
    places=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, prog_name="smsp")
def cli() -> None:
    """A Spine Mini Service Provider: the five PDS mini services over ITK SOAP, answered from Spine."""


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
