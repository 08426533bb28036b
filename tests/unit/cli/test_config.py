"""The settings as an operator meets them: the example file, `config check`, and the pages made from the code."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from command_line import run_main
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.cli.main import cli
from smsp_provider.cli.reference import commands_page, settings_page
from smsp_provider.config.settings import Settings, load_settings
from smsp_provider.simulator.pki import Pki, make_pki

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "config" / "provider.toml"
TABLES = {"service.accepted_profiles", "spine.endpoints", "spine.ods_to_asid", "upstream.by_organisation"}


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        section = next(
            (part for part in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_section(part)), None
        )
        if section is None:
            yield f"{prefix}{name}"
        else:
            yield from leaves(section, f"{prefix}{name}.")


def _is_section(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def written(document: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, dict) and f"{prefix}{name}" not in TABLES:
            yield from written(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def usable(tmp_path: Path, pki: Pki) -> Path:
    """A configuration of which every file is there."""
    file = tmp_path / "provider.toml"
    server, client = pki.provider_server, pki.provider_client
    file.write_text(
        f"""
environment = "test"
[server]
http = "127.0.0.1:8080"
[server.https]
bind = "127.0.0.1:8443"
certificate = "{server.certificate}"
key = "{server.key}"
client_ca = "{pki.ca.certificate}"
[spine]
endpoint = "https://localhost:1/sync-service"
certificate = "{client.certificate}"
key = "{client.key}"
ca = "{pki.ca.certificate}"
pds_asid = "928942012545"
[audit]
database = "{tmp_path}/audit/audit.db"
"""
    )
    return file


class TestTheExample:
    def test_it_is_loaded_as_it_stands(self) -> None:
        assert load_settings(EXAMPLE).environment.value == "live"

    def test_it_has_every_setting_and_its_examples_are_valid(self, tmp_path: Path) -> None:
        uncommented = re.sub(r'(?m)^# ((?:"[^"]+"|[a-z_]+) = .*)$', r"\1", EXAMPLE.read_text())
        document = tomllib.loads(uncommented)
        assert set(written(document)) == set(leaves(Settings))
        file = tmp_path / "all.toml"
        file.write_text(uncommented.replace('environment = "live"', 'environment = "test"'))
        assert load_settings(file).service.accepted_profiles

    def test_what_stands_in_it_uncommented_is_the_default_where_there_is_one(self) -> None:
        example = load_settings(EXAMPLE)
        chosen = {"accepted_to", "ods_to_asid"}
        for section in ("server", "service", "limits", "schemas", "log"):
            held = getattr(example, section)
            for name, field in type(held).model_fields.items():
                if not field.is_required() and name not in {*chosen, "https", "proxy"}:
                    assert getattr(held, name) == field.get_default(call_default_factory=True), f"{section}.{name}"


class TestThePages:
    def test_the_page_of_settings_is_up_to_date(self) -> None:
        assert (ROOT / "docs" / "reference" / "settings.md").read_text() == settings_page(), (
            "run: smsp reference settings"
        )

    def test_every_setting_stands_on_it(self) -> None:
        page = settings_page()
        for name in leaves(Settings):
            assert f"`SMSP_{name.upper().replace('.', '__')}`" in page

    def test_all_that_live_refuses_stands_in_its_introduction(self, tmp_path: Path) -> None:
        file = tmp_path / "relaxed.toml"
        listener = 'certificate = "c"\nkey = "k"\nclient_ca = "a"\nmin_tls = "1.0"'
        file.write_text(
            f"""
