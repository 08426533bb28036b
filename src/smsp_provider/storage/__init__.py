"""Where things are kept: the audit trail in SQLite, and what the workers share in mapped files."""
