"""Workers killed at random while they answer, in small; ``python -m soak.crash`` kills fifty."""

from pathlib import Path

import pytest

from soak.crash import crash


@pytest.mark.slow
@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-004", "SMSP-AUDIT-009")
def test_no_answer_and_no_query_is_without_its_record_when_workers_are_killed(tmp_path: Path) -> None:
    report = crash(5, 7, tmp_path / "state")
    assert report.problems == []
    assert (report.without_record, report.without_intent) == (0, 0)
    assert report.kills == 5
    assert report.answers > 10
    assert report.queries >= report.answers
    assert report.ended_by_others >= 1
