"""What a start puts on record of the configuration: all of it, so that two starts tell what was changed in between."""

import json
from pathlib import Path

import pytest

from audit_samples import SystemClock
from smsp_provider.audit.decoding import decode
from smsp_provider.audit.encoding import encode
from smsp_provider.audit.events import Start
from smsp_provider.config.settings import load_settings
from smsp_provider.wiring.audit import start_record


def started(folder: Path, extra: str = "") -> Start:
    config = folder / "provider.toml"
    config.write_text(
        f"""
        environment = "test"
        server = {{ http = "127.0.0.1:8080", workers = 3 }}
        spine = {{ endpoint = "http://127.0.0.1:9", pds_asid = "100000000104" }}
        audit = {{ database = "{folder}/audit/audit.db" }}
        {extra}
        """,
        encoding="utf-8",
    )
    record = start_record(load_settings(config), SystemClock())
    again = decode("start", encode(record))
    assert again == record
    return record


@pytest.mark.rule("SMSP-AUDIT-008")
def test_two_starts_tell_which_setting_was_changed_from_what_to_what(tmp_path: Path) -> None:
    before = json.loads(started(tmp_path).settings)
    after = json.loads(started(tmp_path, "limits = { request_seconds = 7 }").settings)
    assert before["server"]["workers"] == 3
    differing = {
        (section, name): (value, after[section][name])
        for section, values in before.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if value != after[section][name]
    }
    assert differing == {("limits", "request_seconds"): (before["limits"]["request_seconds"], 7)}


@pytest.mark.rule("SMSP-AUDIT-008")
def test_starts_with_the_same_settings_have_the_same_text_and_hash(tmp_path: Path) -> None:
    one, two = started(tmp_path), started(tmp_path)
    assert (one.settings, one.settings_hash) == (two.settings, two.settings_hash)


def test_an_address_that_is_a_secret_is_not_in_it(tmp_path: Path) -> None:
    record = started(tmp_path, 'alerts = { webhook = "https://chat.example/hooks/T0P-S3CR3T?token=X" }')
    assert "S3CR3T" not in record.settings
    assert json.loads(record.settings)["alerts"]["webhook"] == "https://chat.example/..."
