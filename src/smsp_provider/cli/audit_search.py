"""``smsp audit search``: who asked about whom, when, from where, and what was answered."""

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.encoding import timestamp
from smsp_provider.audit.events import OperatorActKind
from smsp_provider.audit.exchanges import Criteria, Happening
from smsp_provider.audit.terms import Term, TermKind, term
from smsp_provider.cli.audit_looking import Question, asked, nhs_number, search_of
from smsp_provider.cli.audit_rows import FIELDS, TABLE_HEAD, row_of, table_row
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.csv_rows import csv_lines
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.moments import MOMENT
from smsp_provider.cli.table import print_table
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.operators import Permission
from smsp_provider.storage.audit_search import Cursor, CursorInvalid, Page

__all__ = ["search"]

_MOST: Final = 10_000
_VALUE_WIDTH: Final = 100
_TERMS: Final = {
    "user": TermKind.USER,
    "identity": TermKind.IDENTITY,
    "message_id": TermKind.MESSAGE,
    "client": TermKind.CLIENT,
    "organisation": TermKind.ORGANISATION,
    "service": TermKind.SERVICE,
    "outcome": TermKind.OUTCOME,
    "error_id": TermKind.ERROR_ID,
    "operator": TermKind.OPERATOR,
    "kind": TermKind.RECORD_KIND,
}
"""The options that look for a term, by the names that click gives them."""

Rows = Sequence[Mapping[str, str]]


class _Place(click.ParamType[tuple[str, int]]):
    name = "LANE:N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        lane, colon, n = str(value).rpartition(":")
        if not colon or not lane or not (n.isascii() and n.isdigit()):
            self.fail("the number or the token of a lane, a colon, and the number of the record in it", param, ctx)
        return lane, int(n)


class _Behind(click.ParamType[Cursor]):
    name = "CURSOR"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Cursor:
        try:
            return Cursor.read(str(value))
        except CursorInvalid as error:
            self.fail(str(error), param, ctx)


@click.command()
@config_option
@click.option("--user", help="User id, role profile, or local id of a person.")
@click.option("--identity", help="One id of the audit identity, whole.")
@click.option("--message-id", help="Of the request, its tracking id, of the answer, or of a message to or from Spine.")
@click.option("--nhs-number", "number", type=nhs_number, help="Asked for or returned; - asks for it.")
@click.option("--client", help="Registered name, username, or common name of the certificate.")
@click.option("--organisation", help="ODS code of the organisation in whose name was asked.")
@click.option("--service", help="Name of the operation, with its version.")
@click.option("--outcome", help="Code on the wire, name of the response, error code, or answered, fault, unknown.")
@click.option("--error-id", help="ErrorID of a fault.")
@click.option("--operator", "account", help="Account of an operator.")
@click.option("--kind", help="exchange, start, change, act, refusals, an act such as login, and others.")
@click.option("--since", type=MOMENT, help="From this moment on (UTC).")
@click.option("--until", type=MOMENT, help="Before this moment (UTC).")
@click.option("--sequence", type=_Place(), help="The one record with this place, and the exchange it belongs to.")
@click.option("--oldest-first", is_flag=True, help="Otherwise the newest come first.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="Of one page.")
@click.option("--after", type=_Behind(), help="The next page: what the page before told.")
@click.option("--database", type=regular_file, help="A trail made by `smsp audit restore`, in place of the provider's.")
@click.option("--patients", is_flag=True, help="Show NHS numbers.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values with a head.")
def search(
    config_file: Path,
    number: NHSNumber | None,
    account: str | None,
    since: datetime | None,
    until: datetime | None,
    sequence: tuple[str, int] | None,
    after: Cursor | None,
    limit: int,
    database: Path | None,
    form: str | None,
    *,
    oldest_first: bool,
    patients: bool,
    **values: str | None,
) -> int:
    """Search the audit trail: what meets all of the criteria, and lies within your scope.

    NHS numbers are shown, and searched for, with the right to search by patient. The search itself is on record with
    what was searched for. A further page is told on standard error.

    Exit code 1 when nothing was found.
    """
    settings = read_settings(config_file)
    wanted = {**values, "operator": account}
    if sequence is not None and (number or since or until or after or any(wanted.values())):
        raise click.UsageError("--sequence is one record: no other criterion goes with it")
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since is not before --until")
    by_patient = number is not None or patients
    question = Question(
        OperatorActKind.AUDIT_SEARCHED,
        "audit search by patient" if by_patient else "audit search",
        (Permission.AUDIT_PATIENTS if by_patient else Permission.AUDIT_READ,),
        " ".join(("audit search", *_told(wanted, since, until, sequence, after))),
        number,
    )
    operator, now = asked(settings, question)
    with search_of(settings, database) as audit_search:
        if sequence is not None:
            page = _page_of(audit_search.at(*sequence, operator.scope))
        else:
            criteria = Criteria(tuple(_clauses(wanted, number)), _utc(since), min(_utc(until) or now, now))
            page = audit_search.find(criteria, operator.scope, limit=limit, newest_first=not oldest_first, after=after)
    _print([row_of(happening, patients=by_patient) for happening in page.found], form)
    for problem in page.problems:
        click.echo(f"warning: {problem}; run `smsp audit verify`", err=True)
    if page.after is not None:
        click.echo(f"there are more: --after {page.after}", err=True)
    return ExitCode.OK if page.found else ExitCode.UNEXPECTED


def _page_of(happening: Happening | None) -> Page:
    return Page([] if happening is None else [happening])


def _clauses(wanted: Mapping[str, str | None], number: NHSNumber | None) -> Iterator[frozenset[Term]]:
    for name, value in wanted.items():
        if value:
            yield frozenset({term(_TERMS[name], value)})
    if number is not None:
        yield frozenset({term(TermKind.NHS_NUMBER, number.digits)})


def _told(
    wanted: Mapping[str, str | None],
    since: datetime | None,
    until: datetime | None,
    sequence: tuple[str, int] | None,
    after: Cursor | None,
) -> Iterator[str]:
    """The criteria as they stand on the trail, but the patient, who has a field there."""
    yield from (f"{name}={value}" for name, value in wanted.items() if value)
    moments = (("since", _utc(since)), ("until", _utc(until)))
    yield from (f"{name}={timestamp(moment)}" for name, moment in moments if moment is not None)
    if sequence is not None:
        yield f"sequence={sequence[0]}:{sequence[1]}"
    if after is not None:
        yield f"after={after}"


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _print(rows: Rows, form: str | None) -> None:
    printers: Mapping[str | None, Callable[[Rows], None]] = {"json": _print_json, "csv": _print_csv}
    printers.get(form, _print_table)(rows)


def _print_json(rows: Rows) -> None:
    for row in rows:
        click.echo(json.dumps(row))


def _print_csv(rows: Rows) -> None:
    for line in csv_lines(FIELDS, ([row.get(name, "") for name in FIELDS] for row in rows)):
        click.echo(line)


def _print_table(rows: Rows) -> None:
    if len(rows) == 1:
        print_table(("field", "value"), list(_wrapped(rows[0])))
    elif rows:
        print_table(TABLE_HEAD, [table_row(row) for row in rows])


def _wrapped(row: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The fields of a row, what is long over several lines."""
    for name, value in row.items():
        first, *others = textwrap.wrap(value, _VALUE_WIDTH, break_on_hyphens=False) or [""]
        yield name, first
        yield from (("", line) for line in others)
