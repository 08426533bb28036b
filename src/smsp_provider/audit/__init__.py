"""What goes on record about an exchange, as which text, and through which port. No I/O here."""
