"""``smsp conformance``: test a provider, check captured messages, play a provider for a client, compare two runs."""

import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from smsp_provider import __version__
from smsp_provider.cli.addresses import HostPort, host_port
from smsp_provider.cli.exit_codes import CannotStart, ExitCode
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.processes import StopSignals
from smsp_provider.cli.seconds import Seconds
from smsp_provider.cli.table import print_table
from smsp_provider.conformance.cases import Case, InvalidCase, packaged_cases, read_cases
from smsp_provider.conformance.client_simulator import ClientSimulator, SimulatorPolicy
from smsp_provider.conformance.compare import differences
from smsp_provider.conformance.datafiles import data_path, data_text
from smsp_provider.conformance.evidence import Result, Run, UnreadableRun, Verdict, read_run, write_run
from smsp_provider.conformance.expectations import Judge
from smsp_provider.conformance.mutations import BadStep
from smsp_provider.conformance.population import PACKAGED, InvalidPopulation, Population, read_population
from smsp_provider.conformance.report import html_report
from smsp_provider.conformance.requirements import STATUSES, InvalidCatalogue, read_catalogue, table_of
from smsp_provider.conformance.rules_language import PathMap, read_rules
from smsp_provider.conformance.rules_run import RuleRunner
from smsp_provider.conformance.runner import Runner
from smsp_provider.conformance.scripts import PACKAGED_ANSWERS, InvalidScript, read_script
from smsp_provider.conformance.transport import Target, Transport, UnusableTarget
from smsp_provider.conformance.validate import Validator, packaged_rules
from smsp_provider.xmlcore.resources import schemas_directory, wsdl_file
from smsp_provider.xmlcore.schemas import SchemaPackError, Schemas
from smsp_provider.xmlcore.wsdl import render_wsdl, render_xsd

__all__ = ["conformance"]

_File: Final = regular_file
_SHOWN: Final = {"population": PACKAGED, "answers": PACKAGED_ANSWERS, "expectations": "expectations.toml"}
_Folder: Final = click.Path(file_okay=False, path_type=Path)
_ExistingFolder: Final = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def conformance() -> None:
    """Test an SMSP or a client from outside, with evidence."""


@conformance.command("run")
@click.option("--url", required=True, help="Address of the system under test, e.g. https://localhost:8443/smsp/pds.")
@click.option("--cert", type=_File, help="PEM file of the client certificate.")
@click.option("--key", type=_File, help="PEM file of its key, where it is not in --cert.")
@click.option("--ca", type=_File, help="PEM file of the authority that signed the server's certificate.")
@click.option("--proxy", help="URL of an HTTP proxy.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent with every request; repeatable.")
@click.option("--timeout", type=Seconds(0.1), default=60.0, show_default=True, help="Seconds for one answer.")
@click.option("--username", help="Username of the requests.  [default: that of the population]")
@click.option("--population", type=_File, help="Patients of the system under test.  [default: those of smsp sandbox]")
@click.option("--offers", multiple=True, metavar="CAPABILITY", help="What the system offers besides; repeatable.")
@click.option("--signing-key", type=_File, help="PEM file of a key and its certificate, for signed requests.")
@click.option("--schemas", type=_ExistingFolder, help="Folder of the official schemas.  [default: the product's own]")
@click.option("--cases", type=_File, multiple=True, help="Cases of one's own in place of the packaged; repeatable.")
@click.option("--only", multiple=True, metavar="PREFIX", help="Only cases whose id begins so; repeatable.")
@click.option("--to", type=_Folder, help="Folder for the evidence.")
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
    chosen = _chosen(cases, only)
    target = Target(url, ca, cert, key, proxy, _headers(headers), timeout)
    signing = "" if signing_key is None else signing_key.read_text(encoding="utf-8", errors="replace")
    try:
        transport = Transport(target)
        runner = Runner(transport, Judge(_schemas(schemas)), people, username or people.username, signing)
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


@conformance.command("list")
@click.option("--cases", type=_File, multiple=True, help="Cases of one's own in place of the packaged; repeatable.")
def list_command(*, cases: tuple[Path, ...]) -> int:
    """List the cases: id, requirement ids, purpose."""
    chosen = _chosen(cases, ())
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