[server]
http = "127.0.0.1:8080"
[server.https]
{listener}
[server.proxy]
{listener}
socket = "/run/smsp/provider.sock"
[spine]
endpoint = "http://localhost/sync-service"
pds_asid = "928942012545"
default_asid = "200000000205"
[upstream.by_organisation]
X26 = "pds-fhir"
[pds_fhir]
base_url = "http://localhost/FHIR/R4"
token_url = "http://localhost/oauth2/token"
access = "none"
[audit]
database = "audit.db"
synchronous = "NORMAL"
retention_exchanges_days = 1
retention_administration_days = 1
retention_refusals_days = 1
[clients]
policy = "any"
[security]
username = "ignore"
signatures = "ignore"
allow_sha1 = true
[operators]
policy = "os-user"
password_length = 8
passwords_remembered = 1
password_days = 3650
lockout_attempts = 100
lockout_free = 50
lockout_first_seconds = 0.5
lockout_longest_seconds = 1
idle_minutes = 240
session_hours = 24
enrolment_hours = 168
argon2_memory_mib = 8
argon2_passes = 1
"""
        )
        with pytest.raises(ValidationError) as caught:
            load_settings(file)
        refused = re.findall(r"\b[a-z]+\.[a-z_.0-9]+\b", caught.value.errors()[0]["msg"])
        introduction = settings_page().partition("## ")[0]
        assert len(refused) >= 24
        for name in refused:
            assert f"`{name.removesuffix('.min_tls')}" in introduction, name

    def test_a_default_is_written_as_in_the_file(self) -> None:
        assert '| `["/smsp/pds"]` |' in settings_page()
        assert "| true or false | `true` |" in settings_page()

    def test_the_page_of_commands_is_up_to_date(self) -> None:
        page = (ROOT / "docs" / "reference" / "commands.md").read_text()
        assert page == commands_page(cli), "run: smsp reference commands"

    def test_every_exit_code_stands_on_it(self) -> None:
        for code in ExitCode:
            assert f"| {code.value} | {code.name} | {code.meaning} |" in commands_page(cli)

    def test_the_commands_print_the_pages(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_main(monkeypatch, capsys, "reference", "settings").out == settings_page()
        assert run_main(monkeypatch, capsys, "reference", "commands").out == commands_page(cli)


class TestCheck:
    def test_every_value_is_shown_with_its_origin(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], usable: Path
    ) -> None:
        monkeypatch.setenv("SMSP_SERVER__WORKERS", "3")
        monkeypatch.setenv("smsp_spine__ods_to_asid", '{"X26": "200000000205"}')
        done = run_main(monkeypatch, capsys, "config", "check", "--config", usable)
        assert done.code == 0, done.err
        rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line}
        unset = {name for name in leaves(Settings) if name.startswith("server.proxy.")}
        assert set(leaves(Settings)) - unset <= set(rows)
        assert rows["server.proxy"] == ["default"]
        assert rows["server.workers"] == ["3", "environment"]
        assert rows["server.http"] == ["127.0.0.1:8080", "file"]
        assert rows["server.threads"] == ["64", "default"]
        assert rows["spine.ods_to_asid"] == ["X26=200000000205", "environment"]
        assert rows["service.confirm_trace"] == ["true", "default"]
        assert "warning: service.accepted_to is empty" in done.err

    def test_a_variable_that_sets_nothing_is_warned_of(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], usable: Path
    ) -> None:
        monkeypatch.setenv("SMSP_LOGS__LEVEL", "debug")
        monkeypatch.setenv("SMSP_LOG__LEVEL", "debug")
        done = run_main(monkeypatch, capsys, "config", "check", "--config", usable)
        assert done.code == 0
        assert "the environment variable SMSP_LOGS__LEVEL sets nothing" in done.err
        assert "SMSP_LOG__LEVEL" not in done.err

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ('[log]\nlevle = "info"', "log.levle: there is no such setting"),
            ('[log]\nlevel = "loud"', "log.level: "),
            ("[limits]\nrequest_seconds = 0", "limits.request_seconds: Input should be greater than 0"),
            ("[service]\nclock_skew_seconds = 'x'", "service.clock_skew_seconds: "),
            ("[log\n", "is not TOML"),
            ('[schemas]\ndirectory = "/nowhere"', "schemas.directory: "),
            (
                '[service.accepted_profiles]\n"verify" = ["urn:x"]',
                "vocabulary, service.accepted_profiles: 'verify' is not a valid Service",
            ),
        ],
    )
    def test_a_mistake_is_named_without_a_traceback(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        usable: Path,
        change: str,
        expected: str,
    ) -> None:
        usable.write_text(f"{usable.read_text()}\n{change}\n")
        done = run_main(monkeypatch, capsys, "config", "check", "--config", usable)
        assert done.code == 2
        assert expected in done.err
        assert "Traceback" not in done.err

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ('environment = "test"', "", "not allowed in live: server.http"),
            ('http = "127.0.0.1:8080"', 'http = "10.0.0.1:8080"', "server.http: plain HTTP is for loopback"),
            ('http = "127.0.0.1:8080"', 'http = "127.0.0.1"', "server.h"),
            ('"https://localhost:1/sync-service"', '"ftp://spine"', "spine.endpoint: not an http(s) URL"),
            ("provider-server.crt", "missing.crt", "server.https.certificate, server.https.key: "),
            (
                "provider-server.key",
                "provider-client.key",
                "server.https.certificate, server.https.key: key values mismatch",
            ),
            ("provider-client.crt", "nothing.crt", "spine.certificate, spine.key: "),
            ('pds_asid = "928942012545"', "", "and not set: spine.pds_asid"),
        ],
    )
    def test_a_value_or_a_file_that_cannot_be_used_is_named(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        usable: Path,
        old: str,
        new: str,
        expected: str,
    ) -> None:
        text = usable.read_text()
        assert old in text
        usable.write_text(text.replace(old, new))
        done = run_main(monkeypatch, capsys, "config", "check", "--config", usable)
        assert done.code == 2
        assert expected in done.err
        assert "Traceback" not in done.err
        # What does not check does not start either.
        assert run_main(monkeypatch, capsys, "serve", "--config", usable).code == 2

    def test_a_file_that_is_no_certificate_is_named(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], usable: Path, tmp_path: Path
    ) -> None:
        empty = tmp_path / "empty.pem"
        empty.write_text("nothing\n")
        text = re.sub(r'client_ca = "[^"]*"', f'client_ca = "{empty}"', usable.read_text())
        usable.write_text(text)
        done = run_main(monkeypatch, capsys, "config", "check", "--config", usable)
        assert done.code == 2
        assert "server.https.client_ca: " in done.err

    @pytest.mark.parametrize("where", ["settings", "vocabulary", "variable"])
    def test_what_is_nested_too_deeply_is_a_readable_error(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        usable: Path,
        tmp_path: Path,
        where: str,
    ) -> None:
        deep = f"x = {'[' * 20_000}{']' * 20_000}\n"
        if where == "settings":
            usable.write_text(f"{deep}{usable.read_text()}")
        elif where == "vocabulary":
            (tmp_path / "deep.toml").write_text(deep)
            usable.write_text(f'vocabulary = "{tmp_path}/deep.toml"\n{usable.read_text()}')
        else:
            monkeypatch.setenv("SMSP_LOG", "[" * 120_000)
        for command in (("config", "check"), ("serve",)):
            done = run_main(monkeypatch, capsys, *command, "--config", usable)
            assert done.code == 2
            assert "nested too deeply" in done.err
            assert len(done.err) < 1000

    def test_a_password_in_the_endpoint_is_not_printed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], usable: Path
    ) -> None:
        usable.write_text(usable.read_text().replace("https://localhost:1/", "https://someone:s3cret@localhost:1/"))
        done = run_main(monkeypatch, capsys, "config", "check", "--config", usable)
        assert done.code == 2
        assert "spine.endpoint: a URL with a user name or a password is not supported" in done.err
        assert "s3cret" not in done.out + done.err

    def test_an_audit_trail_that_is_a_directory_is_named(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], usable: Path, tmp_path: Path
    ) -> None:
        usable.write_text(usable.read_text().replace(f"{tmp_path}/audit/audit.db", str(tmp_path)))
        done = run_main(monkeypatch, capsys, "config", "check", "--config", usable)
        assert done.code == 2
        assert f"audit.database: {tmp_path}: it is a directory" in done.err

    def test_a_variable_that_is_not_json_is_an_error_without_its_value(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], usable: Path
    ) -> None:
        monkeypatch.setenv("SMSP_SPINE", "{secret")
        done = run_main(monkeypatch, capsys, "config", "check", "--config", usable)
        assert done.code == 2
        assert "spine" in done.err
        assert "secret" not in done.err

    def test_a_missing_file_is_named(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        done = run_main(monkeypatch, capsys, "config", "check", "--config", tmp_path / "none.toml")
        assert done.code == 2
        assert done.err == f"smsp: {tmp_path}/none.toml: cannot be read: No such file or directory\n"
