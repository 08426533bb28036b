"""``smsp conformance run``: every case against a provider."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from smsp_provider import __version__
from smsp_provider.cli.conformance_common import cases_of, conclude, existing_folder, folder, schemas_of
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.seconds import Seconds
from smsp_provider.conformance.cases import Case, packaged_cases
from smsp_provider.conformance.evidence import Result, Run, Verdict
from smsp_provider.conformance.expectations import Judge
from smsp_provider.conformance.mutations import BadStep
from smsp_provider.conformance.population import InvalidPopulation, Population, read_population
from smsp_provider.conformance.runner import Runner
from smsp_provider.conformance.transport import Target, Transport, UnusableTarget

__all__ = ["run_command"]


@click.command("run")
@click.option("--url", required=True, help="Address of the system under test, e.g. https://localhost:8443/smsp/pds.")
@click.option("--cert", type=regular_file, help="PEM file of the client certificate.")
@click.option("--key", type=regular_file, help="PEM file of its key, where it is not in --cert.")
@click.option("--ca", type=regular_file, help="PEM file of the authority that signed the server's certificate.")
@click.option("--proxy", help="URL of an HTTP proxy.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent with every request; repeatable.")
@click.option("--timeout", type=Seconds(0.1), default=60.0, show_default=True, help="Seconds for one answer.")
@click.option("--username", help="Username of the requests.  [default: that of the population]")
@click.option(
    "--population", type=regular_file, help="Patients of the system under test.  [default: those of smsp sandbox]"
)
@click.option("--offers", multiple=True, metavar="CAPABILITY", help="What the system offers besides; repeatable.")
@click.option(
    "--signing-key",
    type=regular_file,
    help="PEM file of a key and its certificate, for signed requests.  [default: --cert and --key]",
)
@click.option("--schemas", type=existing_folder, help="Folder of the official schemas.  [default: the product's own]")
@click.option(
    "--cases", type=regular_file, multiple=True, help="Cases of one's own in place of the packaged; repeatable."
)
@click.option("--only", multiple=True, metavar="PREFIX", help="Only cases whose id begins so; repeatable.")
@click.option("--to", type=folder, help="Folder for the evidence.")
@click.option("--verbose", is_flag=True, help="Print every case, not only those that failed.")
def run_command(
    *,
    url: str,
    cert: Path | None,
    key: Path | None,
    ca: Path | None,
    proxy: str | None,
    headers: tuple[str, ...],
    timeout: float,
    username: str | None,
    population: Path | None,
    offers: tuple[str, ...],
    signing_key: Path | None,
    schemas: Path | None,
    cases: tuple[Path, ...],
    only: tuple[str, ...],
    to: Path | None,
    verbose: bool,
) -> int:
    """Send every case to a provider and judge the answers.

    Any SMSP can be tested, not only this one.
    With --to the evidence is written: report.html, junit.xml, run.json and the raw messages.
    Exit code 0 only if at least one case passed and none failed.
    """
    people = _population(population, offers)
    _check_offers(people, cases_of(cases, ()))
    chosen = cases_of(cases, only)
    target = Target(url, ca, cert, key, proxy, _headers(headers), timeout)
    signing = _pem((signing_key,) if signing_key is not None else (cert, key))
    try:
        transport = Transport(target)
        runner = Runner(transport, Judge(schemas_of(schemas)), people, username or people.username, signing)
    except UnusableTarget as error:
        raise click.UsageError(str(error)) from None
    started, now = time.monotonic(), datetime.now(UTC)
    results: list[Result] = []
    try:
        for result in runner.run(chosen):
            results.append(result)
            _tell(result, verbose=verbose)
    except (BadStep, ValueError) as error:
        raise click.UsageError(f"a case cannot be built: {error}") from None
    finally:
        transport.close()
    facts = (
        ("system under test", url),
        ("time", f"{now:%Y-%m-%d %H:%M:%S} UTC"),
        ("harness", f"smsp-provider {__version__}, {len(chosen)} cases"),
        ("population", str(population or "packaged: the patients of smsp sandbox")),
        ("offered", ", ".join(sorted(runner.offers()))),
        ("schemas", str(schemas or "the product's own")),
    )
    run = Run("Conformance of an SMSP", facts, tuple(results), time.monotonic() - started)
    return conclude(run, to)


def _tell(result: Result, *, verbose: bool) -> None:
    if result.verdict is Verdict.FAILED:
        click.echo(f"FAILED {result.id}: {result.purpose}\n       {result.reason}")
    elif verbose:
        click.echo(
            f"{result.verdict.value} {result.id}: {result.purpose}{f' ({result.reason})' if result.reason else ''}"
        )


def _pem(files: Sequence[Path | None]) -> str:
    """The text of PEM files, one after the other."""
    return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file is not None)


def _population(file: Path | None, offers: Sequence[str]) -> Population:
    try:
        found = read_population(file)
    except InvalidPopulation as error:
        raise click.UsageError(str(error)) from None
    return replace(found, offers=found.offers | set(offers))


def _check_offers(population: Population, cases: Sequence[Case]) -> None:
    """A misspelt capability would leave cases out of the run without a word."""
    known = {need.removeprefix("not-") for case in (*packaged_cases(), *cases) for need in case.needs}
    unknown = ", ".join(sorted(population.offers - known))
    if unknown:
        raise click.UsageError(f"no case needs {unknown}; what a system may offer is {', '.join(sorted(known))}")


def _headers(given: Sequence[str]) -> dict[str, str]:
    headers = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"--header {text!r} is not NAME:VALUE")
        headers[name.strip()] = value.strip()
    return headers
