"""What every SQLite file of the provider wants of its connection: WAL mode, and transactions that write."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["to_log_mode", "writing"]

_RETRY_SECONDS: Final = 0.005


def to_log_mode(connection: sqlite3.Connection, *, wait_s: float) -> bool:
    """Change to WAL mode, where it is not so already; whether it is now: not every file system can hold it.

    SQLite does not wait by itself where another process does the same at this moment.

    Raises:
        sqlite3.Error: it cannot be changed within ``wait_s``.
    """
    give_up = time.monotonic() + wait_s
    while True:
        try:
            return bool(connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        time.sleep(_RETRY_SECONDS)


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that has the write lock from its beginning, and is taken back by an exception.

    Raises:
        sqlite3.Error: it could not begin, or not be committed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # (SQLite has taken it back itself where, for one, the disk is full.)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
