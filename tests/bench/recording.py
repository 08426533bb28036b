"""Two durable records beside the floor's work: what no provider that keeps an audit trail can do without.

Plain SQLite, as little of it as there can be: one file for all workers, a connection for each, one insert a record, the
same modes and the same size of log as the provider's own trail. Nothing is encoded, chained, sealed or checked.
"""

import sqlite3
import threading
from pathlib import Path

from smsp_provider.storage.sqlite_connection import to_log_mode
from smsp_provider.storage.sqlite_file import Synchronous

__all__ = ["RecordFile"]

_LOG_PAGES = 8_192
_BUSY_MS = 5_000
_RECORD = "x" * 700
"""As long as the provider's own are on average."""


class RecordFile:
    """Keeps records at ``path``. Thread-safe; made after the fork, by each worker for itself."""

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self._guard = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        to_log_mode(self._connection, wait_s=_BUSY_MS / 1000)
        self._connection.execute(f"PRAGMA synchronous = {synchronous.value}")
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        self._connection.execute("CREATE TABLE IF NOT EXISTS record (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)")

    def keep(self) -> None:
        """Return when one more record is durable."""
        with self._guard:
            self._connection.execute("INSERT INTO record (body) VALUES (?)", (_RECORD,))
