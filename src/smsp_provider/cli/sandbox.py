"""``smsp sandbox``: everything at once on one machine, shown to a newcomer."""

import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Final

import click

from smsp_provider.cli.addresses import HostPort, free_port_near, host_port
from smsp_provider.cli.drive import drive as drive_calls
from smsp_provider.cli.exit_codes import CannotStart, ExitCode
from smsp_provider.cli.expectations import PatientRow, UnreadableRows, expectations, read_rows
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.five_calls import five_calls, make_calls
from smsp_provider.cli.itk_client import NoAnswer
from smsp_provider.cli.outcome_table import print_outcomes
from smsp_provider.cli.sandbox_world import SandboxWorld
from smsp_provider.config.settings import Upstream
from smsp_provider.itk.services import SERVICES

__all__ = ["sandbox"]

_HTTP: Final = HostPort("127.0.0.1", 8080)
_HTTPS: Final = HostPort("127.0.0.1", 8443)
_VALID_FOR: Final = timedelta(hours=23)
"""Of the request for curl: within the longest that a message may be in time (service.max_message_seconds)."""

_WATCH_SECONDS: Final = 0.2


@click.command()
@click.option("--http", type=host_port, help=f"Where to serve plain HTTP.  [default: {_HTTP}, or a free port]")
@click.option("--https", type=host_port, help=f"Where to serve mutual TLS.  [default: {_HTTPS}, or a free port]")
@click.option(
    "--patients",
    type=regular_file,
    help="Add the patients of a CSV file in the Opentest layout.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep keys, patients, audit trail and log here.  [default: a temporary directory, removed at the end]",
)
@click.option(
    "--upstream",
    type=click.Choice([way.value for way in Upstream]),
    default=Upstream.HL7V3.value,
    show_default=True,
    help="The way to PDS: Spine over HL7 V3, or the PDS FHIR API.",
)
@click.option("--once", is_flag=True, help="Stop after the five calls.")
@click.option("--drive", is_flag=True, help="Send every row of --patients through all five services, and stop.")
def sandbox(
    *,
    http: HostPort | None,
    https: HostPort | None,
    patients: Path | None,
    state: Path | None,
    upstream: str,
    once: bool,
    drive: bool,
) -> int:
    """Try everything: an embedded Spine, the provider, and five calls of a real client.

    Makes throw-away keys, starts an embedded Spine full of invented patients and the provider in front of it, calls the
    five services over mutual TLS, prints what happened and a curl command to try, and serves until Ctrl-C.
    Exit code 0 only if every answer was the expected one.
    """
    rows: list[PatientRow] = []
    if drive:
        if patients is None:
            raise click.UsageError("--drive needs --patients")
        rows = _read(patients)
    # Variables for another provider on this machine must not change what the sandbox shows.
    for name in [name for name in os.environ if name.upper().startswith("SMSP_")]:
        del os.environ[name]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with _directory(state) as directory:
        world = SandboxWorld(
            directory,
            _address("--http", http, _HTTP),
            _address("--https", https, _HTTPS),
            [patients] if patients else [],
            Upstream(upstream),
        )
        try:
            return _run(world, rows, once=once)
        except NoAnswer as failure:
            raise CannotStart(str(failure)) from None
        finally:
            # From here on a second Ctrl-C would only leave processes behind.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            world.stop()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Whatever asks this process to end ends it as Ctrl-C does."""
    raise KeyboardInterrupt


def _run(world: SandboxWorld, rows: Sequence[PatientRow], *, once: bool) -> ExitCode:
    click.echo(f"Starting an embedded Spine with {world.patients} patients, and the provider in front of it ...")
    world.start()
    click.echo(f"  the provider serves {world.https_url} (mutual TLS)")
    click.echo(f"                  and {world.http_url} (plain, this machine only)\n")
    expected = make_calls(world.client())
    if rows:
        return ExitCode.OK if _drive(world, rows) and expected else ExitCode.UNEXPECTED
    if not once:
        _show_how_to_try(world)
        _serve(world)
        click.echo("\nStopping ...")
    return ExitCode.OK if expected else ExitCode.UNEXPECTED


