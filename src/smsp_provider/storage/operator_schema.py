"""The tables of operators' accounts, beside those of the clients in the registry's database.

Moments are text as in :mod:`.clients_schema`. Passwords are argon2id hashes, seeds of the second factor are sealed with
a key that is not in the database, tokens and enrolment codes are SHA-256 digests: a copy lets nobody in.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from smsp_provider.storage.clients_schema import METADATA

__all__ = ["METADATA", "former_password", "operator", "organisation", "role", "session"]


def _operator() -> Column[str]:
    return Column("operator", String(32), ForeignKey("operator.name", ondelete="CASCADE"), primary_key=True)


operator: Final = Table(
    "operator",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("person", Text, nullable=False),
    Column("all_organisations", Boolean, nullable=False),
    Column("disabled_reason", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("password", Text),
    Column("password_at", String(40)),
    Column("totp", LargeBinary),
    Column("totp_step", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("not_before", String(40)),
    Column("locked", Boolean, nullable=False),
    Column("enrolment", String(64)),
    Column("enrolment_until", String(40)),
)
"""``version`` counts the changes that administrators make; ``totp_step`` is the last time step whose code was used."""

role: Final = Table("operator_role", METADATA, _operator(), Column("role", String(40), primary_key=True))

organisation: Final = Table(
    "operator_organisation", METADATA, _operator(), Column("ods_code", String(32), primary_key=True)
)

former_password: Final = Table(
    "operator_password",
    METADATA,
    _operator(),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("password", Text, nullable=False),
)
"""Hashes of a person's passwords, the newest, which is in use, in the first place."""

session: Final = Table(
    "operator_session",
    METADATA,
    _operator(),
    Column("token", String(64), nullable=False, unique=True),
    Column("bound_to", Text, nullable=False),
    Column("begun_at", String(40), nullable=False),
    Column("used_at", String(40), nullable=False),
    Column("must_change", Boolean, nullable=False),
)
"""One for each account: whoever logs in ends the session before. ``must_change``: the password is over."""
