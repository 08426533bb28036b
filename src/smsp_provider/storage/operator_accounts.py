"""What administrators do with the accounts of operators: each change checked, on record, and then in force.

An administrator never learns a password or a second factor: a new or reset account has an enrolment code, with which
the person chooses both.

Source: SMSP-IG-001, SMSP-IG-002, SMSP-AUDIT-008.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, delete, exists, select, update

from smsp_provider.audit.events import Change
from smsp_provider.audit.trail import AuditTrail
from smsp_provider.domain.client_document import canonical_json
from smsp_provider.domain.operator_lockout import NO_FAILURES, Failures, Standing, leaves_nobody
from smsp_provider.domain.operators import Account, Operator, Role
from smsp_provider.engine.ports import Clock
from smsp_provider.storage import operator_schema as schema
from smsp_provider.storage.client_database import ClientDatabase
from smsp_provider.storage.client_form import reading_registry, writing_registry
from smsp_provider.storage.client_rows import moment_text
from smsp_provider.storage.clients_schema import registry
from smsp_provider.storage.operator_rows import (
    FIRST_VERSION,
    Enrolment,
    HeldAccount,
    insert_account,
    read_accounts,
    write_account,
    write_enrolment,
    write_failures,
)
from smsp_provider.storage.operator_secrets import digest_of, new_code

__all__ = ["AccountRefused", "OperatorAccounts", "end_session", "writing_accounts"]


class AccountRefused(Exception):
    """The change cannot be made, and was not; the text says why."""


@contextmanager
def writing_accounts(database: ClientDatabase) -> Iterator[Connection]:
    """A transaction that changes accounts: one at a time, since what one may do depends on all others.

    Raises:
        RegistryNotReady, RegistryBroken: as :func:`writing_registry`.
    """
    with writing_registry(database) as connection:
        # The row that every writer of the registry takes first.
        connection.execute(update(registry).values(version=registry.c.version))
        yield connection


def end_session(connection: Connection, name: str) -> bool:
    """End what an account is logged in with; returns whether there was anything."""
    return connection.execute(delete(schema.session).where(schema.session.c.operator == name)).rowcount > 0


@dataclass(frozen=True, slots=True)
class _Change:
    """An account before and after; ``write`` does it."""

    before: HeldAccount | None
    after: HeldAccount | None
    write: Callable[[Connection], None]


class OperatorAccounts:
    """The accounts, for those who may change them; ``by`` is always who does.

    Every method that changes something raises:
        AccountRefused: it must not be; AuditUnavailable: it is not on record; RegistryBroken: the database refuses.
    In each case nothing was changed.
    """

    def __init__(self, database: ClientDatabase, clock: Clock, trail: AuditTrail, enrolment: timedelta) -> None:
        self.database: Final = database
        self._clock: Final = clock
        self._trail: Final = trail
        self._enrolment: Final = enrolment

    def everybody(self) -> tuple[HeldAccount, ...]:
        """All accounts, in the order of their names.

        Raises:
            RegistryNotReady, RegistryBroken: they cannot be read.
        """
        with reading_registry(self.database) as connection:
            return tuple(read_accounts(connection).values())

    def add_first(self, who: str, account: Account) -> str:
        """Add the first administrator; returns the enrolment code.

        Only while nobody has ever enrolled. An account whose code was never used makes room: it may be lost.
        ``who`` is the user of the operating system.
        """
        if account.roles != {Role.ADMINISTRATOR}:
            raise AccountRefused("the first account is an administrator's, and has no other role")
        with writing_accounts(self.database) as connection:
            if connection.scalar(select(exists().select_from(schema.former_password))):
                raise AccountRefused("there are accounts: an administrator adds further ones (`smsp login`)")
            for held in read_accounts(connection).values():
                self._make(connection, who, _Change(held, None, _removing(held.account.name)))
            return self._add(connection, who, account)

    def add(self, by: Operator, account: Account) -> str:
        """Add an account; returns the enrolment code."""
        with writing_accounts(self.database) as connection:
            if account.name in read_accounts(connection):
                raise AccountRefused(f"there is an account {account.name}; names are not used again")
            return self._add(connection, by.name, account)

    def change(self, by: Operator, name: str, edit: Callable[[Account], Account]) -> bool:
        """Change roles, scope or person of an account, disable or enable it; returns whether anything was different.

        Disabling ends its session.
        """
        with writing_accounts(self.database) as connection:
            everybody = read_accounts(connection)
            held = _others(everybody, by, name)
            account = edit(held.account)
            if account == held.account:
                return False
            after = replace(held, account=account, version=held.version + 1)
            _keep_somebody(everybody, after)

            def write(connection: Connection) -> None:
                write_account(connection, account, after.version)
                if not account.enabled:
                    end_session(connection, name)

            self._make(connection, by.name, _Change(held, after, write))
            return True

    def reset(self, by: Operator, name: str) -> str:
        """Take password and second factor of an account away and end its session; returns the enrolment code."""
        with writing_accounts(self.database) as connection:
            everybody = read_accounts(connection)
            held = _others(everybody, by, name)
            code, enrolment = self._new_enrolment()
            account = held.account
            after = HeldAccount(account, held.version + 1, enrolment=enrolment)
            _keep_somebody(everybody, after)

            def write(connection: Connection) -> None:
                write_account(connection, account, after.version)
                write_enrolment(connection, name, enrolment)
                end_session(connection, name)

            self._make(connection, by.name, _Change(held, after, write))
            return code

    def unlock(self, by: Operator, name: str) -> bool:
        """Forget the failed attempts of an account; returns whether there were any."""
        with writing_accounts(self.database) as connection:
            held = _others(read_accounts(connection), by, name)
            if held.failures == NO_FAILURES:
                return False
            account = held.account
            after = replace(held, version=held.version + 1, failures=NO_FAILURES)

            def write(connection: Connection) -> None:
                write_account(connection, account, after.version)
                write_failures(connection, name, Failures())

            self._make(connection, by.name, _Change(held, after, write))
            return True

    def _add(self, connection: Connection, who: str, account: Account) -> str:
        code, enrolment = self._new_enrolment()

        def write(connection: Connection) -> None:
            insert_account(connection, account)
            write_enrolment(connection, account.name, enrolment)

        after = HeldAccount(account, FIRST_VERSION, enrolment=enrolment)
        self._make(connection, who, _Change(None, after, write))
        return code

    def _new_enrolment(self) -> tuple[str, Enrolment]:
        code = new_code()
        return code, Enrolment(digest_of(code), self._clock.now() + self._enrolment)

    def _make(self, connection: Connection, who: str, change: _Change) -> None:
        """Write first, which the database checks; the transaction is committed after the record."""
        change.write(connection)
        held = change.after or change.before
        if held is None:
            raise AssertionError
        self._trail.record_change(
            Change(
                at=self._clock.now(),
                who=who,
                what="operator",
                name=held.account.name,
                version=held.version,
                before=_document(change.before),
                after=_document(change.after),
            )
        )


def _others(everybody: Mapping[str, HeldAccount], by: Operator, name: str) -> HeldAccount:
    held = everybody.get(name)
    if held is None:
        raise AccountRefused(f"there is no account {name}")
    if by.name == name:
        raise AccountRefused("nobody changes their own account: another administrator does")
    return held


def _keep_somebody(everybody: Mapping[str, HeldAccount], after: HeldAccount) -> None:
    before = [held.standing() for held in everybody.values()]
    changed: list[Standing] = [
        after.standing() if standing.account.name == after.account.name else standing for standing in before
    ]
    if leaves_nobody(before, changed):
        raise AccountRefused("this is the last administrator: nobody could let anybody in any more")


def _removing(name: str) -> Callable[[Connection], None]:
    def remove(connection: Connection) -> None:
        connection.execute(delete(schema.operator).where(schema.operator.c.name == name))

    return remove


def _document(held: HeldAccount | None) -> str | None:
    """What is on record of an account: everything but its secrets."""
    if held is None:
        return None
    account, only = held.account, held.account.scope.only
    fields: dict[str, object] = {
        "person": account.person,
        "roles": sorted(role.value for role in account.roles),
        "organisations": "all" if only is None else sorted(code.code for code in only),
        "enabled": account.enabled,
        "disabled_reason": account.disabled_reason,
        "enrolled": held.enrolled,
        "failures": held.failures.count,
        "locked": held.failures.locked,
    }
    if held.enrolment is not None:
        fields["enrolment_until"] = moment_text(held.enrolment.until)
    return canonical_json(fields)
