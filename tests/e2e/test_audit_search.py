"""A real provider answers; its keeper indexes, and `smsp audit search` finds the request while it serves on."""

import json
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sandbox_process import run_smsp
from served_provider import served

_WAIT_SECONDS = 60.0


def _search(config: Path, *arguments: str) -> list[dict[str, str]]:
    done = run_smsp("audit", "search", "--config", config, "--json", *arguments, SMSP_OPERATORS__POLICY="os-user")
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _indexed(file: Path) -> bool:
    """Whether the keeper has brought an ending into the index, as the traffic tells."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as index:
        return index.execute("SELECT 1 FROM traffic").fetchone() is not None
    return False


@pytest.mark.rule("SMSP-AUDIT-004", "SMSP-AUDIT-007")
def test_a_request_is_found_while_the_provider_serves_on(tmp_path: Path) -> None:
    with served(tmp_path) as (provider, _):
        assert provider.ask(identity="urn:nhs-uk:identity:ods:X26:first").code == "SMSP-0000"
        until = time.monotonic() + _WAIT_SECONDS
        while not _indexed(tmp_path / "audit" / "audit-index.db") and time.monotonic() < until:
            time.sleep(0.1)
        assert _indexed(tmp_path / "audit" / "audit-index.db")
        assert provider.ask(identity="urn:nhs-uk:identity:ods:X26:second").code == "SMSP-0000"
        config = tmp_path / "provider.toml"
        (row,) = _search(config, "--user", "second", "--organisation", "x26")
        assert row["outcome"] == "SMSP-0000"
        assert _search(config, "--message-id", row["spine_ids"].split()[0]) == [row]
