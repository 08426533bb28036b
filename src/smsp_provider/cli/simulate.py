"""``smsp simulate``: the embedded Spine on its own, and the patients it knows."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from smsp_provider.cli.addresses import HostPort, host_port
from smsp_provider.cli.exit_codes import CannotStart, ExitCode
from smsp_provider.cli.files import made_or_regular_file, regular_file
from smsp_provider.cli.processes import StopSignals
from smsp_provider.cli.seconds import Seconds
from smsp_provider.cli.table import print_table
from smsp_provider.simulator.faults import InvalidFault
from smsp_provider.simulator.generate import generate as generated_patients
from smsp_provider.simulator.loader import LoadReport, NotAPatientFile, list_patients, load_file
from smsp_provider.simulator.patients import PatientStore, UnusableStore
from smsp_provider.simulator.population import load_population, scenarios
from smsp_provider.simulator.server import SpineTLS
from smsp_provider.simulator.server import serve as serve_spine

__all__ = ["fill_store", "open_store", "simulate"]

_MOST_ROWS: Final = 1_000_000_000
_HEAD: Final = ("NHS number", "family", "given", "born", "gender", "postcode", "state")
_CODES: Final = ("verify", "get_number", "by_number", "by_search")


def _text(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An argument that is no UTF-8 arrives with surrogates in it, which a database cannot be asked for."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not UTF-8", context, parameter) from None
    return value


@click.group()
def simulate() -> None:
    """The embedded Spine: serve it, give it patients, see who is in it."""


@simulate.command()
@click.option("--listen", type=host_port, default="127.0.0.1:8444", show_default=True, help="Address and port.")
@click.option("--store", type=made_or_regular_file, help="Patients of this file (see `load`).")
@click.option("--patients", type=regular_file, multiple=True, help="Add the patients of a CSV file; may be repeated.")
@click.option("--cert", type=regular_file, help="PEM file of the server's certificate; without one it is plain HTTP.")
@click.option("--key", type=regular_file, help="PEM file of its key.")
@click.option("--client-ca", type=regular_file, help="PEM file of the authority whose clients are let in.")
@click.option("--delay", type=Seconds(0), default=0.0, help="Seconds before every answer.")
@click.option("--faults", type=regular_file, help="TOML or JSON file of planned faults (docs/reference/simulator.md).")
def serve(
    *,
    listen: HostPort,
    store: Path | None,
    patients: Sequence[Path],
    cert: Path | None,
    key: Path | None,
    client_ca: Path | None,
    delay: float,
    faults: Path | None,
) -> int:
    """Serve an embedded Spine until Ctrl-C.

    Without --store it knows the shipped population of invented patients.
    With a certificate it speaks HTTPS and, with --client-ca, asks clients for theirs.
    """
    tls = None
    if cert is not None:
        if key is None:
            raise click.UsageError("--cert needs --key")
        tls = SpineTLS(cert, key, client_ca)
    elif key is not None or client_ca is not None:
        raise click.UsageError("--key and --client-ca need --cert")
    signals = StopSignals()
    with _told(store), open_store(store) as held:
        fill_store(held, population=store is None, files=patients)
        try:
            spine = serve_spine(held, tls=tls, host=listen.host, port=listen.port, delay=delay, faults_file=faults)
        except OSError as error:
            raise CannotStart(f"the embedded Spine cannot listen on {listen}: {error.strerror or error}") from None
        except InvalidFault as error:
            raise click.UsageError(f"{faults}: {error}") from None
        with spine:
            click.echo(
                f"The embedded Spine answers PDS queries at {spine.url} for {held.count()} patients. Stop: Ctrl-C"
            )
            signals.wait()
    return ExitCode.OK


@simulate.command()
@click.argument("patients", type=regular_file, nargs=-1)
@click.option("--store", type=made_or_regular_file, required=True, help="SQLite file; made if it is not there.")
@click.option("--population", is_flag=True, help="Add the shipped population.")
@click.option("--generate", type=click.IntRange(min=1), help="Add this many generated patients.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same patients.")
def load(*, store: Path, patients: Sequence[Path], population: bool, generate: int | None, seed: int) -> int:
    """Put patients into a store file.

    PATIENTS are CSV files in the layout of the public Opentest population.
    A patient whose number is already there is replaced.
    Exit code 1 when something in a file could not be understood; the rest is loaded.
    """
    if not (patients or population or generate):
        raise click.UsageError("nothing to load: give a CSV file, --population or --generate")
    with _told(store), open_store(store) as held:
        reports = fill_store(held, population=population, files=patients)
        if generate:
            try:
                held.add_all(generated_patients(generate, seed))
            except ValueError as error:
                raise click.UsageError(f"--generate: {error}") from None
        click.echo(f"{store}: {held.count()} patients")
    return ExitCode.UNEXPECTED if any(report.problems for report in reports) else ExitCode.OK


@simulate.command("list")
@click.option("--store", type=regular_file, help="Patients of this file.")
@click.option("--family", callback=_text, help="Only this surname.")
@click.option("--after", default="", callback=_text, help="Start behind this NHS number.")
@click.option(
    "--limit", type=click.IntRange(min=1, max=_MOST_ROWS), default=100, show_default=True, help="At most this many."
)
@click.option("--scenarios", "show_scenarios", is_flag=True, help="What to ask the population, and what comes back.")
def list_(*, store: Path | None, family: str | None, after: str, limit: int, show_scenarios: bool) -> int:
    """List the patients of a store file, or of the shipped population."""
    if show_scenarios:
        _print_scenarios(family)
        return ExitCode.OK
    with _told(store), open_store(store) as held:
        fill_store(held, population=store is None, files=())
        rows = [tuple(row.values()) for row in list_patients(held, limit, after, family)]
        print_table(_HEAD, rows)
        click.echo(f"{len(rows)} of {held.count()} patients")
    return ExitCode.OK


def _print_scenarios(family: str | None) -> None:
    rows = []
    for scenario in scenarios():
        ask, expected = scenario.ask, asdict(scenario.expected)
        if family is not None and (ask.family or "").casefold() != family.casefold():
            continue
        asked = (ask.nhs_number, ask.family, ask.given, ask.date_of_birth, ask.gender, ask.postcode)
        codes = [str(expected[name] or "") for name in _CODES]
        rows.append((scenario.title, *(value or "" for value in asked), *codes))
    print_table(
        (
            "what",
            "NHS number",
            "family",
            "given",
            "born",
            "gender",
            "postcode",
            "verify",
            "getNumber",
            "byNumber",
            "bySearch",
        ),
        rows,
    )


def open_store(file: Path | None) -> PatientStore:
    """The store in a file, or an empty one in memory.

    Raises:
        CannotStart: the file holds something else or cannot be opened.
    """
    try:
        return PatientStore(file)
    except (UnusableStore, sqlite3.Error) as error:
        raise CannotStart(f"{file}: {error}") from None


@contextlib.contextmanager
def _told(file: Path | None) -> Iterator[None]:
    """A store that fails while it is used (read-only, full, damaged) is told of in one line.

    Raises:
        CannotStart: with the database's own text, which holds no values.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise CannotStart(f"{file}: {error}") from None


def fill_store(store: PatientStore, *, population: bool, files: Sequence[Path]) -> list[LoadReport]:
    """Add the shipped population and the patients of files; what files hold is told, problems on standard error.

    Raises:
        CannotStart: a file is no table of patients.
    """
    if population:
        load_population(store)
    reports = []
    for file in files:
        try:
            report = load_file(store, file)
        except (OSError, NotAPatientFile) as error:
            raise CannotStart(f"{file}: {error}") from None
        click.echo(
            f"{file.name}: {report.loaded} patients, of them {report.superseded} superseded,"
            f" {report.invalidated} invalidated, {report.sensitive} sensitive, {report.deceased} deceased"
        )
        for problem in report.problems:
            click.echo(f"{file.name}, {problem}", err=True)
        reports.append(report)
    return reports
