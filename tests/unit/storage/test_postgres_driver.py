"""The driver of PostgreSQL is an extra: without it, who keeps a registry or prepares a trail is told what to add."""

import subprocess
import sys

from sandbox_process import environment

_PROGRAM = """
import sys

sys.modules["psycopg"] = None

from smsp_provider.cli.audit_prepare import prepare
from smsp_provider.storage.client_database import ClientDatabase, RegistryBroken

try:
    ClientDatabase("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
except RegistryBroken as error:
    print(error, file=sys.stderr)
prepare(["--role", "nobody", "--owner-url", "postgresql://nobody@127.0.0.1:1/nothing"])
"""


def test_who_needs_the_driver_is_told_of_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, env=environment()
    )
    said = "the driver of PostgreSQL is missing: install the extra 'postgres'"
    assert (done.returncode, done.stdout) == (3, "")
    registry, prepare = done.stderr.splitlines()
    assert registry == said
    assert prepare.endswith(said)