def _serve(world: SandboxWorld) -> None:
    """Until Ctrl-C.

    Raises:
        CannotStart: a part has ended by itself.
    """
    with contextlib.suppress(KeyboardInterrupt):
        click.echo("Serving. Stop with Ctrl-C.")
        while (ended := world.ended()) is None:
            time.sleep(_WATCH_SECONDS)
        raise CannotStart(f"the {ended} ended by itself: see {world.log}")


def _drive(world: SandboxWorld, rows: Sequence[PatientRow]) -> bool:
    calls = list(expectations(list(rows)))
    click.echo(f"\nDriving {len(rows)} patients through the five services: {len(calls)} calls over mutual TLS ...\n")
    report = drive_calls(calls, world.client, (row.nhs_number for row in rows))
    print_outcomes(report)
    return not report.unexpected


def _read(patients: Path) -> list[PatientRow]:
    try:
        return read_rows(patients)
    except (OSError, UnreadableRows) as error:
        raise CannotStart(f"{patients}: {error}") from None


def _address(option: str, given: HostPort | None, default: HostPort) -> HostPort:
    """The address to use; a default that is taken is replaced, one that was asked for is not.

    Raises:
        CannotStart: the address asked for is taken.
    """
    if given is not None and given.port:
        try:
            given.listen_for_a_moment()
        except OSError as error:
            raise CannotStart(f"{option}: cannot listen on {given}: {error.strerror or error}") from None
        return given
    wanted = given or default
    free = free_port_near(wanted)
    if given is None and free != wanted:
        click.echo(f"{wanted} is taken, so {free} is used for {option.strip('-')}.")
    return free


@contextlib.contextmanager
def _directory(state: Path | None) -> Iterator[Path]:
    if state is not None:
        yield state
        return
    directory = Path(tempfile.mkdtemp(prefix="smsp-sandbox-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _command() -> str:
    """How this very command line is called from the current directory: in a checkout, it is not on the path."""
    program = Path(sys.executable).with_name("smsp")
    if shutil.which("smsp") or not program.exists():
        return "smsp"
    return os.path.relpath(program) if program.is_relative_to(Path.cwd()) else shlex.quote(str(program))


def _show_how_to_try(world: SandboxWorld) -> None:
    call = five_calls()[0]
    client = world.client()
    request = world.directory / "request.xml"
    request.write_bytes(client.message(call.service, call.fields, _VALID_FOR))
    client.close()
    keys = world.client_keys
    curl = [
        "curl -sS --data-binary @" + shlex.quote(str(request)),
        "-H 'Content-Type: text/xml'",
        f"-H 'SOAPAction: \"{SERVICES[call.service].action}\"'",
    ]
    tls = [
        f"--cert {shlex.quote(str(keys.certificate))}",
        f"--key {shlex.quote(str(keys.key))}",
        f"--cacert {shlex.quote(str(world.ca))}",
    ]
    click.echo("\nTry it yourself. The first call again, over plain HTTP:\n")
    click.echo("  " + " \\\n    ".join([*curl, world.http_url]))
    click.echo("\nThe same with the client's certificate over mutual TLS:\n")
    click.echo("  " + " \\\n    ".join([*curl, *tls, world.https_url]))
    click.echo(f"\nOr with a client that writes the message for you (other patients: {_command()} simulate list):\n")
    asked = f"--nhs-number {call.fields.nhs_number} --dob {call.fields.date_of_birth}"
    click.echo(f"  {_command()} call {call.service.value.removesuffix('-v1-0')} --url {world.http_url} {asked}")
    click.echo("\nWhat is on record, and whether it is as it was written:\n")
    config = shlex.quote(str(world.config))
    click.echo(f"  {_command()} audit search --config {config}")
    click.echo(f"  {_command()} audit verify --config {config}")
    click.echo(f"\nThe request file is valid for {_VALID_FOR.total_seconds() / 3600:.0f} hours.")
    click.echo(f"Operator log: {world.log}")
