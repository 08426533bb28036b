"""``smsp client``: who may call, and how much."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from smsp_provider.cli.client_edit import add, change_one, pin, set_fields
from smsp_provider.cli.client_session import open_session, prepare_registry
from smsp_provider.cli.client_transfer import export, import_clients
from smsp_provider.cli.client_view import client_as_json, print_client, print_clients, use_as_json
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import UnusableConfiguration
from smsp_provider.cli.operator_session import requires
from smsp_provider.config.settings import Settings
from smsp_provider.domain.clients import rotated
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.admission_use import ClientUse
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.client_registry import ClientChange, RegistryState
from smsp_provider.wiring.provider import client_use, shared_asids

__all__ = ["client"]


@click.group()
def client() -> None:
    """Registered clients: who may call, what they may ask, and how much.

    Every change is on the audit trail before it is in force, and in force in every worker within five seconds.
    """


@client.command()
@config_option
def init(config_file: Path) -> None:
    """Make the client registry, or bring it to the form of this version.

    A database in PostgreSQL has to be there; a SQLite file is made.
    """
    made = prepare_registry(read_settings(config_file))
    click.echo("the client registry is made" if made else "the client registry is ready")


@client.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@requires(Permission.CLIENTS_READ)
def list_clients(config_file: Path, operator: Operator, *, as_json: bool) -> None:
    """List all clients, and what somebody should look at."""
    with open_session(config_file, operator) as session:
        state = session.state()
        shared, now = shared_asids(session.settings), datetime.now(UTC)
    if as_json:
        found = [client_as_json(one, now, shared) for one in state.clients.values()]
        click.echo(json.dumps({"version": state.mark.version, "clients": found}, indent=2))
    else:
        print_clients(state.clients.values(), now, shared)


@client.command()
@click.argument("name")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@requires(Permission.CLIENTS_READ)
def show(name: str, config_file: Path, operator: Operator, *, as_json: bool) -> None:
    """Show everything about a client, and what it uses of its limits on this host."""
    with open_session(config_file, operator) as session:
        found = session.client(name)
        shared, now = shared_asids(session.settings), datetime.now(UTC)
        use = _use(session.settings, name)
    if as_json:
        click.echo(json.dumps({**client_as_json(found, now, shared), "use": use_as_json(use)}, indent=2))
    else:
        print_client(found, now, shared, use)


def _use(settings: Settings, name: str) -> ClientUse | None:
    try:
        return client_use(settings, name, SystemClock())
    except OSError as error:
        click.echo(f"warning: what it uses of its limits is not known: {error.strerror or 'busy'}", err=True)
        return None


@client.command()
@click.argument("name")
@config_option
@click.option("--reason", required=True, help="Why; operators see it, the client does not.")
@requires(Permission.CLIENTS_CHANGE)
def disable(name: str, config_file: Path, operator: Operator, reason: str) -> None:
    """Let a client in no longer.

    In force in every worker within five seconds.
    What it asks from then on is refused with fault 3000; requests under way are answered.
    """
    with open_session(config_file, operator) as session:
        change_one(session, name, lambda one: replace(one, enabled=False, disabled_reason=reason.strip()))
    click.echo(f"client {name}: disabled")


@client.command()
@click.argument("name")
@config_option
@requires(Permission.CLIENTS_CHANGE)
def enable(name: str, config_file: Path, operator: Operator) -> None:
    """Let a disabled client in again."""
    with open_session(config_file, operator) as session:
        made = change_one(session, name, lambda one: replace(one, enabled=True, disabled_reason=""))
    click.echo(f"client {name}: {'enabled' if made else 'is enabled already'}")


@client.command()
@click.argument("name")
@config_option
@click.option(
    "--overlap",
    type=click.IntRange(0, 90),
    default=7,
    show_default=True,
    help="Days for which the certificates before are accepted.",
)
@requires(Permission.CLIENTS_CHANGE)
def rotate(name: str, config_file: Path, operator: Operator, overlap: int) -> None:
    """Make the next certificate the current one.

    The next certificate has to be registered (`smsp client pin add --next`), or nothing is rotated.
    """
    with open_session(config_file, operator) as session:
        change_one(session, name, lambda one: rotated(one, datetime.now(UTC), timedelta(days=overlap)))
    click.echo(f"client {name}: the next certificate is the current one; those before end within {overlap} days")


@client.command()
@click.argument("name")
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@requires(Permission.CLIENTS_CHANGE)
def remove(name: str, config_file: Path, operator: Operator, *, yes: bool) -> None:
    """Remove a client from the registry; the audit trail keeps what it was."""

    def planned(state: RegistryState) -> list[ClientChange]:
        if name not in state.clients:
            raise UnusableConfiguration(f"there is no client {name}")
        return [ClientChange(name, state.clients[name], None)]

    with open_session(config_file, operator) as session:
        seen = planned(session.state())
        if not yes:
            click.confirm(f"Remove client {name}?", abort=True)
        session.change(lambda _: seen)
    click.echo(f"client {name}: removed")


for _command in (add, set_fields, pin, import_clients, export):
    client.add_command(_command)
