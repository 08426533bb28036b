"""How long audit records are kept, and that live takes no less than its floor."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from smsp_provider.audit.retention import RecordClass
from smsp_provider.config.audit import AuditSettings

pytestmark = pytest.mark.rule("SMSP-AUDIT-001")

SHORTER = {
    "retention_exchanges_days": 2_921,
    "retention_administration_days": 2_921,
    "retention_refusals_days": 365,
}


def _settings(**values: Any) -> AuditSettings:
    return AuditSettings(database=Path("audit.db"), **values)


def test_the_defaults_are_for_live() -> None:
    assert not any(relaxed for name, relaxed in _settings().relaxed().items() if "retention" in name)


@pytest.mark.parametrize("name", SHORTER)
def test_each_that_is_shorter_counts_as_relaxed(name: str) -> None:
    relaxed = _settings(**{name: SHORTER[name]}).relaxed()
    assert [found for found, is_relaxed in relaxed.items() if is_relaxed and "retention" in found] == [f"audit.{name}"]


@pytest.mark.parametrize("name", SHORTER)
def test_nothing_is_kept_for_less_than_a_day(name: str) -> None:
    with pytest.raises(ValidationError):
        _settings(**{name: 0})


def test_every_class_has_its_own_setting() -> None:
    policy = _settings(
        retention_exchanges_days=10, retention_administration_days=20, retention_refusals_days=30
    ).retention()
    assert policy.days == {
        RecordClass.EXCHANGES: 10,
        RecordClass.ADMINISTRATION: 20,
        RecordClass.REFUSALS: 30,
    }
