"""``smsp traffic``: how much was asked, by whom and when, with nothing of a patient."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.traffic import OutcomeClass, Traffic
from smsp_provider.audit.traffic_report import DayTraffic, Grouping, hours_of, report, within
from smsp_provider.cli.audit_looking import index_office
from smsp_provider.cli.client_session import open_session
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.csv_rows import csv_lines
from smsp_provider.cli.exit_codes import UnusableConfiguration
from smsp_provider.cli.moments import DAY
from smsp_provider.cli.operator_session import requires
from smsp_provider.cli.table import print_table
from smsp_provider.cli.traffic_chart import chart
from smsp_provider.config.settings import Settings
from smsp_provider.domain.operators import EVERYTHING, Operator, Permission

__all__ = ["traffic"]

_DAYS: Final = 30
_ALL: Final = "all"
_OUTCOMES: Final = tuple(outcome.value for outcome in OutcomeClass)
_HEAD: Final = ("day", "service", "client", "requests", *_OUTCOMES, "peak_hour", "peak_requests")


@click.group()
def traffic() -> None:
    """How much was asked, by whom and when."""


@traffic.command("report")
@click.option("--since", type=DAY, help=f"First day, in UTC; {_DAYS} days with the last one unless given.")
@click.option("--until", type=DAY, help="Last day, in UTC; today unless given.")
@click.option("--by", type=click.Choice([item.value for item in Grouping]), default="both", show_default=True)
@click.option("--svg", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw it into this file, too.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values.")
@config_option
@requires(Permission.TRAFFIC_READ)
def report_command(
    config_file: Path,
    operator: Operator,
    since: datetime | None,
    until: datetime | None,
    by: str,
    picture: Path | None,
    form: str | None,
) -> None:
    """Tell of each day its requests and its busiest hour, in all and for each service and client.

    Days and hours are UTC. Requests that were refused before anybody knew whose they were have no client. Nothing of a
    patient is shown. Operators of some organisations see the requests of these organisations' clients.
    """
    last = datetime.now(UTC).date() if until is None else until.date()
    first = last - timedelta(days=_DAYS - 1) if since is None else since.date()
    if first > last:
        raise UnusableConfiguration("--since lies behind --until")
    settings, grouping = read_settings(config_file), Grouping(by)
    counts = within(_counts(settings, first, last), _clients_of(config_file, operator))
    rows = report(counts, grouping)
    if picture is not None:
        _draw(picture, chart(rows, first, last, grouping))
    if form == "csv":
        for line in csv_lines(_HEAD, (_cells(row) for row in rows)):
            click.echo(line)
    elif form == "json":
        for row in rows:
            click.echo(json.dumps(_object(row)))
    else:
        _print_table(rows, grouping)


def _clients_of(config_file: Path, operator: Operator) -> frozenset[str] | None:
    """The names of the clients whose requests are the operator's to see; None is everybody's."""
    if operator.scope == EVERYTHING:
        return None
    with open_session(config_file, operator) as session:
        return frozenset(session.state().clients)


def _counts(settings: Settings, first: date, last: date) -> Mapping[Traffic, int]:
    """What the index of the trail has counted, once it has all there is.

    Raises:
        CannotStart: the trail, its index or the keys cannot be used.
    """
    with index_office(settings) as office:
        office.indexer.run_to_the_end()
        return office.index.traffic(*hours_of(first, last))


def _draw(file: Path, text: str) -> None:
    """Write a file of our own: what is there already stays.

    Raises:
        UnusableConfiguration: something is there, or it cannot be written.
    """
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text)
    except OSError as error:
        raise UnusableConfiguration(f"{file}: {error.strerror}") from None


def _named(name: str | None) -> str:
    return _ALL if name is None else name


def _hour(row: DayTraffic) -> str:
    return f"{row.busiest.hour:02}:00"


def _object(row: DayTraffic) -> dict[str, object]:
    counts = {outcome.value: row.outcomes.get(outcome, 0) for outcome in OutcomeClass}
    told: dict[str, object] = {"day": row.day.isoformat(), "service": _named(row.service), "client": _named(row.client)}
    return told | {"requests": row.requests} | counts | {"peak_hour": _hour(row), "peak_requests": row.busiest.requests}


def _cells(row: DayTraffic) -> list[str]:
    return [str(value) for value in _object(row).values()]


def _print_table(rows: Iterable[DayTraffic], grouping: Grouping) -> None:
    head = ["day (UTC)", "service", "client", "requests", *_OUTCOMES, "peak hour", "in it"]
    left_out = {Grouping.SERVICE: 2, Grouping.CLIENT: 1}.get(grouping)
    kept = [number for number in range(len(head)) if number != left_out]
    print_table([head[number] for number in kept], [[_cells(row)[number] for number in kept] for row in rows])
