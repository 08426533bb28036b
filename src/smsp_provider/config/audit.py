"""The settings of the audit trail: where it is kept, how durably, and with which keys."""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator

from smsp_provider.audit.retention import RecordClass, RetentionPolicy
from smsp_provider.config.section import Section, has_control_character, https_url

__all__ = ["AuditSettings"]

_LIVE_AT_LEAST: Final = {
    "retention_exchanges_days": 2_922,
    "retention_administration_days": 2_922,
    "retention_refusals_days": 366,
}
_VARIABLE: Final = "^[A-Z][A-Z0-9_]{0,99}$"


class AuditSettings(Section):
    """The audit trail."""

    database: Path = Field(
        description="SQLite file of the audit trail; made when it is not there. What this host's processes share, and "
        "the registry of clients unless that is elsewhere, stand in the same directory, also where store is set."
    )
    store: str = Field(
        "",
        description="URL of the PostgreSQL database that keeps the trail in place of the file: "
        "postgresql://ROLE@HOST/DATABASE. A password belongs into a file that the driver reads, not here. Live takes "
        "another host with ?sslmode=verify-full only. Empty: the file.",
    )
    synchronous: str = Field(
        "FULL", pattern="^(FULL|NORMAL)$", description="FULL survives a power cut; NORMAL is for tests and benchmarks."
    )
    keys: Path | None = Field(
        None,
        description="File of the keys that contents are encrypted with (`smsp audit keys`); unset: audit.keys beside "
        "the database, made at the first start. Live needs it or keys_variable, and never makes it. Without it "
        "the contents cannot be read: keep a copy elsewhere.",
    )
    keys_variable: str | None = Field(
        None, pattern=_VARIABLE, description="Environment variable that holds the same text; it stands over the file."
    )
    signing_key: Path | None = Field(
        None,
        description="File of the key that roots are signed with (PEM, Ed25519); unset: audit-signing.key beside the "
        "database, made at the first start. Live needs it, and never makes it.",
    )

    retention_exchanges_days: int = Field(
        2_922,
        ge=1,
        le=36_525,
        description="Days that records of exchanges are kept before they may be retired; live: from 2922.",
    )
    retention_administration_days: int = Field(
        2_922,
        ge=1,
        le=36_525,
        description="Days that records of operators' acts and changes are kept before they may be retired; live: from "
        "2922.",
    )
    retention_refusals_days: int = Field(
        1_096,
        ge=1,
        le=36_525,
        description="Days that counts of refusals before authentication are kept before they may be retired; live: "
        "from 366.",
    )

    fold_seconds: float = Field(
        1, gt=0, le=60, description="How often what was written is bound into a signed root, where anything was."
    )
    witness_file: Path | None = Field(
        None,
        description="File that roots are appended to, best on a volume that is another machine's: it finds out who "
        "rewrites the trail and signs it again. Live needs it or witness_url.",
    )
    witness_url: str = Field(
        "", description="https URL of a service that is POSTed each root, and that tells its last one on GET."
    )
    witness_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that sign for that service; unset: those that the machine trusts.",
    )
    witness_token: Path | None = Field(
        None, description="File with a token for that service, sent as `Authorization: Bearer`."
    )
    without_witness: str = Field(
        "",
        description="Why there is no witness, and who agreed: live starts without one only where this says it. It is "
        "told and on record with each start.",
    )

    @field_validator("database")
    @classmethod
    def _names_a_file(cls, value: Path) -> Path:
        if value.name in ("", "..") or has_control_character(str(value)):
            raise ValueError("not the name of a file")
        return value

    @field_validator("without_witness")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if has_control_character(value):
            raise ValueError("holds a line end or another control character")
        return value.strip()

    @field_validator("witness_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        return https_url(value)

    @field_validator("store")
    @classmethod
    def _is_a_url_without_a_password(cls, value: str) -> str:
        # The value is shown by `config check` and stands in messages.
        if not value:
            return value
        try:
            parts = urlsplit(value)
            has_password = parts.password is not None or "password" in parse_qs(parts.query.lower())
        except ValueError:
            raise ValueError("not a URL") from None
        if has_password:
            raise ValueError("a password does not belong in here: PostgreSQL's driver reads a passfile")
        if parts.scheme != "postgresql" or has_control_character(value):
            raise ValueError("postgresql://ROLE@HOST/DATABASE")
        return value

    def keys_file(self) -> Path:
        """The file of the keys, where they are in one."""
        return self.keys or self.database.with_name("audit.keys")

    def signing_key_file(self) -> Path:
        """The file of the key that roots are signed with."""
        return self.signing_key or self.database.with_name("audit-signing.key")

    def has_witness(self) -> bool:
        """Whether somebody outside the trail's database gets its roots."""
        return self.witness_file is not None or bool(self.witness_url)

    def retention(self) -> RetentionPolicy:
        """How long which records are kept."""
        return RetentionPolicy(
            {
                RecordClass.EXCHANGES: self.retention_exchanges_days,
                RecordClass.ADMINISTRATION: self.retention_administration_days,
                RecordClass.REFUSALS: self.retention_refusals_days,
            }
        )

    def relaxed(self) -> dict[str, bool]:
        """What is relaxed of these, by the name to be told."""
        return {
            "audit.synchronous": self.synchronous != "FULL",
            "audit.keys unset": self.keys is None and self.keys_variable is None,
            "audit.signing_key unset": self.signing_key is None,
            "audit without a witness (set audit.witness_file or audit.witness_url, or say in audit.without_witness why "
            "there is none)": not self.has_witness() and not self.without_witness,
            **{f"audit.{name}": getattr(self, name) < least for name, least in _LIVE_AT_LEAST.items()},
        }
