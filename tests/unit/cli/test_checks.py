"""What a start refuses: everything that is wrong, all at once, before anything is started."""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certificate_zoo import Zoo, make_zoo
from command_line import run_main
from smsp_provider.cli.checks import check_files
from smsp_provider.cli.exit_codes import UnusableConfiguration
from smsp_provider.config.settings import Environment, Settings
from smsp_provider.storage.audit_keys import begin_key_ring
from smsp_provider.storage.audit_signing_key import make_signing_key
from smsp_provider.wiring.roots import witness_warnings


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return make_zoo(tmp_path_factory.mktemp("zoo"))


def settings(zoo: Zoo, folder: Path, **proxy: object) -> Settings:
    listener = {
        "certificate": zoo.server.certificate,
        "key": zoo.server.key,
        "client_ca": zoo.ca,
        "crl": zoo.crl,
        "socket": folder / "provider.sock",
        **proxy,
    }
    return Settings.model_validate(
        {
            "environment": "test",
            "server": {"proxy": listener},
            "spine": {"endpoint": "http://127.0.0.1:9/", "pds_asid": "928942012545"},
            "audit": {"database": folder / "audit.db"},
        }
    )


def refused(given: Settings) -> str:
    with pytest.raises(UnusableConfiguration) as caught:
        check_files(given)
    return caught.value.message


def test_what_stands_behind_nginx_is_checked_too(zoo: Zoo, tmp_path: Path) -> None:
    check_files(settings(zoo, tmp_path))


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize("harm", ["missing", "past its end", "of another authority", "not a list", "not valid yet"])
def test_a_revocation_list_that_cannot_be_used_stops_the_start(zoo: Zoo, tmp_path: Path, harm: str) -> None:
    crl = tmp_path / "crl.pem"
    if harm == "past its end":
        crl.write_bytes(zoo.authority.revocation_list(days=(-2, -1)))
    elif harm == "not valid yet":
        crl.write_bytes(zoo.authority.revocation_list(days=(1, 2)))
    elif harm == "of another authority":
        crl.write_bytes(zoo.other.revocation_list())
    elif harm == "not a list":
        crl.write_bytes(zoo.ca.read_bytes())
    expected = {
        "missing": "No such file",
        "past its end": "the revocation list of the authority CN=Test authority is past its end",
        "not valid yet": "is not valid yet",
        "of another authority": "there is no revocation list of the authority CN=Test authority",
        "not a list": "no revocation list in PEM",
    }
    text = refused(settings(zoo, tmp_path, crl=crl))
    assert text.startswith("server.proxy.crl: ")
    assert expected[harm] in text


def test_a_place_where_no_socket_can_be_made_is_named(zoo: Zoo, tmp_path: Path) -> None:
    assert "server.proxy.socket: " in refused(settings(zoo, tmp_path, socket=tmp_path / "no" / "provider.sock"))
    (tmp_path / "file").touch()
    assert "something else is there" in refused(settings(zoo, tmp_path, socket=tmp_path / "file"))
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "old.sock"))
    check_files(settings(zoo, tmp_path, socket=tmp_path / "old.sock"))
    assert "there is no such group" in refused(settings(zoo, tmp_path, socket_group="no-such-group"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file that this test may not read")
def test_the_key_of_nginx_need_not_be_readable(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).suffix != ".key")
    check_files(settings(zoo, tmp_path, key=zoo.elsewhere.key))
    monkeypatch.undo()
    assert "key values mismatch" in refused(settings(zoo, tmp_path, key=zoo.elsewhere.key))


def test_everything_that_is_wrong_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], zoo: Zoo, tmp_path: Path
) -> None:
    file = tmp_path / "provider.toml"
    file.write_text(
        f"""
environment = "test"
[server.https]
bind = "127.0.0.1:0"
certificate = "{tmp_path}/none.crt"
key = "{zoo.server.key}"
client_ca = "{zoo.server.key}"
crl = "{zoo.ca}"
[spine]
endpoint = "http://127.0.0.1:9/"
pds_asid = "928942012545"
[audit]
database = "{tmp_path}"
[schemas]
directory = "{tmp_path}/none"
"""
    )
    for command in (("config", "check"), ("serve",)):
        done = run_main(monkeypatch, capsys, *command, "--config", file)
        assert done.code == 2
        assert "5 settings cannot be used" in done.err
        for name in (
            "server.https.certificate, server.https.key: ",
            "server.https.client_ca: ",
            "server.https.crl: ",
            "audit.database: ",
            "schemas.directory: ",
        ):
            assert f"\n  {name}" in done.err


