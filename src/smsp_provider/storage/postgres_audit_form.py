"""Making the tables of an audit trail in PostgreSQL, in the name of their owner, and the rights of the provider's role.

The owner is a role of its own: who serves requests must not be able to change what is on record.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from smsp_provider.storage.migrating import LaterForm, upgrade
from smsp_provider.storage.postgres_audit_mending import find_left, find_others_property, mend_guards
from smsp_provider.storage.postgres_audit_schema import FUNCTION_RIGHTS, HEAD, SCHEMA, TABLE_RIGHTS, VERSION_TABLE

__all__ = ["CannotPrepare", "Prepared", "prepare"]

_MIGRATIONS: Final = Path(__file__).with_name("audit_migrations")
_MIGRATION_LOCK: Final = 0x534D5351
"""The number under which PostgreSQL knows the lock; the one of the client registry is another."""
_WAIT_SECONDS: Final = 30
_LONGEST_REASON: Final = 200


class CannotPrepare(Exception):
    """The database was not prepared, and is as it was; the text is for an operator and holds no password."""


class Prepared(NamedTuple):
    """What came of it: whether anything but the rights had to be done, and what is still not as it was made."""

    changed: bool
    left: tuple[str, ...]


def prepare(url: URL, role: str, tell: Callable[[str], None]) -> Prepared:
    """Make the audit trail, or bring it to the form of this version, and give ``role`` the rights that it needs.

    Functions and triggers that somebody changed or removed are made anew. What is none of the provider's is left.
    ``url`` is that of the owner. All of it is one transaction, and when that is done, ``tell`` gets a sentence for each
    thing that was found, done or left.

    Raises:
        CannotPrepare: the roles are unfit, something belongs to another role, the form is of a later version, or the
            database refused.
    """
    said: list[str] = []
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"connect_timeout": _WAIT_SECONDS, "options": f"-c lock_timeout={_WAIT_SECONDS}s"},
    )
    try:
        with engine.begin() as connection:
            prepared = _prepare(connection, role, said.append)
    except SQLAlchemyError as error:
        # "from None": what SQLAlchemy says quotes the statement.
        raise CannotPrepare(_reason(error)) from None
    for sentence in said:
        tell(sentence)
    return prepared


def _prepare(connection: Connection, role: str, tell: Callable[[str], None]) -> Prepared:
    owner = connection.scalar(text("SELECT current_user"))
    _check_roles(connection, role)
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    # (Whatever is set for the role: nothing else may stand for the catalogue.)
    connection.exec_driver_sql("SET LOCAL search_path = pg_catalog, pg_temp")
    _check_owners(connection, owner)
    form = _form(connection)
    changed = form != HEAD
    if changed:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        _upgrade(connection)
        tell(f"{'made the audit trail' if form is None else 'changed the audit trail'}: schema {SCHEMA}, form {HEAD}")
    else:
        tell(f"the audit trail is there: schema {SCHEMA}, form {HEAD}")
    tell(f"it belongs to {owner}")
    changed |= mend_guards(connection, tell)
    _grant(connection, role)
    tell(f"{role} may add records and read them, delete contents that are noted as erased, and keep the search index")
    left = find_left(connection)
    for what in left:
        tell(f"left as it is: {what}")
    return Prepared(changed, tuple(left))


def _check_roles(connection: Connection, role: str) -> None:
    if connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
        raise CannotPrepare("connect as the role that is to own the audit trail, not as a superuser")
    is_super = connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = :role"), {"role": role})
    if is_super is None:
        raise CannotPrepare(f"there is no role {role}: an administrator of the database makes it (CREATE ROLE)")
    if is_super:
        raise CannotPrepare(f"{role} is a superuser: the provider needs a role that can change nothing")
    if connection.scalar(text("SELECT pg_has_role(:role, current_user, 'MEMBER')"), {"role": role}):
        raise CannotPrepare(
            f"{role} is the owner of the audit trail, or may act as it: the provider needs another role"
        )


def _check_owners(connection: Connection, owner: str) -> None:
    found = find_others_property(connection)
    if found is not None:
        raise CannotPrepare(
            f"{found}. Nothing was changed. If that is the trail's owner, connect as it; else a superuser looks what it"
            f" is, and removes it or gives it to {owner} (ALTER ... OWNER TO)"
        )


def _form(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.{VERSION_TABLE}"}) is None:
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}"))  # noqa: S608 - both are constants
    return None if found is None else str(found)


def _upgrade(connection: Connection) -> None:
    try:
        upgrade(connection, _MIGRATIONS)
    except LaterForm:
        raise CannotPrepare("the audit trail has the form of a later version") from None


def _grant(connection: Connection, role: str) -> None:
    """Exactly the rights of the tables of this version: what was given besides is taken back, also from everybody."""
    name = connection.dialect.identifier_preparer.quote(role)
    statements = [
        f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {name}, PUBLIC",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM {name}, PUBLIC",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA {SCHEMA} FROM {name}, PUBLIC",
        f"REVOKE ALL ON ALL ROUTINES IN SCHEMA {SCHEMA} FROM {name}, PUBLIC",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {name}",
        *(f"GRANT EXECUTE ON FUNCTION {SCHEMA}.{function} TO {name}" for function in FUNCTION_RIGHTS),
    ]
    for table, rights, columns in TABLE_RIGHTS:
        statements.append(f"GRANT {', '.join(rights)} ON {SCHEMA}.{table} TO {name}")
        if columns:
            statements.append(f"GRANT UPDATE ({', '.join(columns)}) ON {SCHEMA}.{table} TO {name}")
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))


def _reason(error: SQLAlchemyError) -> str:
    """The name of the error, or the first line of the driver's text, which names host and role but no password."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return (str(error.orig).splitlines() or [type(error.orig).__name__])[0][:_LONGEST_REASON]
    return type(error).__name__
