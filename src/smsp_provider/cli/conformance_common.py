"""What the conformance commands have in common: cases, schemas, and the end of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from smsp_provider.cli.exit_codes import CannotStart, ExitCode
from smsp_provider.conformance.cases import Case, InvalidCase, packaged_cases, read_cases
from smsp_provider.conformance.evidence import Run, Verdict, write_run
from smsp_provider.conformance.report import html_report
from smsp_provider.xmlcore.schemas import SchemaPackError, Schemas

__all__ = ["cases_of", "conclude", "existing_folder", "folder", "schemas_of"]

folder: Final = click.Path(file_okay=False, path_type=Path)
existing_folder: Final = click.Path(exists=True, file_okay=False, path_type=Path)


def conclude(run: Run, to: Path | None) -> int:
    """Write the evidence, print the count of verdicts, and give the exit code.

    Raises:
        CannotStart: the folder cannot be written.
    """
    if to is not None:
        try:
            write_run(run, to, html_report(run))
        except OSError as error:
            raise CannotStart(f"{to}: {error.strerror}") from None
    counts = ", ".join(f"{run.count(verdict)} {verdict.value}" for verdict in Verdict)
    click.echo(f"{counts} in {run.seconds:.1f} s")
    if to is not None:
        click.echo(f"Evidence: {to / 'report.html'}")
    return ExitCode.OK if run.passed else ExitCode.UNEXPECTED


def cases_of(files: Sequence[Path], only: Sequence[str]) -> list[Case]:
    """The cases of the files, or the packaged ones; only those whose id begins with one of ``only``.

    Raises:
        UsageError: a file holds no cases, or none is left.
    """
    try:
        cases = [case for file in files for case in read_cases(file)] if files else list(packaged_cases())
    except InvalidCase as error:
        raise click.UsageError(str(error)) from None
    chosen = [case for case in cases if not only or case.id.startswith(tuple(only))]
    if not chosen:
        raise click.UsageError("no case has such an id")
    return chosen


def schemas_of(folder: Path | None) -> Schemas:
    """The schemas of a folder, or the product's own.

    Raises:
        UsageError: the folder is no pack of schemas.
    """
    try:
        return Schemas(folder)
    except SchemaPackError as error:
        raise click.UsageError(f"--schemas: {error}") from None
