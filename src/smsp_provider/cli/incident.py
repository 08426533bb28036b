"""``smsp incident``: what an incident has touched."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.encoding import timestamp
from smsp_provider.audit.events import OperatorActKind
from smsp_provider.audit.exchanges import shows
from smsp_provider.audit.incident import ReleaseSpan, Suspicion, spans
from smsp_provider.cli.audit_looking import Question, asked
from smsp_provider.cli.audit_rows import row_of
from smsp_provider.cli.client_session import readable
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.csv_rows import csv_lines
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.moments import MOMENT
from smsp_provider.cli.table import print_table
from smsp_provider.config.settings import Settings
from smsp_provider.domain.operators import Permission
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_keys import AuditKeysUnusable
from smsp_provider.storage.audit_lanes import AuditLanes
from smsp_provider.wiring.audit import build_audit_database, build_unsealer

__all__ = ["incident"]

_COMMAND: Final = "incident affected"
_SHOWN_DIGITS: Final = 12
_HEAD: Final = (
    *("at", "exchange", "client", "organisation", "service", "outcome", "evidence", "flags", "asked", "returned"),
    *("message_id", "records", "detail"),
)
_SHOWN: Final = ("at", "client", "organisation", "service", "outcome", "asked", "returned", "flags")
"""What a terminal has room for."""


@click.group()
def incident() -> None:
    """What an incident has touched."""


@incident.command()
@click.option("--build", default="", help="Answered by builds whose id begins so.")
@click.option("--rules", default="", help="Answered by rules whose digest begins so.")
@click.option("--configuration", default="", help="Answered with settings whose digest begins so.")
@click.option("--between", type=(MOMENT, MOMENT), help="Begun from the one moment to before the other (UTC).")
@click.option("--client", help="Requests of this client alone.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@config_option
def affected(
    config_file: Path,
    build: str,
    rules: str,
    configuration: str,
    between: tuple[datetime, datetime] | None,
    client: str | None,
    form: str,
) -> None:
    """List the requests that a build, its rules or a configuration answered, or that came in a time.

    Without any of these: which there were, and from when to when. NHS numbers are shown to those alone who may search
    by them. The question is on record.
    """
    since, until = (None, None) if between is None else (moment.replace(tzinfo=UTC) for moment in between)
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--between: the first moment is not before the second")
    suspicion = Suspicion(build, rules, configuration, since, until, client)
    settings = read_settings(config_file)
    question = Question(OperatorActKind.AUDIT_SEARCHED, _COMMAND, (Permission.AUDIT_READ,), _told(suspicion))
    operator, _ = asked(settings, question)
    patients = operator.may(Permission.AUDIT_PATIENTS)
    with _lanes_of(settings) as lanes:
        if suspicion == Suspicion():
            _print_releases(spans(lanes.spans().values()), form)
        else:
            found = (row for row in lanes.affected(suspicion) if shows(operator.scope, row))
            _PRINTERS[form](_HEAD, (row_of(happening, patients=patients) for happening in found))
        if lanes.untold:
            days = ", ".join(sorted({lane.day.isoformat() for lane in lanes.untold}))
            click.echo(
                f"warning: as what {len(lanes.untold)} lanes of {days} were written cannot be told: their first record"
                " was erased, or is damaged (`smsp audit verify`); what they hold is not listed",
                err=True,
            )


@contextmanager
def _lanes_of(settings: Settings) -> Iterator[AuditLanes]:
    """The lanes of the trail.

    Raises:
        CannotStart: the trail or its keys cannot be used.
    """
    with readable(settings):
        database = build_audit_database(settings)
        try:
            database.open()
            yield AuditLanes(database, build_unsealer(settings, SystemClock()))
        except AuditKeysUnusable as error:
            raise CannotStart(f"audit.keys: {error}") from None
        finally:
            database.close()


def _told(suspicion: Suspicion) -> str:
    """The question as it stands on the trail."""
    given = {
        "build": suspicion.build,
        "rules": suspicion.rules,
        "configuration": suspicion.configuration,
        "since": "" if suspicion.since is None else timestamp(suspicion.since),
        "until": "" if suspicion.until is None else timestamp(suspicion.until),
        "client": suspicion.client or "",
    }
    return " ".join((_COMMAND, *(f"{name}={value}" for name, value in given.items() if value)))


def _print_releases(found: Iterable[ReleaseSpan], form: str) -> None:
    head = ("first", "last", "build", "rules", "configuration", "processes", "hosts")
    whole = form != "table"
    _PRINTERS[form](
        head,
        (
            {
                "first": timestamp(span.first),
                "last": timestamp(span.last),
                "build": span.release.build,
                "rules": span.release.rules if whole else span.release.rules[:_SHOWN_DIGITS],
                "configuration": span.release.configuration if whole else span.release.configuration[:_SHOWN_DIGITS],
                "processes": str(span.processes),
                "hosts": " ".join(span.hosts),
            }
            for span in found
        ),
    )


Rows = Iterable[Mapping[str, str]]


def _print_table(head: tuple[str, ...], rows: Rows) -> None:
    shown = _SHOWN if head == _HEAD else head
    print_table(shown, [[row.get(name, "") for name in shown] for row in rows])


def _print_csv(head: tuple[str, ...], rows: Rows) -> None:
    for line in csv_lines(head, ([row.get(name, "") for name in head] for row in rows)):
        click.echo(line)


def _print_json(head: tuple[str, ...], rows: Rows) -> None:
    for row in rows:
        click.echo(json.dumps({name: row.get(name, "") for name in head}))


_PRINTERS: Final[Mapping[str, Callable[[tuple[str, ...], Rows], None]]] = {
    "table": _print_table,
    "csv": _print_csv,
    "json": _print_json,
}
