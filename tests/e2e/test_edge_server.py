"""The edge in real gunicorn processes: mutual TLS, slow and broken callers, signals, killed workers."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from edge_process import PATH, Server, until
from itk_messages import request_for
from smsp_provider.domain.service import Service
from tls_fixtures import TestPKI, make_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPKI:
    return make_pki(tmp_path_factory.mktemp("pki"))


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path, pki: TestPKI) -> Iterator[Start]:
    started: list[Server] = []

    def one(*, tls: bool = True, **options: object) -> Server:
        folder = tmp_path / f"server {len(started)}"
        folder.mkdir()
        started.append(Server(folder, pki if tls else None, **options))
        return started[-1]

    yield one
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory: pytest.TempPathFactory, pki: TestPKI) -> Iterator[Server]:
    """A server for the tests that leave it as it was."""
    server = Server(tmp_path_factory.mktemp("over_tls"), pki)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def in_the_clear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another one of these; it tells all that it can tell."""
    server = Server(tmp_path_factory.mktemp("in_the_clear"), None)
    server.process.send_signal(signal.SIGUSR1)
    until(lambda: server.log().count("log level is now debug") == 2, server.log)
    yield server
    server.stop()


@pytest.mark.rule("WS-SEC-01", "WS-SEC-07")
@pytest.mark.parametrize("adapter", ["bare", "spyne"])
def test_the_engine_learns_the_verified_name_of_the_caller(start: Start, adapter: str) -> None:
    server = start(adapter=adapter)
    for service in Service:
        status, body = server.post(service)
        assert status == 200
        assert json.loads(body) == {
            "cn": "client",
            "tls": True,
            "url": f"https://127.0.0.1:{server.port}{PATH}",
            "service": service.value,
        }


def _call_with(server: Server, context: ssl.SSLContext) -> None:
    with closing(http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60, context=context)) as connection:
        connection.request("GET", "/healthz")
        connection.getresponse()


@pytest.mark.rule("WS-SEC-01")
def test_who_has_no_certificate_of_our_authority_does_not_get_in(over_tls: Server, pki: TestPKI) -> None:
    for identity in (None, pki.foreign_client):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            _call_with(over_tls, over_tls.context(identity))
    assert over_tls.post()[0] == 200


@pytest.mark.rule("WS-SEC-01")
def test_old_tls_is_refused(over_tls: Server, pki: TestPKI) -> None:
    context = over_tls.context(pki.client)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _call_with(over_tls, context)


@pytest.mark.rule("WS-SEC-07")
def test_headers_cannot_make_a_plain_connection_a_trusted_one(in_the_clear: Server) -> None:
    request = request_for(Service.GET_NHS_NUMBER)
    headers = {
        "Content-Type": "text/xml",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Ssl": "on",
        "X-SSL-Client-Cert": "x",
        "SCRIPT_NAME": "/smsp",
        "PATH_INFO": "/healthz",
    }
    status, body = in_the_clear.ask("POST", PATH, request.body(), **headers)
    assert status == 200
    assert json.loads(body) == {
        "cn": None,
        "tls": False,
        "url": f"http://127.0.0.1:{in_the_clear.port}{PATH}",
        "service": "getNHSNumber-v1-0",
    }


def test_one_connection_serves_many_requests(over_tls: Server) -> None:
    request = request_for(Service.VERIFY_NHS_NUMBER)
    with closing(over_tls.connection()) as connection:
        for _ in range(20):
            connection.request("POST", PATH, request.body(), {"Content-Type": "text/xml"})
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["cn"]) == (200, "client")
            assert connection.sock is not None, "the connection stays open"


@pytest.mark.slow
def test_half_open_handshakes_and_requests_do_not_stop_the_service(start: Start, pki: TestPKI) -> None:
    over_tls, in_the_clear = start(threads=4), start(tls=False, threads=2)
    with ThreadPoolExecutor(2) as both:
        waits = [
            both.submit(seconds_beside_half_open_ones, over_tls, over_tls.context(pki.client)),
            both.submit(seconds_beside_unfinished_requests, in_the_clear),
        ]
        for wait in waits:
            assert wait.result() > 9, "all threads were taken, for 10 s"


