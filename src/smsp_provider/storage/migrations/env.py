"""Run by Alembic for every command; the connection, in a transaction, is that of :mod:`..client_form`."""

from alembic import context

from smsp_provider.storage.clients_schema import VERSION_TABLE
from smsp_provider.storage.operator_schema import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
