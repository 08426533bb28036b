"""``smsp login``, ``logout`` and ``whoami``: the session of an operator on this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import NotAllowed, UnusableConfiguration
from smsp_provider.cli.operator_session import office_of
from smsp_provider.cli.os_user import access_point
from smsp_provider.cli.terminal import ask_secret, show_once
from smsp_provider.config.operators import OperatorPolicy
from smsp_provider.config.settings import Settings
from smsp_provider.domain.operators import Operator
from smsp_provider.storage.operator_login import CodeRefused, LoggedIn, OperatorLogin, PasswordRefused
from smsp_provider.storage.operator_secrets import uri_of
from smsp_provider.storage.operator_sessions import SessionOver

__all__ = ["login", "logout", "whoami"]

_ATTEMPTS: Final = 5
_ISSUER: Final = "SMSP"

Made = TypeVar("Made")


@click.command()
@click.argument("name")
@config_option
@click.option("--enrol", is_flag=True, help="Use an enrolment code: choose a password and set up the second factor.")
@click.option("--change-password", is_flag=True, help="Choose a new password after the login.")
def login(name: str, config_file: Path, *, enrol: bool, change_password: bool) -> None:
    """Log in as the operator NAME.

    Asks for password and code at the terminal, and nowhere else.
    The session is for this user and this machine; it ends without use, after some hours, and by `smsp logout`.
    Whoever is refused is told one text for every reason; the audit trail has the reason.
    """
    with office_of(_with_accounts(config_file)) as office, office.login() as way_in:
        session = _enrol(way_in, name) if enrol else _log_in(way_in, name)
        if session.must_change:
            click.echo("the password is over: choose another one", err=True)
        if session.must_change or change_password:
            _change_password(way_in, session)
        office.token_file.write(session.token)
    click.echo(f"logged in as {_described(session.operator)}")


@click.command()
@config_option
def logout(config_file: Path) -> None:
    """End the session of this user on this machine."""
    with office_of(_with_accounts(config_file)) as office:
        file = office.token_file
        token = file.read()
        name = None if token is None else office.sessions.end(token, access_point())
        file.remove()
    click.echo("nobody was logged in" if name is None else f"{name}: logged out")


@click.command()
@config_option
def whoami(config_file: Path) -> None:
    """Tell who is logged in, and what they may do."""
    with office_of(_with_accounts(config_file)) as office:
        operator = office.current()
    click.echo(_described(operator))


def _with_accounts(config_file: Path) -> Settings:
    settings = read_settings(config_file)
    if settings.operators.policy is OperatorPolicy.OS_USER:
        raise UnusableConfiguration('operators.policy is "os-user": nobody logs in')
    return settings


def _log_in(way_in: OperatorLogin, name: str) -> LoggedIn:
    password, code = ask_secret("Password"), ask_secret("Code of the authenticator")
    return way_in.log_in(name, password, code, access_point())


def _enrol(way_in: OperatorLogin, name: str) -> LoggedIn:
    place, code = access_point(), ask_secret("Enrolment code")
    seed = way_in.begin_enrolment(name, code, place)
    show_once(f"\nAdd this to an authenticator; it is shown once:\n  {uri_of(seed, name, _ISSUER)}\n")

    def attempt() -> LoggedIn:
        return way_in.enrol(name, code, _new_password(), seed, ask_secret("Code of the authenticator"), place)

    return _until_it_can_be(attempt)


def _change_password(way_in: OperatorLogin, session: LoggedIn) -> None:
    try:
        _until_it_can_be(lambda: way_in.change_password(session.token, _new_password(), access_point()))
    except SessionOver:
        raise NotAllowed("that took too long: log in again") from None
    click.echo("the password is changed")


def _new_password() -> str:
    while True:
        password = ask_secret("New password")
        if ask_secret("Once more") == password:
            return password
        click.echo("these are two different passwords", err=True)


def _until_it_can_be(attempt: Callable[[], Made]) -> Made:
    for _ in range(_ATTEMPTS):
        try:
            return attempt()
        except PasswordRefused as refused:
            for reason in refused.reasons:
                click.echo(f"this password cannot be used: {reason}", err=True)
        except CodeRefused:
            click.echo("this is not the code of that authenticator; is its clock right?", err=True)
    raise NotAllowed("given up; nothing was changed")


def _described(operator: Operator) -> str:
    only = operator.scope.only
    where = "all organisations" if only is None else ", ".join(sorted(code.code for code in only))
    return f"{operator.name}: {', '.join(sorted(role.value for role in operator.roles))}; {where}"
