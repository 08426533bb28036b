"""The first form of an audit trail in PostgreSQL: partitioned by day, and append-only.

The tables of a day are made by a function that runs with the rights of the owner, so that the provider needs none to
make tables. Triggers refuse what nobody may do, the owner included. They are always on: a session that plays a replica
(``session_replication_role``) does not get round them, only a superuser or the owner who removes them does, and that
is what the chain and its witness are for.

The contents are encrypted, so PostgreSQL is told not to try to compress them.
"""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from smsp_provider.audit.encoding import timestamp

revision = "audit_0001"
down_revision = None

_TABLES = (
    "CREATE TABLE smsp_audit.trail (id text NOT NULL PRIMARY KEY, made_at text NOT NULL, form integer NOT NULL)",
    "CREATE UNIQUE INDEX trail_is_one ON smsp_audit.trail ((true))",
    """CREATE TABLE smsp_audit.lane (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, token text NOT NULL UNIQUE, day date NOT NULL,
        writer text NOT NULL, pid bigint NOT NULL, at bigint NOT NULL, key_id text NOT NULL, wrapped_key bytea NOT NULL
    )""",
    "CREATE INDEX lane_of_day ON smsp_audit.lane (day)",
    "CREATE INDEX lane_of_writer ON smsp_audit.lane (writer)",
    "CREATE TABLE smsp_audit.lane_end (lane bigint PRIMARY KEY REFERENCES smsp_audit.lane, at bigint NOT NULL)",
    """CREATE TABLE smsp_audit.chain (
        day date NOT NULL, lane bigint NOT NULL, n bigint NOT NULL, kind text NOT NULL, at bigint NOT NULL,
        exchange text, commitment bytea NOT NULL, link bytea NOT NULL, PRIMARY KEY (lane, n, day)
    ) PARTITION BY RANGE (day)""",
    """CREATE TABLE smsp_audit.content (
        day date NOT NULL, lane bigint NOT NULL, n bigint NOT NULL, sealed bytea NOT NULL, PRIMARY KEY (lane, n, day)
    ) PARTITION BY RANGE (day)""",
    "ALTER TABLE smsp_audit.content ALTER COLUMN sealed SET STORAGE EXTERNAL",
    """CREATE TABLE smsp_audit.erased (
        lane bigint NOT NULL REFERENCES smsp_audit.lane, n bigint NOT NULL,
        tombstone_lane bigint NOT NULL REFERENCES smsp_audit.lane, tombstone_n bigint NOT NULL, PRIMARY KEY (lane, n)
    )""",
    "CREATE TABLE smsp_audit.root (number bigint PRIMARY KEY, statement bytea NOT NULL, signature bytea NOT NULL)",
)

FUNCTIONS = {
    "refuse()": """CREATE FUNCTION smsp_audit.refuse() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN
        RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'restrict_violation';
    END $$""",
    "refuse_unless_erased()": """CREATE FUNCTION smsp_audit.refuse_unless_erased() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN
        IF EXISTS (SELECT FROM smsp_audit.erased AS e WHERE e.lane = OLD.lane AND e.n = OLD.n) THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'restrict_violation';
    END $$""",
    "refuse_but_wrapping()": """CREATE FUNCTION smsp_audit.refuse_but_wrapping() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN
        IF (NEW.id, NEW.token, NEW.day, NEW.writer, NEW.pid, NEW.at)
            IS NOT DISTINCT FROM (OLD.id, OLD.token, OLD.day, OLD.writer, OLD.pid, OLD.at) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'of a lane only the wrapping of its key may change' USING ERRCODE = 'restrict_violation';
    END $$""",
    "open_day(date)": """CREATE FUNCTION smsp_audit.open_day(wanted date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        parent text;
        part text;
    BEGIN
        IF wanted IS NULL OR wanted NOT BETWEEN '2000-01-01' AND '9998-12-31' THEN
            RAISE EXCEPTION 'not a day' USING ERRCODE = 'datetime_field_overflow';
        END IF;
        IF to_regclass(format('smsp_audit.%I', 'content_' || to_char(wanted, 'YYYYMMDD'))) IS NOT NULL THEN
            RETURN;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('smsp_audit.open_day', 0));
        FOREACH parent IN ARRAY ARRAY['chain', 'content'] LOOP
            part := parent || '_' || to_char(wanted, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(format('smsp_audit.%I', part)) IS NOT NULL;
            EXECUTE format('CREATE TABLE smsp_audit.%I (LIKE smsp_audit.%I INCLUDING ALL)', part, parent);
            -- Attached, not made as a partition: that would wait for all writers, and they for it.
            EXECUTE format(
                'ALTER TABLE smsp_audit.%I ATTACH PARTITION smsp_audit.%I FOR VALUES FROM (%L) TO (%L)',
                parent, part, wanted, wanted + 1
            );
            EXECUTE format(
                'CREATE TRIGGER no_truncate BEFORE TRUNCATE ON smsp_audit.%I EXECUTE FUNCTION smsp_audit.refuse()', part
            );
            EXECUTE format('ALTER TABLE smsp_audit.%I ENABLE ALWAYS TRIGGER no_truncate', part);
        END LOOP;
    END $$""",
}
"""The functions of this form; where somebody changed one, ``smsp audit prepare`` makes it anew from here."""

_ROW_TRIGGERS = (
    *((table, "no_change", "UPDATE OR DELETE", "refuse") for table in ("trail", "lane_end", "chain", "erased", "root")),
    ("lane", "no_delete", "DELETE", "refuse"),
    ("lane", "no_change", "UPDATE", "refuse_but_wrapping"),
    ("content", "no_change", "UPDATE", "refuse"),
    ("content", "no_delete", "DELETE", "refuse_unless_erased"),
)
_ALL = ("trail", "lane", "lane_end", "chain", "content", "erased", "root")


def upgrade() -> None:
    """Make all tables, their guards, and the trail's name."""
    for statement in (*_TABLES, *FUNCTIONS.values()):
        op.execute(statement)
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION smsp_audit.{function} FROM PUBLIC")
    for table, name, action, function in _ROW_TRIGGERS:
        _guard(table, f"{name} BEFORE {action} ON smsp_audit.{table} FOR EACH ROW", function)
    for table in _ALL:
        _guard(table, f"no_truncate BEFORE TRUNCATE ON smsp_audit.{table}", "refuse")
    trail = sa.table("trail", sa.column("id"), sa.column("made_at"), sa.column("form"), schema="smsp_audit")
    op.bulk_insert(trail, [{"id": str(uuid.uuid4()).upper(), "made_at": timestamp(datetime.now(UTC)), "form": 2}])


def _guard(table: str, trigger: str, function: str) -> None:
    op.execute(f"CREATE TRIGGER {trigger} EXECUTE FUNCTION smsp_audit.{function}()")
    op.execute(f"ALTER TABLE smsp_audit.{table} ENABLE ALWAYS TRIGGER {trigger.partition(' ')[0]}")
