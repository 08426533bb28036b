"""The settings of operators' accounts: safe as they stand, weaker only outside live, and never out of bounds."""

from typing import Any

import pytest
from pydantic import ValidationError

from smsp_provider.config.operators import OperatorPolicy, OperatorSettings
from smsp_provider.config.settings import Settings

pytestmark = pytest.mark.rule("SMSP-IG-002")

WEAKER: dict[str, Any] = {
    "policy": "os-user",
    "password_length": 11,
    "passwords_remembered": 4,
    "password_days": 731,
    "lockout_attempts": 21,
    "lockout_free": 6,
    "lockout_first_seconds": 0.5,
    "lockout_longest_seconds": 59,
    "idle_minutes": 61,
    "session_hours": 12.5,
    "enrolment_hours": 73,
    "argon2_memory_mib": 63,
    "argon2_passes": 2,
}
OUT_OF_BOUNDS: tuple[tuple[str, Any], ...] = (
    ("password_length", 7),
    ("passwords_remembered", 0),
    ("password_days", 0),
    ("lockout_attempts", 2),
    ("lockout_attempts", 101),
    ("lockout_free", 10),
    ("lockout_first_seconds", 0),
    ("lockout_first_seconds", 901),
    ("lockout_longest_seconds", 86_401),
    ("idle_minutes", 241),
    ("session_hours", 25),
    ("enrolment_hours", 169),
    ("argon2_memory_mib", 7),
    ("argon2_passes", 0),
    ("argon2_lanes", 0),
)


def settings(environment: str, **operators: Any) -> Settings:
    return Settings.model_validate(
        {
            "environment": environment,
            "server": {
                "proxy" if environment == "live" else "http": _LISTENER if environment == "live" else "127.0.0.1:1"
            },
            "spine": {
                "endpoint": "https://spine.invalid/",
                "pds_asid": "1" * 12,
                "certificate": "c",
                "key": "k",
                "ca": "a",
            },
            "audit": {
                "database": "audit.db",
                "keys": "audit.keys",
                "signing_key": "audit-signing.key",
                "witness_file": "roots.jsonl",
            },
            "operators": operators,
        }
    )


_LISTENER = {"certificate": "c", "key": "k", "client_ca": "a", "crl": "l", "socket": "/run/smsp/provider.sock"}


def test_the_defaults_are_for_live() -> None:
    assert settings("live").operators == OperatorSettings()
    assert not any(OperatorSettings().relaxed().values())
    assert OperatorSettings().policy is OperatorPolicy.ACCOUNTS


@pytest.mark.parametrize("name", WEAKER)
def test_live_refuses_each_that_is_weaker(name: str) -> None:
    assert getattr(settings("test", **{name: WEAKER[name]}).operators, name) == WEAKER[name]
    with pytest.raises(ValidationError, match="not allowed in live") as caught:
        settings("live", **{name: WEAKER[name]})
    assert [error["msg"] for error in caught.value.errors()] == [f"Value error, not allowed in live: operators.{name}"]


def test_every_bound_of_live_is_tried_here() -> None:
    assert {f"operators.{name}" for name in WEAKER} == OperatorSettings().relaxed().keys()


@pytest.mark.parametrize(("name", "value"), OUT_OF_BOUNDS, ids=[f"{name} {value}" for name, value in OUT_OF_BOUNDS])
def test_some_values_are_refused_everywhere(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        settings("test", **{name: value})
