"""Mutual TLS by the provider itself, in real processes: who is let in, and what happens when files change meanwhile."""

import http.client
import json
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from certificate_zoo import HANDSHAKE_REFUSES, Zoo, make_zoo, replace
from edge_process import PATH, Server, until
from itk_messages import request_for
from smsp_provider.domain.service import Service
from tls_fixtures import Identity

ALERTS = {
    "no certificate": ("HANDSHAKE_FAILURE", "CERTIFICATE_REQUIRED"),
    "of another authority": ("UNKNOWN_CA",),
    "expired": ("CERTIFICATE_EXPIRED",),
    "not valid yet": ("BAD_CERTIFICATE",),
    "revoked": ("CERTIFICATE_REVOKED",),
    "RSA 1024": ("BAD_CERTIFICATE",),
    "signed with SHA-1": ("BAD_CERTIFICATE",),
    "signed with MD5": ("BAD_CERTIFICATE",),
    "for servers": ("UNSUPPORTED_CERTIFICATE",),
}
"""What the caller's library says: the word of the TLS alert that it got."""

TOLD = {
    "for no stated use": "it was not issued for clientAuth",
    "an authority": "it belongs to an authority",
    "RSA 1024": "its key is too weak",
    "P-224": "its key is too weak",
    "signed with SHA-1": "its signature is too weak",
    "signed with MD5": "its signature is too weak",
    "names in bits": "it cannot be read",
}
"""What a fault says where the handshake lets a certificate pass."""

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return make_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, zoo: Zoo) -> Iterator[Server]:
    """A server for the tests that change nothing for good."""
    server = Server(tmp_path_factory.mktemp("server"), zoo, crl=str(zoo.crl))
    yield server
    server.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Server, Zoo]]:
    """A server with files of its own."""
    zoo = make_zoo(tmp_path / "zoo")
    server = Server(tmp_path, zoo, crl=str(zoo.crl))
    yield server, zoo
    server.stop()


def context_for(zoo: Zoo, identity: Identity | None, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(zoo.ca))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the caller's own library must not be what refuses
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def call(
    server: Server, zoo: Zoo, identity: Identity | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> tuple[int, bytes]:
    context = context_for(zoo, identity, version)
    with closing(http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60, context=context)) as connection:
        return post(connection)


def post(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    request = request_for(Service.GET_NHS_NUMBER)
    connection.request("POST", PATH, request.body(), {"Content-Type": "text/xml", "SOAPAction": request.soap_action})
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", ["no certificate", *HANDSHAKE_REFUSES])
def test_a_bad_certificate_ends_in_the_handshake(shared: Server, zoo: Zoo, name: str, version: ssl.TLSVersion) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
        call(shared, zoo, zoo.bad.get(name), version)
    # With TLS 1.3 the caller is done before the server has looked, and may find the connection cut while it sends.
    if not isinstance(refused.value, ConnectionError):
        assert any(alert in str(refused.value) for alert in ALERTS[name])
    assert call(shared, zoo, zoo.good, version)[0] == 200


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize("name", ["for no stated use", "an authority", "names in bits"])
def test_a_certificate_for_something_else_is_fault_3000(shared: Server, zoo: Zoo, name: str) -> None:
    status, body = call(shared, zoo, zoo.bad[name])
    assert (status, b">3000<" in body) == (500, True)
    assert TOLD[name].encode() in body


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])
def test_a_curve_that_is_too_small_does_not_get_in(shared: Server, zoo: Zoo, version: ssl.TLSVersion) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call(shared, zoo, zoo.bad["P-224"], version)


