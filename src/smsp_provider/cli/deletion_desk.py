"""Where privacy officers propose and approve deletions: who may sit down here, and a record of those who tried.

Deletion needs persons. So whoever has no account is refused, also where the settings let the user of the operating
system do everything else; and so is an officer who acts for some organisations only, since records of others would go.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.chain import Lane, Unsealer
from smsp_provider.audit.deletion import DeletionRefused
from smsp_provider.audit.deletion_events import Officer
from smsp_provider.audit.search_index import IndexUnusable
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.config_origin import read_settings
from smsp_provider.cli.exit_codes import CannotStart, NotAllowed
from smsp_provider.cli.operator_session import OperatorOffice, command_name, office_of
from smsp_provider.cli.os_user import access_point, login_uid, name_of
from smsp_provider.config.operators import OperatorPolicy
from smsp_provider.config.settings import Settings
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.system import RandomIds
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_deletion import AuditDeletions
from smsp_provider.storage.audit_keys import AuditKeysUnusable
from smsp_provider.wiring.audit import build_unsealer
from smsp_provider.wiring.deletion import erasing_of

__all__ = ["DeletionDesk", "Progress", "deletion_desk"]


@dataclass(frozen=True, slots=True)
class DeletionDesk:
    """What the commands work with, open as long as :func:`deletion_desk` lasts."""

    settings: Settings
    database: AuditDatabase
    unsealer: Unsealer
    officer: Officer
    deletions: AuditDeletions


@contextmanager
def deletion_desk(config_file: Path) -> Iterator[DeletionDesk]:
    """Let an officer sit down; what they are refused, here or by the rules, is on record.

    Raises:
        NotAllowed: they may not, or the rules do not allow it.
        CannotStart: the accounts, the trail, its keys or its index cannot be used.
    """
    command = command_name()
    with office_of(read_settings(config_file)) as office:
        operator = _seated(office, command)
        try:
            with _usable(), _desk(office, operator) as desk:
                yield desk
        except DeletionRefused as refused:
            office.refuse(operator.name, command, str(refused))


class Progress:
    """Tells on standard error, for each day that begins, how far a long reading is."""

    def __init__(self, doing: str) -> None:
        self._doing: Final = doing
        self._day: object = None

    def lane(self, lane: Lane) -> None:
        """A lane begins."""
        self.day(lane.day)

    def day(self, day: object) -> None:
        """Something of this day begins."""
        if day != self._day:
            self._day = day
            click.echo(f"{self._doing} {day}", err=True)


def _seated(office: OperatorOffice, command: str) -> Operator:
    if office.settings.operators.policy is OperatorPolicy.OS_USER:
        office.refuse(None, command, "operators.policy is os-user: deletion needs the accounts of two officers")
    try:
        office.current()
    except NotAllowed as refused:
        office.refuse(None, command, str(refused))
    return office.authorised(Permission.AUDIT_DELETE, command, everything=True)


@contextmanager
def _desk(office: OperatorOffice, operator: Operator) -> Iterator[DeletionDesk]:
    settings, clock, database = office.settings, office.clock, office.trail.database
    officer = Officer(operator.name, name_of(login_uid()), access_point().shown)
    with erasing_of(settings, database, clock, _tell_damage) as erasing:
        deletions = AuditDeletions(office.trail, erasing, clock, RandomIds())
        yield DeletionDesk(settings, database, build_unsealer(settings, clock), officer, deletions)


def _tell_damage(lane: Lane, n: int, what: str) -> None:
    click.echo(f"record {lane.id}:{n}: {what}: verify the trail", err=True)


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except AuditKeysUnusable as error:
        raise CannotStart(f"audit.keys: {error}") from None
    except IndexUnusable as error:
        raise CannotStart(f"the search index: {error}; run the command again to finish it") from None
    except AuditUnavailable as error:
        raise CannotStart(
            f"the audit trail: {error.reason}; an approval that had begun is finished by itself, or by the same command"
        ) from None
