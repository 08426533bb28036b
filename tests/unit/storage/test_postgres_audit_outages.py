"""The audit trail while its PostgreSQL fails: a small version of ``python -m soak.postgres_outages``."""

from pathlib import Path

import pytest

from soak.postgres_outages import outages


@pytest.mark.slow
@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
def test_what_was_confirmed_is_there_once_whatever_happened_to_the_database(tmp_path: Path) -> None:
    figures = outages(tmp_path / "audit", cuts=8, crashes=1, freezes=1)
    assert figures["outages"] == {"cut": 8, "crash": 1, "freeze": 1}
    assert figures["confirmed"] > 0
    assert sum(figures["refused"].values()) > 0, "nothing failed: this proves nothing"
    assert (figures["lost"], figures["twice"], figures["lanes_unended"]) == (0, 0, 0)
