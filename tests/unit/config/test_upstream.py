"""Which way to PDS is taken, and what it needs."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from smsp_provider.config.settings import FHIRAccess, Settings, Upstream, load_settings

FHIR = """
environment = "live"
[server.https]
certificate = "c"
key = "k"
client_ca = "a"
crl = "l"
[upstream]
kind = "pds-fhir"
[pds_fhir]
base_url = "https://fhir.example/FHIR/R4"
token_url = "https://fhir.example/oauth2/token"
api_key = "an-api-key"
key = "f"
key_id = "live-1"
[audit]
database = "audit.db"
keys = "audit.keys"
signing_key = "audit-signing.key"
witness_file = "/mnt/witness/roots.jsonl"
"""


def load(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "provider.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def refused(tmp_path: Path, old: str, new: str) -> str:
    assert FHIR.count(old) == 1
    with pytest.raises(ValidationError) as caught:
        load(tmp_path, FHIR.replace(old, new))
    return str(caught.value)


def test_pds_fhir_needs_nothing_of_hl7_v3(tmp_path: Path) -> None:
    settings = load(tmp_path, FHIR)
    assert settings.upstream.uses(Upstream.PDS_FHIR)
    assert not settings.upstream.uses(Upstream.HL7V3)
    assert settings.pds_fhir.access is FHIRAccess.SIGNED_JWT
    assert settings.spine.urls() == frozenset()


def test_its_budget_caps_the_throttle_and_raises_nothing(tmp_path: Path) -> None:
    throttle = load(tmp_path, FHIR).throttle_in_force()
    assert (throttle.rate_per_second, throttle.burst) == (4, 1)
    slower = load(tmp_path, FHIR + "[throttle]\nrate_per_second = 2\nhost_share = 0.5\n").throttle_in_force()
    assert (slower.rate_per_second, slower.burst, slower.host_share) == (2, 1, 0.5)
    one = FHIR.replace('kind = "pds-fhir"', 'by_organisation = { X26 = "pds-fhir" }')
    both = one.replace("[audit]", '[spine]\nendpoint = "http://localhost/"\npds_asid = "111111111111"\n[audit]')
    assert load(tmp_path, both.replace('"live"', '"test"')).throttle_in_force().rate_per_second == 4


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('base_url = "https://fhir.example/FHIR/R4"', "pds_fhir.base_url"),
        ('token_url = "https://fhir.example/oauth2/token"', "pds_fhir.token_url"),
        ('api_key = "an-api-key"', "pds_fhir.api_key"),
        ('key = "f"', "pds_fhir.key"),
        ('key_id = "live-1"', "pds_fhir.key_id"),
    ],
    ids=["base URL", "token URL", "API key", "key", "kid"],
)
def test_what_is_missing_is_named(tmp_path: Path, line: str, name: str) -> None:
    assert f"not set: {name}" in refused(tmp_path, line, "")


def test_the_way_of_one_organisation_needs_its_settings_too(tmp_path: Path) -> None:
    message = refused(tmp_path, 'kind = "pds-fhir"', 'by_organisation = { X26 = "pds-fhir" }')
    assert "not set: spine.endpoint, spine.pds_asid" in message
    twice = 'kind = "pds-fhir"\nby_organisation = { X26 = "pds-fhir", x26 = "hl7v3" }'
    assert "an organisation stands here twice" in refused(tmp_path, 'kind = "pds-fhir"', twice)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("https://fhir.example/FHIR", "http://localhost/FHIR", "pds_fhir.base_url (http)"),
        ("https://fhir.example/oauth2", "http://localhost/oauth2", "pds_fhir.token_url (http)"),
        ('api_key = "an-api-key"', 'access = "none"', "pds_fhir.access"),
    ],
    ids=["plain API", "plain token endpoint", "no token"],
)
def test_live_refuses_what_is_relaxed(tmp_path: Path, old: str, new: str, name: str) -> None:
    assert f"not allowed in live: {name}" in refused(tmp_path, old, new)
    load(tmp_path, FHIR.replace(old, new).replace('"live"', '"sandbox"'))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("https://fhir.example/FHIR", "http://fhir.example/FHIR", "loopback"),
        ("https://fhir.example/FHIR/R4", "https://fhir.example/FHIR/R4?x=secret", "without query"),
        ("https://fhir.example/FHIR/R4", "https://user:secret@fhir.example/", "not supported"),
        ("live-1", "live 1", "visible ASCII"),
        ("an-api-key", "an-api\\nkey", "control character"),
        ('key_id = "live-1"', 'key_id = "live-1"\nother_key = "g"', "belong together"),
        ('key_id = "live-1"', 'key_id = "live-1"\nsmartcard = "ignore"', "smartcard"),
    ],
    ids=["plain HTTP", "query", "password", "kid", "control character", "half of a second key", "policy"],
)
def test_what_cannot_be_used_is_refused_and_not_repeated(tmp_path: Path, old: str, new: str, said: str) -> None:
    message = refused(tmp_path, old, new)
    assert said in message
    assert "secret" not in message


COMPARING = 'kind = "pds-fhir"\ncompare_with = "hl7v3"\ncompare_until = 2027-03-31\ncompare_approval = "change 1234"'
SPINE = (
    '[spine]\nendpoint = "https://spine.example/"\npds_asid = "111111111111"\ncertificate = "c"\nkey = "k"\nca = "a"\n'
)


def test_comparing_needs_an_approval_a_last_day_and_the_other_ways_settings(tmp_path: Path) -> None:
    text = FHIR.replace('kind = "pds-fhir"', COMPARING).replace("[audit]", SPINE + "[audit]")
    settings = load(tmp_path, text)
    assert settings.upstream.compare_with is Upstream.HL7V3
    assert not settings.upstream.uses(Upstream.HL7V3)
    assert load(tmp_path, FHIR).throttle_of_comparisons() is None
    beside = settings.throttle_of_comparisons()
    assert beside is not None
    assert (beside.rate_per_second, beside.burst) == (4, 1)
    for old, new, said in (
        ("compare_until = 2027-03-31", "", "needs compare_until and compare_approval"),
        ('"change 1234"', '" "', "needs compare_until and compare_approval"),
        ('compare_with = "hl7v3"', 'compare_with = "pds-fhir"', "another way than kind"),
        (SPINE, "", "not set: spine.endpoint, spine.pds_asid"),
        ("compare_until", "compare_part = 0.02\ncompare_until", "not allowed in live: upstream.compare_part"),
    ):
        assert text.count(old) == 1, old
        with pytest.raises(ValidationError, match=said):
            load(tmp_path, text.replace(old, new))


def test_what_is_compared_counts_against_the_budget_of_answers_by_the_same_way(tmp_path: Path) -> None:
    own_way = COMPARING.replace("compare_with", 'by_organisation = { X26 = "hl7v3" }\ncompare_with')
    text = FHIR.replace('kind = "pds-fhir"', own_way).replace("[audit]", SPINE + "[audit]")
    settings = load(tmp_path, text)
    assert settings.upstream.compare_with is Upstream.HL7V3
    assert settings.throttle_of_comparisons() is None
    assert settings.throttle_in_force().rate_per_second == 4


def test_an_operator_is_told_that_smartcards_users_are_not_named_to_pds(tmp_path: Path) -> None:
    unattended = FHIR.replace("[audit]", 'smartcard = "unattended"\n[audit]')
    assert any("pds_fhir.smartcard" in warning for warning in load(tmp_path, unattended).warnings())
    assert not any("pds_fhir.smartcard" in warning for warning in load(tmp_path, FHIR).warnings())


def test_live_refuses_what_is_relaxed_also_where_it_is_compared_with_only(tmp_path: Path) -> None:
    compared = COMPARING.replace("pds-fhir", "HL7V3").replace("hl7v3", "pds-fhir").replace("HL7V3", "hl7v3")
    text = FHIR.replace('kind = "pds-fhir"', compared).replace("[audit]", SPINE + "[audit]")
    assert load(tmp_path, text).upstream.compare_with is Upstream.PDS_FHIR
    for old, new in (
        ('api_key = "an-api-key"', 'access = "none"'),
        ("https://fhir.example/FHIR", "http://localhost/FHIR"),
    ):
        with pytest.raises(ValidationError, match="not allowed in live: pds_fhir"):
            load(tmp_path, text.replace(old, new))
