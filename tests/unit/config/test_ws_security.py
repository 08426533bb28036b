"""What the settings say about security headers is what the engine is told."""

from datetime import timedelta
from pathlib import Path

import pytest

from smsp_provider.config.settings import Environment, load_settings
from smsp_provider.config.ws_security import security_policy
from smsp_provider.domain.clients import SignaturePolicy
from smsp_provider.soap.security import SecurityPolicy, UsernamePolicy

EXAMPLE = Path(__file__).parents[3] / "config" / "provider.toml"


def test_every_setting_of_the_security_header_reaches_the_engine() -> None:
    settings = load_settings(EXAMPLE)
    service = settings.service.model_copy(update={"clock_skew_seconds": 7, "max_message_seconds": 700})
    security = settings.security.model_copy(
        update={"username": UsernamePolicy.KNOWN_NAME, "signatures": SignaturePolicy.REQUIRE, "allow_sha1": True}
    )
    changed = settings.model_copy(update={"service": service, "security": security, "environment": Environment.TEST})
    assert security_policy(changed) == SecurityPolicy(
        UsernamePolicy.KNOWN_NAME,
        timedelta(seconds=7),
        SignaturePolicy.REQUIRE,
        allow_sha1=True,
        longest_life=timedelta(seconds=700),
        clients_may_ignore=True,
    )


@pytest.mark.rule("SMSP-SEC-001")
def test_in_live_no_client_has_its_signatures_ignored() -> None:
    settings = load_settings(EXAMPLE)
    allowed = [
        environment
        for environment in Environment
        if security_policy(settings.model_copy(update={"environment": environment})).clients_may_ignore
    ]
    assert allowed == [Environment.SANDBOX, Environment.TEST]
