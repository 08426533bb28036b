"""``smsp client``: the registry by hand. Every change is on the audit trail."""

import hashlib
import io
import itertools
import json
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from audit_trails import happened
from client_samples import client_of
from command_line import Done, run_main
from signed_in import write_configuration
from smsp_provider.audit.events import Change, OperatorAct
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.config.clients_file import write_clients
from smsp_provider.config.settings import load_settings
from smsp_provider.domain.clients import Client, FingerprintPin, Limits, PinState
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.client_registry import ClientStore
from smsp_provider.wiring.audit import build_audit
from smsp_provider.wiring.provider import build_client_store, build_throttle
from tls_fixtures import TestPKI, make_pki

FIELDS = (
    "--ods=A1001",
    "--contact=service desk",
    "--organisation=A1001=200000000115",
    "--approval=DARS-1",
    "--legal-basis=direct care",
    "--use-case=patient administration",
    "--review-on=2099-12-31",
)


class Commands:
    """Runs commands of ``smsp client`` on one configuration, and looks at what they leave behind."""

    def __init__(self, config: Path, run: Callable[..., Done]) -> None:
        self.config = config
        self._run = run
        self.settings = load_settings(config)

    def __call__(self, *arguments: object) -> Done:
        return self._run("client", *arguments, "--config", self.config)

    def done(self, *arguments: object) -> Done:
        """Run a command that has to succeed."""
        ended = self(*arguments)
        assert ended.code == ExitCode.OK, ended.err
        return ended

    def clients(self) -> dict[str, object]:
        store = self.store()
        with closing(store.database):
            return dict(store.read().clients)

    def client(self, name: str = "ward-system") -> Client:
        found = self.clients()[name]
        assert isinstance(found, Client)
        return found

    def store(self) -> ClientStore:
        return build_client_store(self.settings, SystemClock())

    def changes(self) -> list[Change]:
        """The changes on the audit trail."""
        if not self.settings.audit.database.exists():
            return []
        records = happened(build_audit(self.settings, SystemClock()).read())
        assert all(isinstance(record, Change | OperatorAct) for record in records)
        return [record for record in records if isinstance(record, Change)]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPKI:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    monkeypatch.delenv("SUDO_USER", raising=False)
    config = tmp_path / "provider.toml"
    write_configuration(config, 'policy = "os-user"')
    made = Commands(config, lambda *arguments: run_main(monkeypatch, capsys, *arguments))
    made.done("init")
    return made


def _fingerprint(pem: Path) -> str:
    der = x509.load_pem_x509_certificate(pem.read_bytes()).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def _expired(file: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "late")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2021, 1, 1, tzinfo=UTC))
    )
    file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return file


@pytest.mark.rule("SMSP-SEC-001", "SMSP-AUDIT-008")
def test_the_life_of_a_client_is_on_record_step_by_step(commands: Commands, pki: TestPKI) -> None:
    commands.done("add", "ward-system", *FIELDS, "--certificate", pki.client.certificate)
    commands.done("set", "ward-system", "--rate=5", "--burst=10", "--service=verifyNHSNumber")
    commands.done("pin", "add", "ward-system", "--certificate", pki.elsewhere.certificate, "--next")
    commands.done("rotate", "ward-system", "--overlap=3")
    commands.done("disable", "ward-system", "--reason=stolen key")
    commands.done("enable", "ward-system")
    commands.done("remove", "ward-system", "--yes")
    assert commands.clients() == {}
    changes = commands.changes()
    assert [change.version for change in changes] == [1, 2, 3, 4, 5, 6, 7]
    assert {(change.what, change.name) for change in changes} == {("client", "ward-system")}
    assert changes[0].before is None
    assert changes[-1].after is None
    for one, following in itertools.pairwise(changes):
        assert one.after == following.before
    limits, pins, disabled = (json.loads(changes[at].after or "") for at in (1, 3, 4))
    assert limits["limits"] == {"rate": 5.0, "burst": 10}
    assert limits["services"] == ["verifyNHSNumber-v1-0"]
    assert [(pin["fingerprint"], pin["state"]) for pin in pins["pins"]] == [
        (_fingerprint(pki.client.certificate), "retired"),
        (_fingerprint(pki.elsewhere.certificate), "current"),
    ]
    assert datetime.fromisoformat(pins["pins"][0]["until"]) - changes[3].at < timedelta(days=3)
    assert disabled["disabled_reason"] == "stolen key"


