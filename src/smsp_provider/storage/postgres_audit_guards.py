"""What keeps an audit trail in PostgreSQL as it was written: triggers, their functions, and who may do what.

Whoever owns the tables or the server can take it away, empty it or go round it, and nothing of the records shows that.
Verification tells of it, and in live a provider does not serve on such a trail.

Source: SMSP-AUDIT-001; PostgreSQL documentation, 5.8 (privileges), pg_trigger, pg_proc.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, LiteralString, NamedTuple

from smsp_provider.storage.postgres_audit_schema import FUNCTION_RIGHTS, FUNCTIONS, TABLE_RIGHTS

__all__ = ["Ask", "Damage", "Guard", "find_damage", "guard_findings"]

Ask = Callable[[LiteralString], Sequence[tuple[Any, ...]]]

_OF_A_DAY: Final = re.compile(r"_[0-9]{8}")
_PARTITIONED: Final = ("chain", "content")
_TABLES: Final = ("trail", "lane", "lane_end", "chain", "content", "erased", "root")
_ALL_TABLES: Final = frozenset(rights.table for rights in TABLE_RIGHTS)
_FUNCTION_NAMES: Final = frozenset(function.name.partition("(")[0] for function in FUNCTIONS)


class Guard(NamedTuple):
    """A trigger as the migrations make it; ``fires`` are the bits of pg_trigger.tgtype."""

    name: str
    fires: int
    function: str

    @property
    def is_of_rows(self) -> bool:
        """Whether it fires for each row, and not once for the statement."""
        return bool(self.fires & _ROW)

    @property
    def events(self) -> list[str]:
        """What it fires before."""
        return [event for event, bit in _EVENTS.items() if self.fires & bit]


class Damage(NamedTuple):
    """What is not as it was made, and what has to be made anew for it: a function, or a guard of a table, or nothing.

    A guard of each row is made for all days with their common table, any other for the table of the day. What is not
    ``dangerous`` changes nothing about the trail: no service has to end for it.
    """

    what: str
    function: str | None = None
    guard: Guard | None = None
    table: str = ""
    dangerous: bool = True


_ROW, _BEFORE, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 8, 16, 32
_EVENTS: Final = {"UPDATE": _UPDATE, "DELETE": _DELETE, "TRUNCATE": _TRUNCATE}
_NO_CHANGE: Final = Guard("no_change", _ROW | _BEFORE | _UPDATE | _DELETE, "refuse")
_NO_TRUNCATE: Final = Guard("no_truncate", _BEFORE | _TRUNCATE, "refuse")
_GUARDS: Final = {
    **dict.fromkeys(_TABLES, (_NO_CHANGE, _NO_TRUNCATE)),
    "lane": (
        Guard("no_change", _ROW | _BEFORE | _UPDATE, "refuse_but_wrapping"),
        Guard("no_delete", _ROW | _BEFORE | _DELETE, "refuse"),
        _NO_TRUNCATE,
    ),
    "content": (
        Guard("no_change", _ROW | _BEFORE | _UPDATE, "refuse"),
        Guard("no_delete", _ROW | _BEFORE | _DELETE, "refuse_unless_erased"),
        _NO_TRUNCATE,
    ),
}

# One statement: a day's tables may be made meanwhile. What inherits from a table is read with it, wherever it is.
_TRIGGERS: Final[LiteralString] = """
SELECT CASE WHEN c.relnamespace = p.relnamespace OR p.oid IS NULL THEN c.relname
    ELSE c.relnamespace::regnamespace::text || '.' || c.relname END,
    CASE WHEN c.relispartition AND c.relnamespace = p.relnamespace THEN p.relname END,
    c.relnamespace = 'smsp_audit'::regnamespace AND c.relkind <> 'f' AND (p.oid IS NULL OR c.relispartition),
    t.tgname, t.tgenabled = 'A', t.tgtype::int, f.proname,
    t.tgqual IS NULL AND t.tgattr = ''::int2vector AND f.pronamespace = 'smsp_audit'::regnamespace
FROM pg_class AS c LEFT JOIN (pg_inherits AS i JOIN pg_class AS p
        ON p.oid = i.inhparent AND p.relnamespace = 'smsp_audit'::regnamespace) ON i.inhrelid = c.oid
    LEFT JOIN (pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid) ON t.tgrelid = c.oid AND NOT t.tgisinternal
WHERE (c.relnamespace = 'smsp_audit'::regnamespace OR p.oid IS NOT NULL) AND c.relkind IN ('r', 'p', 'f')
ORDER BY 1, 4
"""
_DOINGS: Final[LiteralString] = """
SELECT c.relname, 'rule ' || r.rulename FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
WHERE c.relnamespace = 'smsp_audit'::regnamespace
UNION ALL SELECT relname, 'row level security' FROM pg_class
WHERE relnamespace = 'smsp_audit'::regnamespace AND relrowsecurity
"""
_SOURCES: Final[LiteralString] = """
SELECT p.proname || '(' || oidvectortypes(p.proargtypes) || ')', p.proname,
    CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
    encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'),
    p.prosecdef, l.lanname = 'plpgsql' AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp']
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang WHERE p.pronamespace = 'smsp_audit'::regnamespace
ORDER BY 1
"""
# Types that come with a table, and arrays, hang on that and not on the schema.
_OTHERS: Final[LiteralString] = """
SELECT found.type, found.identity
FROM pg_depend AS d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS found
WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'smsp_audit'::regnamespace
    AND d.classid IN ('pg_operator'::regclass, 'pg_type'::regclass)
