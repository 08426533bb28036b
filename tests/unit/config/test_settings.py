import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from smsp_provider.config.settings import Environment, Settings, load_settings

LIVE = """
environment = "live"
[server.https]
certificate = "server.pem"
key = "server.key"
client_ca = "clients.pem"
crl = "clients-crl.pem"
[spine]
endpoint = "https://spine.example/sync-service"
certificate = "spine.pem"
key = "spine.key"
ca = "spine-ca.pem"
pds_asid = "999999999998"
[audit]
database = "audit.db"
keys = "audit.keys"
signing_key = "audit-signing.key"
witness_file = "/mnt/witness/roots.jsonl"
"""

SANDBOX = """
environment = "sandbox"
[server]
http = "127.0.0.1:8080"
[spine]
endpoint = "http://127.0.0.1:9090/sync-service"
pds_asid = "999999999998"
default_asid = "999999999999"
[audit]
database = "audit.db"
synchronous = "NORMAL"
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith("SMSP_")]:
        monkeypatch.delenv(name)


def load(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "provider.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, "the change of this test does not apply once"
    return text.replace(old, new)


def test_a_complete_live_file_loads_with_safe_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, LIVE)
    assert settings.environment is Environment.LIVE
    assert settings.server.http is None
    assert settings.server.https is not None
    assert settings.audit.synchronous == "FULL"
    assert settings.service.confirm_trace is True
    assert settings.spine.default_asid is None


def test_without_an_environment_the_provider_is_live(tmp_path: Path) -> None:
    assert load(tmp_path, changed(LIVE, 'environment = "live"', "")).environment is Environment.LIVE


def test_relaxed_values_are_taken_in_sandbox_and_test(tmp_path: Path) -> None:
    for environment in ("sandbox", "test"):
        settings = load(tmp_path, changed(SANDBOX, '"sandbox"', f'"{environment}"'))
        assert settings.server.http == "127.0.0.1:8080"
        assert settings.spine.default_asid == "999999999999"


def test_live_refuses_each_relaxed_value_by_name(tmp_path: Path) -> None:
    for old, new, name in (
        ("[server.https]", '[server]\nhttp = "127.0.0.1:8080"\n[server.https]', "server.http"),
        ("[spine]", '[spine]\ndefault_asid = "999999999999"', "spine.default_asid"),
        ("https://spine.example", "http://localhost:9090", "spine.endpoint (http)"),
        ("[audit]", '[audit]\nsynchronous = "NORMAL"', "audit.synchronous"),
        ('keys = "audit.keys"', "", "audit.keys unset"),
        ('signing_key = "audit-signing.key"', "", "audit.signing_key unset"),
        (
            'witness_file = "/mnt/witness/roots.jsonl"',
            'without_witness = " "',
            "audit without a witness (set audit.witness_file or audit.witness_url",
        ),
        ('crl = "clients-crl.pem"', "", "server.https without crl"),
        ("[audit]", '[clients]\npolicy = "any"\n[audit]', "clients.policy"),
        (
            "[audit]",
            '[clients]\ndatabase = "postgresql+psycopg://db.example/smsp"\n[audit]',
            "clients.database without sslmode=verify-full",
        ),
        ("[audit]", '[security]\nusername = "ignore"\n[audit]', "security.username"),
        ("[audit]", '[security]\nsignatures = "ignore"\n[audit]', "security.signatures"),
        ("[audit]", "[security]\nallow_sha1 = true\n[audit]", "security.allow_sha1"),
        ('crl = "clients-crl.pem"', 'crl = "clients-crl.pem"\nmin_tls = "1.0"', "server.https.min_tls"),
    ):
        message = refused(tmp_path, changed(LIVE, old, new))
        assert "not allowed in live: " + name in message


def test_live_names_all_relaxed_values_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, changed(SANDBOX, '"sandbox"', '"live"'))
    for name in ("server.http", "spine.default_asid", "spine.endpoint (http)", "audit.synchronous"):
        assert name in message


def test_plain_http_is_for_loopback_addresses_only(tmp_path: Path) -> None:
    for address in ("127.0.0.1:8080", "127.8.8.8:1", "localhost:8080", "[::1]:8080"):
        assert load(tmp_path, changed(SANDBOX, "127.0.0.1:8080", address)).server.http == address
    for address in ("0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080", "provider.example:8080", ":8080", "8080", ""):
        assert "server.http" in refused(tmp_path, changed(SANDBOX, "127.0.0.1:8080", address))


PROXY = """[server.proxy]
certificate = "server.pem"
key = "server.key"
client_ca = "clients.pem"
crl = "clients-crl.pem"
socket = "/run/smsp/provider.sock"
[spine]"""


@pytest.mark.rule("WS-SEC-01")
def test_behind_a_proxy_live_has_the_same_rules(tmp_path: Path) -> None:
    behind = changed(LIVE, "[spine]", PROXY)
    proxy = load(tmp_path, behind).server.proxy
    assert proxy is not None
    assert (proxy.socket_mode, proxy.min_tls, proxy.health) == ("0660", "1.2", "127.0.0.1:8081")
    for more, name in (("", "server.proxy without crl"), ('min_tls = "1.0"\n', "server.proxy.min_tls")):
        text = behind.replace('crl = "clients-crl.pem"\nsocket', f"{more}socket")
        assert name in refused(tmp_path, text)


def test_the_socket_of_the_proxy_is_nobody_elses(tmp_path: Path) -> None:
    behind = changed(LIVE, "[spine]", PROXY)
    for line, name in (
        ('socket_mode = "0666"', "server.proxy.socket_mode"),
        ('socket_mode = "rw"', "server.proxy.socket_mode"),
        ('health = "0.0.0.0:8081"', "loopback"),
        ('bind = "0.0.0.0:8443"', "https and proxy cannot listen on the same address and port"),
        ('bind = ":8081"', "proxy and proxy.health cannot listen"),
    ):
        assert name in refused(tmp_path, changed(behind, 'socket = "', f'{line}\nsocket = "'))
    for path in ("provider.sock", "/" + "x" * 101, "/run/a\\nb"):
        assert "server.proxy.socket" in refused(tmp_path, behind.replace("/run/smsp/provider.sock", path))


def test_spine_is_reached_by_plain_http_on_loopback_only(tmp_path: Path) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        endpoint = load(tmp_path, changed(SANDBOX, "127.0.0.1:9090", f"{host}:9090")).spine.endpoint
        assert endpoint == f"http://{host}:9090/sync-service"
    for endpoint in (
        "http://spine.example/x",
        "http://192.0.2.1/x",
        "ftp://localhost/x",
        "spine.example",
        "https:///x",
        "",
    ):
        text = changed(SANDBOX, "http://127.0.0.1:9090/sync-service", endpoint)
        assert "spine.endpoint" in refused(tmp_path, text)


ELSEWHERE = """[spine.endpoints]
"QUPA_IN000008UK02" = "https://other.example/sync-service"
[audit]"""


def test_an_interaction_of_spine_may_have_another_endpoint(tmp_path: Path) -> None:
    spine = load(tmp_path, changed(LIVE, "[audit]", ELSEWHERE)).spine
    assert spine.endpoints == {"QUPA_IN000008UK02": "https://other.example/sync-service"}
    assert spine.urls() == {spine.endpoint, "https://other.example/sync-service"}


def test_the_endpoint_of_an_interaction_is_held_to_the_same_rules(tmp_path: Path) -> None:
    for old, new, text in (
        ("QUPA_IN000008UK02", "QUPA_IN000006UK02", "sends no other interactions than QUPA_IN000005UK01, "),
        ("https://other.example", "http://other.example", "QUPA_IN000008UK02: http:// is for loopback addresses only"),
        ("https://other.example", "ftp://other.example", "QUPA_IN000008UK02: not an http(s) URL"),
        ("https://other.example", "http://localhost", "not allowed in live: spine.endpoint (http)"),
    ):
        assert text in refused(tmp_path, changed(LIVE, "[audit]", ELSEWHERE).replace(old, new))
    mixed = changed(SANDBOX, "[audit]", ELSEWHERE)
    assert "https needs certificate, key and ca" in refused(tmp_path, mixed)


def test_a_scheme_is_the_same_in_capitals(tmp_path: Path) -> None:
    for scheme, text in (("HTTPS://spine.example", "https needs"), ("HTTP://spine.example", "loopback")):
        assert text in refused(tmp_path, changed(SANDBOX, "http://127.0.0.1:9090", scheme))
    assert "spine.endpoint (http)" in refused(tmp_path, changed(LIVE, "https://spine.example", "HTTP://localhost"))


def test_spine_over_https_needs_certificate_key_and_authorities(tmp_path: Path) -> None:
    for line in ('certificate = "spine.pem"', 'key = "spine.key"', 'ca = "spine-ca.pem"'):
        assert "https needs certificate, key and ca" in refused(tmp_path, changed(LIVE, line, ""))


def test_some_listener_must_be_there(tmp_path: Path) -> None:
    assert "server.http, server.https or server.proxy" in refused(
        tmp_path, changed(SANDBOX, 'http = "127.0.0.1:8080"', "")
    )


def sections(model: type[BaseModel], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found.extend(sections(kind, (*path, name)))
    return found


def test_unknown_names_are_refused_in_every_section(tmp_path: Path) -> None:
    paths = sections(Settings)
    assert {(), ("server",), ("server", "https"), ("spine",), ("audit",), ("limits",), ("log",)} <= set(paths)
    for path in paths:
        content = tomllib.loads(LIVE)
        section = content
        for name in path:
            section = section.setdefault(name, {})
        section["surprise"] = 1
        message = refused(tmp_path, toml(content))
        assert ".".join((*path, "surprise")) in message
        assert "Extra inputs are not permitted" in message


def toml(content: Mapping[str, object], path: str = "") -> str:
    """A TOML document of strings, numbers and tables."""
    lines = [f"{key} = {value!r}" for key, value in content.items() if not isinstance(value, Mapping)]
    for key, value in content.items():
        if isinstance(value, Mapping):
            lines.append(f"[{path}{key}]\n{toml(value, f'{path}{key}.')}")
    return "\n".join(lines)


def test_the_environment_stands_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSP_SPINE__PDS_ASID", "111111111111")
    monkeypatch.setenv("SMSP_LIMITS__REQUEST_SECONDS", "7.5")
    settings = load(tmp_path, LIVE)
    assert settings.spine.pds_asid == "111111111111"
    assert settings.spine.endpoint == "https://spine.example/sync-service"
    assert settings.limits.request_seconds == 7.5


def test_the_environment_cannot_relax_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSP_AUDIT__SYNCHRONOUS", "NORMAL")
    assert "audit.synchronous" in refused(tmp_path, LIVE)


def test_an_unknown_name_in_a_section_of_the_environment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSP_SPINE__SURPRISE", "1")
    assert "spine.surprise" in refused(tmp_path, LIVE)


def test_settings_cannot_be_changed_after_the_start(tmp_path: Path) -> None:
    settings = load(tmp_path, LIVE)
    for part, name in ((settings, "environment"), (settings.spine, "endpoint"), (settings.audit, "synchronous")):
        with pytest.raises(ValidationError):
            setattr(part, name, "anything")


def test_relaxations_that_live_allows_are_warned_of(tmp_path: Path) -> None:
    quiet = changed(LIVE, "[audit]", '[service]\naccepted_to = ["https://provider.example/"]\n[audit]')
    assert load(tmp_path, quiet).warnings() == ()
    (warning,) = load(tmp_path, LIVE).warnings()
    assert "service.accepted_to" in warning
    (warning,) = load(tmp_path, quiet.replace("[service]", "[service]\nconfirm_trace = false")).warnings()
    assert "service.confirm_trace" in warning


@pytest.mark.rule("SMSP-AUDIT-001")
def test_live_starts_without_a_witness_only_for_a_reason_which_is_told(tmp_path: Path) -> None:
    text = changed(LIVE, "[audit]", '[service]\naccepted_to = ["https://provider.example/"]\n[audit]')
    witness = 'witness_file = "/mnt/witness/roots.jsonl"'
    elsewhere = load(tmp_path, changed(text, witness, 'witness_url = "https://witness.example/"'))
    assert elsewhere.warnings() == ()
    assert "audit.without_witness" in refused(tmp_path, changed(text, witness, ""))
    assert "control character" in refused(tmp_path, changed(text, witness, 'without_witness = "one\\ntwo"'))
    reason = 'without_witness = "change 1234, until March"'
    (warning,) = load(tmp_path, changed(text, witness, reason)).warnings()
    assert warning.startswith("audit has no witness (change 1234, until March)")
    (warning,) = load(tmp_path, changed(text, witness, f"{witness}\n{reason}")).warnings()
    assert "take it out" in warning


@pytest.mark.rule("SMSP-AUDIT-001")
def test_outside_live_a_witness_is_missed_and_not_asked_for(tmp_path: Path) -> None:
    warnings = load(tmp_path, SANDBOX).warnings()
    assert any(warning.startswith("audit has no witness: ") for warning in warnings)


@pytest.mark.rule("WS-ADR-01", "WS-SEC-05")
@pytest.mark.parametrize(
    ("values", "is_told"),
    [
        ('replay_policy = "reject"', True),
        ('replay_policy = "reject"\nmax_message_seconds = 600', False),
        ('replay_policy = "reject"\nmax_message_seconds = 601', True),
        ('replay_policy = "reject"\nreplay_window_seconds = 86700', False),
        ("max_message_seconds = 86400", False),
    ],
    ids=["as it comes", "as long as it is remembered", "a second longer", "remembered for longer", "answered"],
)
def test_a_message_that_outlives_the_memory_of_its_id_is_warned_of(tmp_path: Path, values: str, is_told: bool) -> None:
    text = changed(LIVE, "[audit]", f'[service]\naccepted_to = ["https://provider.example/"]\n{values}\n[audit]')
    assert any("replay_window_seconds" in warning for warning in load(tmp_path, text).warnings()) is is_told


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        load_settings(tmp_path / "missing.toml")
    with pytest.raises(tomllib.TOMLDecodeError):
        load(tmp_path, "[server")


@pytest.mark.rule("SMSP-IG-003")
def test_an_organisation_stands_once_whatever_the_case_of_its_code(tmp_path: Path) -> None:
    twice = '[spine.ods_to_asid]\nx26 = "200000000205"\nX26 = "200000000206"\n'
    assert "stands here twice" in refused(tmp_path, SANDBOX + twice)
    once = load(tmp_path, SANDBOX + '[spine.ods_to_asid]\nx26 = "200000000205"\n')
    assert once.spine.ods_to_asid == {"x26": "200000000205"}


def test_an_asid_has_twelve_digits_and_a_path_begins_with_a_slash(tmp_path: Path) -> None:
    for asid in ("20000000020", "x200000000205", "2000000002055"):
        assert "pds_asid" in refused(tmp_path, changed(SANDBOX, '"999999999998"', f'"{asid}"'))
    paths = changed(SANDBOX, 'http = "127.0.0.1:8080"', 'http = "127.0.0.1:8080"\nservice_paths = ["/a", "b"]')
    assert "service_paths" in refused(tmp_path, paths)


def quoted(value: str) -> str:
    """A TOML basic string of anything."""
    return '"' + "".join(f"\\u{ord(character):04x}" for character in value) + '"'


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://someone:s3cret@spine.example/x",
        "https://s3cret@spine.example/x",
        "https://spine.example:s3cret/x",
        "https://spine.example:99999/s3cret",
        "https://spine.example:0/s3cret",
        "https://[s3cret/",
        "https://[1.2.3.4]/s3cret",
        "https://spine.example/s3cret\x00",
        "https://spine.example/s3cret\n",
        "https://spine\t.example/s3cret",
        "https://spine.example/s3cret x",
        "https://spine|s3cret/",
        "https://spïne.example/s3cret",
    ],
)
def test_an_endpoint_that_cannot_be_connected_to_is_refused_and_not_repeated(tmp_path: Path, endpoint: str) -> None:
    for text, old in (
        (LIVE, '"https://spine.example/sync-service"'),
        (SANDBOX, '"http://127.0.0.1:9090/sync-service"'),
    ):
        message = refused(tmp_path, changed(text, old, quoted(endpoint)))
        assert "spine.endpoint" in message
        assert "s3cret" not in message


def test_an_audit_trail_needs_the_name_of_a_file(tmp_path: Path) -> None:
    for name in ("", ".", "/", "..", "trail/..", "audit\x00.db", "audit\n.db"):
        message = refused(tmp_path, changed(SANDBOX, '"audit.db"', quoted(name)))
        assert "audit.database" in message


@pytest.mark.parametrize(
    ("section", "name", "most"),
    [
        ("limits", "request_seconds", 600),
        ("spine", "connect_seconds", 600),
        ("server", "graceful_stop_seconds", 3600),
        ("service", "replay_window_seconds", 30 * 86_400),
        ("service", "clock_skew_seconds", 86_400),
        ("service", "max_message_seconds", 365 * 86_400),
    ],
)
def test_durations_are_finite_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, name: str, most: int
) -> None:
    variable = f"SMSP_{section}__{name}".upper()
    for value in ("inf", "nan", "-inf", "1e300", f"{most}.1", "-1"):
        monkeypatch.setenv(variable, value)
        assert f"{section}.{name}" in refused(tmp_path, LIVE)
    monkeypatch.setenv(variable, str(most))
    assert getattr(getattr(load(tmp_path, LIVE), section), name) == most


@pytest.mark.parametrize(
    "name",
    [
        "SERVER__WORKERS",
        "SERVER__THREADS",
        "SPINE__MAX_IN_FLIGHT",
        "SPINE__MAX_ANSWER_BYTES",
        "LIMITS__MAX_BODY_BYTES",
        "LIMITS__MAX_PAYLOAD_BYTES",
    ],
)
def test_numbers_that_no_machine_can_serve_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"SMSP_{name}", "1000000000")
    assert name.lower().replace("__", ".") in refused(tmp_path, LIVE)


def with_both_listeners(http: str, https: str) -> str:
    files = 'certificate = "a"\nkey = "b"\nclient_ca = "c"'
    return changed(SANDBOX, '"127.0.0.1:8080"', f'"{http}"\n[server.https]\nbind = "{https}"\n{files}')


def test_two_listeners_have_two_addresses(tmp_path: Path) -> None:
    for https in ("127.0.0.1:8080", "localhost:8080", "0.0.0.0:8080", "[::]:8080", ":8080"):
        assert "the same address and port" in refused(tmp_path, with_both_listeners("127.0.0.1:8080", https))
    for http, https in (
        ("127.0.0.1:8080", "127.0.0.1:8443"),
        ("127.0.0.1:8080", "127.0.0.2:8080"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ):
        assert load(tmp_path, with_both_listeners(http, https)).server.http == http


def test_an_address_to_listen_on_has_a_port_that_exists(tmp_path: Path) -> None:
    for address in ("127.0.0.1:99999", "127.0.0.1:x", "127.0.0.1:", "127.0.0.1", "127.0.0.1:\\u0663", "a\\u0000:1"):
        assert "server.http" in refused(tmp_path, changed(SANDBOX, "127.0.0.1:8080", address))
        assert "server.https.bind" in refused(tmp_path, with_both_listeners("127.0.0.1:8080", address))


def test_a_public_url_is_scheme_host_and_port(tmp_path: Path) -> None:
    def given(url: str) -> str:
        return changed(SANDBOX, '"127.0.0.1:8080"', f'"127.0.0.1:8080"\npublic_url = {quoted(url)}')

    for url in ("", "https://smsp.example", "https://smsp.example:8443/", "http://[::1]:80"):
        assert load(tmp_path, given(url)).server.public_url == url
    for url in (
        *("http://[", "smsp.example", "ftp://smsp.example", "https://", "https://a:99999", "https://a b"),
        *("https://u:p@smsp.example", "https://smsp.example/path", "https://smsp.example?x", "https://smsp.example#x"),
        "https://smsp.example/\x00",
    ):
        assert "server.public_url" in refused(tmp_path, given(url))


def test_an_own_address_can_stand_in_a_message(tmp_path: Path) -> None:
    text = changed(SANDBOX, "[audit]", 'own_address = "urn:x\\u0002"\n[audit]')
    assert "spine.own_address" in refused(tmp_path, text)
