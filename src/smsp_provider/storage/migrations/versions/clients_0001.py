"""The first form of the client registry."""

import sqlalchemy as sa
from alembic import op

revision = "clients_0001"
down_revision = None


def upgrade() -> None:
    """Make all tables, and the one row that counts changes."""
    registry = op.create_table(
        "client_registry",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_client_registry"),
        sa.CheckConstraint("id = 1", name=op.f("ck_client_registry_one_row")),
    )
    op.create_table(
        "client",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("ods_code", sa.String(32), nullable=False),
        sa.Column("party_key", sa.Text()),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("approval_reference", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Text(), nullable=False),
        sa.Column("use_case", sa.Text(), nullable=False),
        sa.Column("review_on", sa.String(40), nullable=False),
        sa.Column("rate", sa.Float(53)),
        sa.Column("burst", sa.Integer()),
        sa.Column("concurrency", sa.Integer()),
        sa.Column("priority", sa.String(40), nullable=False),
        sa.Column("signatures", sa.String(40)),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_client"),
    )
    op.create_table(
        "client_organisation",
        _client("client_organisation"),
        sa.Column("ods_code", sa.String(32), nullable=False),
        sa.Column("asid", sa.String(12)),
        sa.PrimaryKeyConstraint("client", "ods_code", name="pk_client_organisation"),
    )
    op.create_table(
        "client_username",
        _client("client_username"),
        sa.Column("username", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("client", "username", name="pk_client_username"),
        sa.UniqueConstraint("username", name="uq_client_username_username"),
    )
    op.create_table(
        "client_grant",
        _client("client_grant"),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("client", "kind", "value", name="pk_client_grant"),
        sa.CheckConstraint("kind IN ('service', 'profile', 'access-method')", name=op.f("ck_client_grant_kind")),
    )
    op.create_table(
        "client_pin",
        _client("client_pin"),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("subject", sa.Text()),
        sa.Column("issuer", sa.Text()),
        sa.Column("until", sa.String(40)),
        sa.Column("certificate", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("client", "place", name="pk_client_pin"),
        sa.UniqueConstraint("fingerprint", name="uq_client_pin_fingerprint"),
        sa.UniqueConstraint("subject", "issuer", name="uq_client_pin_subject"),
        sa.CheckConstraint(
            "(fingerprint IS NOT NULL AND subject IS NULL AND issuer IS NULL)"
            " OR (fingerprint IS NULL AND certificate IS NULL"
            " AND subject IS NOT NULL AND issuer IS NOT NULL AND until IS NOT NULL)",
            name=op.f("ck_client_pin_kind"),
        ),
    )
    op.bulk_insert(registry, [{"id": 1, "version": 0, "changed_at": "1970-01-01T00:00:00.000000Z"}])


def _client(table: str) -> sa.Column[str]:
    key = sa.ForeignKey("client.name", name=f"fk_{table}_client", ondelete="CASCADE")
    return sa.Column("client", sa.String(64), key, nullable=False)
