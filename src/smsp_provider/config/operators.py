"""The settings of operators' accounts: how they log in, and the bounds within which that can be made easier."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from pydantic import Field, model_validator

from smsp_provider.config.section import Seconds, Section
from smsp_provider.domain.operator_lockout import LockoutPolicy
from smsp_provider.domain.operator_passwords import PasswordPolicy

__all__ = ["OperatorPolicy", "OperatorSettings"]

_LIVE_AT_LEAST: Final = {
    "password_length": 12,
    "passwords_remembered": 5,
    "lockout_first_seconds": 1,
    "lockout_longest_seconds": 60,
    "argon2_memory_mib": 64,
    "argon2_passes": 3,
}
_LIVE_AT_MOST: Final = {
    "password_days": 730,
    "lockout_attempts": 20,
    "lockout_free": 5,
    "idle_minutes": 60,
    "session_hours": 12,
    "enrolment_hours": 72,
}


class OperatorPolicy(StrEnum):
    """How the command line knows who acts; the value is the word of the settings."""

    ACCOUNTS = "accounts"
    OS_USER = "os-user"


class OperatorSettings(Section):
    """Those who administer, on the command line of this machine."""

    policy: OperatorPolicy = Field(
        OperatorPolicy.ACCOUNTS,
        description="accounts: who reads or changes what is protected logs in first (`smsp login`); os-user: whoever "
        "may run the command may do everything (sandbox and test only, refused in live).",
    )
    key: Path | None = Field(
        None,
        description="File with the key that second factors are sealed with, made with the first account; unset: "
        "operators.key beside the audit trail. All hosts of one registry need the same.",
    )
    log: Path | None = Field(
        None,
        description="File that alerts of refused logins are appended to, one JSON object a line; unset: operators.log "
        "beside the audit trail.",
    )
    session_directory: Path | None = Field(
        None,
        description="Where the tokens of sessions are kept, by the user who runs the command; unset: smsp in "
        "XDG_STATE_HOME, or in .local/state of the user's home directory.",
    )
    password_length: int = Field(14, ge=8, le=128, description="Characters of a password at least; live: from 12.")
    passwords_remembered: int = Field(
        10, ge=1, le=50, description="Passwords of a person that cannot come back; live: from 5."
    )
    password_days: int = Field(365, ge=1, le=3_650, description="How long a password lasts; live: up to 730.")
    lockout_attempts: int = Field(
        10, ge=3, le=100, description="Failures in a row that lock an account until it is unlocked; live: up to 20."
    )
    lockout_free: int = Field(2, ge=0, le=50, description="Failures in a row that cost no delay; live: up to 5.")
    lockout_first_seconds: Seconds = Field(
        5, le=3_600, description="The first delay; each further failure doubles it; live: from 1."
    )
    lockout_longest_seconds: Seconds = Field(900, le=86_400, description="The longest delay; live: from 60.")
    idle_minutes: Seconds = Field(15, le=240, description="How long a session lasts without use; live: up to 60.")
    session_hours: Seconds = Field(8, le=24, description="How long a session lasts at most; live: up to 12.")
    enrolment_hours: Seconds = Field(
        24, le=168, description="How long a new or reset account waits for its person; live: up to 72."
    )
    argon2_memory_mib: int = Field(64, ge=8, le=4_096, description="Memory of one password hash; live: from 64.")
    argon2_passes: int = Field(3, ge=1, le=20, description="Passes over that memory; live: from 3.")
    argon2_lanes: int = Field(4, ge=1, le=64, description="Lanes of one password hash.")

    @model_validator(mode="after")
    def _a_lockout_that_can_happen(self) -> Self:
        if self.lockout_free >= self.lockout_attempts:
            raise ValueError("lockout_free: not below lockout_attempts, so no failure would be delayed")
        if self.lockout_first_seconds > self.lockout_longest_seconds:
            raise ValueError("lockout_first_seconds: longer than lockout_longest_seconds")
        return self

    def relaxed(self) -> dict[str, bool]:
        """Every setting that live bounds, and whether it is weaker than live takes."""
        return {
            "operators.policy": self.policy is not OperatorPolicy.ACCOUNTS,
            **{f"operators.{name}": getattr(self, name) < least for name, least in _LIVE_AT_LEAST.items()},
            **{f"operators.{name}": getattr(self, name) > most for name, most in _LIVE_AT_MOST.items()},
        }

    def passwords(self) -> PasswordPolicy:
        """What a password has to be."""
        return PasswordPolicy(self.password_length, self.passwords_remembered, self.password_days)

    def lockout(self) -> LockoutPolicy:
        """What failures lead to."""
        return LockoutPolicy(
            self.lockout_attempts, self.lockout_free, self.lockout_first_seconds, self.lockout_longest_seconds
        )

    def idle(self) -> timedelta:
        """How long a session lasts without use."""
        return timedelta(minutes=self.idle_minutes)

    def longest_session(self) -> timedelta:
        """How long a session lasts at most."""
        return timedelta(hours=self.session_hours)

    def enrolment(self) -> timedelta:
        """How long an enrolment code can be used."""
        return timedelta(hours=self.enrolment_hours)