@pytest.mark.rule("WS-SEC-01")
def test_old_tls_is_spoken_where_it_is_asked_for_and_weak_certificates_are_refused_even_then(
    tmp_path: Path, zoo: Zoo
) -> None:
    server = Server(tmp_path, zoo, crl=str(zoo.crl), least="MINIMUM_SUPPORTED")
    try:
        for name in ("TLSv1", "TLSv1_1"):
            with pytest.warns(DeprecationWarning, match=name):
                context = context_for(zoo, zoo.good, ssl.TLSVersion[name])
            with closing(http.client.HTTPSConnection("127.0.0.1", server.port, context=context)) as connection:
                assert post(connection)[0] == 200
                assert isinstance(connection.sock, ssl.SSLSocket)
                assert connection.sock.version() == name.replace("_", ".")
        for name in ("RSA 1024", "signed with SHA-1", "signed with MD5"):
            status, body = call(server, zoo, zoo.bad[name], V1_2)
            assert (status, b">3000<" in body, TOLD[name].encode() in body) == (500, True, True), name
        for name in ("expired", "revoked", "of another authority", "for servers"):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                call(server, zoo, zoo.bad[name], V1_2)
    finally:
        server.stop()


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])
def test_a_certificate_revoked_meanwhile_is_out_even_on_a_session_it_has(
    own: tuple[Server, Zoo], version: ssl.TLSVersion
) -> None:
    server, zoo = own
    context = context_for(zoo, zoo.good, version)
    with closing(http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60, context=context)) as kept:
        assert post(kept)[0] == 200
        assert isinstance(kept.sock, ssl.SSLSocket)
        session = kept.sock.session
        zoo.revoke(zoo.good)
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            resume(server, context, session)
        # On a connection from before it is refused in words, and told to go.
        status, body = post(kept)
        assert (status, b">3000<" in body, b"it was revoked" in body) == (500, True, True)
        assert not is_open(kept), "the server has said that it closes the connection"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            post(kept)
    zoo.pardon(zoo.good)
    assert call(server, zoo, zoo.good, version)[0] == 200


@pytest.mark.rule("WS-SEC-01")
def test_a_connection_that_is_kept_busy_does_not_outlive_the_revocation_of_its_certificate(
    own: tuple[Server, Zoo],
) -> None:
    """Nobody else calls meanwhile, so no new connection makes the worker look at its files."""
    server, zoo = own
    context = context_for(zoo, zoo.good, V1_3)
    with closing(http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60, context=context)) as kept:
        assert post(kept)[0] == 200
        zoo.revoke(zoo.bad["for servers"])
        assert post(kept)[0] == 200, "somebody else's certificate was revoked: this one is answered once more"
        assert not is_open(kept)
        assert post(kept)[0] == 200, "over a new connection"
        zoo.revoke(zoo.good)
        status, body = post(kept)
        assert (status, b">3000<" in body, b"it was revoked" in body) == (500, True, True)
        assert not is_open(kept)


def is_open(connection: http.client.HTTPConnection) -> bool:
    return connection.sock is not None