ORDER BY 1, 2
"""
_RIGHTS: Final[LiteralString] = """
WITH held (name, owner, acl) AS (
    SELECT 'the schema', nspowner, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
    WHERE oid = 'smsp_audit'::regnamespace
    UNION ALL SELECT relname, relowner, relacl FROM pg_class WHERE relnamespace = 'smsp_audit'::regnamespace
    UNION ALL SELECT c.relname || '.' || a.attname, c.relowner, a.attacl
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid WHERE c.relnamespace = 'smsp_audit'::regnamespace
    UNION ALL SELECT proname || '(' || oidvectortypes(proargtypes) || ')', proowner,
        coalesce(proacl, acldefault('f', proowner))
    FROM pg_proc WHERE pronamespace = 'smsp_audit'::regnamespace
)
SELECT DISTINCT held.name, given.privilege_type, given.grantee = 0, coalesce(role.rolname, '')
FROM held CROSS JOIN LATERAL aclexplode(held.acl) AS given LEFT JOIN pg_roles AS role ON role.oid = given.grantee
WHERE given.grantee <> held.owner ORDER BY 1, 2, 3, 4
"""
_HARMLESS: Final = frozenset({"SELECT", "MAINTAIN"})
"""What a role may have besides, as one that makes backups; never everybody."""
_GRANTED: Final = frozenset(
    {
        ("the schema", "USAGE"),
        *((table, right) for table, rights, _ in TABLE_RIGHTS for right in rights),
        *((f"{table}.{column}", "UPDATE") for table, _, columns in TABLE_RIGHTS for column in columns),
        *((function, "EXECUTE") for function in FUNCTION_RIGHTS),
    }
)
"""What ``smsp audit prepare`` gives a role."""


def guard_findings(ask: Ask) -> Iterator[str]:
    """What is not as ``smsp audit prepare`` makes it, each as a text; ``ask`` gets the rows of a query.

    Raises:
        psycopg.Error: as ``ask`` does.
    """
    return (damage.what for damage in find_damage(ask))


def find_damage(ask: Ask) -> Iterator[Damage]:
    """As :func:`guard_findings`, with what has to be made anew."""
    yield from _tables(ask)
    for table, what in ask(_DOINGS):
        yield Damage(f"the {what} of {table} is nothing of the provider's")
    yield from _functions(ask)
    for kind, name in ask(_OTHERS):
        yield Damage(f"the {kind} {name} is nothing of the provider's", dangerous=False)
    yield from map(Damage, _rights(ask))


def _tables(ask: Ask) -> Iterator[Damage]:
    """Tables that are none of the provider's, and of those that are, what is wrong with their triggers."""
    parents: dict[str, str | None] = dict.fromkeys(_TABLES)
    found: dict[str, dict[str, tuple[Any, ...]]] = {table: {} for table in _TABLES}
    others: dict[str, bool] = {}
    for table, parent, is_plain, name, *facts in ask(_TRIGGERS):
        if not (is_plain and _is_ours(table, parent)):
            # A table that stands alone is only untidy, but under the name of a day it takes that day's place.
            others[table] = not (is_plain and parent is None) or _OF_A_DAY.search(table) is not None
            continue
        parents[table] = parent
        of_table = found.setdefault(table, {})
        if name is not None:
            of_table[name] = tuple(facts)
    for table, dangerous in others.items():
        yield Damage(f"the table {table} is nothing of the provider's", dangerous=dangerous)
    for table, triggers in found.items():
        yield from _triggers(table, parents[table], triggers)


def _is_ours(table: str, parent: str | None) -> bool:
    """Whether the migrations make such a table, or the function that makes those of a day does."""
    if parent is None:
        return table in _ALL_TABLES
    return parent in _PARTITIONED and _OF_A_DAY.fullmatch(table.removeprefix(parent)) is not None


def _triggers(table: str, parent: str | None, triggers: dict[str, tuple[Any, ...]]) -> Iterator[Damage]:
    """The guards of a table that are gone, off or others, and triggers that are none of them."""
    for guard in _GUARDS.get(parent or table, ()):
        is_on, *facts = triggers.pop(guard.name, (False,))
        made_for = parent if parent is not None and guard.is_of_rows else table
        if not is_on:
            what = f"the trigger {guard.name} of {table} is gone, or not always on"
            yield Damage(what, guard=guard, table=made_for)
        elif facts != [guard.fires, guard.function, True]:
            what = f"the trigger {guard.name} of {table} is not as the provider made it"
            yield Damage(what, guard=guard, table=made_for)
    for name in triggers:
        yield Damage(f"the trigger {name} of {table} is nothing of the provider's")


def _functions(ask: Ask) -> Iterator[Damage]:
    """The functions of the guards that are gone, or do something else, and functions that are none of theirs."""
    found = {function: facts for function, *facts in ask(_SOURCES)}
    for function, digest, is_the_owners in FUNCTIONS:
        facts = found.pop(function, None)
        if facts is None:
            yield Damage(f"the function {function} is gone", function)
        elif facts[1:] != ["function", digest, is_the_owners, True]:
            yield Damage(f"the function {function} is not as the provider made it", function)
    for function, (name, kind, _, is_the_owners, _) in found.items():
        # Most are only untidy. But one with a name of the provider's may be taken for it, and one that runs with the
        # rights of its owner lends them to whoever comes to call it.
        dangerous = is_the_owners or name in _FUNCTION_NAMES
        yield Damage(f"the {kind} {function} is nothing of the provider's", dangerous=dangerous)


def _rights(ask: Ask) -> Iterator[str]:
    """Who may do more than the provider's roles need, besides the owner."""
    for name, right, is_everybody, role in ask(_RIGHTS):
        if is_everybody:
            yield f"everybody has the right {right} on {name}"
        elif (name, right) not in _GRANTED and right not in _HARMLESS:
            yield f"the role {role} has the right {right} on {name}"
