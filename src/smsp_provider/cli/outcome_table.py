"""What came of a drive, for a reader: outcomes by service, the rows with something special, and what went wrong."""

from collections import defaultdict
from itertools import islice
from typing import Final

import click

from smsp_provider.cli.drive import DriveReport, Judgement
from smsp_provider.cli.table import print_table
from smsp_provider.cli.vocabulary import meaning_of
from smsp_provider.domain.service import Service

__all__ = ["print_outcomes"]

_SHOWN_MISTAKES: Final = 20
_SHORT_NAMES: Final = {
    Service.VERIFY_NHS_NUMBER: "verify",
    Service.GET_NHS_NUMBER: "getNumber",
    Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER: "byNumber",
    Service.GET_PATIENT_DETAILS_BY_SEARCH: "bySearch",
    Service.GET_PATIENT_DETAILS: "details",
}


def print_outcomes(report: DriveReport) -> None:
    """Print the tables and the verdict. The patients of such a file are synthetic, so that numbers may be shown."""
    _print_counts(report)
    _print_special(report)
    mistakes = report.unexpected
    if mistakes:
        click.echo(f"\nNot expected: {len(mistakes)}")
        for judgement in islice(mistakes, _SHOWN_MISTAKES):
            row = judgement.expected.row
            call = f"{judgement.expected.service.value.removesuffix('-v1-0')} {judgement.expected.variant}"
            click.echo(f"  {row.nhs_number} {row.family}, {call}: {'; '.join(judgement.problems)}")
    total = len(report.judgements)
    click.echo(
        f"\n{total} answers in {report.seconds:.1f} s: {total - len(mistakes)} as expected, {len(mistakes)} not."
        f" Answers that name a patient other than the one asked for: {report.naming_others}."
    )


def _print_counts(report: DriveReport) -> None:
    counts = report.counts()
    codes = sorted({code for _, _, code in counts})
    calls = sorted({(service, variant) for service, variant, _ in counts}, key=_order)
    rows = [
        [
            service.value.removesuffix("-v1-0"),
            variant,
            *(str(counts.get((service, variant, code), "")) for code in codes),
        ]
        for service, variant in calls
    ]
    print_table(("service", "asked", *codes), rows)
    click.echo("\n(a) surname, gender, date of birth; getPatientDetails also forename. (b) and forename and postcode.")
    for code in codes:
        click.echo(f"{code}: {meaning_of(code)}")


def _order(call: tuple[Service, str]) -> tuple[bool, int, str]:
    service, variant = call
    return variant not in ("by number", "(a)", "(b)"), list(Service).index(service), variant


def _print_special(report: DriveReport) -> None:
    """One line for each row that is not plain, or of which a call did not succeed."""
    by_row: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in report.judgements:
        by_row[judgement.expected.row.nhs_number].append(judgement)
    special = [
        judgements
        for judgements in by_row.values()
        if not judgements[0].expected.row.is_plain or len({judgement.code for judgement in judgements}) > 1
    ]
    click.echo(f"\n{len(by_row) - len(special)} rows gave SMSP-0000 in every call. The others:\n")
    print_table(("NHS number", "surname", "why", "what came back"), [_special_row(item) for item in special])


def _special_row(judgements: list[Judgement]) -> list[str]:
    row = judgements[0].expected.row
    why = {"S": "sensitive", "I": "invalidated"}.get(row.flag, "") or row.notes
    calls: dict[str, list[str]] = defaultdict(list)
    for judgement in judgements:
        name = _SHORT_NAMES[judgement.expected.service]
        variant = "" if judgement.expected.variant == "by number" else f" {judgement.expected.variant}"
        calls[judgement.code].append(name + variant)
    if not why:
        why = "shares its details" if "DEMOG-0007" in calls else "short surname"
    answers = [f"{code}: {', '.join(names)}" for code, names in sorted(calls.items()) if code != "SMSP-0000"]
    return [row.nhs_number, row.family, why, "; ".join(answers) or "SMSP-0000 in every call"]