def resume(server: Server, context: ssl.SSLContext, session: ssl.SSLSession | None) -> bool:
    """Make a request on a connection that offers a session; whether the server took it up."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        try:
            secure = context.wrap_socket(raw, server_hostname="localhost", session=session)
        except BaseException:
            raw.close()
            raise
        connection.sock = secure
        assert post(connection)[0] == 200
        return bool(secure.session_reused)


@pytest.mark.rule("WS-SEC-01")
def test_a_session_is_not_resumed_with_tls_1_3(shared: Server, zoo: Zoo) -> None:
    context = context_for(zoo, zoo.good, V1_3)
    with closing(http.client.HTTPSConnection("127.0.0.1", shared.port, timeout=60, context=context)) as first:
        assert post(first)[0] == 200
        assert isinstance(first.sock, ssl.SSLSocket)
        assert resume(shared, context, first.sock.session) is False


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize("harm", ["missing", "past its end", "of another authority", "not a list"])
def test_a_revocation_list_that_cannot_be_used_does_not_take_the_place_of_the_one_in_force(
    own: tuple[Server, Zoo], harm: str
) -> None:
    server, zoo = own
    if harm == "missing":
        zoo.crl.unlink()
    elif harm == "past its end":
        zoo.publish(days=(-3, -1))
    else:
        replace(zoo.crl, zoo.other.revocation_list() if harm == "of another authority" else b"nothing")
    for _ in range(3):
        assert call(server, zoo, zoo.good)[0] == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            call(server, zoo, zoo.bad["revoked"])
    alerts = [line for line in map(json.loads, server.log().splitlines()) if line["event"] == "alert"]
    assert [(alert["kind"], alert["level"]) for alert in alerts] == [("tls-files-refused", "error")]
    zoo.revoke(zoo.good)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call(server, zoo, zoo.good)


@pytest.mark.rule("WS-SEC-01")
def test_a_revocation_list_that_ends_lets_nobody_in_until_the_next_one_is_there(own: tuple[Server, Zoo]) -> None:
    server, zoo = own
    # On a machine that stands still for longer than the list is good for, the next one is tried.
    for seconds in (3, 20, 120):
        good_until = time.time() + seconds - 1
        zoo.publish(days=(-1, seconds / 86_400))
        ends = time.time() + seconds
        with suppress(ssl.SSLError, ConnectionError):
            assert call(server, zoo, zoo.good)[0] == 200
            break
        assert time.time() > good_until, "who is good gets in while the list is"
    else:
        pytest.fail("the machine is too slow to tell")
    time.sleep(max(0.0, ends + 0.5 - time.time()))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call(server, zoo, zoo.good)
    zoo.publish()
    assert call(server, zoo, zoo.good)[0] == 200


def test_a_new_certificate_is_shown_at_once_and_a_request_under_way_is_answered(tmp_path: Path) -> None:
    zoo = make_zoo(tmp_path / "zoo")
    server = Server(tmp_path, zoo, crl=str(zoo.crl), answer_seconds=1, workers=2)
    try:
        before = shown(server, zoo)
        with ThreadPoolExecutor(4) as pool:
            under_way = [pool.submit(call, server, zoo, zoo.good) for _ in range(4)]
            server.wait_until_answering(4)
            # Between the two steps key and certificate do not belong together: the old pair stays in force.
            replace(zoo.server.key, zoo.elsewhere.key.read_bytes())
            assert shown(server, zoo) == before
            replace(zoo.server.certificate, zoo.elsewhere.certificate.read_bytes())
            assert shown(server, zoo) == zoo.elsewhere.certificate.read_text()
            assert [answer.result()[0] for answer in under_way] == [200] * 4
        assert len(server.pids()) == 2
    finally:
        server.stop()


def shown(server: Server, zoo: Zoo) -> str:
    """The certificate that the server shows, in PEM."""
    context = context_for(zoo, zoo.good, V1_3)
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        der = connection.getpeercert(True)
        assert der is not None
        return ssl.DER_cert_to_PEM_cert(der)


@pytest.mark.rule("WS-SEC-07")
def test_a_caller_cannot_say_itself_which_certificate_it_has(shared: Server, zoo: Zoo) -> None:
    request = request_for(Service.GET_NHS_NUMBER)
    other = ssl.PEM_cert_to_DER_cert(zoo.elsewhere.certificate.read_text())
    headers = {"X-SSL-Client-Cert": other.hex(), "X-Real-IP": "192.0.2.1", "X_SSL_Client_Cert": other.hex()}
    status, body = shared.ask("POST", PATH, request.body(), **{"Content-Type": "text/xml", **headers})
    assert (status, json.loads(body)["cn"]) == (200, "client")


def test_a_worker_that_cannot_begin_leaves_the_others_alone(tmp_path: Path, zoo: Zoo) -> None:
    flag = tmp_path / "broken"
    server = Server(tmp_path, zoo, workers=2, broken_by=str(flag))
    try:
        first, second = server.pids()
        flag.touch()
        server.kill(first)
        until(lambda: server.log().count("A new worker cannot serve") >= 2, server.log)
        assert second in server.pids()
        assert server.post()[0] == 200
        flag.unlink()
        until(lambda: len(server.pids()) == 2 and server.log().count("serves now") == 3, server.log)
        assert server.post()[0] == 200
    finally:
        server.stop()


def test_a_hangup_hands_over_to_new_workers_while_requests_are_answered(tmp_path: Path, zoo: Zoo) -> None:
    server = Server(tmp_path, zoo, workers=2, threads=8, answer_seconds=0.5)
    try:
        before = set(server.pids())
        with ThreadPoolExecutor(6) as pool:
            under_way = [pool.submit(server.post) for _ in range(6)]
            server.wait_until_answering(6)
            server.process.send_signal(signal.SIGHUP)
            later = [pool.submit(server.post) for _ in range(6)]
            assert [answer.result()[0] for answer in (*under_way, *later)] == [200] * 12
        until(lambda: len(server.pids()) == 2 and not before & set(server.pids()), server.log)
        assert server.post()[0] == 200
        assert "log level is now" not in server.log()
    finally:
        server.stop()


def test_workers_that_cannot_begin_at_the_start_end_the_server(tmp_path: Path, zoo: Zoo) -> None:
    flag = tmp_path / "broken"
    flag.touch()
    with pytest.raises(AssertionError, match="cannot be built"):
        Server(tmp_path, zoo, broken_by=str(flag))
