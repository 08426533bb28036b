"""The accounts of operators."""

import sqlalchemy as sa
from alembic import op

revision = "operators_0001"
down_revision = "clients_0001"


def upgrade() -> None:
    """Make all tables; they are empty."""
    op.create_table(
        "operator",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("all_organisations", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("password", sa.Text()),
        sa.Column("password_at", sa.String(40)),
        sa.Column("totp", sa.LargeBinary()),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.String(40)),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("enrolment", sa.String(64)),
        sa.Column("enrolment_until", sa.String(40)),
        sa.PrimaryKeyConstraint("name", name="pk_operator"),
    )
    op.create_table(
        "operator_role",
        _operator("operator_role"),
        sa.Column("role", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("operator", "role", name="pk_operator_role"),
    )
    op.create_table(
        "operator_organisation",
        _operator("operator_organisation"),
        sa.Column("ods_code", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("operator", "ods_code", name="pk_operator_organisation"),
    )
    op.create_table(
        "operator_password",
        _operator("operator_password"),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("operator", "place", name="pk_operator_password"),
    )
    op.create_table(
        "operator_session",
        _operator("operator_session"),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("bound_to", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.String(40), nullable=False),
        sa.Column("used_at", sa.String(40), nullable=False),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("operator", name="pk_operator_session"),
        sa.UniqueConstraint("token", name="uq_operator_session_token"),
    )


def _operator(table: str) -> sa.Column[str]:
    key = sa.ForeignKey("operator.name", name=f"fk_{table}_operator", ondelete="CASCADE")
    return sa.Column("operator", sa.String(32), key, nullable=False)
