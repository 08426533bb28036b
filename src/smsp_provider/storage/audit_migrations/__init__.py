"""How the tables of an audit trail in PostgreSQL came to be, one module in ``versions`` for each step (Alembic)."""
