"""Which MessageIDs were used lately, shared by all workers of a host: one small SQLite file.

Unlike the audit trail it may be lost in a power cut (the window is minutes), so it never waits for the disk. Only a
digest of caller and MessageID is kept.
"""

import os
import sqlite3
import threading
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Final

from smsp_provider.domain.identifiers import bare_uuid
from smsp_provider.engine.ports import ReplayUnavailable

__all__ = ["SqliteReplayMemory"]

_REGISTER: Final = (
    "INSERT INTO used (key, at) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET at = excluded.at WHERE used.at < ?"
)
_FORGET_EVERY: Final = 1000
"""Registrations between two clean-ups of what has left the window."""


class SqliteReplayMemory:
    """Keeps digests at ``path`` for ``window``; safe for threads and processes, reopened after a fork."""

    def __init__(self, path: Path, window: timedelta, *, wait_s: float = 1.0) -> None:
        self._path: Final = path
        self._window: Final = window.total_seconds()
        self._wait_s: Final = wait_s
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._registered = 0

    def is_repeat(self, caller: str, message_id: str, at: datetime) -> bool:
        """See :meth:`smsp_provider.engine.ports.ReplayMemory.is_repeat`; check and registration are one statement."""
        moment = at.timestamp()
        registered = self._execute(_REGISTER, (_key(caller, message_id), moment, moment - self._window))
        self._registered += 1
        if self._registered % _FORGET_EVERY == 0:
            self._execute("DELETE FROM used WHERE at < ?", (moment - self._window,))
        return registered == 0

    def forget(self, caller: str, message_id: str) -> None:
        """See :meth:`smsp_provider.engine.ports.ReplayMemory.forget`."""
        self._execute("DELETE FROM used WHERE key = ?", (_key(caller, message_id),))

    def _execute(self, statement: str, values: tuple[object, ...]) -> int:
        """Run one statement; returns how many rows it changed."""
        try:
            with self._guard:
                return self._opened().execute(statement, values).rowcount
        except (sqlite3.Error, OSError) as error:
            raise ReplayUnavailable(type(error).__name__) from None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None or self._pid != os.getpid():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            connection = sqlite3.connect(
                self._path, timeout=self._wait_s, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("CREATE TABLE IF NOT EXISTS used (key BLOB PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID")
            self._connection, self._pid = connection, os.getpid()
        return self._connection


def _key(caller: str, message_id: str) -> bytes:
    return blake2b(f"{caller}\n{bare_uuid(message_id)}".encode(), digest_size=16).digest()
