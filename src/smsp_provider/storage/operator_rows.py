"""An operator's account as rows, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, Table, delete, insert, select, update

from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.operator_lockout import NO_FAILURES, Failures, Standing
from smsp_provider.domain.operators import EVERYTHING, Account, OrganisationScope, Role
from smsp_provider.storage import operator_schema as schema
from smsp_provider.storage.client_database import RegistryBroken
from smsp_provider.storage.client_rows import moment_text

__all__ = [
    "FIRST_VERSION",
    "Enrolment",
    "HeldAccount",
    "Password",
    "former_passwords",
    "insert_account",
    "read_accounts",
    "replace_hash",
    "write_account",
    "write_enrolment",
    "write_failures",
    "write_password",
    "write_step",
]

FIRST_VERSION: Final = 1
"""Of an account that was just added."""
_NEVER: Final = 0


@dataclass(frozen=True, slots=True, repr=False)
class Password(Masked):
    """The hash of the password in use, and since when."""

    hash: str
    since: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Enrolment(Masked):
    """The digest of the code that lets a person choose password and second factor, and when it ends."""

    digest: str
    until: datetime


@dataclass(frozen=True, slots=True, repr=False)
class HeldAccount(Masked):
    """An account with all that belongs to it; ``totp`` is the sealed seed, ``step`` the last one whose code was used.

    Without a password nobody can log in; an enrolment makes one.
    """

    account: Account
    version: int
    failures: Failures = NO_FAILURES
    password: Password | None = None
    totp: bytes | None = None
    step: int = _NEVER
    enrolment: Enrolment | None = None

    @property
    def enrolled(self) -> bool:
        """Whether the person has chosen a password and a second factor."""
        return self.password is not None and self.totp is not None

    def standing(self) -> Standing:
        """What decides whether this one can let others in."""
        return Standing(self.account, self.enrolled, self.failures.locked)


def read_accounts(connection: Connection) -> dict[str, HeldAccount]:
    """All accounts, by name, in the order of the names.

    Raises:
        RegistryBroken: the rows of one make no account; the text names it.
    """
    roles = _by_operator(connection, schema.role, "role")
    organisations = _by_operator(connection, schema.organisation, "ods_code")
    found = {}
    for row in connection.execute(select(schema.operator).order_by(schema.operator.c.name)).mappings():
        name = str(row["name"])
        try:
            found[name] = _held(row, roles.get(name, []), organisations.get(name, []))
        except (ValueError, TypeError):
            raise RegistryBroken(f"what is kept of the operator {name} is no account") from None
    return found


def insert_account(connection: Connection, account: Account) -> None:
    """Write an account that is not there; nobody can log in to it yet."""
    connection.execute(
        insert(schema.operator).values(
            name=account.name,
            version=FIRST_VERSION,
            totp_step=_NEVER,
            failures=0,
            locked=False,
            **_own_columns(account),
        )
    )
    _write_sets(connection, account)


def write_account(connection: Connection, account: Account, version: int) -> None:
    """Write what an administrator changed of an account."""
    _update(connection, account.name, version=version, **_own_columns(account))
    for table in (schema.role, schema.organisation):
        connection.execute(delete(table).where(table.c.operator == account.name))
    _write_sets(connection, account)


def write_enrolment(connection: Connection, name: str, enrolment: Enrolment) -> None:
    """Take password, second factor and failures of an account away, and let an enrolment make new ones.

    The hashes of former passwords stay, so that none of them comes back this way.
    """
    _update(
        connection,
        name,
        password=None,
        password_at=None,
        totp=None,
        totp_step=_NEVER,
        enrolment=enrolment.digest,
        enrolment_until=moment_text(enrolment.until),
    )
    write_failures(connection, name, NO_FAILURES)


def write_failures(connection: Connection, name: str, failures: Failures) -> None:
    """Write how an account stands after an attempt."""
    not_before = None if failures.not_before is None else moment_text(failures.not_before)
    _update(connection, name, failures=failures.count, not_before=not_before, locked=failures.locked)


def write_step(connection: Connection, name: str, step: int) -> None:
    """Note that the code of this step was used."""
    _update(connection, name, totp_step=step)


def former_passwords(connection: Connection, name: str) -> list[str]:
    """The hashes of a person's passwords, the newest first."""
    table = schema.former_password
    return list(connection.scalars(select(table.c.password).where(table.c.operator == name).order_by(table.c.place)))


def write_password(
    connection: Connection, name: str, password: Password, remembered: int, totp: bytes | None = None
) -> None:
    """Write a new password, and with ``totp`` a new second factor: an enrolment is over then.

    The last ``remembered`` hashes are kept, this one included.
    """
    _update(connection, name, password=password.hash, password_at=moment_text(password.since))
    if totp is not None:
        _update(connection, name, totp=totp, enrolment=None, enrolment_until=None)
    kept = [password.hash, *former_passwords(connection, name)][:remembered]
    table = schema.former_password
    connection.execute(delete(table).where(table.c.operator == name))
    rows = [{"operator": name, "place": place, "password": one} for place, one in enumerate(kept)]
    connection.execute(insert(table), rows)


def replace_hash(connection: Connection, name: str, before: str, after: str) -> None:
    """Write the same password, hashed with other parameters."""
    _update(connection, name, password=after)
    table = schema.former_password
    connection.execute(update(table).where(table.c.operator == name, table.c.password == before).values(password=after))


def _update(connection: Connection, name: str, **values: object) -> None:
    connection.execute(update(schema.operator).where(schema.operator.c.name == name).values(**values))


def _own_columns(account: Account) -> dict[str, object]:
    return {
        "person": account.person,
        "all_organisations": account.scope.only is None,
        "disabled_reason": account.disabled_reason,
    }


def _write_sets(connection: Connection, account: Account) -> None:
    for table, column, values in (
        (schema.role, "role", [role.value for role in account.roles]),
        (schema.organisation, "ods_code", [code.code for code in account.scope.only or ()]),
    ):
        if values:
            connection.execute(insert(table), [{"operator": account.name, column: value} for value in values])


def _by_operator(connection: Connection, table: Table, column: str) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in connection.execute(select(table)).mappings():
        found.setdefault(row["operator"], []).append(row[column])
    return found


def _held(row: RowMapping, roles: list[str], organisations: list[str]) -> HeldAccount:
    everything = row["all_organisations"]
    if everything and organisations:
        raise ValueError("all organisations, and some of them")
    account = Account(
        name=row["name"],
        person=row["person"],
        roles=frozenset(map(Role, roles)),
        scope=EVERYTHING if everything else OrganisationScope(frozenset(map(ODSCode, organisations))),
        disabled_reason=row["disabled_reason"],
    )
    since, until = _moment(row["password_at"]), _moment(row["enrolment_until"])
    return HeldAccount(
        account=account,
        version=row["version"],
        failures=Failures(row["failures"], _moment(row["not_before"]), row["locked"]),
        password=None if row["password"] is None or since is None else Password(row["password"], since),
        totp=row["totp"],
        step=row["totp_step"],
        enrolment=None if row["enrolment"] is None or until is None else Enrolment(row["enrolment"], until),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
