"""The page of alerts has every kind, as the code knows it."""

from pathlib import Path

import pytest

from smsp_provider.audit.operator_events import AlertKind
from smsp_provider.cli.reference import alerts_page
from smsp_provider.config.alerts import AlertSettings
from smsp_provider.observe.alert_meanings import MEANINGS

_DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.rule("IFC-ALT-01")
def test_the_page_of_alerts_is_up_to_date() -> None:
    assert set(MEANINGS) == set(AlertKind)
    assert (_DOCS / "reference" / "alerts.md").read_text() == alerts_page(), "run: smsp reference alerts"


def test_the_page_of_the_operator_names_each_setting() -> None:
    page = (_DOCS / "how-to" / "alerts.md").read_text()
    assert [name for name in AlertSettings.model_fields if f"`{name}`" not in page] == []