def test_addresses_that_are_taken_are_said_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], zoo: Zoo, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        file = tmp_path / "provider.toml"
        file.write_text(
            f"""
environment = "test"
[server]
http = "127.0.0.1:{one.getsockname()[1]}"
[server.https]
bind = "127.0.0.1:{other.getsockname()[1]}"
certificate = "{zoo.server.certificate}"
key = "{zoo.server.key}"
client_ca = "{zoo.ca}"
[spine]
endpoint = "http://127.0.0.1:9/"
pds_asid = "928942012545"
[audit]
database = "{tmp_path}/audit.db"
"""
        )
        done = run_main(monkeypatch, capsys, "serve", "--config", file)
    assert done.code == 3
    assert "server.http: cannot listen" in done.err
    assert "server.https: cannot listen" in done.err
    assert not (tmp_path / "audit.db").exists()


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("harm", ["missing", "open to others", "no keys", "not a file", "not in the environment"])
def test_keys_of_the_audit_trail_that_cannot_be_used_stop_the_start(
    zoo: Zoo, tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUDIT_KEYS", raising=False)
    keys = tmp_path / "keys" / "audit.keys"
    begin_key_ring(keys, datetime(2026, 11, 21, tzinfo=UTC))
    make_signing_key(keys.with_name("signing.key"))
    given = settings(zoo, tmp_path)
    named = given.audit.model_copy(update={"keys": keys, "signing_key": keys.with_name("signing.key")})
    live = given.model_copy(update={"environment": Environment.LIVE, "audit": named})
    check_files(live)
    if harm == "missing":
        keys.unlink()
    elif harm == "open to others":
        keys.chmod(0o644)
    elif harm == "no keys":
        keys.write_text("nothing of use\n")
    elif harm == "not a file":
        keys.unlink()
        os.mkfifo(keys)
    else:
        live = live.model_copy(update={"audit": live.audit.model_copy(update={"keys_variable": "AUDIT_KEYS"})})
    assert "audit.keys" in refused(live)
    keys.unlink(missing_ok=True)
    check_files(given)


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("harm", ["missing", "open to others", "no key", "not a file"])
def test_a_signing_key_that_cannot_be_used_stops_the_start(zoo: Zoo, tmp_path: Path, harm: str) -> None:
    keys = tmp_path / "keys" / "audit.keys"
    begin_key_ring(keys, datetime(2026, 11, 21, tzinfo=UTC))
    key = keys.with_name("signing.key")
    make_signing_key(key)
    given = settings(zoo, tmp_path)
    named = given.audit.model_copy(update={"keys": keys, "signing_key": key})
    live = given.model_copy(update={"environment": Environment.LIVE, "audit": named})
    check_files(live)
    if harm == "open to others":
        key.chmod(0o644)
    elif harm == "no key":
        key.write_text("nothing of use\n")
    else:
        key.unlink()
        if harm == "not a file":
            os.mkfifo(key)
    assert "audit.signing_key" in refused(live)


def test_a_witness_beside_the_trail_is_warned_of(zoo: Zoo, tmp_path: Path) -> None:
    given = settings(zoo, tmp_path)
    assert witness_warnings(given) == ()
    given.audit.database.parent.mkdir(parents=True, exist_ok=True)
    beside = given.audit.model_copy(update={"witness_file": given.audit.database.with_name("roots.jsonl")})
    assert "same volume" in witness_warnings(given.model_copy(update={"audit": beside}))[0]
