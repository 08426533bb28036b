"""The section [probing]: its defaults are the detector's, each setting reaches it, and the watch can be off."""

from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from smsp_provider.config.probing import ProbingSettings, probing_policy
from smsp_provider.config.settings import load_settings
from smsp_provider.engine.probing import ProbingPolicy
from smsp_provider.engine.probing_detector import MOST_VALUES
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.logs import Level, LogLevel, LogObserver
from smsp_provider.wiring.provider import build_probing_watch

pytestmark = pytest.mark.rule("SMSP-SEC-001")

_ROOT = Path(__file__).parents[3]
_EXAMPLE = _ROOT / "config" / "provider.toml"


def test_the_defaults_are_those_of_the_detector_and_of_the_example() -> None:
    assert probing_policy(ProbingSettings()) == ProbingPolicy()
    assert load_settings(_EXAMPLE).probing == ProbingSettings()


def test_each_setting_reaches_the_detector() -> None:
    plain = ProbingSettings()
    for name in ProbingSettings.model_fields:
        if name != "enabled":
            value = getattr(plain, name)
            changed = probing_policy(plain.model_copy(update={name: value / 2 if value < 1 else value - 1}))
            assert len(asdict(changed).items() - asdict(ProbingPolicy()).items()) == 1, name


def test_the_page_of_the_operator_names_each_setting_and_its_default() -> None:
    page = (_ROOT / "docs" / "how-to" / "detect-probing.md").read_text(encoding="utf-8")
    told = {"window_seconds": "a day", "quiet_seconds": "an hour", "unsuccessful_part": "half", "enabled": "by default"}
    for name, field in ProbingSettings.model_fields.items():
        line = next(line for line in page.splitlines() if f"{name}`" in line)
        assert told.get(name, f"{field.default:,}") in line, name


def test_more_values_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValidationError):
        ProbingSettings(values_of_a_field=MOST_VALUES + 1)


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    example = load_settings(_EXAMPLE)
    audit = example.audit.model_copy(update={"database": tmp_path / "audit.db"})
    with (tmp_path / "log").open("wb") as stream:
        observer = LogObserver(stream, LogLevel(Level.INFO), SystemClock())
        for enabled in (True, False):
            settings = example.model_copy(update={"audit": audit, "probing": ProbingSettings(enabled=enabled)})
            assert (build_probing_watch(settings, SystemClock(), observer) is not None) is enabled
    assert not (tmp_path / "probing.table").exists(), "nothing is opened before the first request"
