"""Run by Alembic for every command; the connection, in a transaction, is that of :mod:`..postgres_audit_form`."""

from alembic import context

from smsp_provider.storage.postgres_audit_schema import SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE, version_table_schema=SCHEMA
)
with context.begin_transaction():
    context.run_migrations()
