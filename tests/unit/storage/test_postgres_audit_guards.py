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
    "a table with the name of a day": (
        ("CREATE TABLE smsp_audit.chain_20260304 (LIKE smsp_audit.chain)",),
        "the table chain_20260304 is nothing of the provider's",
    ),
    "a part that is no day": (
        ("CREATE TABLE public.more PARTITION OF smsp_audit.content FOR VALUES FROM ('2026-03-04') TO ('2026-03-05')",),
        "the table public.more is nothing of the provider's",
    ),
    "a table whose rows are read with another's": (
        ("CREATE TABLE public.more () INHERITS (smsp_audit.root)",),
        "the table public.more is nothing of the provider's",
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
def test_a_table_that_stands_alone_is_found_and_ends_no_service(instance: PostgresInstance) -> None:
    url = prepared_on(instance)
    _execute(superuser_of(url), "CREATE TABLE smsp_audit.mine (x integer)")
    assert list(PostgresTrailBooks(url).strays()) == ["the table mine is nothing of the provider's"]
    _open(url, live=True)


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


_DAY = "SELECT smsp_audit.open_day('2026-03-04')"
MENDED = {
    "emptied functions": (
        (
            f"CREATE OR REPLACE FUNCTION smsp_audit.refuse() RETURNS trigger {_EMPTY}",
            "ALTER FUNCTION smsp_audit.open_day(date) SECURITY INVOKER",
        ),
        ["the function refuse()", "the function open_day(date)"],
    ),
    "a function that is gone with its triggers": (
        (_DAY, "DROP FUNCTION smsp_audit.refuse_unless_erased() CASCADE"),
        ["the function refuse_unless_erased()", "the trigger no_delete of content"],
    ),
    "triggers that call something else, or at another time": (
        (
            f"CREATE FUNCTION public.nothing() RETURNS trigger {_EMPTY}",
            _DAY,
            *(text.format("EXECUTE FUNCTION public.nothing()") for text in _INSTEAD),
            "CREATE OR REPLACE TRIGGER no_change BEFORE UPDATE ON smsp_audit.root EXECUTE FUNCTION smsp_audit.refuse()",
        ),
        ["the trigger no_change of chain", "the trigger no_change of root"],
    ),
    "triggers of a day that are off or gone": (
        (
            _DAY,
            "ALTER TABLE smsp_audit.chain_20260304 DISABLE TRIGGER no_change",
            "DROP TRIGGER no_truncate ON smsp_audit.content_20260304",
        ),
        ["the trigger no_change of chain", "the trigger no_truncate of content_20260304"],
    ),
    "triggers that a replica passes": (
        ("ALTER TABLE smsp_audit.lane ENABLE TRIGGER ALL",),
        [f"the trigger {name} of lane" for name in ("no_change", "no_delete", "no_truncate")],
    ),
}


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize(("statements", "mended"), MENDED.values(), ids=MENDED)
def test_preparing_makes_guards_anew_and_says_which(
    instance: PostgresInstance, statements: tuple[str, ...], mended: list[str]
) -> None:
    url = prepared_on(instance)
    books = PostgresTrailBooks(url)
    _execute(superuser_of(url), *statements)
    assert list(books.strays()) != []
    told: list[str] = []
    assert prepare(sa.make_url(url).set(username=OWNER), PROVIDER, told.append)
    assert list(books.strays()) == []
    said = [text for text in told if text.startswith("made anew")]
    assert sorted(text.partition(": ")[2] for text in said) == sorted(mended)
    _open(url, live=True)
    # The days to come have what those before have.
    _execute(url, "SELECT smsp_audit.open_day('2026-03-05')")
    assert list(books.strays()) == []
    again: list[str] = []
    assert not prepare(sa.make_url(url).set(username=OWNER), PROVIDER, again.append)
    assert again == [text for text in told if text not in said]


@pytest.mark.rule("SMSP-AUDIT-001")
def test_preparing_leaves_what_is_none_of_the_providers_and_says_so(instance: PostgresInstance) -> None:
    url = prepared_on(instance)
    _execute(
        superuser_of(url),
        "CREATE TABLE smsp_audit.mine (x integer)",
        "CREATE TRIGGER mine BEFORE INSERT ON smsp_audit.lane EXECUTE FUNCTION smsp_audit.refuse()",
    )
    told: list[str] = []
    # What another role owns the owner of the trail cannot take rights of.
    _execute(superuser_of(url), f"ALTER TABLE smsp_audit.mine OWNER TO {OWNER}")
    assert not prepare(sa.make_url(url).set(username=OWNER), PROVIDER, told.append)
    assert [text for text in told if text.startswith("left")] == [
        "left as it is: the table mine is nothing of the provider's",
        "left as it is: the trigger mine of lane is nothing of the provider's",
    ]
    _execute(superuser_of(url), "DROP TABLE smsp_audit.mine", "DROP TRIGGER mine ON smsp_audit.lane")
    assert list(PostgresTrailBooks(url).strays()) == []
