"""``smsp audit signing-key``, ``witness`` and ``keep``: what roots of the audit trail need, and who makes them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import click

from smsp_provider.audit.chain import SignedRoot
from smsp_provider.audit.roots import RootChain, RootInvalid
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.audit.witness import WitnessLineInvalid, WitnessUnavailable
from smsp_provider.cli.audit_keeper import run_keeper
from smsp_provider.cli.checks import check_files
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import CannotStart, UnusableConfiguration
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.operator_session import requires
from smsp_provider.cli.os_user import refuse_another_user
from smsp_provider.cli.trail_change import record_trail_change
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_database import AuditDatabase, StorageUnsafe
from smsp_provider.storage.audit_signing_key import SigningKeyUnusable, make_signing_key, new_signing_key, public_pem
from smsp_provider.storage.witness_file import read_witness_file
from smsp_provider.wiring.alerts import build_log
from smsp_provider.wiring.audit import build_audit_database
from smsp_provider.wiring.roots import build_signing_keys, build_witnesses, have_signing_key

__all__ = ["keep", "signing_key", "witness"]

_BATCH: Final = 500


@click.group("signing-key")
def signing_key() -> None:
    """The key that roots of the audit trail are signed with."""


@signing_key.command()
@config_option
def init(config_file: Path) -> None:
    """Make the signing key where there is none, as the user that the provider runs as."""
    settings = read_settings(config_file)
    keys = build_signing_keys(settings)
    with _readable():
        refuse_another_user(settings.audit.database)
        made = make_signing_key(keys.file)
        click.echo(f"{keys.file}: {'made' if made else 'there already'}", err=True)
        click.echo(public_pem(keys.current().public_key), nl=False)


@signing_key.command()
@config_option
@requires(Permission.AUDIT_VERIFY)
def show(config_file: Path, operator: Operator) -> None:
    """Print the public key, for whoever verifies: keep it where nobody who can write the trail can."""
    del operator
    with _readable():
        click.echo(public_pem(build_signing_keys(read_settings(config_file)).current().public_key), nl=False)


@signing_key.command()
@config_option
@requires(Permission.AUDIT_KEYS)
def rotate(config_file: Path, operator: Operator) -> None:
    """Make the key that follows.

    The keeper names it in a root signed with the present key, which is removed then.
    Prints the new public key.
    """
    settings = read_settings(config_file)
    keys = build_signing_keys(settings)
    with _readable():
        before = keys.current().public_key
        if keys.next_file.exists():
            raise CannotStart(f"{keys.next_file}: there is one already, which the keeper has not taken over yet")
        following = new_signing_key()
        # Before it is there: the keeper takes over what it finds.
        record_trail_change(settings, operator, "signing-key", before.hex(), following.public_key.hex())
        if not following.put_into(keys.next_file):
            raise CannotStart(f"{keys.next_file}: somebody else makes one at this moment")
        click.echo(public_pem(following.public_key), nl=False)


@click.group()
def witness() -> None:
    """Who keeps the roots of the audit trail outside its database."""


@witness.command()
@config_option
@requires(Permission.AUDIT_KEYS)
def begin(config_file: Path, operator: Operator) -> None:
    """Hand the first roots to each witness that has none: a new one, for a trail that is there already.

    The keeper goes on from there.
    """
    settings = read_settings(config_file)
    if not settings.audit.has_witness():
        raise UnusableConfiguration("there is no witness: set audit.witness_file or audit.witness_url")
    database = build_audit_database(settings)
    with _readable():
        roots = list(islice(database.roots(), _BATCH))
        if not roots:
            raise CannotStart("the trail has no root yet: the first start of the provider begins its witnesses too")
        for one in build_witnesses(settings, SystemClock()):
            if one.last() is not None:
                click.echo(f"{one.name}: has roots already")
                continue
            record_trail_change(settings, operator, "witness", None, one.name)
            one.append(roots)
            click.echo(f"{one.name}: has {len(roots)} roots now")


@witness.command()
@click.argument("lines", type=regular_file)
@config_option
@click.option("--reason", required=True, help="Why the trail is behind its witness.")
@requires(Permission.AUDIT_DELETE, everything=True)
def resume(lines: Path, config_file: Path, operator: Operator, reason: str) -> None:
    """Go on with a trail that lacks the newest roots of its witness, as after a backup was restored.

    LINES is the witness's file.
    Its roots are put back into the database, so that new ones can follow.
    The records that were lost stay lost: `smsp audit verify` names them ever after.
    """
    settings = read_settings(config_file)
    database = build_audit_database(settings)
    with _readable():
        missing = _missing(database, lines)
        if not missing:
            click.echo("the database has all roots of this witness")
            return
        first, last = missing[0].number, missing[-1].number
        record_trail_change(settings, operator, "witness", f"behind by the roots {first} to {last}", reason)
        for root in missing:
            database.write_root(root)
        click.echo(f"roots {first} to {last} are in the database again; start the provider")


@click.command()
@config_option
def keep(config_file: Path) -> int:
    """Run the keeper of the audit trail alone, on a host without `smsp serve`, until SIGTERM or Ctrl-C."""
    settings = read_settings(config_file)
    check_files(settings)
    with _readable():
        refuse_another_user(settings.audit.database)
        have_signing_key(settings)
        database = build_audit_database(settings)
        mark = database.open()
        database.close()
    return run_keeper(settings, mark, build_log(settings, sys.stdout.buffer, SystemClock()))


def _missing(database: AuditDatabase, lines: Path) -> list[SignedRoot]:
    """The roots of a witness after the last one of the database, which follow it.

    Raises:
        UnusableConfiguration: the two have another root of the same number, or the lines do not follow each other.
    """
    chain = RootChain(database.trail_id())
    found: list[SignedRoot] = []
    ours = iter(database.roots())
    try:
        for line in read_witness_file(lines):
            chain.accept(line)
            root = next(ours, None)
            if root is None:
                found.append(line)
            elif root != line:
                raise UnusableConfiguration(
                    f"root {line.number} of the database is another one than the witness's: it was rewritten, or is "
                    "another trail's. Keep both as evidence, and begin a new trail"
                )
    except RootInvalid as invalid:
        raise UnusableConfiguration(f"{lines}: {invalid}") from None
    if next(ours, None) is not None:
        raise UnusableConfiguration(f"{lines}: the database has more roots than this witness")
    return found


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except SigningKeyUnusable as error:
        raise CannotStart(f"audit.signing_key: {error}") from None
    except AuditUnavailable as error:
        raise CannotStart(f"audit: {error.reason}") from None
    except StorageUnsafe as error:
        raise CannotStart(f"audit: {error}") from None
    except (WitnessUnavailable, WitnessLineInvalid) as error:
        raise CannotStart(f"the witness: {error}") from None
    except OSError as error:
        raise CannotStart(f"{error.filename or 'audit'}: {error.strerror}") from None
