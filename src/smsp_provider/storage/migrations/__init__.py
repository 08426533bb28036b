"""How the tables of the client registry came to be, one module in ``versions`` for each step (Alembic)."""
