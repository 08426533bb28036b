"""The section of the alerts: where they go, and thresholds that can be kept."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from smsp_provider.config.alerts import AlertSettings
from smsp_provider.config.settings import Environment, Settings, load_settings

_EXAMPLE = Path(__file__).parents[3] / "config" / "provider.toml"


def test_the_example_has_the_defaults() -> None:
    assert load_settings(_EXAMPLE).alerts == AlertSettings()


@pytest.mark.rule("IFC-TIM-01")
def test_the_clock_may_not_be_allowed_more_than_the_rule_does() -> None:
    assert AlertSettings(clock_drift_ms=100).clock_drift_ms == 100
    with pytest.raises(ValidationError):
        AlertSettings(clock_drift_ms=251)


@pytest.mark.parametrize("url", ["http://hooks.example/a", "ftp://hooks.example/", "https://me:word@hooks.example/"])
def test_an_address_that_would_be_sent_to_in_the_clear_or_shows_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        AlertSettings(webhook=url)
    assert "me:word" not in str(refused.value)


def test_plain_http_to_this_machine_is_not_for_live() -> None:
    example = load_settings(_EXAMPLE)
    values = {**example.model_dump(), "alerts": {"webhook": "http://127.0.0.1:9/"}}
    with pytest.raises(ValidationError, match=r"alerts\.webhook"):
        Settings(**values)
    assert Settings(**{**values, "environment": Environment.TEST}).alerts.webhook == "http://127.0.0.1:9/"


def test_settings_of_a_webhook_need_one() -> None:
    with pytest.raises(ValidationError, match="there is none"):
        AlertSettings(webhook_token=Path("token"))


def test_thresholds_that_would_always_alert_are_refused() -> None:
    with pytest.raises(ValidationError, match="always"):
        AlertSettings(most_requests=5, least_requests=6)


def test_a_file_has_a_name() -> None:
    for name in ("", "alerts\n.jsonl", ".."):
        with pytest.raises(ValidationError):
            AlertSettings(file=Path(name))
