"""Databases in PostgreSQL that hold an audit trail, prepared as an administrator does it."""

import itertools
from contextlib import suppress
from pathlib import Path

import psycopg
import sqlalchemy as sa

from audit_trails import make_trail
from postgres_instance import PostgresInstance
from postgres_server import new_database
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.postgres_audit_form import prepare
from smsp_provider.storage.sqlite_file import Synchronous

__all__ = ["OWNER", "PROVIDER", "new_audit_url", "prepared_on", "superuser_of", "trail_in"]

OWNER = "smsp_audit_owner"
PROVIDER = "smsp_provider"

_numbers = itertools.count(1)


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def _prepare(superuser: str) -> str:
    """Make the roles and the trail in a database; the URL of the provider's role."""
    url = sa.make_url(superuser)
    with psycopg.connect(_plain(superuser), autocommit=True) as connection:
        for role in (OWNER, PROVIDER):
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        connection.execute(f"GRANT CREATE ON DATABASE {url.database} TO {OWNER}".encode())
    prepare(url.set(username=OWNER), PROVIDER, lambda _: None)
    return url.set(drivername="postgresql", username=PROVIDER).render_as_string(hide_password=False)


def new_audit_url() -> str:
    """The URL of a new trail on the server that the tests share, as the provider's role."""
    return _prepare(new_database())


def prepared_on(instance: PostgresInstance) -> str:
    """The URL of a new trail on a server of a test's own, as the provider's role."""
    name = f"audit_{next(_numbers)}"
    instance.execute(f"CREATE DATABASE {name}")
    return _prepare(instance.url(database=name))


def superuser_of(url: str) -> str:
    """The same database for somebody who may do everything; both servers trust ``postgres``."""
    return sa.make_url(url).set(username="postgres").render_as_string(hide_password=False)


def trail_in(url: str, folder: Path, *, durable: bool = True, wait_s: float = 60.0) -> ChainedAuditTrail:
    """The trail of this process in a prepared database; the keys are in ``folder``, which is its owner's alone."""
    place = folder / "audit.url"
    place.write_text(url, encoding="ascii")
    return make_trail(place, synchronous=Synchronous.FULL if durable else Synchronous.NORMAL, wait_s=wait_s)
