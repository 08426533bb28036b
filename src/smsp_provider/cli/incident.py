"""``smsp incident``: what an incident has touched."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.encoding import timestamp
from smsp_provider.audit.events import OperatorAct, OperatorActKind
from smsp_provider.audit.exchanges import Happening, shows
from smsp_provider.audit.incident import ReleaseSpan, Suspicion, spans
from smsp_provider.cli.client_session import readable
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.csv_rows import csv_lines
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.operator_session import office_of
from smsp_provider.cli.os_user import access_point
from smsp_provider.cli.table import print_table
from smsp_provider.config.settings import Settings
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_keys import AuditKeysUnusable
from smsp_provider.storage.audit_lanes import AuditLanes
from smsp_provider.wiring_audit import build_audit_database, build_unsealer

__all__ = ["incident"]

_MASKED: Final = "[masked]"
_SHOWN_DIGITS: Final = 12
_HEAD: Final = (
    *("at", "exchange", "client", "organisation", "service", "outcome", "evidence", "name_contradiction"),
    *("asked", "returned", "message_id"),
)
_SHOWN: Final = ("at", "client", "organisation", "service", "outcome", "asked", "returned", "name_contradiction")
"""What a terminal has room for."""
_MOMENT: Final = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.group()
def incident() -> None:
    """What an incident has touched."""


@incident.command()
@click.option("--build", default="", help="Answered by builds whose id begins so.")
@click.option("--rules", default="", help="Answered by rules whose digest begins so.")
@click.option("--configuration", default="", help="Answered with settings whose digest begins so.")
@click.option("--between", type=(_MOMENT, _MOMENT), help="Begun from the one moment to before the other (UTC).")
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
    suspicion = Suspicion(build, rules, configuration, since, until, client)
    with _asked_by_an_operator(read_settings(config_file), suspicion) as (lanes, operator):
        if suspicion == Suspicion():
            _print_releases(spans(lanes.spans().values()), form)
        else:
            found = (row for row in lanes.affected(suspicion) if shows(operator.scope, row))
            show = _number if operator.may(Permission.AUDIT_PATIENTS) else _masked
            _PRINTERS[form](_HEAD, (_row(happening, show) for happening in found))
        if lanes.untold:
            days = ", ".join(sorted({lane.day.isoformat() for lane in lanes.untold}))
            click.echo(
                f"warning: as what {len(lanes.untold)} lanes of {days} were written cannot be told: their first record"
                " was erased, or is damaged (`smsp audit verify`); what they hold is not listed",
                err=True,
            )


@contextmanager
def _asked_by_an_operator(settings: Settings, suspicion: Suspicion) -> Iterator[tuple[AuditLanes, Operator]]:
    """The lanes of the trail, for somebody who may look into them; what is asked is on record first.

    Raises:
        NotAllowed: nobody is logged in, or may not.
        CannotStart: the trail or its keys cannot be used.
    """
    clock = SystemClock()
    with office_of(settings) as office:
        operator = office.authorised(Permission.AUDIT_READ, "incident affected")
        office.trail.record_act(
            OperatorAct(clock.now(), OperatorActKind.COMMAND, access_point().shown, operator.name, 0, _told(suspicion))
        )
    with readable(settings):
        database = build_audit_database(settings)
        try:
            database.open()
            yield AuditLanes(database, build_unsealer(settings, clock)), operator
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
    return " ".join(("incident affected", *(f"{name}={value}" for name, value in given.items() if value)))


def _row(happening: Happening, show: Callable[[NHSNumber | None], str]) -> Mapping[str, str]:
    request, ending = happening.request, happening.ending
    evidence = None if ending is None else ending.patient.evidence
    contradicts = ending is not None and ending.patient.name_contradiction
    return {
        "at": timestamp(happening.at),
        "exchange": happening.parts[0].exchange or "",
        "client": "" if request is None else request.client or "",
        "organisation": "" if happening.organisation is None else happening.organisation.code,
        "service": "" if request is None or request.service is None else request.service.value,
        "outcome": happening.outcome,
        "evidence": "" if evidence is None else evidence.value,
        "name_contradiction": "yes" if contradicts else "",
        "asked": show(happening.asked),
        "returned": show(happening.returned),
        "message_id": "" if request is None else request.message_id or "",
    }


def _number(number: NHSNumber | None) -> str:
    return "" if number is None else number.digits


def _masked(number: NHSNumber | None) -> str:
    return "" if number is None else _MASKED


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
    print_table(shown, [[row[name] for name in shown] for row in rows])


def _print_csv(head: tuple[str, ...], rows: Rows) -> None:
    for line in csv_lines(head, ([row[name] for name in head] for row in rows)):
        click.echo(line)


def _print_json(head: tuple[str, ...], rows: Rows) -> None:
    for row in rows:
        click.echo(json.dumps({name: row[name] for name in head}))


_PRINTERS: Final[Mapping[str, Callable[[tuple[str, ...], Rows], None]]] = {
    "table": _print_table,
    "csv": _print_csv,
    "json": _print_json,
}