@conformance.command("validate")
@click.argument("files", nargs=-1, required=True, type=regular_file)
@click.option("--rules", type=_File, multiple=True, help="Rule file in the TKW language besides ours; repeatable.")
@click.option("--only-rules", is_flag=True, help="With --rules: leave our own rules out.")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="FROM=TO",
    help="Where a path of a rule file is here: a whole path, or a beginning that ends with /; repeatable.",
)
@click.option("--schemas", type=_ExistingFolder, help="Folder of the official schemas.  [default: the product's own]")
@click.option("--spine-schemas", type=_ExistingFolder, help="Folder of MIM schemas, for messages of Spine.")
@click.option("--to", type=_Folder, help="Folder for the evidence.")
@click.option("--verbose", is_flag=True, help="Print every check, not only those that failed or were not run.")
def validate_command(
    *,
    files: tuple[Path, ...],
    rules: tuple[Path, ...],
    only_rules: bool,
    maps: tuple[str, ...],
    schemas: Path | None,
    spine_schemas: Path | None,
    to: Path | None,
    verbose: bool,
) -> int:
    """Check captured ITK or Spine messages by schemas and rules.

    FILES are XML documents or HTTP captures with one or more messages, MIME parts and chunks included.
    Checks that cannot be made (an unknown type, a stylesheet or schema that is not there) are reported as not run.
    Exit code 0 only if every message was checked and no check failed.
    """
    paths = _path_map(maps, spine_schemas)
    try:
        own = [] if only_rules and rules else packaged_rules()
        rule_sets = [*own, *(read_rules(file, paths) for file in rules)]
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    validator = Validator(_schemas(schemas), RuleRunner(rule_sets, paths))
    started = time.monotonic()
    results = []
    for result in validator.files(files):
        results.append(result)
        click.echo(f"{result.verdict.value} {result.purpose}{f': {result.reason}' if result.reason else ''}")
        for finding in result.findings:
            if verbose or not finding.holds:
                state = {True: "holds", False: "FAILED", None: "not run"}[finding.holds]
                click.echo(f"  {state:8}{finding.says}{f' ({finding.reason})' if finding.reason else ''}")
    facts = (
        ("files", str(len(files))),
        ("time", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"),
        ("rules", ", ".join(rule_set.name for rule_set in rule_sets)),
        ("schemas", str(schemas or "the product's own")),
    )
    return conclude(Run("Validation of messages", facts, tuple(results), time.monotonic() - started), to)


@conformance.command("simulate")
@click.option("--listen", type=host_port, default="127.0.0.1:8090", show_default=True, help="Address and port.")
@click.option("--script", type=_File, help="TOML file of rules and patients.  [default: the packaged one]")
@click.option("--lenient", is_flag=True, help="Answer by the script whatever is wrong with a request.")
@click.option("--cert", type=_File, help="PEM file of the server's certificate; without one it is plain HTTP.")
@click.option("--key", type=_File, help="PEM file of its key, where it is not in --cert.")
@click.option("--client-ca", type=_File, help="PEM file of the authority whose clients are let in.")
@click.option("--schemas", type=_ExistingFolder, help="Folder of the official schemas.  [default: the product's own]")
@click.option(
    "--to", type=_Folder, default=Path("conformance-client"), show_default=True, help="Folder for the evidence."
)
def simulate_command(
    *,
    listen: HostPort,
    script: Path | None,
    lenient: bool,
    cert: Path | None,
    key: Path | None,
    client_ca: Path | None,
    schemas: Path | None,
    to: Path,
) -> int:
    """Play an SMSP for a client under development, until Ctrl-C.

    NHS numbers and dates of birth trigger every response code, every fault, and answers that are slow, cut or wrong:
    docs/reference/conformance.md lists them.
    What the client sends is validated, put on record and, at the end, reported with the same evidence as `run`.
    Exit code 0 only if the client sent something and nothing of it was wrong.
    """
    try:
        rules = read_script(script)
    except InvalidScript as error:
        raise click.UsageError(str(error)) from None
    validator = Validator(_schemas(schemas), RuleRunner(packaged_rules(), PathMap()))
    started, now = time.monotonic(), datetime.now(UTC)
    try:
        tls = _server_context(cert, key, client_ca)
        simulator = ClientSimulator(
            rules,
            validator,
            _description,
            host=listen.host,
            port=listen.port,
            tls=tls,
            policy=SimulatorPolicy(lenient=lenient),
            told=_tell_request,
        )
    except OSError as error:
        raise CannotStart(f"{listen}: {error.strerror or error}") from None
    signals = StopSignals()
    with simulator:
        click.echo(f"Serving at {simulator.url}, the WSDL at {simulator.url}?wsdl. Stop with Ctrl-C.")
        signals.wait()
    facts = (
        ("simulator", simulator.url),
        ("time", f"{now:%Y-%m-%d %H:%M:%S} UTC"),
        ("harness", f"smsp-provider {__version__}"),
        ("script", str(script or "packaged")),
        ("mode", "lenient" if lenient else "strict"),
    )
    run = Run("Conformance of a client", facts, simulator.results(), time.monotonic() - started)
    return conclude(run, to)


@conformance.command("compare")
@click.argument("first", type=_ExistingFolder)
@click.argument("second", type=_ExistingFolder)
def compare_command(*, first: Path, second: Path) -> int:
    """Tell what differs between two runs: FIRST and SECOND are folders that `run --to` wrote.

    Exit code 1 when the second run proves less than the first.
    """
    try:
        found = list(differences(read_run(first), read_run(second)))
    except UnreadableRun as error:
        raise CannotStart(str(error)) from None
    for difference in found:
        click.echo(f"{'WORSE ' if difference.worse else '      '}{difference.case}: {difference.text}")
    worse = sum(1 for difference in found if difference.worse)
    click.echo(f"{len(found)} differences, {worse} of them for the worse")
    return ExitCode.UNEXPECTED if worse else ExitCode.OK


@conformance.command("requirements")
@click.argument("results", nargs=-1, required=True, type=regular_file)
@click.option("--catalogue", type=_File, required=True, help="TOML file of the requirements.")
@click.option("--root", type=_ExistingFolder, default=".", help="Folder that the catalogue's documents are named from.")
@click.option("--to", type=_Folder, required=True, help="Folder for requirements.html and requirements.csv.")
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


def _tell_request(result: Result) -> None:
    click.echo(f"{result.id} {result.verdict.value}: {result.purpose}{f' ({result.reason})' if result.reason else ''}")


def _description(url: str, asked: Mapping[str, str]) -> bytes | None:
    """The WSDL and the schemas that it leads to, as the provider serves them."""
    if "wsdl" in asked:
        return render_wsdl(wsdl_file().read_bytes(), request_url=url)
    name = asked.get("xsd", "")
    file = schemas_directory() / Path(name).name
    return render_xsd(file.read_bytes(), request_url=url) if name and file.is_file() else None


def _server_context(cert: Path | None, key: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None or client_ca is not None:
            raise click.UsageError("--key and --client-ca need --cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise click.UsageError(f"a certificate, key or authority cannot be used: {error}") from None
    return context


def _path_map(maps: Sequence[str], spine_schemas: Path | None) -> PathMap:
    entries = {"packaged/": data_path("rules")}
    if spine_schemas is not None:
        entries["spine-schemas/"] = spine_schemas
    for text in maps:
        source, equals, target = text.partition("=")
        if not equals or not source:
            raise click.UsageError(f"--map {text!r} is not FROM=TO")
        entries[source] = Path(target)
    return PathMap(entries)


def _tell(result: Result, *, verbose: bool) -> None:
    if result.verdict is Verdict.FAILED:
        click.echo(f"FAILED {result.id}: {result.purpose}\n       {result.reason}")
    elif verbose:
        click.echo(
            f"{result.verdict.value} {result.id}: {result.purpose}{f' ({result.reason})' if result.reason else ''}"
        )


def _population(file: Path | None, offers: Sequence[str]) -> Population:
    try:
        found = read_population(file)
    except InvalidPopulation as error:
        raise click.UsageError(str(error)) from None
    return replace(found, offers=found.offers | set(offers))


def _chosen(files: Sequence[Path], only: Sequence[str]) -> list[Case]:
    try:
        cases = [case for file in files for case in read_cases(file)] if files else list(packaged_cases())
    except InvalidCase as error:
        raise click.UsageError(str(error)) from None
    chosen = [case for case in cases if not only or case.id.startswith(tuple(only))]
    if not chosen:
        raise click.UsageError("no case has such an id")
    return chosen


def _headers(given: Sequence[str]) -> dict[str, str]:
    headers = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"--header {text!r} is not NAME:VALUE")
        headers[name.strip()] = value.strip()
    return headers


def _schemas(folder: Path | None) -> Schemas:
    try:
        return Schemas(folder)
    except SchemaPackError as error:
        raise click.UsageError(f"--schemas: {error}") from None
