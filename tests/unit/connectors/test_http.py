"""The transport against real peers on loopback that misbehave in every way known to us."""

import logging
import random
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from scripted_server import Behaviour, Peer, RealClock, ScriptedServer, answering, http_answer
from smsp_provider.connectors import connection
from smsp_provider.connectors.http import ClientTLS, HTTPAnswer, SpineTransport, TransportLimits, client_context
from smsp_provider.domain.failures import NoCapacity, NotSent, Refused, SentNoAnswer, SpineFailure, Unreadable
from smsp_provider.engine.ports import Deadline
from tls_fixtures import Identity, TestPKI, make_pki

LONG = 60.0
"""Seconds that nothing here takes, however slow the machine is."""
SECRET = b"<NOTRE-PATIENT/>"
HEADERS = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"urn:example"'}


def post(transport: SpineTransport, seconds: float = LONG, body: bytes = SECRET) -> HTTPAnswer:
    return transport.post(body, HEADERS, Deadline(time.monotonic() + seconds))


def in_time_to_ask(transport: SpineTransport, seconds: float) -> HTTPAnswer:
    """Post with little patience; with more, where that was not enough on this machine to make a connection."""
    while seconds < LONG:
        try:
            return post(transport, seconds)
        except NotSent:
            seconds *= 3
    return post(transport, seconds)


def transport_to(server: ScriptedServer, limits: TransportLimits | None = None) -> SpineTransport:
    return SpineTransport(server.url(), RealClock(), limits=limits)


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPKI:
    return make_pki(tmp_path_factory.mktemp("pki"))


def tls_transport(
    server: ScriptedServer, pki: TestPKI, *, ca: Path | None = None, client: Identity | None = None
) -> SpineTransport:
    identity = client or pki.client
    return SpineTransport(
        server.url(), RealClock(), client_context(ClientTLS(ca or pki.ca, identity.certificate, identity.key))
    )


# What is sent


def test_the_message_travels_whole_with_its_headers_and_length() -> None:
    with ScriptedServer(answering(http_answer(b"<a/>"))) as server:
        answer = post(transport_to(server))
    assert (answer.status, answer.body) == (200, b"<a/>")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    assert lines[0] == "POST /syncservice-pds/pds HTTP/1.1"
    assert {
        f"Host: 127.0.0.1:{server.port}",
        f"Content-Length: {len(SECRET)}",
        "Content-Type: text/xml; charset=utf-8",
        'SOAPAction: "urn:example"',
        "Accept-Encoding: identity",
    } <= set(lines)
    assert body == SECRET


def test_a_query_in_the_url_is_kept() -> None:
    with ScriptedServer(answering(http_answer(b"<a/>"))) as server:
        post(SpineTransport(server.url(path="/sync-service?x=1"), RealClock()))
    assert server.requests[0].startswith(b"POST /sync-service?x=1 HTTP/1.1\r\n")


def test_connections_are_kept_and_used_again() -> None:
    with ScriptedServer(answering(http_answer(b"<a/>"), http_answer(b"<b/>"))) as server:
        transport = transport_to(server)
        bodies = [post(transport).body, post(transport).body]
    assert bodies == [b"<a/>", b"<b/>"]
    assert server.connections == 1


def test_chunked_answers_are_read_and_the_connection_is_kept() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n<a\r\n2\r\n/>\r\n0\r\n\r\n"
    with ScriptedServer(answering(chunked)) as server:
        transport = transport_to(server)
        bodies = [post(transport).body, post(transport).body]
    assert bodies == [b"<a/>", b"<a/>"]
    assert server.connections == 1


def test_an_answer_that_ends_with_its_connection_is_read() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n<a/>")

    with ScriptedServer(script) as server:
        assert post(transport_to(server)).body == b"<a/>"


def test_a_fault_status_is_handed_on_with_its_body() -> None:
    with ScriptedServer(answering(http_answer(b"<fault/>", "500 Internal Server Error"))) as server:
        answer = post(transport_to(server))
    assert (answer.status, answer.body) == (500, b"<fault/>")


# What did not get there


@pytest.mark.rule("SMSP-PERF-006")
def test_a_refused_connection_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(NotSent, match="no address of the server accepted a connection"):
        post(SpineTransport(f"http://127.0.0.1:{port}/", RealClock()))


