"""The embedded Spine over real sockets and real mutual TLS, and every way in which it goes wrong."""

import contextlib
import http.client
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import pytest

from simulator_client import RETRIEVAL, SpineClient, cross_check, message_of, retrieval, said, trace, xpath
from smsp_provider.simulator.answers import AnswerContext
from smsp_provider.simulator.faults import Fault, FaultKind, FaultPlan
from smsp_provider.simulator.generate import watermarked
from smsp_provider.simulator.http import HTTPRequest
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.pki import KeyPair, Pki, make_pki
from smsp_provider.simulator.server import ADMIN_PATH, EmbeddedSpine, SpineTLS, serve

ME, OTHER = watermarked(1), watermarked(2)
ASK_ME = retrieval(ME.nhs_number)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def store() -> Iterator[PatientStore]:
    with PatientStore() as filled:
        filled.add_all(watermarked(position) for position in range(1, 200))
        yield filled


@pytest.fixture(scope="module")
def running(store: PatientStore, pki: Pki) -> Iterator[EmbeddedSpine]:
    with EmbeddedSpine(store, tls=_tls(pki)) as spine:
        yield spine


@pytest.fixture
def spine(running: EmbeddedSpine) -> Iterator[EmbeddedSpine]:
    yield running
    running.faults.clear()
    running.spine.mutate_answer = None
    running.delay = 0.0


@pytest.fixture
def client(spine: EmbeddedSpine, pki: Pki) -> Iterator[SpineClient]:
    talking = SpineClient(spine.port, _client_context(pki))
    yield talking
    talking.close()


def _tls(pki: Pki) -> SpineTLS:
    return SpineTLS(pki.spine_server.certificate, pki.spine_server.key, pki.ca.certificate)


def _client_context(pki: Pki, pair: KeyPair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=pki.ca.certificate)
    shown = pair or pki.provider_client
    context.load_cert_chain(shown.certificate, shown.key)
    return context


def test_it_answers_over_mutual_tls_on_a_kept_connection(spine: EmbeddedSpine, client: SpineClient) -> None:
    assert spine.url == f"https://127.0.0.1:{spine.port}/syncservice-pds/pds"
    for path in ("/syncservice-pds/pds", "/sync-service"):
        status, content_type, body = client.send(ASK_ME, path)
        assert (status, content_type) == (200, "text/xml; charset=utf-8")
        assert said(body) == f"AA {ME.nhs_number}"
    assert client.connection.sock is not None


def test_without_a_certificate_nobody_is_let_in(spine: EmbeddedSpine, pki: Pki) -> None:
    bare = SpineClient(spine.port, ssl.create_default_context(cafile=pki.ca.certificate))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        bare.send(ASK_ME)
    bare.close()


