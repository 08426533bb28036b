"""The tables of an audit trail in PostgreSQL: their names, who may do what with them, and the statements on them.

They stand in a schema of their own, so that a database may hold more than the trail. How they are made is in
``audit_migrations``; ``chain`` and ``content`` are partitioned by the day of the lane.
"""

from typing import Final, NamedTuple

__all__ = [
    "APPEND",
    "APPEND_TYPES",
    "FORBIDDEN",
    "FUNCTIONS",
    "FUNCTION_RIGHTS",
    "HEAD",
    "SCHEMA",
    "TABLE_RIGHTS",
    "VERSION_TABLE",
    "Function",
    "TableRights",
]

SCHEMA: Final = "smsp_audit"
HEAD: Final = "audit_0002"
"""The migration that this version reads and writes."""
VERSION_TABLE: Final = "form"
"""Where Alembic notes it, in the schema of the trail: the client registry has a note of its own."""


class TableRights(NamedTuple):
    """What the provider's role may do with a table; ``columns`` are those that it may UPDATE."""

    table: str
    rights: tuple[str, ...]
    columns: tuple[str, ...] = ()


TABLE_RIGHTS: Final = (
    TableRights(VERSION_TABLE, ("SELECT",)),
    TableRights("trail", ("SELECT",)),
    TableRights("lane", ("SELECT", "INSERT"), ("key_id", "wrapped_key")),
    TableRights("lane_end", ("SELECT", "INSERT")),
    TableRights("chain", ("SELECT", "INSERT")),
    TableRights("content", ("SELECT", "INSERT", "DELETE")),
    TableRights("erased", ("SELECT", "INSERT")),
    TableRights("root", ("SELECT", "INSERT")),
    *(
        TableRights(f"index_{name}", ("SELECT", "INSERT", "UPDATE", "DELETE"))
        for name in ("day", "progress", "term", "part", "traffic")
    ),
)
"""All rights of the provider's role; of ``content`` a trigger lets it delete only what ``erased`` names.

The search index (``index_...``) is derived from the rest, so it may be changed.
"""
FUNCTION_RIGHTS: Final = ("open_day(date)",)
"""The functions that it may call."""


class Function(NamedTuple):
    """A function of the trail, the SHA-256 of its source, and whether it runs with the rights of its owner."""

    name: str
    digest: str
    is_the_owners: bool = False


FUNCTIONS: Final = (
    Function("refuse()", "a4f0f51054f3834650b42c1b0c086aa592157fdb832912b99c95d43bdf2ccde8"),
    Function("refuse_unless_erased()", "931bea8b0a245253397451415c3a00ac9c596782f3c3d65e5d0a1c954510db67"),
    Function("refuse_but_wrapping()", "f8f92861b53aa32a16ccf333c6e11f174544fcaff2f2fc79799204a05b7bc9a6"),
    Function("open_day(date)", "8cb126815974e0fbbc945835f7395ebb245f1e24e173248bd4e27f8f2ce4a37c", is_the_owners=True),
)
"""As the migrations up to :data:`HEAD` make them. (Digests, since only a migration holds the text.)"""

FORBIDDEN: Final = (
    *((table, right) for table in ("trail", "lane_end", "chain", "erased", "root") for right in ("UPDATE", "DELETE")),
    ("lane", "UPDATE"),
    ("lane", "DELETE"),
    ("content", "UPDATE"),
    *((table, "TRUNCATE") for table in ("trail", "lane", "lane_end", "chain", "content", "erased", "root")),
)
"""What no role may have that serves in live, however it came by it."""

APPEND: Final = b"""
WITH writable AS (
    SELECT WHERE NOT EXISTS (SELECT FROM smsp_audit.lane_end AS e WHERE e.lane = $1)
    AND ($3 = 1 OR EXISTS (SELECT FROM smsp_audit.chain AS c WHERE c.day = $2 AND c.lane = $1 AND c.n = $3 - 1))
),
fresh AS MATERIALIZED (
    SELECT $3 + place - 1 AS n, kind, at, exchange, commitment, link, sealed
    FROM writable CROSS JOIN unnest($4::text[], $5::bigint[], $6::text[], $7::bytea[], $8::bytea[], $9::bytea[])
    WITH ORDINALITY AS given (kind, at, exchange, commitment, link, sealed, place)
),
chained AS (
    INSERT INTO smsp_audit.chain (lane, day, n, kind, at, exchange, commitment, link)
    SELECT $1, $2, n, kind, at, exchange, commitment, link FROM fresh
)
INSERT INTO smsp_audit.content (lane, day, n, sealed) SELECT $1, $2, n, sealed FROM fresh
"""
"""Records of a lane from n on, chain and content: none where the lane was ended, or n is not its next record."""
APPEND_TYPES: Final = (20, 1082, 20, 1009, 1016, 1009, 1001, 1001, 1001)
"""The types of its parameters by PostgreSQL's numbers: 20 bigint, 1082 date, and arrays: 1009 text, 1016 bigint, 1001
bytea."""
