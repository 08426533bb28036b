"""A small flood of junk; ``python -m soak.junk`` sends a million, and over mutual TLS, too."""

from pathlib import Path

import pytest

from smsp_provider.storage.refusal_rows import NAMED_PEERS
from soak.junk import flood_in_process


@pytest.mark.rule("SMSP-AUDIT-001")
def test_junk_leaves_few_records_and_none_of_it_is_lost(tmp_path: Path) -> None:
    found = flood_in_process(tmp_path, 6000, 2)
    assert (found.lost, found.intents) == (0, 0)
    # One of each peer that has a row of its own and one for the others, in each minute that the flood had a part in.
    minutes = int(found.seconds) // 60 + 2
    assert found.by_itself <= 2 * minutes * (NAMED_PEERS + 1), "both workers may be the first at the same time"
    assert found.records <= minutes * (NAMED_PEERS + 1)
    assert len(found.codes) > 8, "junk of many kinds"
    assert found.grown < 2_000_000 * minutes