def test_an_unknown_name_is_not_sent(pki: TestPKI) -> None:
    context = client_context(ClientTLS(pki.ca, pki.client.certificate, pki.client.key))
    with pytest.raises(NotSent, match="the name of the server cannot be resolved"):
        post(SpineTransport("https://pds.spine.invalid/", RealClock(), context, TransportLimits(connect_seconds=LONG)))


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    with ScriptedServer(answering(http_answer(b"<a/>"))) as server:
        with pytest.raises(NotSent, match="no time was left"):
            post(transport_to(server), seconds=-0.1)
        assert server.connections == 0


def test_all_addresses_together_get_one_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    # A listener whose queue is full does not answer further connects, as a host behind a silent firewall does not.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 1000)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        started = time.monotonic()
        with pytest.raises(NotSent):
            post(SpineTransport(url, RealClock(), limits=TransportLimits(connect_seconds=0.3)), seconds=10 * LONG)
    assert time.monotonic() - started < LONG


# TLS


def test_mutual_tls_carries_the_message(pki: TestPKI) -> None:
    with ScriptedServer(answering(http_answer(b"<a/>")), context=pki.server_context()) as server:
        transport = tls_transport(server, pki)
        assert [post(transport).body, post(transport).body] == [b"<a/>", b"<a/>"]
    assert server.connections == 1
    assert server.requests[0].endswith(SECRET)


def test_a_server_of_another_authority_is_not_trusted(pki: TestPKI) -> None:
    with ScriptedServer(answering(http_answer(b"<a/>")), context=pki.server_context()) as server:
        transport = tls_transport(server, pki, ca=pki.other_ca)
        with pytest.raises(NotSent, match="the certificate of the server is not trusted"):
            post(transport)
    assert server.requests == []


def test_a_certificate_for_another_host_is_not_trusted(pki: TestPKI) -> None:
    with ScriptedServer(answering(http_answer(b"<a/>")), context=pki.server_context(pki.elsewhere)) as server:
        transport = tls_transport(server, pki)
        with pytest.raises(NotSent, match="the certificate of the server is not trusted"):
            post(transport)
    assert server.requests == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_refused_client_certificate_is_not_sent(pki: TestPKI, version: ssl.TLSVersion) -> None:
    context = pki.server_context()
    context.maximum_version = version
    with ScriptedServer(answering(http_answer(b"<a/>")), context=context) as server:
        transport = tls_transport(server, pki, client=pki.foreign_client)
        with pytest.raises(SpineFailure) as caught:
            post(transport)
    assert server.requests == []
    # In TLS 1.3 the refusal may be overtaken by the reset of the connection: then less can be known.
    assert isinstance(caught.value, NotSent if version is ssl.TLSVersion.TLSv1_2 else NotSent | SentNoAnswer)


def test_a_certificate_refused_after_the_handshake_of_tls_1_3_is_not_sent(pki: TestPKI) -> None:
    context = pki.server_context()

    def refuses_and_waits(peer: Peer) -> None:
        with suppress(ssl.SSLError):
            context.wrap_socket(peer.sock.dup(), server_side=True)
        peer.wait_until_closed()

    foreign = client_context(ClientTLS(pki.ca, pki.foreign_client.certificate, pki.foreign_client.key))
    assert foreign.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED
    with ScriptedServer(refuses_and_waits) as server:
        transport = SpineTransport(server.url().replace("http:", "https:"), RealClock(), foreign)
        with pytest.raises(NotSent, match="the server refused the TLS handshake"):
            post(transport)


