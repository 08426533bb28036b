"""What a server of the tests writes and answers reaches the search for patients: a leak of it would be found."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kept_output import FOLDER_VARIABLE
from leaks.search import Searcher
from leaks.values import known_values
from served_provider import served


@pytest.mark.rule("IFC-LOG-02")
def test_a_leak_into_the_output_of_a_server_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    monkeypatch.setenv(FOLDER_VARIABLE, str(kept))
    with served(tmp_path / "state", workers=1) as (provider, _):
        assert provider.ask(number="not a number").code == "SMSP-0001"
        # A fault: the trail is somebody else's for longer than a writer waits.
        with closing(sqlite3.connect(tmp_path / "state" / "audit" / "audit.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert provider.ask().code == "2100"
        assert provider.ask().code == "SMSP-0000"
        provider.ops_get("/metrics")
        provider.stop()
        with provider.log.open("ab") as log:
            log.write(b"ValueError: 9990000034\n")
    searcher = Searcher(known_values())
    files = {file.name.split("-")[2]: file.read_bytes() for file in kept.iterdir()}
    assert {"log", "metrics", "readyz", "fault"} <= files.keys()
    assert b'"event":"request-answered"' in files["log"]
    assert [(name, found.kind) for name in files for found in searcher.search(files[name])] == [("log", "NHS number")]
