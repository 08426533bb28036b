"""The demonstration of who is let in, as a test: every rule alone, then a client that is shut out in an incident."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from security_demo import IN_FLIGHT, IN_FORCE_SECONDS, Demo, checks, running_demo, shut_out


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """One for each test: the second one changes a client."""
    with running_demo(tmp_path) as running:
        yield running


@pytest.mark.rule("WS-SEC-01", "WS-SEC-07", "WS-SEC-08", "SMSP-IG-003", "SMSP-PERF-001")
def test_each_rule_of_admittance_refuses_what_breaks_it_alone(demo: Demo) -> None:
    found = list(checks(demo))
    assert [check for check in found if not check.holds] == []
    assert len(found) >= 15


@pytest.mark.slow
@pytest.mark.rule("SMSP-SEC-001", "WS-SEC-08")
def test_a_disabled_client_is_shut_out_while_its_requests_are_answered_and_the_others_notice_nothing(
    demo: Demo,
) -> None:
    found = shut_out(demo)
    assert found.answered == ["SMSP-0000"] * IN_FLIGHT
    assert found.last_let_in <= IN_FORCE_SECONDS
    assert [
        code for at, code in found.later if at > IN_FORCE_SECONDS and code not in ("fault 3000", "fault 2100")
    ] == []
    assert any(at > IN_FORCE_SECONDS for at, _ in found.later)
    assert set(found.others) == {"SMSP-0000"}
