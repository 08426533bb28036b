"""The URL by which an operator names the database of an audit trail as its owner."""

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

__all__ = ["parse_owner_url"]


def parse_owner_url(text: str) -> URL:
    """``postgresql://OWNER@HOST/DATABASE``, in its parts.

    Raises:
        ValueError: it is another URL or none; the text goes on after its name, and quotes nothing: it may hold a
            password.
    """
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is not a URL") from None
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise ValueError("is not postgresql://OWNER@HOST/DATABASE")
    return parsed
