"""``smsp clock``: whether the clock of this host can be relied on."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.cli.table import print_table
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.clock_watch import ClockReading, problems
from smsp_provider.wiring.clock import build_clock_reader

__all__ = ["clock"]

_UNKNOWN: Final = "not known"


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def clock(config_file: Path, *, as_json: bool) -> int:
    """Show the state of this host's clock: what the kernel, the time daemon and the audit database tell.

    The time daemon is asked where chronyc or ntpq is installed, the database where it is PostgreSQL.
    Exit code 1 when the clock is, or may be, further off than alerts.clock_drift_ms.
    """
    settings = read_settings(config_file)
    reading = build_clock_reader(settings, SystemClock())()
    found = [text for _, text in problems(reading, settings.alerts.clock_drift_ms)]
    if as_json:
        click.echo(json.dumps({**asdict(reading), "problems": found}, indent=2))
    else:
        print_table(("clock", "state"), list(_rows(reading)))
        for text in found:
            click.echo(f"problem: {text}")
    return ExitCode.UNEXPECTED if found else ExitCode.OK


def _rows(reading: ClockReading) -> Iterator[tuple[str, str]]:
    kernel, source, database = reading.kernel, reading.source, reading.database_ms
    if kernel is None:
        yield "kernel", _UNKNOWN
    else:
        yield "kernel", "synchronised" if kernel.synchronised else "not synchronised"
        yield "still to correct", f"{kernel.offset_ms:.3f} ms"
        yield "estimated error", f"{kernel.estimated_error_ms:.3f} ms"
        yield "error at most", f"{kernel.most_error_ms:.3f} ms"
    yield "time daemon", _UNKNOWN if source is None else f"{source.daemon}, follows {source.name}"
    yield "stratum of the source", _UNKNOWN if source is None else str(source.stratum)
    yield "audit database", _UNKNOWN if database is None else f"{database:+.1f} ms or more"
