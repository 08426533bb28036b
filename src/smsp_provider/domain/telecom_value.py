"""Which telecom values the response schema can carry."""

__all__ = ["is_schema_url"]


def is_schema_url(value: str) -> bool:
    """Whether the value passes the schema's type for URLs (xs:anyURI)."""
    return value.isascii() and value.isprintable() and not set(value) & set(' <>"{}|\\^`%[]')
