"""Days and moments that no trail has are refused, and nobody reckons with them."""

from datetime import datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from smsp_provider.cli.main import cli
from smsp_provider.cli.moments import DAY, MOMENT


def test_days_and_moments_are_read() -> None:
    assert DAY.convert("2026-03-04", None, None) == datetime(2026, 3, 4)  # noqa: DTZ001 - as the option gives it
    assert MOMENT.convert("2026-03-04T05:06:07Z", None, None) == datetime(2026, 3, 4, 5, 6, 7)  # noqa: DTZ001 - as above
    for first_or_last in ("1970-01-01", "9000-12-31"):
        assert f"{DAY.convert(first_or_last, None, None):%Y-%m-%d}" == first_or_last
    with pytest.raises(click.BadParameter):
        DAY.convert("2026-03-04T05:06", None, None)


@pytest.mark.parametrize(
    "command",
    [
        ("audit", "search", "--since", "0001-01-01"),
        ("audit", "search", "--until", "9999-12-31"),
        ("audit", "verify", "--index", "--since", "0001-01-01"),
        ("audit", "reindex", "--day", "9999-12-31"),
        ("audit", "archive", "--until", "0001-01-01", "--output", "archive"),
        ("audit", "retire", "--until", "0001-01-01"),
        ("incident", "affected", "--between", "0001-01-01", "9999-12-31"),
        ("traffic", "report", "--until", "0001-01-01"),
    ],
    ids=" ".join,
)
def test_dates_at_the_end_of_the_calendar_are_mistakes(command: tuple[str, ...], tmp_path: Path) -> None:
    settings = tmp_path / "provider.toml"
    settings.write_text("", "utf-8")
    result = CliRunner().invoke(cli, [*command, "--config", str(settings)])
    assert result.exit_code == 2
    assert "is not of the years" in result.stderr
