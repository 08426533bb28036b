"""``smsp audit keys``: the keys that the contents of the audit trail are encrypted with."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from smsp_provider.audit.chain import SealBroken
from smsp_provider.audit.search_index import IndexUnusable
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.operator_session import requires
from smsp_provider.cli.os_user import refuse_another_user
from smsp_provider.cli.table import print_table
from smsp_provider.cli.trail_change import record_trail_change
from smsp_provider.config.settings import Settings
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.audit_database import AuditDatabase, StorageUnsafe
from smsp_provider.storage.audit_keys import AuditKeysUnusable, KeyRing, begin_key_ring, new_key_ring, rotate_key_ring
from smsp_provider.storage.audit_sealing import rewrap_lanes
from smsp_provider.wiring.audit import build_audit_database, load_audit_keys
from smsp_provider.wiring.search import build_index

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """The keys that the contents of the audit trail are encrypted with.

    Keep a copy of them where the trail is not: without them nobody can read it.
    """


@keys.command()
@config_option
def init(config_file: Path) -> None:
    """Make the first key, before the first start.

    It goes into the file that audit.keys names.
    With audit.keys_variable it is printed instead, to be put where that variable comes from.
    """
    settings = read_settings(config_file)
    now = SystemClock().now()
    if settings.audit.keys_variable is not None:
        click.echo(new_key_ring(now).text(), nl=False)
        return
    file = settings.audit.keys_file()
    if file.exists():
        raise CannotStart(f"audit.keys: {file}: there are keys already")
    refuse_another_user(file)
    with _readable():
        ring = begin_key_ring(file, now)
    click.echo(f"{file}: key {ring.current}")
    click.echo("Keep a copy of it elsewhere: without it nobody can read the audit trail.", err=True)


@keys.command()
@config_option
@requires(Permission.AUDIT_KEYS)
def rotate(config_file: Path, operator: Operator) -> None:
    """Make a new key current, and wrap the keys of all lanes with it.

    No content is encrypted anew.
    Processes that run take the new key when they start next, and read with it at once.
    With audit.store the file has to be on every host first: wrap with `smsp audit keys rewrap` then.
    """
    settings = read_settings(config_file)
    if settings.audit.keys_variable is not None:
        raise CannotStart(
            f"audit.keys_variable: add a line to what {settings.audit.keys_variable} holds (the last one is current; "
            "`smsp audit keys init` prints one), start all again, then `smsp audit keys rewrap`"
        )
    file = settings.audit.keys_file()
    refuse_another_user(file)
    _see(file)

    def record(before: str, after: str) -> None:
        record_trail_change(settings, operator, "keys", before, after)

    with _readable():
        ring = rotate_key_ring(file, SystemClock().now(), record)
        click.echo(f"{file}: key {ring.current} is current; keep a copy")
        if settings.audit.store:
            click.echo("Put this file on every host, then run `smsp audit keys rewrap` on one.")
        else:
            _rewrap(settings, ring)


@keys.command()
@config_option
@requires(Permission.AUDIT_KEYS)
def rewrap(config_file: Path, operator: Operator) -> None:
    """Wrap the keys of all lanes with the current key; afterwards the others open nothing here any more.

    An archive keeps the wrapping that it was made with: keep the keys that its manifest names.
    """
    del operator
    settings = read_settings(config_file)
    with _readable():
        _rewrap(settings, _ring(settings))


@keys.command("list")
@config_option
@requires(Permission.AUDIT_VERIFY)
def list_keys(config_file: Path, operator: Operator) -> None:
    """List the keys by their ids, and how many lanes each opens."""
    del operator
    settings = read_settings(config_file)
    with _readable():
        ring = _ring(settings)
        with _database(settings) as database:
            lanes = Counter(lane.key_id for lane in database.lanes())
    rows = [
        (key_id, "current" if key_id == ring.current else "" if key_id in ring.keys else "MISSING", str(lanes[key_id]))
        for key_id in (*ring.keys, *sorted(lanes.keys() - ring.keys.keys()))
    ]
    print_table(("key", "state", "lanes"), rows)


def _see(file: Path) -> None:
    if not file.exists():
        raise CannotStart(
            f"audit.keys: {file}: is not there: `smsp audit keys init` makes it for a new trail, and outside live so "
            "does the first start; that of a trail with records has to be restored"
        )


def _ring(settings: Settings) -> KeyRing:
    if settings.audit.keys_variable is None:
        _see(settings.audit.keys_file())
    return load_audit_keys(settings, SystemClock())


def _rewrap(settings: Settings, ring: KeyRing) -> None:
    with _database(settings) as database:
        count = rewrap_lanes(database, ring)
        index = build_index(settings, database, SystemClock())
        with closing(index):
            days = index.rewrap()
    click.echo(f"{count} lanes and {days} days of the search index are wrapped with it now")


@contextmanager
def _database(settings: Settings) -> Iterator[AuditDatabase]:
    database = build_audit_database(settings)
    database.open()
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except AuditKeysUnusable as error:
        raise CannotStart(f"audit.keys: {error}") from None
    except SealBroken:
        raise CannotStart("audit.keys: a lane has a key that is not there (`smsp audit keys list`)") from None
    except IndexUnusable as error:
        raise CannotStart(f"the search index: {error}") from None
    except AuditUnavailable as error:
        raise CannotStart(f"audit.database: {error.reason}") from None
    except StorageUnsafe as error:
        raise CannotStart(f"audit.database: {error}") from None
