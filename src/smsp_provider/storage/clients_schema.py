"""The tables of the client registry, as the newest migration leaves them.

Dates and moments are ISO 8601 text, moments in UTC: the same in both databases, and a value that somebody mangled by
hand breaks the one client it belongs to, not the reading of all. What a client is allowed (services, profiles, access
methods) is one table, since each is a set of words.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["HEAD", "METADATA", "VERSION_TABLE", "client", "grant", "organisation", "pin", "registry", "username"]

HEAD: Final = "operators_0001"
"""The migration that this version reads and writes; the operators' tables (:mod:`.operator_schema`) belong to it."""
VERSION_TABLE: Final = "client_registry_form"
"""Where Alembic notes it; not Alembic's usual name, since a PostgreSQL database may hold more than the registry."""

METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _client() -> Column[str]:
    return Column("client", String(64), ForeignKey("client.name", ondelete="CASCADE"), primary_key=True)


registry: Final = Table(
    "client_registry",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", String(40), nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""One row; its version goes up by one with every change, in the transaction of the change."""

client: Final = Table(
    "client",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("ods_code", String(32), nullable=False),
    Column("party_key", Text),
    Column("contact", Text, nullable=False),
    Column("approval_reference", Text, nullable=False),
    Column("legal_basis", Text, nullable=False),
    Column("use_case", Text, nullable=False),
    Column("review_on", String(40), nullable=False),
    Column("rate", Float(53)),
    Column("burst", Integer),
    Column("concurrency", Integer),
    Column("priority", String(40), nullable=False),
    Column("signatures", String(40)),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text, nullable=False),
)

organisation: Final = Table(
    "client_organisation",
    METADATA,
    _client(),
    Column("ods_code", String(32), primary_key=True),
    Column("asid", String(12)),
)

username: Final = Table(
    "client_username",
    METADATA,
    _client(),
    Column("username", Text, primary_key=True),
    UniqueConstraint("username"),
)
"""The client's own name stands here too, so that no other client can have it as a username."""

grant: Final = Table(
    "client_grant",
    METADATA,
    _client(),
    Column("kind", String(16), primary_key=True),
    Column("value", Text, primary_key=True),
    CheckConstraint("kind IN ('service', 'profile', 'access-method')", name="kind"),
)

pin: Final = Table(
    "client_pin",
    METADATA,
    _client(),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("fingerprint", String(64)),
    Column("subject", Text),
    Column("issuer", Text),
    Column("until", String(40)),
    Column("certificate", LargeBinary),
    # What is NULL is not equal to anything, so each of these holds for its own kind of pin.
    UniqueConstraint("fingerprint"),
    UniqueConstraint("subject", "issuer"),
    CheckConstraint(
        "(fingerprint IS NOT NULL AND subject IS NULL AND issuer IS NULL)"
        " OR (fingerprint IS NULL AND certificate IS NULL"
        " AND subject IS NOT NULL AND issuer IS NOT NULL AND until IS NOT NULL)",
        name="kind",
    ),
)
