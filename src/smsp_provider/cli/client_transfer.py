"""``smsp client import`` and ``export``: the whole registry from and to a file."""

from collections.abc import Mapping
from pathlib import Path

import click

from smsp_provider.cli.client_session import open_session
from smsp_provider.cli.config_origin import config_option
from smsp_provider.cli.exit_codes import CannotStart, UnusableConfiguration
from smsp_provider.cli.files import made_or_regular_file, regular_file
from smsp_provider.cli.operator_session import requires
from smsp_provider.cli.table import print_table
from smsp_provider.config.clients_file import ClientsFileInvalid, read_clients, write_clients
from smsp_provider.domain.client_document import document_of
from smsp_provider.domain.clients import Client
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.storage.client_registry import ClientChange, RegistryState
from smsp_provider.storage.client_rows import BrokenClient
from smsp_provider.storage.private_file import place_private

__all__ = ["export", "import_clients"]


@click.command("import")
@click.argument("file", type=regular_file)
@config_option
@click.option("--prune", is_flag=True, help="Remove the clients that are not in the file.")
@click.option("--allow-enabling", is_flag=True, help="Enable disabled clients that the file has as enabled.")
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before clients are removed.")
@requires(Permission.CLIENTS_CHANGE)
def import_clients(
    *, file: Path, config_file: Path, operator: Operator, prune: bool, allow_enabling: bool, dry_run: bool, yes: bool
) -> None:
    """Register all clients of a file, or none.

    A client that is registered already becomes what the file says, whole.
    One that was disabled stays disabled without --allow-enabling: the import is refused.
    """
    try:
        wanted = read_clients(file)
    except OSError as error:
        raise CannotStart(f"{file}: {error.strerror}") from None
    except ClientsFileInvalid as invalid:
        raise UnusableConfiguration(str(invalid)) from None
    with open_session(config_file, operator) as session:
        state = session.state()
        changes = _changes(state, wanted, prune=prune)
        _print(changes)
        enabled = [change.name for change in changes if _enables(change)]
        if enabled and not allow_enabling:
            raise UnusableConfiguration(
                f"disabled here and enabled in the file: {', '.join(enabled)};"
                " nothing was changed (--allow-enabling enables them)"
            )
        if dry_run or not changes:
            click.echo("nothing was changed")
            return
        removed = sum(change.after is None for change in changes)
        if removed and not yes:
            click.confirm(f"Remove {removed} clients?", abort=True)
        session.change(lambda _: changes, based_on=state.mark)
    click.echo(f"{len(changes)} clients changed")


def _changes(state: RegistryState, wanted: Mapping[str, Client], *, prune: bool) -> list[ClientChange]:
    changes = [ClientChange(name, state.clients.get(name), client) for name, client in sorted(wanted.items())]
    if prune:
        gone = sorted(state.clients.keys() - wanted.keys())
        changes += [ClientChange(name, state.clients[name], None) for name in gone]
    return [change for change in changes if change.before != change.after]


def _enables(change: ClientChange) -> bool:
    # Whether one that cannot be read was disabled is not known.
    was_off = isinstance(change.before, BrokenClient) or (change.before is not None and not change.before.enabled)
    return was_off and change.after is not None and change.after.enabled


def _print(changes: list[ClientChange]) -> None:
    if changes:
        print_table(("", "client", "fields"), [_row(change) for change in changes])


def _row(change: ClientChange) -> tuple[str, str, str]:
    if change.after is None:
        return "-", change.name, ""
    if not isinstance(change.before, Client):
        return "+" if change.before is None else "~", change.name, ""
    before, after = document_of(change.before), document_of(change.after)
    fields = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return "~", change.name, ", ".join(fields)


@click.command()
@click.argument("names", nargs=-1)
@config_option
@click.option("--format", "form", type=click.Choice(["toml", "json"]), default="toml", show_default=True)
@click.option("--output", type=made_or_regular_file, help="File to write, readable by its owner alone.")
@requires(Permission.CLIENTS_READ)
def export(names: tuple[str, ...], config_file: Path, operator: Operator, form: str, output: Path | None) -> None:
    """Print clients, all or the named ones, in the form that `import` takes."""
    with open_session(config_file, operator) as session:
        state = session.state()
        found = [session.client(name, state) for name in names or state.clients]
    text = write_clients(found, as_json=form == "json")
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        # A link stays, and what it leads to is replaced, whatever its mode was.
        place_private(output.resolve(), text.encode("utf-8"), new=False)
    except OSError as error:
        raise CannotStart(f"{output}: {error.strerror}") from None
    click.echo(f"{len(found)} clients written to {output}", err=True)
