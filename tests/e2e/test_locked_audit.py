"""A provider whose audit trail is held by somebody else: it says that it is not ready, and when it is again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_process import until
from served_provider import ServedProvider, served


def _ready(provider: ServedProvider) -> tuple[int, int]:
    """What a worker and the process for operators say."""
    with closing(provider.connection()) as connection:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    return status, provider.ops_get("/readyz").status


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_lock_that_somebody_keeps_is_not_readiness(tmp_path: Path) -> None:
    with served(tmp_path / "state", workers=1) as (provider, _):
        assert _ready(provider) == (200, 200)
        with closing(sqlite3.connect(tmp_path / "state" / "audit" / "audit.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            until(lambda: _ready(provider) == (503, 503), seconds=60)
            assert provider.ask().code == "2100"
            other.execute("ROLLBACK")
        until(lambda: _ready(provider) == (200, 200), seconds=60)
        assert provider.ask().code == "SMSP-0000"