@pytest.mark.rule("SMSP-AUDIT-008")
def test_who_changed_something_is_on_record(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.done("add", "ward-system", *FIELDS)
    monkeypatch.setenv("SUDO_USER", "alice")
    commands.done("disable", "ward-system", "--reason=left")
    first, second = (change.who for change in commands.changes())
    assert second == f"{first} (sudo by alice)"
    assert first


@pytest.mark.rule("SMSP-AUDIT-008")
def test_without_an_audit_trail_nothing_is_changed(commands: Commands) -> None:
    commands.done("add", "ward-system", *FIELDS)
    database = commands.settings.audit.database
    database.rename(database.with_name("away.db"))
    for arguments in (("disable", "ward-system", "--reason=x"), ("remove", "ward-system", "--yes")):
        ended = commands(*arguments)
        assert ended.code == ExitCode.CANNOT_START
        assert "audit.database" in ended.err
        assert "nothing was changed" in ended.err
    database.with_name("away.db").rename(database)
    assert commands.client().enabled
    assert len(commands.changes()) == 1


def test_a_change_that_changes_nothing_leaves_no_record(commands: Commands) -> None:
    commands.done("add", "ward-system", *FIELDS)
    assert "already" in commands.done("enable", "ward-system").out
    assert "already" in commands.done("set", "ward-system", "--contact=service desk").out
    assert len(commands.changes()) == 1


@pytest.mark.rule("WS-SEC-09")
def test_certificates_are_registered_by_file_fingerprint_and_name(commands: Commands, pki: TestPKI) -> None:
    fingerprint = _fingerprint(pki.foreign_client.certificate)
    pairs = ":".join(fingerprint[at : at + 2].upper() for at in range(0, 64, 2))
    commands.done("add", "ward-system", *FIELDS, "--certificate", pki.client.certificate)
    commands.done("pin", "add", "ward-system", "--fingerprint", f"sha256 Fingerprint={pairs}", "--until=2099-01-01")
    commands.done("pin", "add", "ward-system", "--pin-name", "CN=new", "CN=ca", "--until=2099-01-01T00:00:00Z")
    by_file, by_fingerprint, by_name = commands.client().pins
    assert isinstance(by_file, FingerprintPin)
    assert by_file.fingerprint == _fingerprint(pki.client.certificate)
    assert by_file.certificate is not None
    end = datetime(2099, 1, 1, tzinfo=UTC)
    assert by_fingerprint == FingerprintPin(fingerprint, PinState.CURRENT, end)
    assert (by_name.until, by_name.state) == (end, PinState.CURRENT)
    commands.done("pin", "remove", "ward-system", fingerprint[:8])
    commands.done("pin", "remove", "ward-system", "CN=new")
    assert commands.client().pins == (by_file,)


@pytest.mark.rule("WS-SEC-09")
def test_without_a_next_certificate_nothing_is_rotated(commands: Commands, pki: TestPKI) -> None:
    commands.done("add", "ward-system", *FIELDS, "--certificate", pki.client.certificate)
    ended = commands("rotate", "ward-system")
    assert ended.code == ExitCode.USAGE
    assert "next" in ended.err
    assert len(commands.changes()) == 1


@pytest.mark.rule("WS-SEC-08")
def test_a_certificate_of_another_client_is_refused_by_that_clients_name(commands: Commands, pki: TestPKI) -> None:
    commands.done("add", "ward-system", *FIELDS, "--certificate", pki.client.certificate)
    ended = commands("add", "lab-system", *FIELDS, "--certificate", pki.client.certificate)
    assert ended.code == ExitCode.USAGE
    assert "client ward-system" in ended.err
    assert list(commands.clients()) == ["ward-system"]


def test_a_certificate_that_would_not_be_let_in_is_warned_of(commands: Commands, tmp_path: Path) -> None:
    pem = _expired(tmp_path / "expired.pem")
    ended = commands.done("add", "ward-system", *FIELDS, "--certificate", pem)
    assert "it has expired" in ended.err
    assert "no certificate lets it in" in commands.done("list").out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("add", "Ward System", *FIELDS), "name: "),
        (("add", "other", *FIELDS[1:]), "ods_code: Field required"),
        (("add", "other", *FIELDS[:-1], "--review-on=soon"), "authority.review_on: not a date"),
        (("add", "other", *FIELDS, "--organisation==1"), "--organisation"),
        (("add", "ward-system", *FIELDS), "already"),
        (("set", "ward-system"), "nothing to change"),
        (("set", "ward-system", "--burst=3"), "limits: burst"),
        (("set", "other", "--contact=x"), "there is no client other"),
        (("show", "other"), "there is no client other"),
        (("export", "other"), "there is no client other"),
        (("remove", "other", "--yes"), "there is no client other"),
        (("disable", "ward-system", "--reason="), "disabled_reason"),
        (("pin", "add", "ward-system"), "one of --certificate"),
        (("pin", "add", "ward-system", "--fingerprint=12"), "64 lower-case"),
        (("pin", "add", "ward-system", "--pin-name", "CN=a", "CN=b"), "until"),
        (("pin", "add", "ward-system", "--pin-name", "CN=a", "CN=b", "--until=soon"), "a moment is"),
        (("pin", "remove", "ward-system", "CN=x"), "none of its pins"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_done_is_told_in_one_text(commands: Commands, arguments: tuple[str, ...], text: str) -> None:
    commands.done("add", "ward-system", *FIELDS)
    ended = commands(*arguments)
    assert ended.code == ExitCode.USAGE
    assert text in ended.err
    assert "Traceback" not in ended.err
    assert len(commands.changes()) == 1


def test_fields_come_from_a_file_and_options_stand_over_it(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text(
        'contact = "from the file"\nparty_key = "KEY-1"\nlimits = {rate = 3.0, burst = 4}', encoding="utf-8"
    )
    commands.done("add", "ward-system", "--file", file, *FIELDS, "--rate=9")
    client = commands.client()
    assert (client.contact, client.party_key, client.limits.rate, client.limits.burst) == (
        "service desk",
        "KEY-1",
        9.0,
        4,
    )
    commands.done("set", "ward-system", "--file", file, "--party-key=", "--burst=0", "--signatures=require")
    client = commands.client()
    assert (client.contact, client.party_key, client.limits.rate, client.limits.burst) == (
        "from the file",
        None,
        3.0,
        None,
    )
    commands.done("set", "ward-system", "--signatures=settings", "--use-case=another")
    assert commands.client().signatures is None
    assert commands.client().authority.legal_basis == "direct care"


@pytest.mark.parametrize("field", ["enabled = true", 'disabled_reason = "x"', "pins = []"])
def test_set_neither_enables_nor_changes_certificates(commands: Commands, tmp_path: Path, field: str) -> None:
    commands.done("add", "ward-system", *FIELDS)
    file = tmp_path / "client.toml"
    file.write_text(field, encoding="utf-8")
    assert commands("set", "ward-system", "--file", file).code == ExitCode.USAGE


@pytest.fixture
def two(commands: Commands, tmp_path: Path) -> Path:
    """A file of two clients, which are registered."""
    file = tmp_path / "two.toml"
    file.write_text(write_clients([client_of("first"), client_of("second")], as_json=False), encoding="utf-8")
    commands.done("import", file)
    return file


@pytest.mark.rule("SMSP-SEC-001")
@pytest.mark.parametrize("form", ["toml", "json"])
def test_what_is_exported_is_imported_as_the_same(commands: Commands, two: Path, tmp_path: Path, form: str) -> None:
    assert two.exists()
    out = tmp_path / f"out.{form}"
    commands.done("export", "--format", form, "--output", out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert commands.done("export", "--format", form).out == out.read_text(encoding="utf-8")
    before = commands.clients()
    for name in before:
        commands.done("remove", name, "--yes")
    commands.done("import", out)
    assert commands.clients() == before == {name: client_of(name) for name in ("first", "second")}


@pytest.mark.rule("SMSP-SEC-001", "SMSP-AUDIT-008")
def test_an_import_is_made_whole_or_not_at_all(commands: Commands, two: Path, tmp_path: Path) -> None:
    assert two.exists()
    recorded = len(commands.changes())
    file = tmp_path / "wrong.toml"
    third, thief = client_of("third"), client_of("thief", pins=client_of("first").pins)
    file.write_text(write_clients([third, thief], as_json=False), encoding="utf-8")
    ended = commands("import", file)
    assert ended.code == ExitCode.USAGE
    assert "client first" in ended.err
    file.write_text(write_clients([third], as_json=False) + '[clients.fourth]\nods_code = "A1001"\n', encoding="utf-8")
    ended = commands("import", file)
    assert ended.code == ExitCode.USAGE
    assert f"{file}: client fourth: contact: Field required" in ended.err
    assert list(commands.clients()) == ["first", "second"]
    assert len(commands.changes()) == recorded


def test_a_dry_run_shows_and_changes_nothing(
    commands: Commands, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert two.exists()
    file = tmp_path / "new.toml"
    changed = client_of("first", contact="somebody else", party_key="KEY")
    file.write_text(write_clients([changed, client_of("third")], as_json=False), encoding="utf-8")
    before = commands.clients()
    out = commands.done("import", file, "--prune", "--dry-run").out
    assert re.findall(r"^([-+~])  +(\w+) *(.*)$", out, re.MULTILINE) == [
        ("~", "first", "contact, party_key"),
        ("+", "third", ""),
        ("-", "second", ""),
    ]
    assert commands.clients() == before
    for answer in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert commands("import", file, "--prune").code == ExitCode.INTERRUPTED
        assert commands("remove", "first").code == ExitCode.INTERRUPTED
    assert commands.clients() == before
    commands.done("import", file, "--prune", "--yes")
    assert list(commands.clients()) == ["first", "third"]
    assert "nothing was changed" in commands.done("import", file, "--prune").out


@pytest.mark.rule("SMSP-SEC-001")
def test_an_import_does_not_let_a_client_in_again_by_accident(commands: Commands, two: Path) -> None:
    commands.done("disable", "first", "--reason=stolen key")
    ended = commands("import", two)
    assert ended.code == ExitCode.USAGE
    assert "first" in ended.err
    assert not commands.client("first").enabled
    commands.done("import", two, "--allow-enabling")
    assert commands.client("first").enabled


def test_a_registry_that_nobody_asks_is_told_of(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "clients.policy" not in commands.done("list").err
    monkeypatch.setenv("SMSP_CLIENTS__POLICY", "any")
    assert "clients.policy" in commands.done("list").err


def test_a_list_tells_what_to_look_at(commands: Commands, two: Path) -> None:
    assert two.exists()
    soon = (datetime.now(UTC) + timedelta(days=10)).date()
    commands.done("set", "first", f"--review-on={soon}")
    listed = json.loads(commands.done("list", "--json").out)
    assert listed["version"] == 2
    by_name = {one["name"]: one for one in listed["clients"]}
    assert by_name["first"]["days_to_review"] == 10
    assert by_name["first"]["warnings"] == ["authority to access is to be reviewed in 10 days"]
    assert by_name["second"]["warnings"] == []
    shown = commands.done("show", "first")
    assert "reviewed in 10 days" in shown.err
    in_json = json.loads(commands.done("show", "first", "--json").out)
    assert in_json.pop("use") == {"in_flight": 0, "admitted": 0, "refused": 0}
    assert in_json == by_name["first"]


@pytest.mark.rule("SMSP-PERF-001")
def test_what_a_client_uses_of_its_limits_is_shown(commands: Commands, two: Path) -> None:
    assert two.exists()
    assert "nothing since the start" in commands.done("show", "first").out
    throttle = build_throttle(commands.settings, SystemClock())
    limits = Limits(rate=1, burst=3, concurrency=2)
    with throttle.admit_request("first", limits):
        pass
    with throttle.admit_request("first", limits):
        out = commands.done("show", "first").out
        use = json.loads(commands.done("show", "first", "--json").out)["use"]
    assert "1 requests under way" in out
    assert "2 requests admitted, 0 refused" in out
    assert (use["in_flight"], use["admitted"], use["refused"]) == (1, 2, 0)
    assert use["in_hand"] in {1, 2, 3}


def test_a_table_of_limits_that_cannot_be_read_does_not_hide_the_client(commands: Commands, two: Path) -> None:
    assert two.exists()
    commands.settings.audit.database.with_name("throttle.table").mkdir()
    shown = commands.done("show", "first")
    assert "not known" in shown.err
    assert "service desk" in shown.out


@pytest.mark.rule("SMSP-SEC-001")
def test_a_client_whose_rows_are_broken_is_told_of_and_can_be_removed_or_replaced(
    commands: Commands, two: Path
) -> None:
    database = commands.settings.audit.database.with_name("clients.db")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE client SET priority = 'none'")
    assert commands.done("list").out.count("unreadable") == 2
    for arguments in (("show", "first"), ("disable", "first", "--reason=x"), ("export",)):
        ended = commands(*arguments)
        assert ended.code == ExitCode.USAGE
        assert "import it anew" in ended.err
    commands.done("remove", "first", "--yes")
    assert commands("import", two).code == ExitCode.USAGE
    commands.done("import", two, "--allow-enabling")
    assert commands.clients() == {name: client_of(name) for name in ("first", "second")}
    assert [json.loads(change.before or "null") for change in commands.changes()[2:4]] == [{"unreadable": True}, None]


def test_a_registry_that_is_not_there_is_made_by_init_alone(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSP_CLIENTS__DATABASE", f"sqlite:///{tmp_path}/elsewhere/clients.db")
    for arguments in (("list",), ("add", "ward-system", *FIELDS)):
        ended = commands(*arguments)
        assert ended.code == ExitCode.CANNOT_START
        assert "smsp client init" in ended.err
    commands.done("init")
    commands.done("add", "ward-system", *FIELDS)
    assert stat.S_IMODE((tmp_path / "elsewhere" / "clients.db").stat().st_mode) == 0o600


def test_a_file_of_another_kind_is_left_alone(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.done("add", "ward-system", *FIELDS)
    trail = commands.settings.audit.database
    monkeypatch.setenv("SMSP_CLIENTS__DATABASE", f"sqlite:///{trail}")
    ended = commands("init")
    assert ended.code == ExitCode.CANNOT_START
    assert "something else" in ended.err
    text = tmp_path / "text"
    text.mkdir(mode=0o700)
    (text / "clients.db").write_text("not a database, but long enough to be looked at as one" * 20, encoding="utf-8")
    (text / "clients.db").chmod(0o600)
    monkeypatch.setenv("SMSP_CLIENTS__DATABASE", f"sqlite:///{text}/clients.db")
    assert "SQLITE_NOTADB" in commands("init").err


@pytest.mark.parametrize(("place", "mode"), [("clients.db", 0o640), (".", 0o750)], ids=["file", "directory"])
def test_a_registry_that_others_can_read_is_not_used(commands: Commands, place: str, mode: int) -> None:
    (commands.settings.audit.database.parent / place).chmod(mode)
    ended = commands("list")
    assert ended.code == ExitCode.CANNOT_START
    assert "open to other users" in ended.err


@pytest.mark.skipif(os.geteuid() != 0, reason="files of another user can be made by root only")
def test_a_registry_of_another_user_is_not_changed(commands: Commands) -> None:
    commands.done("add", "ward-system", *FIELDS)
    os.chown(commands.settings.audit.database, 65534, 65534)
    ended = commands("disable", "ward-system", "--reason=x")
    assert ended.code == ExitCode.CANNOT_START
    assert "sudo -u" in ended.err
    assert commands.client().enabled


def test_a_change_by_somebody_else_meanwhile_is_taken_into_account(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.done("add", "ward-system", *FIELDS)
    real: Any = ClientStore.apply
    others = iter(["first", "second"])

    def apply(store: ClientStore, changes: Any, record: Any, **options: Any) -> Any:
        for contact in others:
            with monkeypatch.context() as patched:
                patched.setattr(ClientStore, "apply", real)
                commands.done("set", "ward-system", f"--contact={contact}")
            break
        return real(store, changes, record, **options)

    monkeypatch.setattr(ClientStore, "apply", apply)
    commands.done("set", "ward-system", "--rate=7")
    client = commands.client()
    assert (client.contact, client.limits.rate) == ("second", 7.0)
    assert [change.version for change in commands.changes()] == [1, 2, 3, 4]
