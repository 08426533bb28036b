"""``smsp audit report``: everything on record about one patient, as a page to print (a subject access report)."""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from smsp_provider.audit.chain import Lane
from smsp_provider.audit.events import OperatorActKind
from smsp_provider.audit.exchanges import OPEN, Happening
from smsp_provider.audit.roots import RootInvalid, RootStatement, parse
from smsp_provider.audit.terms import UNKNOWN_OUTCOME
from smsp_provider.cli.audit_looking import Question, asked, nhs_number, search_of
from smsp_provider.cli.audit_rows import FIELDS, row_of
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_patient import PatientRecords, records_of_patient

__all__ = ["report"]

_MARKING: Final = "NHS Confidential: Personal Data about a patient"
_SERVICES: Final[Mapping[str, str]] = {
    Service.VERIFY_NHS_NUMBER.value: "Is this NHS number the one of this person?",
    Service.GET_NHS_NUMBER.value: "Which NHS number has this person?",
    Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER.value: "Details of the person with this NHS number",
    Service.GET_PATIENT_DETAILS_BY_SEARCH.value: "Details of a person, found by name and date of birth",
    Service.GET_PATIENT_DETAILS.value: "Details of a person, by NHS number or by name",
}
_ANSWERS: Final[Mapping[str, str]] = {
    ResponseCode.SUCCESS.value: "what was asked for was given",
    ResponseCode.NO_MATCH.value: "nobody was found",
    ResponseCode.MULTIPLE_MATCHES.value: "more than one person was found, so nothing was given",
    ResponseCode.SUPERSEDED.value: "the NHS number was replaced by another one, which was given",
    ResponseCode.INVALIDATED.value: "the NHS number is no longer valid",
    ResponseCode.NOT_VERIFIED.value: "the details did not agree, so nothing was given",
}
"""What an answer means for the patient; the others are failures, which gave nothing."""

_WITHOUT_ENDING: Final[Mapping[str, str]] = {
    OPEN: "not on record yet",
    UNKNOWN_OUTCOME: "not known: the provider was interrupted, the question may have reached Spine",
    "erased": "no longer on record: it was erased",
    "unreadable": "on record, but it cannot be read",
}
_OTHER_ANSWER: Final = "it failed, so nothing was given"


@click.command()
@config_option
@click.argument("number", metavar="NHS-NUMBER", type=nhs_number)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The page to write; never overwritten.")
def report(config_file: Path, number: NHSNumber, output: Path) -> None:
    """Write everything on record about one patient as a page to print (HTML): who asked, when, and what was answered.

    The number can be - to be asked for it. Numbers that Spine said to be the same person's are followed. The page needs
    nothing beside it, is readable by you alone, and bears a protective marking. The report itself is on record.
    """
    settings = read_settings(config_file)
    if output.exists():
        raise CannotStart(f"{output}: is there already")
    question = Question(
        OperatorActKind.PATIENT_REPORTED, "audit report", (Permission.AUDIT_PATIENTS,), "audit report", number
    )
    operator, now = asked(settings, question)
    with search_of(settings) as search:
        found = records_of_patient(search, number, operator.scope, now)
        page = _page(search.database, found, operator, now)
    _write(output, page)
    click.echo(f"{output}: {len(found.exchanges)} requests, {len(found.searches)} searches of the audit trail")


def _page(database: AuditDatabase, found: PatientRecords, operator: Operator, until: datetime) -> str:
    environment = Environment(
        loader=PackageLoader("smsp_provider.cli", "data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"spaced": _spaced, "readable": _readable}
    last = database.last_root()
    lanes: Iterable[Lane] = database.lanes()
    return environment.get_template("patient_report.html.j2").render(
        marking=_MARKING,
        records=found,
        exchanges=list(_rows(found.exchanges)),
        searches=list(_rows(found.searches)),
        lanes=lanes,
        until=until,
        scope=operator.scope,
        operator=operator.name,
        trail_id=database.trail_id(),
        root=None if last is None else _statement(last.statement),
        root_hash="" if last is None else sha256(last.statement).hexdigest(),
        spaced=_spaced,
        moment=_moment,
    )


def _statement(text: bytes) -> RootStatement:
    try:
        return parse(text)
    except RootInvalid as error:
        raise CannotStart(f"the last root of the audit trail: {error}; run `smsp audit verify`") from None


def _rows(happenings: Iterable[Happening]) -> Iterator[Mapping[str, str]]:
    for happening in happenings:
        row = {**dict.fromkeys(FIELDS, ""), **row_of(happening, patients=True)}
        organisation = f"for organisation {row['organisation']}" if row["organisation"] else ""
        system = row["client"] or row["username"] or row["common_name"]
        yield {
            **row,
            "asked": _grouped(row["asked"]),
            "returned": _grouped(row["returned"]),
            "asked_for": _SERVICES.get(row["service"], row["service"] or "a service that is not known"),
            "who": ", ".join(filter(None, (f"system {system}" if system else "", organisation))) or "not known",
            "answer": _answer(row),
        }


def _answer(row: Mapping[str, str]) -> str:
    outcome = row["outcome"]
    return _WITHOUT_ENDING.get(outcome) or f"{outcome}: {_ANSWERS.get(row['response'], _OTHER_ANSWER)}"


def _spaced(number: NHSNumber) -> str:
    return _grouped(number.digits)


def _grouped(digits: str) -> str:
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}".strip()


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _readable(timestamp: str) -> str:
    return _moment(datetime.fromisoformat(timestamp))


def _write(output: Path, page: str) -> None:
    """Write a new file that is its owner's alone.

    Raises:
        CannotStart: it is there already, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(output, flags, 0o600), "w", encoding="utf-8") as stream:
            stream.write(page)
    except OSError as error:
        raise CannotStart(f"{output}: {error.strerror}") from None