def test_a_connection_reset_in_the_handshake_is_not_sent(pki: TestPKI) -> None:
    def resets_at_once(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.reset()

    context = client_context(ClientTLS(pki.ca, pki.client.certificate, pki.client.key))
    with ScriptedServer(resets_at_once) as server:
        transport = SpineTransport(server.url().replace("http:", "https:"), RealClock(), context)
        with pytest.raises(NotSent, match="the connection was lost while it was made"):
            post(transport)


def test_a_peer_that_does_not_speak_tls_is_not_sent(pki: TestPKI) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    context = client_context(ClientTLS(pki.ca, pki.client.certificate, pki.client.key))
    with ScriptedServer(script) as server:
        transport = SpineTransport(server.url().replace("http:", "https:"), RealClock(), context)
        with pytest.raises(NotSent, match="the TLS handshake failed"):
            post(transport)


def test_a_handshake_that_never_ends_is_not_sent(pki: TestPKI) -> None:
    with ScriptedServer(Peer.wait_until_closed) as server:
        context = client_context(ClientTLS(pki.ca, pki.client.certificate, pki.client.key))
        limits = TransportLimits(connect_seconds=0.5)
        with pytest.raises(NotSent, match="no TLS handshake in time"):
            post(SpineTransport(server.url().replace("http:", "https:"), RealClock(), context, limits))


def test_old_tls_versions_are_refused(pki: TestPKI) -> None:
    context = client_context(ClientTLS(pki.ca, pki.client.certificate, pki.client.key))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.get_ca_certs(binary_form=True) == [ssl.PEM_cert_to_DER_cert(pki.ca.read_text("ascii"))]


def test_strict_chains_are_the_default_of_the_running_python_until_relaxed(pki: TestPKI) -> None:
    files = (pki.ca, pki.client.certificate, pki.client.key)
    default = ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT
    assert client_context(ClientTLS(*files)).verify_flags & ssl.VERIFY_X509_STRICT == default
    assert not client_context(ClientTLS(*files, strict_chain=False)).verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.parametrize("missing", range(3))
def test_missing_files_are_found_when_the_context_is_made(pki: TestPKI, missing: int) -> None:
    files = [pki.ca, pki.client.certificate, pki.client.key]
    files[missing] = pki.ca.with_name("missing.pem")
    with pytest.raises(OSError):  # noqa: PT011 - the text is OpenSSL's
        client_context(ClientTLS(files[0], files[1], files[2]))


# Sent, and no whole answer


def silent(peer: Peer) -> None:
    peer.read_request()
    peer.wait_until_closed()


def drips_its_headers(peer: Peer) -> None:
    peer.read_request()
    peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: x\r\n" * 1000, every=0.02)


def stops_after_its_headers(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    peer.wait_until_closed()


def drips_its_body(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    peer.drip(b"x" * 100000, every=0.02)


@pytest.mark.rule("SMSP-PERF-006")
@pytest.mark.parametrize("script", [silent, drips_its_headers, stops_after_its_headers, drips_its_body])
def test_a_slow_answer_never_outlasts_the_deadline(script: Behaviour) -> None:
    with ScriptedServer(script) as server:
        started = time.monotonic()
        with pytest.raises(SentNoAnswer, match="no whole answer came in time"):
            post(transport_to(server), seconds=0.4)
        # (What drips would take minutes to its end.)
        assert 0.3 < time.monotonic() - started < LONG


def test_an_answer_that_never_stops_coming_ends_with_the_deadline_too() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb", buffering=0) as raw:
        theirs.sendall(b"x" * 100)
        reader = connection._DeadlineReader(raw, ours, time.monotonic() - 0.001)
        with pytest.raises(TimeoutError):
            reader.readinto(bytearray(10))


def test_a_slow_answer_over_tls_never_outlasts_the_deadline(pki: TestPKI) -> None:
    with ScriptedServer(drips_its_body, context=pki.server_context()) as server:
        started = time.monotonic()
        transport = tls_transport(server, pki)
        with pytest.raises(SentNoAnswer, match="no whole answer came in time"):
            in_time_to_ask(transport, 0.4)
        assert time.monotonic() - started < LONG


def cuts_a_body(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n<Envelope>")


def cuts_a_chunk(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<a/>\r\n")


def hangs_up(peer: Peer) -> None:
    peer.read_request()


def resets(peer: Peer) -> None:
    peer.read_request()
    peer.reset()


def talks_nonsense(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"NONSENSE\r\n\r\n")


@pytest.mark.rule("SMSP-PERF-006")
@pytest.mark.parametrize("script", [cuts_a_body, cuts_a_chunk, hangs_up, resets, talks_nonsense])
def test_a_broken_answer_is_no_answer(script: Behaviour) -> None:
    with ScriptedServer(script) as server:
        with pytest.raises(SentNoAnswer, match="the connection broke before a whole answer"):
            post(transport_to(server))
        assert server.connections == 1


# Whole, and no answer to a query


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "400 Bad Request"])
def test_redirects_and_client_errors_are_refusals_and_never_followed(status: str) -> None:
    answer = http_answer(b"<html/>", status, headers="Location: http://127.0.0.1:1/elsewhere\r\n")
    with ScriptedServer(answering(answer)) as server:
        with pytest.raises(Refused, match=f"^HTTP status {status[:3]}$") as caught:
            post(transport_to(server))
        assert server.connections == 1
        assert len(server.requests) == 1
    assert caught.value.codes == ()


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "204 No Content"])
def test_other_successes_are_unreadable(status: str) -> None:
    with ScriptedServer(answering(http_answer(b"", status))) as server, pytest.raises(Unreadable, match="HTTP status"):
        post(transport_to(server))


def test_an_encoded_answer_is_unreadable() -> None:
    answer = http_answer(b"\x1f\x8b\x08", headers="Content-Encoding: gzip\r\n")
    with ScriptedServer(answering(answer)) as server, pytest.raises(Unreadable, match="encoded"):
        post(transport_to(server))


@pytest.mark.parametrize("framing", ["length", "close"])
def test_an_oversized_answer_is_unreadable(framing: str) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" if framing == "length" else b"HTTP/1.1 200 OK\r\n\r\n"
        peer.send(head + b"x" * 1000)

    with ScriptedServer(script) as server, pytest.raises(Unreadable, match="larger than allowed"):
        post(transport_to(server, TransportLimits(max_answer_bytes=999)))


def test_an_answer_of_exactly_the_allowed_size_is_read() -> None:
    with ScriptedServer(answering(http_answer(b"x" * 1000))) as server:
        assert len(post(transport_to(server, TransportLimits(max_answer_bytes=1000))).body) == 1000


# Connections after a failure


def test_a_late_answer_is_never_delivered_to_the_next_request(pki: TestPKI) -> None:
    released = threading.Event()

    def late(peer: Peer) -> None:
        while peer.read_request() is not None:
            if len(server.requests) > 1:
                peer.send(http_answer(b"<second/>"))
                continue
            released.wait(LONG)
            peer.send(http_answer(b"<first/>"))
            peer.wait_until_closed()

    for context in (None, pki.server_context()):
        released.clear()
        with ScriptedServer(late, context=context) as server:
            transport = transport_to(server) if context is None else tls_transport(server, pki)
            with pytest.raises(SentNoAnswer):
                in_time_to_ask(transport, 0.2)
            asked = server.connections
            released.set()
            assert post(transport).body == b"<second/>"
            assert server.connections == asked + 1


def test_an_answer_nobody_asked_for_is_never_delivered(pki: TestPKI) -> None:
    twice = http_answer(b"<first/>") + http_answer(b"<first-again/>")
    for context in (None, pki.server_context()):
        with ScriptedServer(answering(twice), answering(http_answer(b"<second/>")), context=context) as server:
            transport = transport_to(server) if context is None else tls_transport(server, pki)
            assert post(transport).body == b"<first/>"
            assert post(transport).body in (b"<first/>", b"<second/>")


def test_bytes_waiting_inside_tls_make_a_connection_useless(pki: TestPKI) -> None:
    # More than one read of the response takes, in one TLS record: the rest is decrypted and waits unseen.
    doubled = http_answer(b"<first/>") + http_answer(b"<first-again/>" + b" " * 12_000)
    context = pki.server_context()
    with ScriptedServer(answering(doubled), answering(http_answer(b"<second/>")), context=context) as server:
        transport = tls_transport(server, pki)
        assert [post(transport).body, post(transport).body] == [b"<first/>", b"<second/>"]
        assert server.connections == 2


def answers_once_then_hangs_up(peer: Peer) -> None:
    peer.read_request()
    peer.send(http_answer(b"<a/>"))
    peer.read_request()


@pytest.mark.rule("WS-REL-02")
def test_a_kept_connection_the_server_closed_is_replaced_once() -> None:
    with ScriptedServer(answers_once_then_hangs_up, answering(http_answer(b"<b/>"))) as server:
        transport = transport_to(server)
        assert [post(transport).body, post(transport).body] == [b"<a/>", b"<b/>"]
        assert server.connections == 2


def test_a_server_that_hangs_up_again_is_not_asked_a_third_time() -> None:
    with ScriptedServer(answers_once_then_hangs_up, hangs_up) as server:
        transport = transport_to(server)
        post(transport)
        with pytest.raises(SentNoAnswer):
            post(transport)
        assert server.connections == 2


def test_a_server_that_is_gone_after_an_attempt_counts_as_asked() -> None:
    with ScriptedServer(answers_once_then_hangs_up) as server:
        transport = transport_to(server)
        post(transport)
        server.stop_listening()
        with pytest.raises(SentNoAnswer):
            post(transport)


def test_closed_idle_connections_are_not_used_again() -> None:
    with ScriptedServer(answering(http_answer(b"<a/>"))) as server:
        transport = transport_to(server)
        transport.close_idle()
        post(transport)
        transport.close_idle()
        post(transport)
        assert server.connections == 2


def test_connections_that_were_idle_for_long_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(answering(http_answer(b"<a/>"))) as server:
        transport = transport_to(server)
        post(transport)
        monkeypatch.setattr(connection, "MAX_IDLE_SECONDS", -1.0)
        post(transport)
        assert server.connections == 2


def test_no_thread_ever_gets_the_answer_to_another_ones_message(pki: TestPKI) -> None:
    """Late, cut and doubled answers on shared connections: each answer that arrives carries its own mark."""
    dice = random.Random(20260314)

    def moody(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            mark = request.partition(b"\r\n\r\n")[2]
            mood = dice.random()
            if mood < 0.1:
                time.sleep(0.3)
            answer = http_answer(mark)
            if mood > 0.95:
                peer.send(answer[:-1])
                return
            peer.send(answer)

    with ScriptedServer(moody, context=pki.server_context()) as server:
        transport = tls_transport(server, pki)
        outcomes: Counter[str] = Counter()

        def ask_often(thread: int) -> None:
            for number in range(40):
                mark = f"<mark-{thread}-{number}/>".encode()
                try:
                    outcomes["own" if post(transport, 0.2, mark).body == mark else "foreign"] += 1
                except (SentNoAnswer, NotSent):
                    # (On a busy machine a handshake may not end in time either.)
                    outcomes["none"] += 1

        threads = [threading.Thread(target=ask_often, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * LONG)
    assert outcomes["foreign"] == 0
    assert outcomes["own"] > 10
    assert outcomes["none"] > 10


# Bounds and secrets


def test_calls_beyond_the_bound_are_turned_away_at_once() -> None:
    release = threading.Event()

    def holds(peer: Peer) -> None:
        peer.read_request()
        release.wait(LONG)
        peer.send(http_answer(b"<a/>"))

    with ScriptedServer(holds) as server:
        transport = transport_to(server, TransportLimits(max_in_flight=1))
        first = threading.Thread(target=post, args=(transport,))
        first.start()
        while not server.requests:
            time.sleep(0.005)
        with pytest.raises(NoCapacity):
            post(transport)
        release.set()
        first.join(LONG)
        assert post(transport).body == b"<a/>"


@pytest.fixture
def every_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@pytest.mark.parametrize("script", [silent, cuts_a_body, hangs_up, talks_nonsense])
def test_neither_logs_nor_errors_carry_anything_of_the_message(
    script: Behaviour, every_log: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(script) as server:
        transport = transport_to(server)
        with pytest.raises(SentNoAnswer) as caught:
            post(transport, seconds=0.2 if script is silent else LONG)
    failure = caught.value
    assert failure.__cause__ is None
    assert failure.__suppress_context__
    assert "PATIENT" not in repr(failure)
    assert "127.0.0.1" not in repr(failure)
    assert every_log.records == []


def test_a_good_answer_is_not_logged_either(every_log: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(answering(http_answer(SECRET))) as server:
        answer = post(transport_to(server))
    assert every_log.records == []
    assert "PATIENT" not in repr(answer)


@pytest.mark.parametrize(
    "url",
    [
        "http://pds.example.invalid/",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.invalid/",
        "ftp://127.0.0.1/",
        "https:///path",
        "https://user@127.0.0.1/",
        "https://127.0.0.1/#fragment",
        "127.0.0.1",
        "https://127.0.0.1/",
    ],
)
def test_endpoints_that_are_not_safe_are_refused_when_built(url: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        SpineTransport(url, RealClock())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]"])
def test_plain_http_is_allowed_to_loopback(host: str) -> None:
    assert SpineTransport(f"http://{host}:8080/pds", RealClock()).url == f"http://{host}:8080/pds"
