"""``smsp user``: the accounts of those who administer."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from smsp_provider.cli.client_session import prepare_registry
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import CannotStart, UnusableConfiguration
from smsp_provider.cli.operator_session import OperatorOffice, office_of, requires
from smsp_provider.cli.os_user import os_user, refuse_another_user
from smsp_provider.cli.table import print_table
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.operators import (
    EVERYTHING,
    Account,
    AccountInvalid,
    Operator,
    OrganisationScope,
    Permission,
    Role,
)
from smsp_provider.storage.operator_key import make_key
from smsp_provider.storage.operator_rows import HeldAccount
from smsp_provider.wiring.operators import operator_key_file

__all__ = ["user"]

_HEAD: Final = ("name", "person", "roles", "organisations", "state")

_role: Final = click.option(
    "--role", "roles", multiple=True, type=click.Choice([role.value for role in Role]), help="May be repeated."
)
_organisation: Final = click.option(
    "--organisation", "organisations", multiple=True, help="ODS code that the person acts for; may be repeated."
)


@click.group()
def user() -> None:
    """Accounts of operators: who may administer, and what.

    docs/reference/roles.md says what each role may do.
    """


@user.command()
@click.argument("name")
@config_option
@click.option("--person", required=True, help="Full name of the person whose account it is.")
def first(name: str, config_file: Path, person: str) -> None:
    """Add the first administrator.

    Only while nobody has an account, and only as the user that the provider runs as.
    Prints an enrolment code for `smsp login NAME --enrol`.
    """
    settings = read_settings(config_file)
    refuse_another_user(settings.audit.database)
    prepare_registry(settings)
    with office_of(settings) as office, _valid():
        _have_key(office)
        code = office.accounts.add_first(os_user(), Account(name, person.strip(), frozenset({Role.ADMINISTRATOR})))
    _print_code(name, code, office)


@user.command()
@click.argument("name")
@config_option
@click.option("--person", required=True, help="Full name of the person whose account it is.")
@_role
@_organisation
@requires(Permission.OPERATORS_CHANGE)
def add(
    name: str,
    config_file: Path,
    operator: Operator,
    person: str,
    roles: tuple[str, ...],
    organisations: tuple[str, ...],
) -> None:
    """Add an account.

    Without --organisation the person acts for all organisations.
    Prints an enrolment code; give it to that person, who chooses the password and sets up the second factor with it.
    """
    with office_of(read_settings(config_file)) as office, _valid():
        _have_key(office)
        account = Account(name, person.strip(), frozenset(map(Role, roles)), _scope(organisations))
        code = office.accounts.add(operator, account)
    _print_code(name, code, office)


@user.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@requires(Permission.OPERATORS_READ)
def list_accounts(config_file: Path, operator: Operator, *, as_json: bool) -> None:
    """List all accounts, and how they stand."""
    with office_of(read_settings(config_file)) as office:
        everybody = [held for held in office.accounts.everybody() if operator.scope.includes(held.account.scope)]
    now = datetime.now(UTC)
    if as_json:
        click.echo(json.dumps([_as_json(held, now) for held in everybody], indent=2))
    else:
        print_table(_HEAD, [_row(held, now) for held in everybody])


@user.command("set")
@click.argument("name")
@config_option
@click.option("--person", help="Full name of the person whose account it is.")
@_role
@_organisation
@click.option("--all-organisations", is_flag=True, help="The person acts for all organisations.")
@requires(Permission.OPERATORS_CHANGE)
def set_fields(
    *,
    name: str,
    config_file: Path,
    operator: Operator,
    person: str | None,
    roles: tuple[str, ...],
    organisations: tuple[str, ...],
    all_organisations: bool,
) -> None:
    """Change name, roles or organisations of a person; roles that are given replace those there were.

    In force at once, also where the person is logged in.
    """
    if all_organisations and organisations:
        raise click.UsageError("either --organisation or --all-organisations")
    fields: dict[str, Any] = {}
    if person is not None:
        fields["person"] = person.strip()
    if roles:
        fields["roles"] = frozenset(map(Role, roles))
    if organisations or all_organisations:
        fields["scope"] = _scope(organisations)
    if not fields:
        raise click.UsageError("nothing to change was given")
    made = _change(config_file, operator, name, lambda account: replace(account, **fields))
    click.echo(f"{name}: {'changed' if made else 'is so already'}")


@user.command()
@click.argument("name")
@config_option
@click.option("--reason", required=True, help="Why.")
@requires(Permission.OPERATORS_CHANGE)
def disable(name: str, config_file: Path, operator: Operator, reason: str) -> None:
    """Let a person in no longer; a session ends at once."""
    text = reason.strip()
    if not text:
        raise click.UsageError("--reason is empty")
    _change(config_file, operator, name, lambda account: replace(account, disabled_reason=text))
    click.echo(f"{name}: disabled")


@user.command()
@click.argument("name")
@config_option
@requires(Permission.OPERATORS_CHANGE)
def enable(name: str, config_file: Path, operator: Operator) -> None:
    """Let a person in again, with the password and the second factor they have."""
    made = _change(config_file, operator, name, lambda account: replace(account, disabled_reason=""))
    click.echo(f"{name}: {'enabled' if made else 'is enabled already'}")


@user.command()
@click.argument("name")
@config_option
@requires(Permission.OPERATORS_CHANGE)
def reset(name: str, config_file: Path, operator: Operator) -> None:
    """Take password and second factor of a person away; a session ends at once.

    For who has forgotten the one or lost the other.
    Be sure who asks for it: prints an enrolment code, with which whoever has it becomes that person here.
    """
    with office_of(read_settings(config_file)) as office:
        code = office.accounts.reset(operator, name)
    _print_code(name, code, office)


@user.command()
@click.argument("name")
@config_option
@requires(Permission.OPERATORS_CHANGE)
def unlock(name: str, config_file: Path, operator: Operator) -> None:
    """Forget the failed attempts of a person, and let them try again."""
    with office_of(read_settings(config_file)) as office:
        made = office.accounts.unlock(operator, name)
    click.echo(f"{name}: {'unlocked' if made else 'has no failed attempts'}")


def _change(config_file: Path, operator: Operator, name: str, edit: Callable[[Account], Account]) -> bool:
    with office_of(read_settings(config_file)) as office, _valid():
        return office.accounts.change(operator, name, edit)


@contextmanager
def _valid() -> Iterator[None]:
    try:
        yield
    except AccountInvalid as invalid:
        raise UnusableConfiguration(str(invalid)) from None


def _scope(organisations: tuple[str, ...]) -> OrganisationScope:
    return OrganisationScope(frozenset(map(ODSCode, organisations))) if organisations else EVERYTHING


def _have_key(office: OperatorOffice) -> None:
    """Make the key with the first account: one that was lost must not be replaced by another without a word."""
    file = operator_key_file(office.settings)
    if file.exists():
        return
    if any(held.totp is not None for held in office.accounts.everybody()):
        raise CannotStart(
            f"operators.key: {file}: is not there, and second factors are sealed with it: restore it, or copy it from"
            " another host of this registry"
        )
    make_key(file)


def _print_code(name: str, code: str, office: OperatorOffice) -> None:
    hours = office.settings.operators.enrolment_hours
    click.echo(f"enrolment code of {name}, for the next {hours:g} hours: {code}")
    click.echo(f"to be used with: smsp login {name} --enrol", err=True)


def _state(held: HeldAccount, at: datetime) -> str:
    account = held.account
    if not account.enabled:
        return f"disabled: {account.disabled_reason}"
    if held.failures.locked:
        return "locked"
    if held.enrolled:
        return "enabled" + (f", {held.failures.count} failed attempts" if held.failures.count else "")
    is_open = held.enrolment is not None and at < held.enrolment.until
    return "waits for its person" if is_open else "enrolment is over: reset it"


def _organisations(account: Account) -> list[str]:
    return sorted(code.code for code in account.scope.only or ())


def _row(held: HeldAccount, at: datetime) -> tuple[str, ...]:
    account = held.account
    roles = ", ".join(sorted(role.value for role in account.roles))
    return (account.name, account.person, roles, ", ".join(_organisations(account)) or "all", _state(held, at))


def _as_json(held: HeldAccount, at: datetime) -> dict[str, object]:
    account = held.account
    return {
        "name": account.name,
        "person": account.person,
        "roles": sorted(role.value for role in account.roles),
        "organisations": "all" if account.scope.only is None else _organisations(account),
        "enabled": account.enabled,
        "enrolled": held.enrolled,
        "locked": held.failures.locked,
        "failures": held.failures.count,
        "password_since": None if held.password is None else held.password.since.isoformat(),
        "state": _state(held, at),
    }