def seconds_beside_half_open_ones(server: Server, context: ssl.SSLContext) -> float:
    """How long a request takes that comes after as many handshakes and requests without end as there are threads."""
    began = time.monotonic()
    half_open = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    for connection in half_open:
        connection.sendall(b"\x16\x03\x01")
    unfinished = [
        context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="127.0.0.1")
        for _ in range(2)
    ]
    for secure in unfinished:
        secure.sendall(b"POST /smsp/pds HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: 5000\r\n\r\n<")

    def trickle() -> None:
        # A byte now and then must not begin the bound anew.
        with suppress(OSError):
            while True:
                for secure in unfinished:
                    secure.sendall(b" ")
                time.sleep(0.5)

    dripping = threading.Thread(target=trickle)
    dripping.start()
    assert server.post()[0] == 200
    seconds = time.monotonic() - began
    dripping.join(60)
    assert not dripping.is_alive(), "the server has closed them"
    for connection in (*half_open, *unfinished):
        connection.close()
    return seconds


def seconds_beside_unfinished_requests(server: Server) -> float:
    """The same in the clear, where there are no handshakes."""
    began = time.monotonic()
    unfinished = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    for connection in unfinished:
        connection.sendall(
            b"POST /smsp/pds HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: 50\r\n\r\n<"
        )
    assert server.post()[0] == 200
    seconds = time.monotonic() - began
    for connection in unfinished:
        connection.close()
    return seconds


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_broken_handshakes_do_not_end_a_worker(over_tls: Server, *, reset: bool) -> None:
    before = over_tls.pids()
    for _ in range(12):
        connection = socket.create_connection(("127.0.0.1", over_tls.port))
        connection.sendall(b"\x16\x03\x01")
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        time.sleep(0.02)
    for _ in range(6):
        assert over_tls.post()[0] == 200
    assert over_tls.pids() == before


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
def test_callers_that_do_not_close_do_not_hold_up_the_worker(start: Start, *, tls: bool) -> None:
    server = start(tls=tls, threads=16)
    # A machine that is busy with something else may be slow once: one time in five says that nobody is waited for.
    assert any(seconds_beside_callers_that_stay(server) < 1.5 for _ in range(5))


def seconds_beside_callers_that_stay(server: Server) -> float:
    """How long a request takes beside eight callers whose connections the server ends, and who keep theirs open."""
    with ExitStack() as staying:
        for _ in range(8):
            connection = staying.enter_context(closing(server.connection()))
            connection.connect()
            assert connection.sock is not None
            connection.sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        began = time.monotonic()
        assert server.post()[0] == 200
        return time.monotonic() - began


def test_a_worker_without_file_descriptors_goes_on(start: Start) -> None:
    server = start(tls=False, threads=4)
    [worker] = server.pids()
    few = len(list(Path(f"/proc/{worker}/fd").iterdir())) + 6
    _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (few, hard))
    many = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    until(lambda: "no file descriptors" in server.log(), server.log)
    for connection in many:
        connection.close()
    assert server.post()[0] == 200
    assert server.pids() == [worker]
    assert server.log().count("no file descriptors") == 1, "not once for every attempt"


BAD_CHUNK = b"Transfer-Encoding: chunked\r\n\r\nSmith\r\n"


