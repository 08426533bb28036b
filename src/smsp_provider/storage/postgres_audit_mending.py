"""Making the guards of an audit trail in PostgreSQL anew where somebody changed or removed them, in their owner's name.

What is none of the provider's, as another table or another function, is left to people: somebody may want to look at
it. And what belongs to another role, only a superuser can change or give back.

Source: PostgreSQL documentation, CREATE TRIGGER (partitions get the row triggers of their table), ALTER TABLE.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final, LiteralString

from sqlalchemy import Connection

from smsp_provider.storage.audit_migrations.versions import audit_0001
from smsp_provider.storage.postgres_audit_guards import Damage, Guard, find_damage, guard_findings
from smsp_provider.storage.postgres_audit_schema import SCHEMA

__all__ = ["find_left", "find_others_property", "mend_guards"]

_FUNCTIONS: Final = audit_0001.FUNCTIONS
"""As the migrations up to :data:`postgres_audit_schema.HEAD` make them."""
_MOST_NAMED: Final = 5
_OWNED: Final[LiteralString] = """
WITH held (place, kind, name, owner) AS (
    SELECT 1, 'schema', nspname::text, nspowner FROM pg_namespace WHERE nspname = 'smsp_audit'
    UNION ALL SELECT 2, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
        WHEN 'S' THEN 'sequence' ELSE 'table' END, c.oid::regclass::text, c.relowner
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'smsp_audit' AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        AND NOT (c.relkind = 'S' AND EXISTS (
            SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
    UNION ALL SELECT 3, CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
        p.oid::regprocedure::text, p.proowner
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'smsp_audit'
)
SELECT pg_get_userbyid(owner), kind, name FROM held WHERE NOT pg_has_role(owner, 'USAGE') ORDER BY 1, place, kind, name
"""
"""What this role may not change, without the sequences that go with a table; the schema need not be there yet."""


def mend_guards(connection: Connection, tell: Callable[[str], None]) -> bool:
    """Make functions and triggers anew that are not as they were made, within the transaction of ``connection``.

    ``tell`` gets a sentence for each. Returns whether there was anything to do.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refused, as where a function is not its owner's any more.
    """
    made: dict[str, tuple[str, ...]] = {}
    # Functions first: triggers call them.
    for damage in sorted(_damage(connection), key=lambda damage: damage.function is None):
        if damage.function is not None:
            made[f"the function {damage.function}"] = (_function(damage.function),)
        elif damage.guard is not None:
            made[f"the trigger {damage.guard.name} of {damage.table}"] = _trigger(damage.table, damage.guard)
    for what, statements in made.items():
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))
        tell(f"made anew, since it was not as it had been made: {what}")
    return bool(made)


def find_left(connection: Connection) -> list[str]:
    """What is still not as it was made, each as a text."""
    return list(guard_findings(lambda query: _ask(connection, query)))


def find_others_property(connection: Connection) -> str | None:
    """What in the trail's schema belongs to a role that this one does not act for, as a text; None: nothing does.

    Some of it is named, in the order schema, tables, functions, the rest is counted. ``search_path`` has to be that of
    the catalogue.
    """
    texts = []
    for owner, rows in groupby(_ask(connection, _OWNED), key=lambda row: row[0]):
        names = [f"the {kind} {name}" for _, kind, name in rows]
        more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
        texts.append(f"to the role {owner} belong: {', '.join((*names[:_MOST_NAMED], *more))}")
    return "; ".join(texts) or None


def _damage(connection: Connection) -> list[Damage]:
    return list(find_damage(lambda query: _ask(connection, query)))


def _ask(connection: Connection, query: LiteralString) -> Sequence[tuple[Any, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(query)]


def _function(name: str) -> str:
    return _FUNCTIONS[name].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


def _trigger(table: str, guard: Guard) -> tuple[str, ...]:
    """Statements for a table and its partitions."""
    rows = " FOR EACH ROW" if guard.is_of_rows else ""
    what = f"{guard.name} BEFORE {' OR '.join(guard.events)} ON {SCHEMA}.{table}{rows}"
    return (
        f"CREATE OR REPLACE TRIGGER {what} EXECUTE FUNCTION {SCHEMA}.{guard.function}()",
        f"ALTER TABLE {SCHEMA}.{table} ENABLE ALWAYS TRIGGER {guard.name}",
    )
