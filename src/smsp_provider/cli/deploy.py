"""``smsp deploy``: files for what stands around the provider, made of its settings."""

from pathlib import Path

import click

from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import UnusableConfiguration
from smsp_provider.web.nginx import Places, render_nginx

__all__ = ["deploy"]


@click.group()
def deploy() -> None:
    """Make files for what stands around the provider."""


@deploy.command()
@config_option
@click.option(
    "--runtime-directory",
    type=click.Path(path_type=Path),
    default=Path("/run/smsp-nginx"),
    show_default=True,
    help="Where nginx keeps its pid and whatever is temporary; best in memory.",
)
@click.option(
    "--log-directory",
    type=click.Path(path_type=Path),
    default=Path("/var/log/nginx"),
    show_default=True,
    help="Where nginx writes access.log and error.log.",
)
@click.option("--user", default="", help="Who nginx's workers run as, where root starts it.")
def nginx(config_file: Path, runtime_directory: Path, log_directory: Path, user: str) -> None:
    """Print a complete nginx.conf for the listener of [server.proxy].

    Nothing is read but the settings: nginx itself checks the files when it is started or asked (`nginx -t`).
    """
    settings = read_settings(config_file)
    if settings.server.proxy is None:
        raise UnusableConfiguration(f"{config_file}: there is no [server.proxy]")
    try:
        text = render_nginx(settings, settings.server.proxy, Places(runtime_directory, log_directory, user))
    except ValueError as error:
        raise UnusableConfiguration(f"{config_file}: {error}") from None
    click.echo(text, nl=False)