@pytest.mark.rule("IFC-LOG-02")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"9990000018 /9990000018 HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"(Smith / HTTP/1.1\r\n\r\n", 400),
        (b"GET /9990000018" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n9990000018 bad: Smith\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"Smith" * 4000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: Smith\r\n" % n for n in range(200)) + b"\r\n", 431),
        (b"POST /smsp/pds HTTP/1.1\r\nHost: a\r\nContent-Length: Smith\r\n\r\n", 400),
        (b"POST /smsp/pds HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"POST /smsp/pds HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Smith\r\n\r\n", 501),
        (b"POST /smsp/pds HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\n" + BAD_CHUNK, 400),
        (b"GET /smsp/pds?Smith HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ],
    ids=[
        *(
            "odd method",
            "bad method",
            "long line",
            "header name",
            "long header",
            "many headers",
            "length",
            "two lengths",
            "coding",
        ),
        *("chunk", "query"),
    ],
)
def test_what_is_not_http_is_refused_and_quoted_nowhere(in_the_clear: Server, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", in_the_clear.port), timeout=60) as connection:
        connection.sendall(sent)
        answer = connection.recv(65536)
    assert int(answer.split()[1]) == status
    assert b"Cache-Control: no-store" in answer
    for text in (answer.decode(), in_the_clear.log()):
        assert "Smith" not in text
        assert "9990000018" not in text
    assert in_the_clear.post()[0] == 200


def test_a_chunked_request_is_read_and_bounded(in_the_clear: Server) -> None:
    body = request_for(Service.GET_NHS_NUMBER).body()
    for content, status in ((body, 200), (body + b" " * 100_000, 413)):
        with closing(in_the_clear.connection()) as connection:
            chunks = (content[at : at + 1000] for at in range(0, len(content), 1000))
            connection.request("POST", PATH, chunks, {"Content-Type": "text/xml"}, encode_chunked=True)
            assert connection.getresponse().status == status


@pytest.mark.rule("IFC-NFR-01")
@pytest.mark.parametrize("kind", ["over_tls", "in_the_clear"], ids=["over TLS", "in the clear"])
@pytest.mark.parametrize("coding", ["length", "chunks"])
@pytest.mark.parametrize("size", [70_000, 12_000_000], ids=["a little over", "far over"])
def test_who_sends_too_much_gets_to_read_so_and_is_not_promised_the_connection(
    request: pytest.FixtureRequest, kind: str, coding: str, size: int
) -> None:
    server: Server = request.getfixturevalue(kind)
    with closing(server.connection()) as connection:
        # Everything is sent before anything is read, as most clients do.
        if coding == "chunks":
            content = (b" " * 10_000 for _ in range(0, size, 10_000))
            connection.request("POST", PATH, content, {"Content-Type": "text/xml"}, encode_chunked=True)
        else:
            connection.request("POST", PATH, b" " * size, {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (413, "close")
        assert b"larger than this service accepts" in answer.read()


def test_a_body_that_nobody_wanted_ends_the_connection_and_one_that_was_read_does_not(in_the_clear: Server) -> None:
    body = request_for(Service.GET_NHS_NUMBER).body()
    kinds: dict[str, str] = {"Content-Type": "text/xml"}
    with closing(in_the_clear.connection()) as connection:
        for chunked in (False, True):
            content = iter([body]) if chunked else body
            connection.request("POST", PATH, content, kinds, encode_chunked=chunked)
            kept = connection.getresponse()
            kept.read()
            assert (kept.status, kept.getheader("Connection")) == (200, "keep-alive")
        connection.request("POST", "/nowhere", body, kinds)
        ended = connection.getresponse()
        assert (ended.status, ended.getheader("Connection")) == (404, "close")


@pytest.mark.rule("IFC-LOG-01")
def test_a_signal_switches_the_log_level_of_every_process(start: Start) -> None:
    server = start(tls=False, workers=2)
    lines = server.log().count("edge-answered")
    server.ask("GET", "/healthz")
    assert server.log().count("edge-answered") == lines, "an answered health check is not worth a line"
    server.process.send_signal(signal.SIGUSR1)
    until(lambda: server.log().count("log level is now debug") == 3, server.log)
    server.ask("GET", "/healthz")
    until(lambda: server.log().count("edge-answered") == lines + 1, server.log)
    server.process.send_signal(signal.SIGUSR1)
    until(lambda: server.log().count("log level is now info") == 3, server.log)
    for line in server.log().splitlines():
        assert re.fullmatch(r"\d{4}-.*Z", json.loads(line)["at"])


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("breaks", [False, True], ids=["hook works", "hook breaks"])
def test_the_master_looks_after_a_killed_worker_and_starts_another(start: Start, breaks: bool) -> None:
    server = start(workers=2, exit_hook_breaks=breaks)
    before = server.pids()
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    until(lambda: "after the worker" in server.log(), server.log)
    until(lambda: len(server.pids()) == 2 and server.pids() != before, server.log)
    assert ("Looking after an ended worker failed: RuntimeError" in server.log()) is breaks
    assert "9990000018" not in server.log()
    assert server.post()[0] == 200


def test_a_stop_lets_requests_under_way_finish(start: Start) -> None:
    server = start(answer_seconds=1)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(server.post) for _ in range(3)]
        server.wait_until_answering(3)
        server.process.send_signal(signal.SIGTERM)
        assert [answer.result()[0] for answer in answers] == [200, 200, 200]
    assert server.process.wait(60) == 0
    assert server.log().count("after the worker") == 1
