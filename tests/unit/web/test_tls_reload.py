"""The TLS context of a worker: renewed when files change, and after a minute, so that no session lives longer."""

import socket
import ssl
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from certificate_zoo import Zoo, make_zoo, replace
from smsp_provider.web import tls_reload
from smsp_provider.web.tls import ServerTLS, is_outdated
from smsp_provider.web.tls_reload import ReloadedTLS


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return make_zoo(tmp_path)


def files(zoo: Zoo) -> ServerTLS:
    return ServerTLS(zoo.server.certificate, zoo.server.key, zoo.ca, zoo.crl)


def handshake(reloaded: ReloadedTLS, client: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[bool, bool]:
    """Make a TLS 1.2 connection; whether it resumed ``session``, and whether the server calls it outdated."""
    ours, theirs = socket.socketpair()
    outdated: list[bool] = []

    def serve() -> None:
        with reloaded.context().wrap_socket(ours, server_side=True) as server:
            outdated.append(is_outdated(server))
            # A connection that is ended in order leaves its session behind.
            server.unwrap().close()

    serving = threading.Thread(target=serve)
    serving.start()
    with closing(client.wrap_socket(theirs, server_hostname="localhost", session=session)) as connection:
        reused = bool(connection.session_reused)
        SESSIONS.append(connection.session)
        connection.unwrap().close()
    serving.join(60)
    return reused, outdated[0]


SESSIONS: list[ssl.SSLSession | None] = []


@pytest.fixture
def client(zoo: Zoo) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(zoo.ca))
    context.load_cert_chain(zoo.good.certificate, zoo.good.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.mark.rule("WS-SEC-01")
def test_a_session_lives_no_longer_than_its_context(
    monkeypatch: pytest.MonkeyPatch, zoo: Zoo, client: ssl.SSLContext
) -> None:
    now = [1000.0]
    monkeypatch.setattr(tls_reload, "time", SimpleNamespace(monotonic=lambda: now[0]))
    reloaded = ReloadedTLS(files(zoo), pytest.fail)
    context = reloaded.context()
    now[0] += 59
    assert reloaded.context() is context
    now[0] += 1
    assert reloaded.context() is not context
    monkeypatch.undo()
    reloaded = ReloadedTLS(files(zoo), pytest.fail)
    assert handshake(reloaded, client, None) == (False, False)
    session = SESSIONS[-1]
    assert handshake(reloaded, client, session) == (True, False), "OpenSSL resumes from the memory of a context"
    monkeypatch.setattr(tls_reload, "_LIFE_SECONDS", 0.0)
    reloaded._until = 0.0
    assert handshake(reloaded, client, session) == (False, False)


@pytest.mark.rule("WS-SEC-01")
def test_a_change_of_files_makes_earlier_connections_outdated(zoo: Zoo) -> None:
    reloaded = ReloadedTLS(files(zoo), pytest.fail)
    before = reloaded.context()
    ours, theirs = socket.socketpair()
    with theirs, before.wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as connection:
        assert not is_outdated(connection)
        reloaded._until = 0.0
        assert reloaded.context() is not before
        assert not is_outdated(connection), "only its time was over"
        zoo.revoke(zoo.good)
        assert reloaded.context() is not before
        assert is_outdated(connection)
    with socket.socket() as plain:
        assert not is_outdated(plain)


def test_a_complaint_comes_once_for_each_change(zoo: Zoo) -> None:
    complaints: list[str] = []
    reloaded = ReloadedTLS(files(zoo), complaints.append)
    context = reloaded.context()
    good = zoo.server.key.read_bytes()
    for content, said in ((b"nothing", 1), (zoo.client.key.read_bytes(), 2)):
        replace(zoo.server.key, content)
        for _ in range(3):
            assert reloaded.context() is context
        assert len(complaints) == said
    assert complaints[1].endswith("key values mismatch")
    replace(zoo.server.key, good)
    assert reloaded.context() is not context
    assert len(complaints) == 2


@pytest.mark.rule("WS-SEC-01")
def test_what_cannot_be_used_from_the_start_is_an_error(zoo: Zoo) -> None:
    zoo.publish(days=(-3, -1))
    with pytest.raises(ValueError, match="is past its end"):
        ReloadedTLS(files(zoo), pytest.fail)
    zoo.crl.unlink()
    with pytest.raises(OSError, match="No such file"):
        ReloadedTLS(files(zoo), pytest.fail)
