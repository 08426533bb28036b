"""`smsp alerts test`: what every sink says to an alert."""

import json
import ssl
from pathlib import Path

import pytest

from command_line import Done, run_main
from scripted_server import ScriptedServer, answering, http_answer
from signed_in import Desk, write_configuration
from smsp_provider.audit.events import OperatorActKind
from smsp_provider.domain.operators import Account, Role
from tls_fixtures import make_pki

pytestmark = pytest.mark.rule("IFC-ALT-01")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_configuration(tmp_path / "provider.toml", 'policy = "os-user"')
    return tmp_path / "provider.toml"


def _with(config: Path, alerts: str) -> None:
    config.write_text(f"{config.read_text()}\n[alerts]\n{alerts}\n")


def _test(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Done:
    return run_main(monkeypatch, capsys, "alerts", "test", "--config", config)


def test_each_sink_gets_one_and_the_command_says_so(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pki = make_pki(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    with ScriptedServer(answering(http_answer(b"")), context=context) as server:
        _with(config, f'file = "{tmp_path}/alerts"\nwebhook = "{server.url()}"\nwebhook_ca = "{pki.ca}"')
        done = _test(config, monkeypatch, capsys)
    assert (done.code, done.out) == (0, "file: taken\nwebhook: taken\n")
    (line,) = (tmp_path / "alerts").read_bytes().splitlines()
    assert json.loads(line)["kind"] == "test"
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2])["kind"] == "test"


def test_what_does_not_arrive_is_told_for_each_sink(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedServer(answering(http_answer(b"", "404 None"))) as server:
        _with(config, f'file = "{tmp_path}/gone/alerts"\nwebhook = "{server.url()}"')
        done = _test(config, monkeypatch, capsys)
    assert done.code == 1
    assert "file: not taken: No such file or directory (the provider would try again)" in done.out
    assert "webhook: not taken: HTTP status 404 (the provider would count it as lost)" in done.out


def test_without_a_sink_there_is_the_log(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = _test(config, monkeypatch, capsys)
    assert done.code == 0
    assert "operator log only" in done.out


@pytest.mark.rule("SMSP-IG-001")
def test_it_needs_somebody_who_may_read_alerts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.prepare()
    assert _test(desk.config, monkeypatch, capsys).code != 0, "an administrator may not"
    desk.sit_down(Account("op.one", "Grace Hopper", frozenset({Role.OPERATOR})))
    assert _test(desk.config, monkeypatch, capsys).code == 0
    commands = [act for act in desk.acts() if act.detail == "alerts test"]
    assert [act.kind for act in commands] == [OperatorActKind.COMMAND_REFUSED, OperatorActKind.COMMAND]
