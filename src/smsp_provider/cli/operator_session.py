"""Who acts: the operator that a command gets, and may not go on without.

``@requires(Permission.X)`` stands directly above a command's function, below its options; the function takes the
:class:`Operator` by the name ``operator``, and ``config_file`` as all commands on a configuration do.
"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import click

from smsp_provider.audit.events import OperatorAct, OperatorActKind
from smsp_provider.cli.client_session import readable
from smsp_provider.cli.config_origin import read_settings
from smsp_provider.cli.exit_codes import CannotStart, NotAllowed
from smsp_provider.cli.os_user import access_point, home_directory, login_uid, os_user, refuse_another_user
from smsp_provider.config.operators import OperatorPolicy
from smsp_provider.config.settings import Settings
from smsp_provider.domain.operators import EVERYTHING, Operator, Permission, Role
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.client_database import ClientDatabase
from smsp_provider.storage.operator_accounts import AccountRefused, OperatorAccounts
from smsp_provider.storage.operator_key import KeyUnusable
from smsp_provider.storage.operator_login import LoginRefused, OperatorLogin
from smsp_provider.storage.operator_sessions import OperatorSessions, SessionOver
from smsp_provider.storage.operator_token_file import OperatorTokenFile, TokenFileUnsafe
from smsp_provider.wiring.audit import build_audit
from smsp_provider.wiring.operators import (
    build_accounts,
    build_login,
    build_sessions,
    operator_database,
    operator_log,
)

__all__ = ["OperatorOffice", "command_name", "office_of", "requires"]

_LOG_IN: Final = "nobody is logged in here, or not any more: `smsp login NAME --config FILE`"
_FOR_SOME: Final = "this concerns the records of all organisations, and you act for some of them"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class OperatorOffice:
    """What commands about operators work with, open as long as :func:`office_of` lasts."""

    settings: Settings
    database: ClientDatabase
    clock: SystemClock
    trail: ChainedAuditTrail

    @property
    def accounts(self) -> OperatorAccounts:
        """The accounts, for administrators."""
        return build_accounts(self.settings, self.database, self.clock, self.trail)

    @property
    def sessions(self) -> OperatorSessions:
        """Who is logged in."""
        return build_sessions(self.settings, self.database, self.clock, self.trail)

    @property
    def token_file(self) -> OperatorTokenFile:
        """Where this user keeps the token; one for each person who became the same user with sudo."""
        directory = self.settings.operators.session_directory or _state_directory()
        return OperatorTokenFile(directory / f"session-{login_uid()}")

    @contextmanager
    def login(self) -> Iterator[OperatorLogin]:
        """The way in.

        Raises:
            KeyUnusable: the key is not there, or none.
            OSError: the operators' log cannot be opened.
        """
        with operator_log(self.settings, self.clock) as log:
            yield build_login(self.settings, self.database, self.clock, self.trail, log)

    def current(self) -> Operator:
        """Who is logged in.

        Raises:
            NotAllowed: nobody.
        """
        token = self.token_file.read()
        if token is None:
            raise NotAllowed(_LOG_IN)
        try:
            return self.sessions.use(token, access_point())
        except SessionOver:
            raise NotAllowed(_LOG_IN) from None

    def authorised(self, permission: Permission, command: str, *, everything: bool = False) -> Operator:
        """Who is logged in and may run this command, which is on record then, as is a refusal.

        With the policy os-user that is the user of the operating system, who may do everything; where there is no
        trail, none is begun for that, since commands on copies of another one run there too. ``everything``: the
        command concerns the records of all organisations, and is refused to who acts for some.

        Raises:
            NotAllowed: nobody is logged in, or they may not.
        """
        if self.settings.operators.policy is OperatorPolicy.OS_USER:
            operator = Operator(os_user(), frozenset(Role))
            if not self.has_trail():
                return operator
        else:
            operator = self.current()
        if not operator.may(permission):
            roles = ", ".join(sorted(role.value for role in operator.roles))
            self._record(OperatorActKind.COMMAND_REFUSED, operator.name, command)
            raise NotAllowed(f"{operator.name} ({roles}) may not: {permission.value}")
        if everything and operator.scope != EVERYTHING:
            self.refuse(operator.name, command, _FOR_SOME)
        self._record(OperatorActKind.COMMAND, operator.name, command)
        return operator

    def has_trail(self) -> bool:
        """Whether there is a trail already, as far as that can be told without opening it."""
        return bool(self.settings.audit.store) or self.settings.audit.database.exists()

    def refuse(self, operator: str | None, command: str, reason: str) -> NoReturn:
        """Put on record that a command is refused, and why; ``operator`` None: nobody who is known.

        Raises:
            NotAllowed: always, with the reason.
        """
        self._record(OperatorActKind.COMMAND_REFUSED, operator, f"{command}: {reason}")
        raise NotAllowed(reason)

    def _record(self, kind: OperatorActKind, operator: str | None, detail: str) -> None:
        self.trail.record_act(OperatorAct(self.clock.now(), kind, access_point().shown, operator, detail=detail))


@contextmanager
def office_of(settings: Settings) -> Iterator[OperatorOffice]:
    """The accounts of operators that settings name.

    Raises:
        CannotStart: the database, the audit trail or a file cannot be used.
        NotAllowed: a login or a change is refused.
    """
    with _readable(settings):
        clock = SystemClock()
        office = OperatorOffice(settings, operator_database(settings, clock), clock, build_audit(settings, clock))
        try:
            if settings.operators.policy is OperatorPolicy.ACCOUNTS or office.has_trail():
                refuse_another_user(settings.audit.database)
                refuse_another_user(office.database.file)
            yield office
        finally:
            office.trail.close_session()
            office.database.close()


def requires(
    permission: Permission, *, everything: bool = False
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let a command run only for somebody who may do this, and hand it who that is as ``operator``.

    ``everything``: only for who acts for all organisations.
    """

    def decorate(command: Callable[..., Result]) -> Callable[..., Result]:
        @functools.wraps(command)
        def run(*, config_file: Path, **options: object) -> Result:
            with office_of(read_settings(config_file)) as office:
                operator = office.authorised(permission, command_name(), everything=everything)
            return command(config_file=config_file, operator=operator, **options)

        return run

    return decorate


def command_name() -> str:
    """The command that runs, by its words without arguments: as it stands on record."""
    return " ".join(click.get_current_context().command_path.split()[1:])


def _state_directory() -> Path:
    """The user's own: sudo may leave the environment of whoever called it, whose directory this user must not use."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if state and Path(state).is_absolute():
        return Path(state) / "smsp"
    return home_directory() / ".local" / "state" / "smsp"


@contextmanager
def _readable(settings: Settings) -> Iterator[None]:
    try:
        with readable(settings):
            yield
    except KeyUnusable as error:
        raise CannotStart(f"operators.key: {error}") from None
    except TokenFileUnsafe as error:
        raise CannotStart(f"operators.session_directory: {error}") from None
    except (AccountRefused, LoginRefused) as error:
        raise NotAllowed(str(error)) from None
    except OSError as error:
        raise CannotStart(f"{error.filename or 'operators'}: {error.strerror}") from None
