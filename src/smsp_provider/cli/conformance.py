"""``smsp conformance``: test a provider, check captured messages, play a provider for a client, compare two runs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider import __version__
from smsp_provider.cli.conformance_common import cases_of, existing_folder, folder
from smsp_provider.cli.conformance_messages import simulate_command, validate_command
from smsp_provider.cli.conformance_run import run_command
from smsp_provider.cli.exit_codes import CannotStart, ExitCode
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.table import print_table
from smsp_provider.conformance.compare import changed_facts, differences
from smsp_provider.conformance.datafiles import data_text
from smsp_provider.conformance.evidence import UnreadableRun, read_run
from smsp_provider.conformance.population import PACKAGED
from smsp_provider.conformance.requirements import STATUSES, InvalidCatalogue, read_catalogue, table_of
from smsp_provider.conformance.scripts import PACKAGED_ANSWERS

__all__ = ["conformance"]

_SHOWN: Final = {"population": PACKAGED, "answers": PACKAGED_ANSWERS, "expectations": "expectations.toml"}


@click.group()
def conformance() -> None:
    """Test an SMSP or a client from outside, with evidence."""


@conformance.command("list")
@click.option(
    "--cases", type=regular_file, multiple=True, help="Cases of one's own in place of the packaged; repeatable."
)
def list_command(*, cases: tuple[Path, ...]) -> int:
    """List the cases: id, requirement ids, purpose."""
    chosen = cases_of(cases, ())
    print_table(
        ("case", "requirements", "purpose"), [(case.id, " ".join(case.requirements), case.purpose) for case in chosen]
    )
    click.echo(f"{len(chosen)} cases")
    return ExitCode.OK


@conformance.command("show")
@click.argument("what", type=click.Choice(list(_SHOWN)))
def show_command(*, what: str) -> int:
    """Print a packaged file, to copy and change it.

    population: who plays which part in the cases, for `run --population`.
    answers: rules and patients of the simulator, for `simulate --script`.
    expectations: the checks and groups that cases ask for by name.
    """
    click.echo(data_text(_SHOWN[what]), nl=False)
    return ExitCode.OK


@conformance.command("compare")
@click.argument("first", type=existing_folder)
@click.argument("second", type=existing_folder)
def compare_command(*, first: Path, second: Path) -> int:
    """Tell what differs between two runs: FIRST and SECOND are folders that `run --to` wrote.

    Exit code 1 when the second run proves less than the first.
    """
    try:
        before, after = read_run(first), read_run(second)
    except UnreadableRun as error:
        raise CannotStart(str(error)) from None
    for fact in changed_facts(before, after):
        click.echo(f"other {fact}")
    found = list(differences(before, after))
    for difference in found:
        click.echo(f"{'WORSE ' if difference.worse else '      '}{difference.case}: {difference.text}")
    worse = sum(1 for difference in found if difference.worse)
    click.echo(f"{len(found)} differences, {worse} of them for the worse")
    return ExitCode.UNEXPECTED if worse else ExitCode.OK


@conformance.command("requirements")
@click.argument("results", nargs=-1, required=True, type=regular_file)
@click.option("--catalogue", type=regular_file, required=True, help="TOML file of the requirements.")
@click.option("--root", type=existing_folder, default=".", help="Folder that the catalogue's documents are named from.")
@click.option("--to", type=folder, required=True, help="Folder for requirements.html and requirements.csv.")
def requirements_command(*, results: tuple[Path, ...], catalogue: Path, root: Path, to: Path) -> int:
    """Build the requirement table from a catalogue and test results.

    RESULTS are JUnit XML files whose tests name requirements by properties called rule; `run --to` writes such a file.
    Exit code 1 when a MUST has neither a passing test nor a documented reason, or a test failed.
    """
    facts = (("made", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"), ("product", f"smsp-provider {__version__}"))
    try:
        table = table_of(read_catalogue(catalogue, root), results, facts)
        to.mkdir(parents=True, exist_ok=True)
        (to / "requirements.html").write_text(table.html(), encoding="utf-8")
        (to / "requirements.csv").write_text(table.csv(), encoding="utf-8")
    except InvalidCatalogue as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise CannotStart(f"{to}: {error.strerror}") from None
    gaps = list(table.gaps())
    for gap in gaps:
        click.echo(f"GAP {gap}")
    counts = ", ".join(f"{table.count(status)} {status}" for status in STATUSES)
    click.echo(f"{len(table.rows)} requirements: {counts}")
    click.echo(f"Table: {to / 'requirements.html'}")
    return ExitCode.UNEXPECTED if gaps else ExitCode.OK


for _command in (run_command, validate_command, simulate_command):
    conformance.add_command(_command)
