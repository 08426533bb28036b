"""Whether a PostgreSQL server may hold an audit trail, asked on each new connection of a writer.

Source: PostgreSQL documentation, 19.5 (write ahead log); SMSP-AUDIT-001 (always on, entries cannot be altered).
"""

from typing import Final, LiteralString

import psycopg

from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.postgres_audit_guards import find_damage
from smsp_provider.storage.postgres_audit_schema import FORBIDDEN, HEAD, SCHEMA
from smsp_provider.storage.postgres_session import BoundedConnection

__all__ = ["OLDEST_VERSION", "check_form", "check_safe", "prepare_session"]

OLDEST_VERSION: Final = 15
"""The first version where not everybody may make things in the schema ``public``, and functions can rely on that."""

_SET: Final[LiteralString] = """
SELECT set_config('search_path', 'pg_catalog', false),
    set_config('TimeZone', 'UTC', false),
    set_config('statement_timeout', %s, false),
    set_config('lock_timeout', %s, false),
    set_config('idle_in_transaction_session_timeout', %s, false),
    set_config('client_connection_check_interval', '1s', false),
    set_config('synchronous_commit', CASE
        WHEN %s THEN 'off'
        WHEN current_setting('synchronous_commit') = 'remote_apply' THEN 'remote_apply'
        ELSE 'on' END, false)
"""
_FACTS: Final[LiteralString] = """
SELECT current_setting('server_version_num')::int / 10000,
    current_setting('fsync') = 'on',
    current_setting('full_page_writes') = 'on',
    current_setting('synchronous_commit') IN ('on', 'remote_apply'),
    (SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname IN (current_user, session_user)),
    (SELECT bool_or(pg_has_role(session_user, owner, 'MEMBER')) FROM (
        SELECT relowner FROM pg_class WHERE relnamespace = %(schema)s::regnamespace
        UNION SELECT proowner FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace
        UNION SELECT nspowner FROM pg_namespace WHERE oid = %(schema)s::regnamespace
        UNION SELECT datdba FROM pg_database WHERE datname = current_database()
    ) AS owners (owner)),
    (SELECT bool_or(has_table_privilege(format('%%I.%%I', %(schema)s, name), what))
        FROM unnest(%(tables)s::text[], %(rights)s::text[]) AS forbidden (name, what))
"""


def prepare_session(connection: BoundedConnection, *, durable: bool) -> None:
    """Set what this session relies on: limits, and that a commit is on the disk before it is confirmed.

    A server that is told to wait for its replicas to apply a commit stays with that; anything less becomes ``on``.

    Raises:
        psycopg.Error: that cannot be set.
    """
    limit = f"{round(connection.bound_s * 1000)}ms"
    connection.execute(_SET, (limit, limit, limit, not durable))


def check_form(connection: BoundedConnection) -> None:
    """Pass a database with a trail of the form of this version.

    Raises:
        StorageUnsafe: it has none, or one of another version, or this role may not look.
        psycopg.Error: that cannot be told.
    """
    found = connection.execute("SELECT has_schema_privilege(to_regnamespace(%s)::oid, 'USAGE')", (SCHEMA,)).fetchone()
    if found is None or found[0] is None:
        raise StorageUnsafe("the database holds no audit trail yet: `smsp audit prepare` makes it")
    try:
        row = connection.execute("SELECT version_num FROM smsp_audit.form").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        raise StorageUnsafe(
            "the role of the provider has no rights on the audit trail: `smsp audit prepare` gives them"
        ) from None
    if row != (HEAD,):
        raise StorageUnsafe("the audit trail has a form that this version does not know: see `smsp audit prepare`")


def check_safe(connection: BoundedConnection) -> None:
    """Pass a server, a connection, a role and guards that a live trail may rely on.

    Raises:
        StorageUnsafe: they are not; the text says why.
        psycopg.Error: that cannot be told.
    """
    _check_encrypted(connection)
    tables, rights = zip(*FORBIDDEN, strict=True)
    values = {"schema": SCHEMA, "tables": list(tables), "rights": list(rights)}
    row = connection.execute(_FACTS, values).fetchone()
    if row is None:
        raise StorageUnsafe("the server does not tell its settings")
    version, fsync, full_pages, synchronous, superuser, owner, rights_found = row
    findings = {
        f"the server is older than PostgreSQL {OLDEST_VERSION}": version < OLDEST_VERSION,
        "the server runs with fsync off: a commit may be lost": not fsync,
        "the server runs with full_page_writes off: a power cut may destroy it": not full_pages,
        "commits cannot be made synchronous": not synchronous,
        "the role of the provider is a superuser: it could change the audit trail": superuser,
        "the role of the provider owns the audit trail, or may act as its owner": owner,
        "the role of the provider may change or remove records of the audit trail": rights_found,
    }
    for text, found in findings.items():
        if found is not False:
            raise StorageUnsafe(text)
    for damage in find_damage(lambda query: connection.execute(query).fetchall()):
        if damage.dangerous:
            raise StorageUnsafe(f"{damage.what}: `smsp audit verify` shows all of it")


def _check_encrypted(connection: BoundedConnection) -> None:
    """TLS that proves who the server is; a unix socket does not leave the host."""
    options = {option.keyword: option.val for option in connection.pgconn.info}
    is_local = connection.info.host.startswith("/")
    if not is_local and (options.get(b"sslmode") != b"verify-full" or not connection.pgconn.ssl_in_use):
        raise StorageUnsafe(
            "the connection to the audit trail must be encrypted to a proven server: sslmode=verify-full"
        )
