"""The database of the client registry, SQLite or PostgreSQL, behind one way to read and one way to write.

Source: SQLAlchemy documentation (SQLite: serializable isolation; engines and forks); SQLite documentation (WAL).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from smsp_provider.storage.clients_schema import VERSION_TABLE
from smsp_provider.storage.postgres_driver import NO_DRIVER
from smsp_provider.storage.private_file import NotPrivate, check_private, make_private
from smsp_provider.storage.sqlite_connection import to_log_mode

__all__ = ["ClientDatabase", "RegistryBroken"]

_SQLITE: Final = "sqlite"
_POSTGRESQL: Final = "postgresql+psycopg"
_WAIT_SECONDS: Final = 5
_LONGEST_REASON: Final = 200
_WRITES: Final = "smsp_writes"


class RegistryBroken(Exception):
    """The registry cannot be used; the text is for an operator and holds no password."""


class ClientDatabase:
    """Where the registry is: ``sqlite:///FILE`` or ``postgresql+psycopg://HOST/DATABASE``.

    Nothing is opened yet. Each process makes its own: connections must not cross a fork. A SQLite file is opened for
    each use, so that one that was put in the place of another is seen; a connection to PostgreSQL is kept.

    Raises:
        RegistryBroken: the URL is none of these, or the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url: Final = _parsed(url)
        self.file: Final = _file_of(self._url)
        """The file of a SQLite database; None for PostgreSQL."""
        try:
            self._engine: Final = _for_postgresql(self._url) if self.file is None else _for_sqlite(self.file)
        except ImportError:
            raise RegistryBroken(NO_DRIVER) from None

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database, whatever is committed meanwhile, and changes nothing.

        Raises:
            RegistryBroken: it cannot be reached or read.
        """
        with self._translated(), self._engine.connect() as connection:
            if self.file is None:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that is committed at the end, and taken back by an exception.

        Raises:
            RegistryBroken: it cannot be reached, or the database refused.
        """
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def make(self) -> None:
        """Make the file of a SQLite database that is not there; PostgreSQL's is made by its administrator.

        Raises:
            RegistryBroken: it cannot be made, or the file is another kind of database.
        """
        if self.file is None:
            return
        with self._translated():
            make_private(self.file)
        with self.reading() as connection:
            tables = inspect(connection).get_table_names()
        if tables and VERSION_TABLE not in tables:
            raise RegistryBroken(f"{self}: is a database of something else")
        with self._translated(), closing(_connect(self.file)) as plain:
            # Kept by the file. Readers and the writer do not wait for each other then.
            if not to_log_mode(plain, wait_s=_WAIT_SECONDS):
                raise RegistryBroken(f"{self}: its file system cannot hold a database in WAL mode")

    def close(self) -> None:
        """Close what is kept open; the next use opens it again."""
        self._engine.dispose()

    def abandon(self) -> None:
        """After a fork, in the child: forget the parent's connections without closing them for the parent."""
        self._engine.dispose(close=False)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except NotPrivate as error:
            raise RegistryBroken(str(error)) from None
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            # "from None": what the driver says may quote the statement with its values.
            raise RegistryBroken(f"{self}: {_reason(error)}") from None


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise RegistryBroken("the URL of the client registry is none") from None
    if parsed.drivername not in (_SQLITE, _POSTGRESQL):
        raise RegistryBroken(f"the client registry is in {_SQLITE}:///FILE or {_POSTGRESQL}://HOST/DATABASE")
    return parsed


def _file_of(url: URL) -> Path | None:
    if url.drivername != _SQLITE:
        return None
    if not url.database or url.database == ":memory:" or url.query or url.host:
        raise RegistryBroken("the client registry in SQLite needs a file, and takes no options: sqlite:///FILE")
    return Path(url.database)


def _connect(file: Path) -> sqlite3.Connection:
    check_private(file)
    # (mode=rw: a registry that was moved away is not begun anew by whoever looks for it.)
    name = f"{file.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(name, uri=True, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)


def _for_sqlite(file: Path) -> Engine:
    engine = create_engine(f"{_SQLITE}://", creator=lambda: _connect(file), poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection, as SQLAlchemy types it
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES):
            # The write lock at once: a transaction that reads first could not wait for it any more.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql("BEGIN")

    return engine


def _for_postgresql(url: URL) -> Engine:
    limits = f"-c statement_timeout={_WAIT_SECONDS}s -c lock_timeout={_WAIT_SECONDS}s"
    options = {
        "connect_timeout": _WAIT_SECONDS,
        "tcp_user_timeout": _WAIT_SECONDS * 1000,
        "application_name": "smsp-provider",
        "options": limits,
    }
    return create_engine(url, connect_args=options, pool_size=1, pool_pre_ping=True, pool_timeout=_WAIT_SECONDS)


def _reason(error: Exception) -> str:
    """What happened, in a few words: the name of the error, or the first line of the driver's text."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    match cause:
        case sqlite3.Error():
            return getattr(cause, "sqlite_errorname", None) or type(cause).__name__
        case OSError():
            return cause.strerror or type(cause).__name__
        case SQLAlchemyError():
            return type(cause).__name__
        case _:
            return (str(cause).splitlines() or [type(cause).__name__])[0][:_LONGEST_REASON]
