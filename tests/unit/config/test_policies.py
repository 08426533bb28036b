"""What `config check` tells of the policies in force is what the settings say, every value of each in words."""

from pathlib import Path

import pytest

from smsp_provider.config.policies import policies_in_force
from smsp_provider.config.settings import ClientPolicy, Environment, ReplayPolicy, Settings, load_settings
from smsp_provider.domain.clients import SignaturePolicy
from smsp_provider.soap.security import UsernamePolicy

EXAMPLE = Path(__file__).parents[3] / "config" / "provider.toml"


def changed(section: str, **values: object) -> Settings:
    example = load_settings(EXAMPLE)
    relaxed = {"environment": Environment.TEST, section: getattr(example, section).model_copy(update=values)}
    return example.model_copy(update=relaxed)


def told(settings: Settings) -> dict[str, tuple[str, str]]:
    return {policy.subject: (policy.value, policy.meaning) for policy in policies_in_force(settings)}


@pytest.mark.rule("SMSP-SEC-001")
def test_the_example_for_live_tells_of_nothing_that_is_not_for_live() -> None:
    policies = told(load_settings(EXAMPLE))
    assert policies["clients"][0] == "registered"
    assert not [meaning for _, meaning in policies.values() if "not for live" in meaning]


@pytest.mark.rule("SMSP-SEC-001")
@pytest.mark.parametrize(
    ("section", "name", "values", "subject"),
    [
        ("clients", "policy", tuple(ClientPolicy), "clients"),
        ("security", "username", tuple(UsernamePolicy), "usernames"),
        ("security", "signatures", tuple(SignaturePolicy), "signatures"),
        ("service", "replay_policy", tuple(ReplayPolicy), "repeats"),
        ("service", "accepted_to", ((), ("https://smsp.example/",)), "addresses"),
        ("service", "confirm_trace", (True, False), "tracing"),
        ("service", "max_message_seconds", (600.0, 86_400.0), "timestamps"),
        ("audit", "synchronous", ("FULL", "NORMAL"), "audit"),
        ("audit", "witness_file", (Path("roots.jsonl"), None), "witness"),
        ("audit", "witness_url", ("https://witness.example/", ""), "witness"),
        ("throttle", "rate_per_second", (10.0, 20.0), "queries to Spine"),
        ("throttle", "burst", (10, 20), "queries to Spine"),
        ("throttle", "host_share", (0.25, 0.5), "requests at Spine"),
        ("throttle", "max_wait_seconds", (1.0, 2.0), "waiting"),
        ("breaker", "slow_seconds", (1.0, 2.0), "breaker"),
        ("probing", "enabled", (True, False), "probing"),
        ("server", "ops", (None, "127.0.0.1:9090"), "health and metrics"),
    ],
)
def test_each_value_of_a_policy_is_told_apart(
    section: str, name: str, values: tuple[object, ...], subject: str
) -> None:
    meanings = {told(changed(section, **{name: value}))[subject] for value in values}
    assert len(meanings) == len(values)


@pytest.mark.rule("WS-SEC-01")
def test_a_listener_without_revocation_lists_is_named_as_such() -> None:
    example = load_settings(EXAMPLE)
    assert example.server.https is not None
    with_lists = example.server.https.model_copy(update={"crl": Path("clients.crl")})
    without = example.server.https.model_copy(update={"crl": None})
    assert "NOT refused" not in told(changed("server", https=with_lists))["mutual TLS"][1]
    assert "NOT refused" in told(changed("server", https=without))["mutual TLS"][1]


def test_signatures_with_sha1_are_told_of_only_where_they_are_accepted() -> None:
    assert "signatures with SHA-1" not in told(load_settings(EXAMPLE))
    assert "signatures with SHA-1" in told(changed("security", allow_sha1=True))


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_trail_without_a_witness_is_told_with_the_reason_for_it() -> None:
    assert "not for live" in told(changed("audit", witness_file=None))["witness"][1]
    accepted = told(changed("audit", witness_file=None, without_witness="change 1234"))["witness"]
    assert accepted[0] == "none"
    assert accepted[1].endswith("which is accepted: change 1234.")
