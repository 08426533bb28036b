"""The search index of the audit trail: tables of its own, which the provider may change, since they are derived.

The day stands first in every key, so that a day can be read, counted and removed by itself.
"""

from alembic import op

revision = "audit_0002"
down_revision = "audit_0001"

_TABLES = (
    """CREATE TABLE smsp_audit.index_day (
        day date PRIMARY KEY, key_id text NOT NULL, wrapped_key bytea NOT NULL, complete boolean NOT NULL
    )""",
    """CREATE TABLE smsp_audit.index_progress (
        lane bigint PRIMARY KEY, n bigint NOT NULL, link bytea NOT NULL, done boolean NOT NULL
    )""",
    """CREATE TABLE smsp_audit.index_term (
        day date NOT NULL, term bigint NOT NULL, at bigint NOT NULL, lane bigint NOT NULL, n bigint NOT NULL,
        PRIMARY KEY (day, term, at, lane, n)
    )""",
    """CREATE TABLE smsp_audit.index_part (
        day date NOT NULL, lane bigint NOT NULL, n bigint NOT NULL,
        part_at bigint NOT NULL, part_lane bigint NOT NULL, part_n bigint NOT NULL,
        PRIMARY KEY (day, lane, n, part_lane, part_n)
    )""",
    """CREATE TABLE smsp_audit.index_traffic (
        hour bigint NOT NULL, day date NOT NULL, service text NOT NULL, client text NOT NULL, outcome text NOT NULL,
        times bigint NOT NULL, PRIMARY KEY (hour, day, service, client, outcome)
    )""",
)


def upgrade() -> None:
    """Make the tables, empty: the next run of the keeper fills them."""
    for statement in _TABLES:
        op.execute(statement)
