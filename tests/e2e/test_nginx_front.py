"""nginx in front of the provider, both real: who is let in, what they are told, what is logged, what a reload does."""

import http.client
import json
import signal
import socket
import ssl
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import pytest

from certificate_zoo import HANDSHAKE_REFUSES
from edge_process import PATH, until
from nginx_server import (
    BODY,
    XML,
    Front,
    fault,
    request_text,
    running_front,
    running_nginx,
    settings_behind_nginx,
    statuses,
)
from smsp_provider.domain.service import Service

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
JUDGED_LATER = ("for no stated use", "an authority", "names in bits")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("front"), threads=4) as running:
        yield running


@pytest.mark.rule("WS-SEC-01", "WS-SEC-07")
def test_the_provider_learns_who_is_in_front_of_nginx(front: Front) -> None:
    for version in (V1_2, V1_3):
        status, body = front.post(front.zoo.good, version)
        assert (status, json.loads(body)) == (
            200,
            {
                "cn": "client",
                "tls": True,
                "url": f"https://127.0.0.1:{front.nginx.port}{PATH}",
                "service": Service.GET_NHS_NUMBER.value,
            },
        )


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", ["no certificate", *HANDSHAKE_REFUSES, "P-224", *JUDGED_LATER])
def test_a_bad_certificate_is_fault_3000(front: Front, name: str, version: ssl.TLSVersion) -> None:
    try:
        status, body = front.post(front.zoo.bad.get(name), version)
    except ssl.SSLError:
        assert (name, version) == ("P-224", V1_2), "a curve that TLS 1.2 itself refuses"
        return
    assert (status, fault(body)) == (500, ("soap:Client", "3000"))


@pytest.mark.rule("WS-SEC-01")
def test_old_tls_is_refused(front: Front) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context = front.context(front.zoo.good, ssl.TLSVersion.TLSv1_1)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    raw = socket.create_connection(("127.0.0.1", front.nginx.port), timeout=60)
    with raw, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw, server_hostname="localhost")


@pytest.mark.rule("WS-SEC-07")
def test_headers_of_the_caller_do_not_get_through(front: Front) -> None:
    forged = quote(front.zoo.elsewhere.certificate.read_text(), safe="")
    names = ("X-SSL-Client-Cert", "x-ssl-client-cert", "X_SSL_Client_Cert", "X-SSL_Client-Cert", "X-SSL-Client-Cert ")
    for name in names:
        lines = f"{name}: {forged}\r\nX-Real-IP: 192.0.2.7\r\nX_Real_IP: 192.0.2.7\r\n"
        answer = front.raw(request_text(BODY, lines))
        assert statuses(answer) in ([200], [400]), name
        assert b"elsewhere" not in answer
        if statuses(answer) == [200]:
            assert b'"cn": "client"' in answer


def test_a_body_that_is_too_large_is_a_fault_with_413(front: Front) -> None:
    status, body = front.post(front.zoo.good, body=BODY + b" " * 70_000)
    assert (status, fault(body)) == (413, ("soap:Client", "1000"))


def test_a_chunked_body_gets_through_with_a_length(front: Front) -> None:
    with closing(front.connection(front.zoo.good)) as connection:
        chunks = (BODY[at : at + 1000] for at in range(0, len(BODY), 1000))
        connection.request("POST", PATH, chunks, XML, encode_chunked=True)
        assert connection.getresponse().status == 200


@pytest.mark.rule("IFC-LOG-02")
def test_logs_hold_no_word_of_the_caller_s(front: Front) -> None:
    for target in ("/smsp/pds?q=9990000018", "/9990000018/Smith", f"{PATH}?wsdl&x=Smith"):
        front.raw(request_text(BODY, "User-Agent: Smith\r\nReferer: Smith\r\n", target))
    front.raw(b"SMITH /9990000018 HTTP/1.1\r\nHost: a\r\n\r\n")
    front.raw(b"GET /9990000018" + b"Smith" * 10_000)
    front.post(front.zoo.good, body=b"Smith" * 20_000)
    front.post(None, body=b"Smith")
    text = front.nginx.logs + front.provider.log()
    for word in ("9990000018", "Smith", "SMITH"):
        assert word not in text
    entries = [json.loads(line) for line in text.splitlines() if line.startswith('{"at"') and '"method"' in line]
    assert {entry["path"] for entry in entries if "path" in entry} >= {PATH, "other"}


def test_health_is_served_to_this_machine_without_a_certificate(front: Front) -> None:
    for path, status in (("/healthz", 200), ("/readyz", 200), (PATH, 404), ("/healthz/x", 404)):
        with closing(http.client.HTTPConnection("127.0.0.1", front.nginx.health_port, timeout=60)) as connection:
            connection.request("GET", path)
            assert connection.getresponse().status == status
    with closing(http.client.HTTPConnection("127.0.0.1", front.nginx.health_port, timeout=60)) as connection:
        connection.request("POST", "/healthz", BODY, XML)
        assert connection.getresponse().status == 403


@pytest.mark.rule("WS-SEC-01")
def test_a_session_does_not_outlive_a_revocation(tmp_path: Path) -> None:
    with running_front(tmp_path, answer_seconds=1, workers=2) as one:
        for version in (V1_2, V1_3):
            assert resumed(one, version) is False
        with ThreadPoolExecutor(2) as pool:
            under_way = [pool.submit(one.post, one.zoo.good) for _ in range(2)]
            one.provider.wait_until_answering(2)
            one.zoo.revoke(one.zoo.good)
            one.nginx.process.send_signal(signal.SIGHUP)
            assert [answer.result()[0] for answer in under_way] == [200, 200]
        until(lambda: one.post(one.zoo.good)[0] == 500)
        assert fault(one.post(one.zoo.good)[1]) == ("soap:Client", "3000")


def resumed(front: Front, version: ssl.TLSVersion) -> bool:
    """Whether nginx takes up a session of another connection that is still there."""
    context = front.context(front.zoo.good, version)
    address = ("127.0.0.1", front.nginx.port)
    with ExitStack() as both:
        first = both.enter_context(context.wrap_socket(socket.create_connection(address), server_hostname="localhost"))
        first.sendall(f"GET {PATH} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert b" 405 " in first.recv(1000)
        second = both.enter_context(
            context.wrap_socket(socket.create_connection(address), server_hostname="localhost", session=first.session)
        )
        return bool(second.session_reused)


def test_without_a_provider_the_answer_is_try_again(tmp_path: Path, front: Front) -> None:
    settings = settings_behind_nginx(tmp_path, front.zoo, tmp_path / "nobody.sock")
    with running_nginx(tmp_path / "nginx", settings) as nginx:
        alone = Front(nginx, front.provider, front.zoo)
        with closing(alone.connection(front.zoo.good)) as connection:
            connection.request("POST", PATH, BODY, XML)
            response = connection.getresponse()
            assert (response.status, fault(response.read())) == (500, ("soap:Server", "2100"))
            assert response.getheader("Retry-After") == "5"


def test_the_socket_is_made_for_its_group_and_for_nobody_else(front: Front) -> None:
    assert front.provider.socket is not None
    assert stat.S_IMODE(front.provider.socket.stat().st_mode) == 0o660
