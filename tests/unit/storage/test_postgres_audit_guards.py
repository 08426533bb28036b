"""Guards of an audit trail in PostgreSQL that somebody took away, emptied or went round are found, and not for live."""

import re
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg
import pytest
import sqlalchemy as sa

from postgres_audit import OWNER, PROVIDER, prepared_on, superuser_of
from postgres_instance import PostgresInstance
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.postgres_audit_books import PostgresTrailBooks
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.postgres_audit_form import CannotPrepare, prepare
from smsp_provider.storage.postgres_audit_schema import TABLE_RIGHTS


@pytest.fixture(scope="module")
def instance() -> Iterator[PostgresInstance]:
    with PostgresInstance() as running:
        yield running


@pytest.fixture(scope="module")
def shared(instance: PostgresInstance) -> str:
    """A trail for tests that leave it as they found it."""
    return prepared_on(instance)


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
    "a function with a name of the provider's": (
        (
            "CREATE FUNCTION smsp_audit.open_day(wanted text) RETURNS integer LANGUAGE sql RETURN 1",
            "REVOKE ALL ON FUNCTION smsp_audit.open_day(text) FROM PUBLIC",
        ),
        "the function open_day(text) is nothing of the provider's",
    ),
    "a procedure that lends rights": (
        (
            "CREATE PROCEDURE smsp_audit.tidy(integer, date) LANGUAGE sql SECURITY DEFINER AS 'SELECT'",
            "REVOKE ALL ON PROCEDURE smsp_audit.tidy FROM PUBLIC",
        ),
        "the procedure tidy(integer, date) is nothing of the provider's",
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


_UNTIDY = (
    "CREATE TABLE smsp_audit.mine (x integer)",
    "CREATE FUNCTION smsp_audit.mine(integer, date) RETURNS integer LANGUAGE sql RETURN 1",
    "CREATE OPERATOR smsp_audit.=== (FUNCTION = pg_catalog.int4eq, LEFTARG = integer, RIGHTARG = integer)",
    "CREATE DOMAIN smsp_audit.whole AS integer",
)
_FOUND_UNTIDY = [
    "the table mine is nothing of the provider's",
    "the function mine(integer, date) is nothing of the provider's",
    "the operator smsp_audit.===(integer,integer) is nothing of the provider's",
    "the type smsp_audit.whole is nothing of the provider's",
]


@pytest.mark.rule("SMSP-AUDIT-001")
def test_what_stands_alone_is_found_and_ends_no_service(instance: PostgresInstance) -> None:
    url = prepared_on(instance)
    _execute(superuser_of(url), *_UNTIDY, "REVOKE ALL ON FUNCTION smsp_audit.mine FROM PUBLIC")
    assert list(PostgresTrailBooks(url).strays()) == _FOUND_UNTIDY
    _open(url, live=True)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_function_that_everybody_may_call_is_not_for_live_until_that_is_taken_back(
    instance: PostgresInstance,
) -> None:
    url = prepared_on(instance)
    owner = sa.make_url(url).set(username=OWNER)
    _execute(owner.render_as_string(), *_UNTIDY)
    with pytest.raises(StorageUnsafe, match=re.escape("everybody has the right EXECUTE on mine(integer, date)")):
        _open(url, live=True)
    assert prepare(owner, PROVIDER, lambda _: None) == (False, tuple(_FOUND_UNTIDY))
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
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA smsp_audit TO PUBLIC",
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
    assert prepare(sa.make_url(url).set(username=OWNER), PROVIDER, told.append) == (True, ())
    assert list(books.strays()) == []
    said = [text for text in told if text.startswith("made anew")]
    assert sorted(text.partition(": ")[2] for text in said) == sorted(mended)
    _open(url, live=True)
    # The days to come have what those before have.
    _execute(url, "SELECT smsp_audit.open_day('2026-03-05')")
    assert list(books.strays()) == []
    again: list[str] = []
    assert prepare(sa.make_url(url).set(username=OWNER), PROVIDER, again.append) == (False, ())
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
    left = (
        "the table mine is nothing of the provider's",
        "the trigger mine of lane is nothing of the provider's",
    )
    assert prepare(sa.make_url(url).set(username=OWNER), PROVIDER, told.append) == (False, left)
    assert [text for text in told if text.startswith("left")] == [f"left as it is: {what}" for what in left]
    _execute(superuser_of(url), "DROP TABLE smsp_audit.mine", "DROP TRIGGER mine ON smsp_audit.lane")
    assert list(PostgresTrailBooks(url).strays()) == []


_ANOTHER = "somebody_else"
BELONGING = {
    "a table": ("CREATE TABLE smsp_audit.mine (x integer)", "TABLE smsp_audit.mine"),
    "a view": ("CREATE VIEW smsp_audit.mine AS SELECT 1 AS x", "VIEW smsp_audit.mine"),
    "a sequence": ("CREATE SEQUENCE smsp_audit.mine", "SEQUENCE smsp_audit.mine"),
    "a procedure": ("CREATE PROCEDURE smsp_audit.mine() LANGUAGE sql AS 'SELECT'", "PROCEDURE smsp_audit.mine()"),
    "a table of the trail": ("", "TABLE smsp_audit.erased"),
    "a function of the trail": ("", "FUNCTION smsp_audit.open_day(date)"),
    "the schema": ("", "SCHEMA smsp_audit"),
}


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize(("made", "what"), BELONGING.values(), ids=BELONGING)
def test_what_belongs_to_another_role_is_named_with_it_and_nothing_is_changed(
    shared: str, made: str, what: str
) -> None:
    url = shared
    with suppress(psycopg.errors.DuplicateObject):
        _execute(superuser_of(url), f"CREATE ROLE {_ANOTHER} LOGIN")
    # (Something to mend, and something to take back, which it comes to first and last.)
    damage = (
        f"CREATE OR REPLACE FUNCTION smsp_audit.refuse() RETURNS trigger {_EMPTY}",
        "GRANT SELECT ON smsp_audit.root TO PUBLIC",
    )
    _execute(superuser_of(url), *damage, made, f"ALTER {what} OWNER TO {_ANOTHER}")
    before = list(PostgresTrailBooks(url).strays())
    told: list[str] = []
    with pytest.raises(CannotPrepare) as refused:
        prepare(sa.make_url(url).set(username=OWNER), PROVIDER, told.append)
    kind, _, name = what.partition(" ")
    assert str(refused.value).startswith(f"to the role {_ANOTHER} belong: the {kind.lower()} {name}. Nothing was chan")
    assert f"gives it to {OWNER}" in str(refused.value)
    assert told == []
    assert list(PostgresTrailBooks(url).strays()) == before
    _execute(superuser_of(url), f"ALTER {what} OWNER TO {OWNER}", f"DROP {what}" if made else "")
    assert prepare(sa.make_url(url).set(username=OWNER), PROVIDER, told.append) == (True, ())


def test_whoever_is_not_the_owner_hears_of_some_of_what_is_the_owners_and_how_much_more(
    shared: str,
) -> None:
    with suppress(psycopg.errors.DuplicateObject):
        _execute(superuser_of(shared), f"CREATE ROLE {_ANOTHER} LOGIN")
    with pytest.raises(CannotPrepare) as refused:
        prepare(sa.make_url(shared).set(username=_ANOTHER), PROVIDER, lambda _: None)
    assert re.match(
        f"to the role {OWNER} belong: the schema smsp_audit(, the table smsp_audit[.][a-z_]+){{4}}, [0-9]+ more[.] ",
        str(refused.value),
    )