def test_a_stranger_is_not_let_in(spine: EmbeddedSpine, pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = make_pki(tmp_path_factory.mktemp("strangers"))
    stranger = SpineClient(spine.port, _client_context(pki, elsewhere.provider_client))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        stranger.send(ASK_ME)
    stranger.close()


def test_a_client_that_stalls_in_the_handshake_holds_up_nobody(spine: EmbeddedSpine, client: SpineClient) -> None:
    # A machine that stands still for as long as a handshake may take tells nothing the first time.
    assert any(_is_answered_beside_stalled(spine, client) for _ in range(5))


def _is_answered_beside_stalled(spine: EmbeddedSpine, client: SpineClient) -> bool:
    """Whether an answer comes before the server gives up the first of those who stall."""
    client.close()
    with contextlib.ExitStack() as stalled:
        connections = [
            stalled.enter_context(socket.create_connection(("127.0.0.1", spine.port), timeout=60)) for _ in range(5)
        ]
        assert client.send(ASK_ME)[0] == 200
        return not select.select(connections, [], [], 0)[0]


def test_many_clients_at_once_each_get_their_own_answer(spine: EmbeddedSpine, pki: Pki) -> None:
    spine.delay = 0.02
    wrong: list[str] = []

    def ask_many(first: int) -> None:
        talking = SpineClient(spine.port, _client_context(pki))
        for position in range(first, 200, 20):
            person = watermarked(position)
            _, _, body = talking.send(retrieval(person.nhs_number))
            families = xpath(message_of(body), "//h:name/h:family")
            if families != [f"FAMILY{position:07d}"]:
                wrong.append(str(families))
        talking.close()

    threads = [threading.Thread(target=ask_many, args=(first,)) for first in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /sync-service HTTP/1.1\r\n\r\n", b"405"),
        (b"POST /elsewhere HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n", b"404"),
        (b"POST /sync-service HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n", b"415"),
        (b"POST /sync-service HTTP/1.1\r\nContent-Type: text/xml\r\n\r\n", b"411"),
        (b"POST /sync-service HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
        (b"POST /sync-service HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /sync-service HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", b"413"),
        (b"POST /sync-service HTTP/2.0\r\n\r\n", b"505"),
        (b"POST\r\n\r\n", b"400"),
        (b"POST /sync-service HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST /sync-service HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_spine_request_gets_its_http_status(store: PatientStore, request_: bytes, status: bytes) -> None:
    with EmbeddedSpine(store) as plain, socket.create_connection(("127.0.0.1", plain.port), timeout=60) as raw:
        raw.sendall(request_)
        assert raw.recv(64).split(b" ")[:2] == [b"HTTP/1.1", status]


def test_a_client_that_waits_for_leave_to_send_gets_it(store: PatientStore) -> None:
    body = ASK_ME.body()
    with EmbeddedSpine(store) as plain, socket.create_connection(("127.0.0.1", plain.port), timeout=60) as raw:
        raw.sendall(
            b"POST /sync-service HTTP/1.1\r\nContent-Type: text/xml\r\nExpect: 100-continue\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        assert raw.recv(64).startswith(b"HTTP/1.1 100 ")
        raw.sendall(body)
        with raw.makefile("rb") as stream:
            answer = stream.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in answer


def test_stopping_ends_the_delays_and_cuts_the_connections(
    store: PatientStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spine = EmbeddedSpine(store, delay=600).start()
    talking = SpineClient(spine.port, timeout=600)
    pausing = threading.Event()
    pause = spine._pause

    def told_pause(seconds: float) -> None:
        pausing.set()
        pause(seconds)

    monkeypatch.setattr(spine, "_pause", told_pause)

    def ask() -> None:
        # Whether the answer still gets out before the connection is cut is a race that nobody needs to win.
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            talking.send(ASK_ME)

    asking = threading.Thread(target=ask)
    asking.start()
    assert pausing.wait(60)
    spine.stop()
    asking.join(timeout=60)
    assert not asking.is_alive()
    talking.close()
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", spine.port))


# --- faults -----------------------------------------------------------------------------------------------------------


def _broken(client: SpineClient) -> bool:
    try:
        client.send(ASK_ME)
    except (ConnectionError, ssl.SSLError, http.client.HTTPException):
        client.close()
        return True
    return False


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE_READING, FaultKind.DROP_AFTER_READING, FaultKind.CUT])
def test_a_broken_line_breaks_once(spine: EmbeddedSpine, client: SpineClient, kind: FaultKind) -> None:
    spine.faults.once(Fault(kind))
    assert _broken(client)
    assert client.send(ASK_ME)[0] == 200


def test_a_dropped_request_was_read_or_not(spine: EmbeddedSpine, client: SpineClient) -> None:
    before = spine.spine.calls[RETRIEVAL]
    spine.faults.once(Fault(FaultKind.DROP_BEFORE_READING))
    assert _broken(client)
    assert spine.spine.calls[RETRIEVAL] == before
    spine.faults.once(Fault(FaultKind.DROP_AFTER_READING))
    assert _broken(client)
    assert spine.spine.calls[RETRIEVAL] == before + 1


def test_a_cut_answer_has_begun(spine: EmbeddedSpine, client: SpineClient) -> None:
    spine.faults.once(Fault(FaultKind.CUT))
    client.connection.request("POST", "/sync-service", ASK_ME.body(), {"Content-Type": "text/xml"})
    response = client.connection.getresponse()
    assert response.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()


@pytest.mark.parametrize("kind", [FaultKind.DELAY, FaultKind.LATE])
def test_a_delay_delays(spine: EmbeddedSpine, client: SpineClient, kind: FaultKind) -> None:
    spine.faults.once(Fault(kind, seconds=0.3))
    begun = time.monotonic()
    assert said(client.send(ASK_ME)[2]) == f"AA {ME.nhs_number}"
    assert time.monotonic() - begun >= 0.3


def test_a_delayed_query_sees_the_store_later_and_a_late_answer_saw_it_before(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PatientStore() as own, EmbeddedSpine(own, tls=_tls(pki)) as spine:
        for kind, expected in ((FaultKind.DELAY, "AE 22"), (FaultKind.LATE, f"AA {ME.nhs_number}")):
            own.add(ME)
            spine.faults.once(Fault(kind, seconds=0.4))
            talking = SpineClient(spine.port, _client_context(pki))
            begun, goes_on = threading.Event(), threading.Event()

            def wait(_seconds: float, begun: threading.Event = begun, goes_on: threading.Event = goes_on) -> None:
                begun.set()
                goes_on.wait(60)

            # A delayed query waits before it is decided, a late answer when it has been.
            monkeypatch.setattr(spine.spine, "wait", wait)
            monkeypatch.setattr(spine, "_pause", wait)
            talking.connection.request("POST", "/sync-service", ASK_ME.body(), {"Content-Type": "text/xml"})
            assert begun.wait(60)
            own.add(replace(ME, invalidated=True))
            goes_on.set()
            assert said(talking.connection.getresponse().read()) == expected
            talking.close()


def test_a_late_answer_meets_whoever_reads_next(spine: EmbeddedSpine, client: SpineClient) -> None:
    """The hazard itself: a client that gives up and then goes on with the connection reads the wrong patient."""
    spine.faults.once(Fault(FaultKind.LATE, seconds=0.2))
    client.connection.connect()
    raw = client.connection.sock
    raw.sendall(_http(ASK_ME.body()) + _http(retrieval(OTHER.nhs_number).body()))
    with raw.makefile("rb") as stream:
        answers = [_read_answer(stream) for _ in range(2)]
    assert [said(answer) for answer in answers] == [f"AA {ME.nhs_number}", f"AA {OTHER.nhs_number}"]


def test_a_duplicated_answer_lies_in_wait_for_the_next_request(spine: EmbeddedSpine, client: SpineClient) -> None:
    spine.faults.once(Fault(FaultKind.DUPLICATED))
    client.connection.connect()
    raw = client.connection.sock
    with raw.makefile("rb") as stream:
        raw.sendall(_http(ASK_ME.body()))
        first = _read_answer(stream)
        raw.sendall(_http(retrieval(OTHER.nhs_number).body()))
        stale, own = _read_answer(stream), _read_answer(stream)
    assert stale == first
    assert said(own) == f"AA {OTHER.nhs_number}"


def _http(body: bytes) -> bytes:
    return b"POST /sync-service HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _read_answer(stream: BinaryIO) -> bytes:
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return stream.read(length)


def test_http_statuses_and_pages(spine: EmbeddedSpine, client: SpineClient) -> None:
    for fault, status, kind, start in (
        (Fault(FaultKind.HTTP_STATUS), 500, "text/plain", b"The"),
        (Fault(FaultKind.HTTP_STATUS, status=503), 503, "text/plain", b"The"),
        (Fault(FaultKind.HTML), 200, "text/html", b"<!DOCTYPE html>"),
        (Fault(FaultKind.HTML, status=502), 502, "text/html", b"<!DOCTYPE html>"),
    ):
        spine.faults.once(fault)
        answered, content_type, body = client.send(ASK_ME)
        assert (answered, content_type.partition(";")[0]) == (status, kind)
        assert body.startswith(start)


def test_a_soap_fault_carries_its_codes(spine: EmbeddedSpine, client: SpineClient) -> None:
    spine.faults.once(Fault(FaultKind.SOAP_FAULT, codes=("200", "206")))
    status, _, body = client.send(ASK_ME)
    assert status == 500
    assert xpath(body, "/s:Envelope/s:Body/s:Fault/detail/n:errorList/n:error/n:errorCode") == ["200", "206"]


def test_refusals_carry_any_code_and_answer_this_request(spine: EmbeddedSpine, client: SpineClient) -> None:
    for fault, name, short in (
        (Fault(FaultKind.REFUSAL, codes=("75", "XY123")), "QUQI_IN010000UK14", "AE 75 XY123"),
        (Fault(FaultKind.GENERAL_REFUSAL), "MCCI_IN010000UK13", "AE GE002"),
        (Fault(FaultKind.REJECTION, codes=("1",)), "MCCI_IN010000UK13", "AR"),
    ):
        spine.faults.once(fault)
        status, _, body = client.send(ASK_ME)
        message = message_of(body)
        assert (status, said(body)) == (200, short)
        assert str(message.tag).endswith(name)
        assert xpath(body, "//w:RelatesTo") == [ASK_ME.message_id]
        assert xpath(message, "h:acknowledgement/h:messageRef/h:id/@root") == [ASK_ME.hl7_id]
    assert xpath(message, "h:acknowledgement/h:acknowledgementDetail/h:code/@code") == ["1"]


def test_a_truncated_answer_is_whole_to_http(spine: EmbeddedSpine, client: SpineClient) -> None:
    spine.faults.once(Fault(FaultKind.TRUNCATED_XML))
    status, _, body = client.send(ASK_ME)
    assert status == 200
    assert body.startswith(b"<?xml")
    with pytest.raises(SyntaxError):
        message_of(body)
    assert client.send(ASK_ME)[0] == 200


def test_a_wrong_charset_is_not_the_one_declared(spine: EmbeddedSpine, client: SpineClient) -> None:
    spine.faults.once(Fault(FaultKind.WRONG_CHARSET))
    _, content_type, body = client.send(ASK_ME)
    assert content_type == "text/xml; charset=utf-8"
    with pytest.raises(UnicodeDecodeError):
        body.decode("utf-8")
    assert "FAMILY0000001" in body.decode("utf-16")


def test_a_wrong_patient_comes_correctly_correlated(spine: EmbeddedSpine, client: SpineClient) -> None:
    for fault, number in (
        (Fault(FaultKind.WRONG_PATIENT), OTHER.nhs_number),
        (Fault(FaultKind.WRONG_PATIENT, nhs_number=watermarked(77).nhs_number), watermarked(77).nhs_number),
    ):
        spine.faults.once(fault)
        _, _, body = client.send(ASK_ME)
        assert said(body) == f"AA {number}"
        assert xpath(body, "//w:RelatesTo") == [ASK_ME.message_id]
        assert xpath(message_of(body), "h:acknowledgement/h:messageRef/h:id/@root") == [ASK_ME.hl7_id]


def test_an_uncorrelated_answer_is_right_and_answers_nobody(spine: EmbeddedSpine, client: SpineClient) -> None:
    spine.faults.once(Fault(FaultKind.UNCORRELATED))
    _, _, body = client.send(ASK_ME)
    assert said(body) == f"AA {ME.nhs_number}"
    assert xpath(body, "//w:RelatesTo") != [ASK_ME.message_id]
    assert xpath(message_of(body), "h:acknowledgement/h:messageRef/h:id/@root") != [ASK_ME.hl7_id]


def test_a_wrong_interaction_answers_another_query(spine: EmbeddedSpine, client: SpineClient) -> None:
    for request, answered in (
        (ASK_ME, "QUPA_IN000007UK01"),
        (cross_check(ME.nhs_number, "19010102"), "QUPA_IN000009UK03"),
    ):
        spine.faults.once(Fault(FaultKind.WRONG_INTERACTION))
        _, _, body = client.send(request)
        assert str(message_of(body).tag).endswith(answered)


def test_a_patients_own_fault_meets_every_query_about_it(spine: EmbeddedSpine, client: SpineClient) -> None:
    spine.faults.for_patient(ME.nhs_number, Fault(FaultKind.REFUSAL, codes=("50",)))
    mine = trace("FAMILY0000001", "2", "19010102", "GIVEN0000001", "0000 001")
    for request in (mine, cross_check(ME.nhs_number, "19010102"), ASK_ME):
        assert said(client.send(request)[2]) == "AE 50"
    assert said(client.send(retrieval(OTHER.nhs_number))[2]) == f"AA {OTHER.nhs_number}"


def test_a_lying_spine_can_swap_any_single_field(spine: EmbeddedSpine, client: SpineClient) -> None:
    def swap_birth(answer: AnswerContext) -> AnswerContext:
        assert answer.record is not None
        return replace(answer, record=replace(answer.record, birth_time=OTHER.birth_time))

    spine.spine.mutate_answer = swap_birth
    _, _, body = client.send(ASK_ME)
    assert xpath(body, "//h:patientPerson/h:birthTime/@value") == [OTHER.birth_time]
    assert xpath(body, "//h:name/h:family") == ["FAMILY0000001"]
    spine.spine.mutate_answer = None
    assert xpath(client.send(ASK_ME)[2], "//h:patientPerson/h:birthTime/@value") == [ME.birth_time]


# --- the admin page ---------------------------------------------------------------------------------------------------


def _administer(client: SpineClient, method: str, body: object = None) -> tuple[int, dict[str, object]]:
    client.connection.request(method, ADMIN_PATH, json.dumps(body) if body is not None else b"")
    response = client.connection.getresponse()
    assert "not part of the Spine API" in (response.getheader("X-Embedded-Spine") or "")
    text = response.read()
    return response.status, json.loads(text) if text else {}


def test_faults_can_be_planned_over_http(spine: EmbeddedSpine, client: SpineClient) -> None:
    planned = {"once": [{"kind": "refusal", "codes": ["20"]}], "every": [], "patient": []}
    status, shown = _administer(client, "POST", planned)
    assert (status, shown["faults"]) == (200, planned)
    assert said(client.send(ASK_ME)[2]) == "AE 20"
    _administer(client, "POST", {"every": [{"n": 1, "kind": "html"}]})
    assert client.send(ASK_ME)[1].startswith("text/html")
    assert _administer(client, "DELETE")[1]["faults"] == {"once": [], "every": [], "patient": []}
    assert said(client.send(ASK_ME)[2]) == f"AA {ME.nhs_number}"
    calls = _administer(client, "GET")[1]["calls"]
    assert isinstance(calls, dict)
    assert calls[RETRIEVAL] >= 3
    assert spine.spine.calls[RETRIEVAL] == calls[RETRIEVAL]


def test_a_plan_that_is_not_understood_is_refused(spine: EmbeddedSpine, client: SpineClient) -> None:
    refused: tuple[object, ...] = ({"once": [{"kind": "no"}]}, [], {"else": 1})
    for body in refused:
        status, shown = _administer(client, "POST", body)
        assert status == 400
        assert shown["error"]
    assert _administer(client, "PUT", {})[0] == 405
    assert spine.faults.describe() == {"once": [], "every": [], "patient": []}


def test_other_machines_may_not_plan_faults(spine: EmbeddedSpine) -> None:
    written = spine._administer(_admin_request(), "192.0.2.7")
    assert written.startswith(b"HTTP/1.1 403 ")
    assert spine._administer(_admin_request(), "127.0.0.1").startswith(b"HTTP/1.1 200 ")


def _admin_request() -> HTTPRequest:
    return HTTPRequest("GET", ADMIN_PATH, {}, b"", keep_alive=True)


def test_the_command_line_serves_with_a_faults_file(
    store: PatientStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("faults") / "faults.toml"
    path.write_text('[[once]]\nkind = "refusal"\ncodes = ["7"]\n')
    spine = serve(store, tls=None, host="127.0.0.1", port=0, faults_file=path)
    serving = threading.Thread(target=spine.serve_forever)
    serving.start()
    talking = SpineClient(spine.port)
    assert said(talking.send(ASK_ME)[2]) == "AE 7"
    talking.close()
    spine.stop()
    serving.join(timeout=60)
    assert not serving.is_alive()


def test_a_plan_may_come_with_the_server(store: PatientStore) -> None:
    plan = FaultPlan()
    plan.every(2, Fault(FaultKind.HTML))
    with EmbeddedSpine(store, faults=plan) as spine:
        talking = SpineClient(spine.port)
        kinds = [talking.send(ASK_ME)[1].partition(";")[0] for _ in range(4)]
        talking.close()
    assert kinds == ["text/xml", "text/html", "text/xml", "text/html"]
