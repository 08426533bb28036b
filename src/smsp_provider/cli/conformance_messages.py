"""``smsp conformance validate`` and ``simulate``: what others sent, checked; a provider played for a client."""

import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from smsp_provider import __version__
from smsp_provider.cli.addresses import HostPort, host_port
from smsp_provider.cli.conformance_common import conclude, existing_folder, folder, schemas_of
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.processes import StopSignals
from smsp_provider.conformance.client_simulator import ClientSimulator, SimulatorPolicy
from smsp_provider.conformance.datafiles import data_path
from smsp_provider.conformance.evidence import Result, Run
from smsp_provider.conformance.rules_language import PathMap, read_rules
from smsp_provider.conformance.rules_run import RuleRunner
from smsp_provider.conformance.scripts import InvalidScript, read_script
from smsp_provider.conformance.validate import Validator, packaged_rules
from smsp_provider.xmlcore.resources import schemas_directory, wsdl_file
from smsp_provider.xmlcore.wsdl import render_wsdl, render_xsd

__all__ = ["simulate_command", "validate_command"]


@click.command("validate")
@click.argument("files", nargs=-1, required=True, type=regular_file)
@click.option(
    "--rules", type=regular_file, multiple=True, help="Rule file in the TKW language besides ours; repeatable."
)
@click.option("--only-rules", is_flag=True, help="With --rules: leave our own rules out.")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="FROM=TO",
    help="Where a path of a rule file is here: a whole path, or a beginning that ends with /; repeatable.",
)
@click.option("--schemas", type=existing_folder, help="Folder of the official schemas.  [default: the product's own]")
@click.option("--spine-schemas", type=existing_folder, help="Folder of MIM schemas, for messages of Spine.")
@click.option("--to", type=folder, help="Folder for the evidence.")
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
    validator = Validator(schemas_of(schemas), RuleRunner(rule_sets, paths))
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


@click.command("simulate")
@click.option("--listen", type=host_port, default="127.0.0.1:8090", show_default=True, help="Address and port.")
@click.option("--script", type=regular_file, help="TOML file of rules and patients.  [default: the packaged one]")
@click.option("--lenient", is_flag=True, help="Answer by the script whatever is wrong with a request.")
@click.option("--cert", type=regular_file, help="PEM file of the server's certificate; without one it is plain HTTP.")
@click.option("--key", type=regular_file, help="PEM file of its key, where it is not in --cert.")
@click.option("--client-ca", type=regular_file, help="PEM file of the authority whose clients are let in.")
@click.option("--schemas", type=existing_folder, help="Folder of the official schemas.  [default: the product's own]")
@click.option(
    "--to", type=folder, default=Path("conformance-client"), show_default=True, help="Folder for the evidence."
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
    validator = Validator(schemas_of(schemas), RuleRunner(packaged_rules(), PathMap()))
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
