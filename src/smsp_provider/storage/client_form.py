"""Which form the tables of the client registry have, and bringing them to the newest one with Alembic."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, column, func, inspect, select, table

from smsp_provider.storage.client_database import ClientDatabase, RegistryBroken
from smsp_provider.storage.clients_schema import HEAD, VERSION_TABLE
from smsp_provider.storage.migrating import LaterForm, upgrade

__all__ = ["RegistryNotReady", "check_form", "prepare", "reading_registry", "writing_registry"]

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_MIGRATION_LOCK: Final = 0x534D5350
"""``SMSP`` in ASCII: the number under which PostgreSQL knows the lock."""


class RegistryNotReady(RegistryBroken):
    """There is no registry yet, or it has the form of another version."""


def prepare(database: ClientDatabase) -> bool:
    """Make the registry, or bring it to the form of this version; returns whether there was anything to do.

    Several processes may do this at once, one thread of each: Alembic is not for many.

    Raises:
        RegistryNotReady: it has a form of a later version.
        RegistryBroken: it cannot be made or changed.
    """
    database.make()
    with database.writing() as connection:
        if database.file is None:
            # SQLite's transaction is a lock as it is; PostgreSQL would let two make the same table.
            connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        if _form(connection) == HEAD:
            return False
        _upgrade(connection, database)
        return True


def check_form(database: ClientDatabase) -> None:
    """Pass a registry of the form of this version.

    Raises:
        RegistryNotReady: there is none, or it has another form.
        RegistryBroken: it cannot be read.
    """
    with reading_registry(database):
        pass


def reading_registry(database: ClientDatabase) -> AbstractContextManager[Connection]:
    """As :meth:`ClientDatabase.reading`, of a registry of the form of this version.

    Raises:
        RegistryNotReady: there is none, or it has another form.
        RegistryBroken: it cannot be read.
    """
    return _in_form(database, database.reading)


def writing_registry(database: ClientDatabase) -> AbstractContextManager[Connection]:
    """As :meth:`ClientDatabase.writing`, of a registry of the form of this version.

    Raises:
        RegistryNotReady: there is none, or it has another form.
        RegistryBroken: it cannot be written.
    """
    return _in_form(database, database.writing)


@contextmanager
def _in_form(database: ClientDatabase, use: Callable[[], AbstractContextManager[Connection]]) -> Iterator[Connection]:
    if database.file is not None and not database.file.exists():
        raise RegistryNotReady(f"{database}: there is no client registry")
    with use() as connection:
        _expect_head(connection, database)
        yield connection


def _expect_head(connection: Connection, database: ClientDatabase) -> None:
    form = _form(connection)
    if form is None:
        raise RegistryNotReady(f"{database}: there is no client registry")
    if form != HEAD:
        raise RegistryNotReady(f"{database}: the client registry has the form of another version")


def _form(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))


def _upgrade(connection: Connection, database: ClientDatabase) -> None:
    try:
        upgrade(connection, _MIGRATIONS)
    except LaterForm:
        raise RegistryNotReady(f"{database}: the client registry has the form of a later version") from None
