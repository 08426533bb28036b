"""Trails in PostgreSQL, and a superuser's hand on them."""

# ruff: noqa: S608 - the names of tables and columns stand in this folder, and the values are the tests'

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa

from postgres_audit import new_audit_url, superuser_of
from smsp_provider.audit.chain import TrailReader
from smsp_provider.audit.trail_books import TrailBooks
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.postgres_audit_books import PostgresTrailBooks
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.postgres_audit_reader import PostgresTrailReader
from tamper.hands import Hand, PostgresHand

__all__ = ["PostgresScene"]

_numbers = itertools.count(1)


class PostgresScene:
    """Trails in databases; a copy is made with the database as its template."""

    def __init__(self, directory: Path) -> None:
        del directory
        self._urls: dict[str, str] = {}

    def new(self, name: str) -> tuple[AuditDatabase, TrailBooks]:
        url = self._urls[name] = new_audit_url()
        return PostgresAuditDatabase(url, durable=False, live=False, wait_s=60.0), PostgresTrailBooks(url)

    def keep(self, name: str, as_name: str) -> None:
        self._urls[as_name] = self._copied(name)

    @contextmanager
    def copy(self, name: str) -> Iterator[tuple[TrailReader, TrailBooks, Hand]]:
        url = self._copied(name)
        hand = PostgresHand(superuser_of(url))
        reader = PostgresTrailReader(url, wait_s=3.0)
        try:
            yield reader, PostgresTrailBooks(url), hand
        finally:
            hand.close()
            reader._close_reader()
            self._administer(f"DROP DATABASE {sa.make_url(url).database} WITH (FORCE)")

    def _copied(self, name: str) -> str:
        url = sa.make_url(self._urls[name])
        made = f"tampered_{next(_numbers)}"
        # Nobody may be connected to a template.
        self._administer(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'",
            f"CREATE DATABASE {made} TEMPLATE {url.database} STRATEGY FILE_COPY",
        )
        return url.set(database=made).render_as_string(hide_password=False)

    def _administer(self, *statements: str) -> None:
        url = sa.make_url(superuser_of(next(iter(self._urls.values())))).set(database="postgres")
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
