"""A PostgreSQL server of a test's own, to be stopped, frozen, restarted, or doubled by a replica.

It is durable, unlike the one of :mod:`postgres_server` that most tests share, reached through a unix socket and through
TCP on a loopback address, and gone with the test process however that ends.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import psycopg

from free_ports import free_port
from postgres_server import end_with_this_process, program, system_user

__all__ = ["PostgresInstance"]

_START_SECONDS = 120.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - a name of its own is made in there


class PostgresInstance:
    """A server with one superuser, ``postgres``, whom it trusts; ``settings`` are those of ``postgresql.conf``.

    With ``in_memory`` its data are where no disk makes anybody wait. Runs until the end of the ``with``.
    """

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, version: int = 18, in_memory: bool = False
    ) -> None:
        # Short, and open to the account that the server runs as: it does not run as root.
        place = str(_MEMORY) if in_memory and _MEMORY.is_dir() else "/tmp"  # noqa: S108 - as above
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir=place))
        self._folder.chmod(0o755)
        self._version = version
        self.port = free_port()
        self.data = self._folder / "data"
        self._settings = {"max_connections": "60", "shared_buffers": "32MB", **(settings or {})}
        self._in_memory = in_memory
        self._process: subprocess.Popen[bytes] | None = None
        end_with_this_process(self._folder)

    def __enter__(self) -> Self:
        self.data.mkdir(mode=0o700)
        shutil.chown(self.data, system_user() or os.getuid())
        shutil.chown(self._folder, system_user() or os.getuid())
        self._run("initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", str(self.data))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, user: str = "postgres", database: str = "postgres", *, host: str | None = None) -> str:
        """Where the server is: through its socket, or through TCP at ``host``."""
        return f"postgresql://{user}@/{database}?host={host or self._folder}&port={self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = {
            "listen_addresses": "localhost",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
        }
        settings = [word for name, value in {**options, **self._settings}.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres", self._version), "-D", str(self.data), *settings],
                stdout=log,
                stderr=log,
                user=system_user(),
                process_group=0,
            )
        give_up = time.monotonic() + _START_SECONDS
        while not self.is_up():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((self._folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:])
            time.sleep(0.05)

    def is_up(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.url(), connect_timeout=20).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, mode: str = "fast") -> None:
        """Stop it: "fast" as an administrator does, "immediate" as if it crashed."""
        if self._process is None or self._process.poll() is not None:
            return
        self.thaw()
        self._process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self._process.wait(_START_SECONDS)

    def freeze(self) -> None:
        """Stop all its processes where they are, as a host that hangs does: connections stay open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """What a statement of the superuser gives."""
        with psycopg.connect(self.url(database=database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def replica(self, settings: Mapping[str, str]) -> "PostgresInstance":
        """A streaming replica, which this server's commits wait for from when it has started; to be used as this is."""
        return _Replica(self, settings)

    def _signal_all(self, number: signal.Signals) -> None:
        """To the first process, which has no more children while it is stopped, and then to those that it has."""
        assert self._process is not None
        self._process.send_signal(number)
        with suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            for pid in map(int, children):
                # (Those that serve a connection end with it, whenever that is.)
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [program(name, self._version), *arguments], check=True, capture_output=True, user=system_user(), cwd="/"
        )


class _Replica(PostgresInstance):
    """The copy of another server."""

    def __init__(self, primary: PostgresInstance, settings: Mapping[str, str]) -> None:
        super().__init__({"hot_standby": "on", **settings}, version=primary._version, in_memory=primary._in_memory)
        self._primary = primary

    def __enter__(self) -> Self:
        shutil.chown(self._folder, system_user() or os.getuid())
        source = self._primary.url("postgres").replace("postgresql://postgres@/postgres?", "")
        named = f"user=postgres application_name=replica {source.replace('&', ' ')}"
        self._run(
            "pg_basebackup", "--checkpoint=fast", "--no-sync", "-R", "-X", "stream", "-d", named, "-D", str(self.data)
        )
        self.start()
        self._primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'replica'")
        self._primary.execute("SELECT pg_reload_conf()")
        return self
