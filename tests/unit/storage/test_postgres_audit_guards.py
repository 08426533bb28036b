"""Guards of an audit trail in PostgreSQL that somebody took away, emptied or went round are found, and not for live."""

import re
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa

from postgres_audit import OWNER, PROVIDER, prepared_on, superuser_of
from postgres_instance import PostgresInstance
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.postgres_audit_books import PostgresTrailBooks
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.postgres_audit_form import prepare
from smsp_provider.storage.postgres_audit_schema import TABLE_RIGHTS


@pytest.fixture(scope="module")
def instance() -> Iterator[PostgresInstance]:
    with PostgresInstance() as running:
        yield running


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _open(url: str, *, live: bool = False) -> None:
    with closing(PostgresAuditDatabase(url, live=live)) as database:
        database.open()


_EMPTY = "LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$"
_ON_CHAIN = "BEFORE UPDATE OR DELETE ON smsp_audit.chain FOR EACH ROW"
_INSTEAD = (
    f"CREATE OR REPLACE TRIGGER no_change {_ON_CHAIN} {{}}",
    "ALTER TABLE smsp_audit.chain ENABLE ALWAYS TRIGGER no_change",
)
UNGUARDED = {
    "an emptied function": (
        (f"CREATE OR REPLACE FUNCTION smsp_audit.refuse() RETURNS trigger {_EMPTY}",),
        "the function refuse() is not as the provider made it",
    ),
    "a function without its search path": (
        ("ALTER FUNCTION smsp_audit.open_day(date) RESET search_path",),
        "the function open_day(date) is not as the provider made it",
    ),
    "a trigger that calls something else": (
        (
            f"CREATE FUNCTION public.nothing() RETURNS trigger {_EMPTY}",
            *(text.format("EXECUTE FUNCTION public.nothing()") for text in _INSTEAD),
        ),
        "the trigger no_change of chain is not as the provider made it",
    ),
    "a trigger with a condition": (
        tuple(text.format("WHEN (OLD.n < 0) EXECUTE FUNCTION smsp_audit.refuse()") for text in _INSTEAD),
        "the trigger no_change of chain is not as the provider made it",
    ),
    "a trigger of a day that is off": (
        (
            "SELECT smsp_audit.open_day('2026-03-04')",
            "ALTER TABLE smsp_audit.chain_20260304 DISABLE TRIGGER no_change",
        ),
        "the trigger no_change of chain_20260304 is gone, or not always on",
    ),
    "a right of everybody to read": (
        ("GRANT SELECT ON smsp_audit.content TO PUBLIC",),
        "everybody has the right SELECT on content",
    ),
    "a right of everybody on a column": (
        ("GRANT UPDATE (at) ON smsp_audit.chain TO PUBLIC",),
        "everybody has the right UPDATE on chain.at",
    ),
    "a right of everybody on a day": (
        ("SELECT smsp_audit.open_day('2026-03-04')", "GRANT DELETE ON smsp_audit.content_20260304 TO PUBLIC"),
        "everybody has the right DELETE on content_20260304",
    ),
    "a right of everybody on the schema": (
        ("GRANT USAGE ON SCHEMA smsp_audit TO PUBLIC",),
        "everybody has the right USAGE on the schema",
    ),
    "a right of everybody on a function": (
        ("GRANT EXECUTE ON FUNCTION smsp_audit.open_day(date) TO PUBLIC",),
        "everybody has the right EXECUTE on open_day(date)",
    ),
    "a right of some role": (
        ("GRANT TRIGGER ON smsp_audit.lane TO pg_monitor",),
        "the role pg_monitor has the right TRIGGER on lane",
    ),
}


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize(("statements", "finding"), UNGUARDED.values(), ids=UNGUARDED)
def test_a_trail_whose_guards_are_not_as_they_were_made_is_found_and_not_for_live(
    instance: PostgresInstance, statements: tuple[str, ...], finding: str
) -> None:
    url = prepared_on(instance)
    books = PostgresTrailBooks(url)
    assert list(books.strays()) == []
    _execute(superuser_of(url), *statements)
    assert list(books.strays()) == [finding]
    with pytest.raises(StorageUnsafe, match=re.escape(finding)):
        _open(url, live=True)
    _open(url)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_who_only_reads_is_let_be_and_what_everybody_was_given_is_taken_back(instance: PostgresInstance) -> None:
    url = prepared_on(instance)
    books = PostgresTrailBooks(url)
    _execute(
        superuser_of(url),
        "GRANT USAGE ON SCHEMA smsp_audit TO pg_monitor",
        "GRANT SELECT ON ALL TABLES IN SCHEMA smsp_audit TO pg_monitor",
    )
    assert list(books.strays()) == []
    _execute(
        superuser_of(url),
        "GRANT ALL ON SCHEMA smsp_audit TO PUBLIC",
        "GRANT ALL ON ALL TABLES IN SCHEMA smsp_audit TO PUBLIC",
        "GRANT UPDATE (at) ON smsp_audit.chain TO PUBLIC",
        "GRANT ALL ON ALL FUNCTIONS IN SCHEMA smsp_audit TO PUBLIC",
    )
    assert len(list(books.strays())) > len(TABLE_RIGHTS)
    prepare(sa.make_url(url).set(username=OWNER), PROVIDER, lambda _: None)
    assert list(books.strays()) == []
    _open(url, live=True)
