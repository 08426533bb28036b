"""Without the driver of PostgreSQL, which is an extra: whoever asks for a trail there is told what to install."""

import subprocess
import sys
from pathlib import Path

from sandbox_process import environment
from signed_in import write_configuration

_PROGRAM = """
import sys

sys.modules["psycopg"] = None

from pathlib import Path

from smsp_provider.config.settings import load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.sqlite_audit_database import SqliteAuditDatabase
from smsp_provider.wiring.audit import build_audit_database, keep_to_trail
from smsp_provider.wiring.roots import build_books
from smsp_provider.wiring.search import build_index

settings = load_settings(Path(sys.argv[1]))
audit = settings.audit.model_copy(update={"store": "postgresql://nobody@127.0.0.1:1/nothing"})
elsewhere = settings.model_copy(update={"audit": audit})
for ask in (
    lambda: build_audit_database(elsewhere),
    lambda: keep_to_trail(elsewhere, "mark"),
    lambda: build_books(elsewhere),
    lambda: build_index(elsewhere, SqliteAuditDatabase(audit.database), SystemClock()),
):
    try:
        ask()
    except StorageUnsafe as error:
        print(error)
build_audit_database(settings), build_books(settings)
"""


def test_each_part_of_a_trail_in_postgresql_names_the_extra(tmp_path: Path) -> None:
    write_configuration(tmp_path / "provider.toml", 'policy = "os-user"')
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "provider.toml")],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the driver of PostgreSQL is missing: install the extra 'postgres'"] * 4
