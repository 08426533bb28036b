"""Where things are kept: the audit trail in SQLite."""
