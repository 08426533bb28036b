"""``smsp client add``, ``set`` and ``pin``: what a client is registered with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from smsp_provider.cli.client_fields import client_fields, field_changes, merged, moment, pin_document
from smsp_provider.cli.client_session import ClientSession, open_session
from smsp_provider.cli.config_origin import config_option
from smsp_provider.cli.exit_codes import UnusableConfiguration
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.operator_session import requires
from smsp_provider.config.clients_file import ClientsFileInvalid, client_from
from smsp_provider.domain.client_document import document_of
from smsp_provider.domain.clients import Client, ClientInvalid, NamePin, Pin, PinState
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.storage.client_registry import ClientChange, RegistryState

__all__ = ["add", "change_one", "pin", "set_fields"]

_LEAST_PREFIX: Final = 8


def change_one(session: ClientSession, name: str, change: Callable[[Client], Client]) -> bool:
    """Change one client, as it is at that moment; returns whether that makes a difference.

    Raises:
        UnusableConfiguration: there is no such client, or it cannot be changed so.
    """

    def planned(state: RegistryState) -> list[ClientChange]:
        before = session.client(name, state)
        try:
            return [ClientChange(name, before, change(before))]
        except (ClientInvalid, ClientsFileInvalid) as invalid:
            text = str(invalid)
            known = text if isinstance(invalid, ClientsFileInvalid) else f"client {name}: {text}"
            raise UnusableConfiguration(known) from None

    return bool(session.change(planned))


@click.command()
@click.argument("name")
@config_option
@client_fields
@click.option("--certificate", "certificates", type=regular_file, multiple=True, help="PEM file of its certificate.")
@requires(Permission.CLIENTS_CHANGE)
def add(name: str, config_file: Path, operator: Operator, certificates: tuple[Path, ...], **options: Any) -> None:  # noqa: ANN401 - the options of the fields
    """Register a client.

    The fields come from a file, from options, or from both; docs/reference/clients.md explains them.
    It may call as soon as every worker has read the registry: within five seconds.
    """
    try:
        document = merged({}, field_changes(options))
        pins = [pin_document(file, PinState.CURRENT.value) for file in certificates]
        if pins:
            document["pins"] = [*document.get("pins", []), *pins]
        client = client_from(name, document)
    except ClientsFileInvalid as invalid:
        raise UnusableConfiguration(str(invalid)) from None

    def planned(state: RegistryState) -> list[ClientChange]:
        if name in state.clients:
            raise UnusableConfiguration(f"there is a client {name} already: change it with `smsp client set`")
        return [ClientChange(name, None, client)]

    with open_session(config_file, operator) as session:
        session.change(planned)
    click.echo(f"client {name}: registered")
    if not client.pins:
        click.echo(f"warning: client {name}: no certificate lets it in yet (`smsp client pin add`)", err=True)


@click.command("set")
@click.argument("name")
@config_option
@client_fields
@requires(Permission.CLIENTS_CHANGE)
def set_fields(name: str, config_file: Path, operator: Operator, **options: Any) -> None:  # noqa: ANN401 - the options of the fields
    """Change fields of a client.

    Only what is given is changed.
    Certificates are changed by `smsp client pin` and `rotate`, and whether it may call by `enable` and `disable`.
    """
    try:
        changes = field_changes(options)
    except ClientsFileInvalid as invalid:
        raise UnusableConfiguration(str(invalid)) from None
    if not changes:
        raise click.UsageError("nothing to change was given")
    forbidden = {"enabled", "disabled_reason", "pins"} & changes.keys()
    if forbidden:
        raise click.UsageError(f"not changed by `set`: {', '.join(sorted(forbidden))}")
    with open_session(config_file, operator) as session:
        made = change_one(session, name, lambda client: client_from(name, merged(document_of(client), changes)))
    click.echo(f"client {name}: {'changed' if made else 'is so already'}")


@click.group()
def pin() -> None:
    """The certificates by which a client is recognised."""


@pin.command("add")
@click.argument("name")
@config_option
@click.option("--certificate", type=regular_file, help="PEM file of the certificate.")
@click.option("--fingerprint", help="SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it.")
@click.option("--pin-name", nargs=2, metavar="SUBJECT ISSUER", help="Any certificate of these names (RFC 4514).")
@click.option("--next", "is_next", is_flag=True, help="It is the next one, for `smsp client rotate`.")
@click.option("--until", help="When it is no longer accepted; needed with --pin-name.")
@requires(Permission.CLIENTS_CHANGE)
def pin_add(
    *,
    name: str,
    config_file: Path,
    operator: Operator,
    certificate: Path | None,
    fingerprint: str | None,
    pin_name: tuple[str, str] | None,
    is_next: bool,
    until: str | None,
) -> None:
    """Accept another certificate.

    All registered certificates are accepted at the same time, the next one included.
    Register the certificate rather than its fingerprint where you have it: its end is then watched.
    """
    if [certificate, fingerprint, pin_name].count(None) != 2:
        raise click.UsageError("one of --certificate, --fingerprint and --pin-name")
    added: dict[str, Any] = {"state": (PinState.NEXT if is_next else PinState.CURRENT).value}
    end = None if until is None else moment(until).isoformat()
    if certificate is not None:
        added = pin_document(certificate, added["state"])
    elif fingerprint is not None:
        added["fingerprint"] = fingerprint.rpartition("=")[2]
    elif pin_name is not None:
        added["subject"], added["issuer"] = pin_name
    if end is not None:
        added["until"] = end

    def changed(client: Client) -> Client:
        document = document_of(client)
        pins = document["pins"]
        return client_from(name, {**document, "pins": [*(pins if isinstance(pins, list) else []), added]})

    with open_session(config_file, operator) as session:
        change_one(session, name, changed)
    click.echo(f"client {name}: accepts {'its next' if is_next else 'another'} certificate")


@pin.command("remove")
@click.argument("name")
@click.argument("which")
@config_option
@requires(Permission.CLIENTS_CHANGE)
def pin_remove(name: str, which: str, config_file: Path, operator: Operator) -> None:
    """Accept a certificate no longer, at once.

    WHICH is its fingerprint, the first eight digits of it or more, or the subject of a pin by name.
    """

    def changed(client: Client) -> Client:
        found = [one for one in client.pins if _is_meant(one, which)]
        if len(found) != 1:
            raise UnusableConfiguration(f"client {name}: {len(found) or 'none'} of its pins is meant")
        return replace(client, pins=tuple(one for one in client.pins if one is not found[0]))

    with open_session(config_file, operator) as session:
        change_one(session, name, changed)
        left = len(session.client(name).pins)
    click.echo(f"client {name}: the certificate is not accepted any more; {left} pins are left")


def _is_meant(one: Pin, which: str) -> bool:
    if isinstance(one, NamePin):
        return one.subject == which
    digits = which.replace(":", "").lower()
    return len(digits) >= _LEAST_PREFIX and one.fingerprint.startswith(digits)
