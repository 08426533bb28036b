"""The PDS FHIR connector over its real transport: against a scripted server, and against the embedded Spine's door."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors_under_test import API_KEY, SENDER, fhir_connector
from fhir_samples import bundle, outcome, patient
from scripted_server import Behaviour, Peer, RealClock, RealIds, ScriptedServer, http_answer
from smsp_provider.connectors import pds_fhir_token
from smsp_provider.connectors.http import HTTPTransport, TransportLimits, server_only_context
from smsp_provider.connectors.pds_fhir import PDSFHIRConnector, PDSFHIRSettings
from smsp_provider.connectors.pds_fhir_token import OneProcess, SigningKey, Tokens
from smsp_provider.domain.audit_identity import AuthorRefused
from smsp_provider.domain.failures import (
    NoCapacity,
    NotSent,
    QueryNotBuilt,
    Refused,
    SentNoAnswer,
    SpineFailure,
    Unreadable,
)
from smsp_provider.domain.gate import Found, GateRefusal, admit
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace
from smsp_provider.engine.ports import Deadline, SpineConnector, SpineSender
from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.fhir import READ, TOKEN
from smsp_provider.simulator.fhir_token import Application
from smsp_provider.simulator.http import HTTPRequest
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.pki import make_pki
from smsp_provider.simulator.records import SpineName, SpinePatient
from smsp_provider.simulator.server import EmbeddedSpine, SpineTLS
from smsp_provider.storage.token_file import TokenFile
from spine_messages import AUTHOR

NUMBER, OTHER = NHSNumber("9990001006"), NHSNumber("9990002002")
BORN = HL7Date("19620317")
CHECK, RETRIEVE = CrossCheckTrace(NUMBER, BORN), Retrieval(NUMBER)
TRACE = SimpleTrace("QUIMBLE", "2", BORN, "ORLA")
FHIR_JSON = "application/fhir+json"

Maker = Callable[[str, dict[str, str]], bytes]


def deadline(seconds: float = 60.0) -> Deadline:
    return Deadline(time.monotonic() + seconds)


def saying(document: object, status: str = "200 OK", *, headers: str = "", echo: bool = True) -> Maker:
    """Answers with a document, and with the X-Request-ID that came."""

    def make(_: str, sent: dict[str, str]) -> bytes:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        echoed = f"X-Request-ID: {sent['x-request-id']}\r\n" if echo else ""
        return http_answer(body, status, content_type=FHIR_JSON, headers=echoed + headers)

    return make


def replying(*makers: Maker) -> Behaviour:
    """Answers the first request by the first maker and so on; the last one repeats. Counts over all connections."""
    count = iter(range(1_000_000))

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            target, headers = parsed(request)
            peer.send(makers[min(next(count), len(makers) - 1)](target, headers))

    return script


def parsed(request: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = request.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first.split(" ")[1], headers


def connector_to(
    server: ScriptedServer, *, pauses: list[float] | None = None, limits: TransportLimits | None = None, **settings: Any
) -> PDSFHIRConnector:
    transport = HTTPTransport(server.url(path="/base/FHIR/R4"), RealClock(), limits=limits)
    recorded = pauses if pauses is not None else []
    made = PDSFHIRSettings(**{"pause_seconds": 0.01, **settings})
    return PDSFHIRConnector(made, transport, None, RealClock(), RealIds(), recorded.append, lambda: 0.5)


def asked(server: ScriptedServer) -> list[tuple[str, dict[str, str]]]:
    return [parsed(request) for request in server.requests]


# One request


@pytest.mark.rule("SMSP-AUDIT-004")
def test_a_read_carries_its_headers_and_its_ids_are_told() -> None:
    with ScriptedServer(replying(saying(patient()))) as server:
        connector: SpineConnector = connector_to(server)
        assert all(connector.can_ask(query) for query in (CHECK, RETRIEVE, TRACE, AdvancedTrace("QU*", "2", BORN)))
        answer = connector.ask(RETRIEVE, SENDER, deadline())
    ((target, headers),) = asked(server)
    assert target == f"/base/FHIR/R4/Patient/{NUMBER.digits}"
    assert server.requests[0].startswith(b"GET ")
    assert headers["accept"] == FHIR_JSON
    assert headers["nhsd-end-user-organisation-ods"] == "X26"
    assert "authorization" not in headers
    assert re.fullmatch("[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", headers["x-request-id"])
    assert answer.exchange.sent == (headers["x-request-id"], headers["x-correlation-id"])
    assert answer.exchange.told == (headers["nhsd-end-user-organisation-ods"],)
    assert answer.exchange.upstream == f"pds-fhir {headers['host']}"
    assert answer.exchange.received == (headers["x-request-id"],)
    assert isinstance(admit(RETRIEVE, answer), Found)


def test_ids_are_new_for_each_query_and_one_correlation_binds_a_request() -> None:
    with ScriptedServer(replying(saying(bundle(patient())), saying(patient()))) as server:
        connector, once = connector_to(server), deadline()
        connector.ask(TRACE, SENDER, once)
        connector.ask(RETRIEVE, SENDER, once)
        connector.ask(RETRIEVE, SENDER, deadline())
    ids = [headers["x-request-id"] for _, headers in asked(server)]
    correlations = [headers["x-correlation-id"] for _, headers in asked(server)]
    assert len(set(ids)) == 3
    assert correlations[0] == correlations[1] != correlations[2]
    assert not set(ids) & set(correlations)


def test_a_record_just_checked_is_not_fetched_again_within_the_request_and_is_gone_after_it() -> None:
    with ScriptedServer(replying(saying(patient()))) as server:
        connector, once = connector_to(server), deadline()
        assert not connector.has_at_hand(RETRIEVE, SENDER, once)
        first = connector.ask(CHECK, SENDER, once)
        assert connector.has_at_hand(RETRIEVE, SENDER, once)
        assert not connector.has_at_hand(CHECK, SENDER, once)
        assert not connector.has_at_hand(Retrieval(OTHER), SENDER, once)
        assert not connector.has_at_hand(RETRIEVE, SENDER, Deadline(once.at))
        again = connector.ask(RETRIEVE, SENDER, once)
        assert again.records == first.records
        assert (again.exchange.sent, again.exchange.interaction) == ((), "PDS FHIR retrieve, used again")
        assert isinstance(admit(RETRIEVE, again), Found)
        assert len(server.requests) == 1
        connector.ask(RETRIEVE, SENDER, once)  # it is used once only
        connector.ask(CHECK, SENDER, once)
        connector.ask(RETRIEVE, SpineSender(ASID("200000000205"), ods_code=ODSCode("Y99")), once)
        connector.ask(CHECK, SENDER, once)
        connector.ask(RETRIEVE, SENDER, Deadline(once.at))
        connector.ask(CHECK, SENDER, once)
        connector.ask(CrossCheckTrace(NUMBER, HL7Date("19620318"), "QUIMBLE", "ORLA"), SENDER, once)
        connector.ask(RETRIEVE, SENDER, once)  # a date that the caller did not send has to come twice
        assert len(server.requests) == 9
        del once
        assert not connector._conversations


def test_who_cannot_be_told_is_not_asked_for() -> None:
    with ScriptedServer(replying(saying(patient()))) as server:
        connector = connector_to(server)
        with pytest.raises(AuthorRefused):
            connector.ask(RETRIEVE, replace(SENDER, author=AUTHOR), deadline())
        with pytest.raises(QueryNotBuilt):
            connector.ask(RETRIEVE, replace(SENDER, ods_code=None), deadline())
        assert server.connections == 0
        served = connector_to(server, persons_unattended=True).ask(RETRIEVE, replace(SENDER, author=AUTHOR), deadline())
        assert served.query_ok
    (request,) = server.requests
    assert not any(identifier.encode() in request for identifier in (AUTHOR.user, AUTHOR.role, AUTHOR.role_profile))


# Another number than the one asked


@pytest.mark.rule("SMSP-PDS-002")
def test_a_superseded_number_is_believed_after_a_second_read_with_an_id_of_its_own() -> None:
    with ScriptedServer(replying(saying(patient(OTHER.digits)))) as server:
        answer = connector_to(server).ask(RETRIEVE, SENDER, deadline())
    found = admit(RETRIEVE, answer)
    assert isinstance(found, Found)
    assert found.nhs_number == OTHER
    assert found.replaces(NUMBER)
    ids = [headers["x-request-id"] for _, headers in asked(server)]
    assert len(set(ids)) == 2
    assert [reference.expected for reference in answer.references] == ids
    assert set(ids) < set(answer.exchange.sent)
    assert answer.exchange.received == tuple(ids)


LIES = {
    "the number asked": saying(patient()),
    "a third number": saying(patient("9990003009")),
    "the same number with other details": saying(patient(OTHER.digits, birthDate="1963-03-17")),
    "unknown": saying(outcome("RESOURCE_NOT_FOUND"), "404 Not Found"),
}


@pytest.mark.rule("SMSP-PDS-002")
@pytest.mark.parametrize("second", LIES)
def test_a_second_read_that_says_something_else_proves_nothing(second: str) -> None:
    with ScriptedServer(replying(saying(patient(OTHER.digits)), LIES[second])) as server:
        answer = connector_to(server).ask(RETRIEVE, SENDER, deadline())
    found = admit(RETRIEVE, answer)
    assert isinstance(found, Found)
    assert not found.replaces(NUMBER)
    assert len(server.requests) == 2


@pytest.mark.rule("SMSP-PDS-002")
@pytest.mark.parametrize("misled", [0, 1], ids=["the first read", "the second read"])
def test_either_of_two_reads_that_answers_another_request_is_refused(misled: int) -> None:
    good, bad = saying(patient(OTHER.digits)), saying(patient(OTHER.digits), echo=False)
    with ScriptedServer(replying(*((bad, good) if misled == 0 else (good, bad)))) as server:
        answer = connector_to(server).ask(RETRIEVE, SENDER, deadline())
    with pytest.raises(GateRefusal, match="W1"):
        admit(RETRIEVE, answer)


def test_without_leave_for_the_second_read_there_is_no_answer() -> None:
    with ScriptedServer(replying(saying(patient(OTHER.digits)))) as server:
        transport = HTTPTransport(server.url(path="/R4"), RealClock())
        connector = PDSFHIRConnector(
            PDSFHIRSettings(), transport, None, RealClock(), RealIds(), time.sleep, lambda: 0.5, lambda _: False
        )
        with pytest.raises(NoCapacity) as caught:
            connector.ask(RETRIEVE, SENDER, deadline())
    assert caught.value.exchange is not None
    assert len(caught.value.exchange.sent) == 2


@pytest.mark.rule("SMSP-PDS-002")
@pytest.mark.parametrize(
    "make",
    [
        saying(patient(), echo=False),
        saying(patient(), echo=False, headers="X-Request-ID: 6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFEE\r\n"),
        saying(patient(), headers="X-Request-ID: 6A1B3C52-0D7E-4F1A-9A53-2B1D00C0FFEE\r\n"),
    ],
    ids=["no id", "another id", "two ids"],
)
def test_an_answer_that_does_not_echo_its_request_is_refused_by_the_gate(make: Maker) -> None:
    with ScriptedServer(replying(make)) as server:
        answer = connector_to(server).ask(RETRIEVE, SENDER, deadline())
    with pytest.raises(GateRefusal, match="W1"):
        admit(RETRIEVE, answer)


# What goes wrong


def slow(peer: Peer) -> None:
    peer.read_request()
    peer.drip(http_answer(b"x" * 10_000, content_type=FHIR_JSON), 0.02)


def silent(peer: Peer) -> None:
    peer.read_request()
    peer.wait_until_closed()


def cut(peer: Peer) -> None:
    peer.read_request()
    peer.send(http_answer(b"x" * 1000, content_type=FHIR_JSON)[:200])


def reset(peer: Peer) -> None:
    peer.read_request()
    peer.reset()


FAILURES: dict[str, tuple[Behaviour, type[SpineFailure]]] = {
    "a slow body": (slow, SentNoAnswer),
    "silence": (silent, SentNoAnswer),
    "cut": (cut, SentNoAnswer),
    "reset": (reset, SentNoAnswer),
    "2 MB": (replying(saying(b'"' + b"x" * 2_000_000 + b'"')), Unreadable),
    "HTML": (replying(lambda *_: http_answer(b"<html>QUIMBLE</html>", content_type="text/html")), Unreadable),
    "truncated": (replying(saying(json.dumps(patient()).encode()[:-9])), Unreadable),
    "encoded": (replying(saying(patient(), headers="Content-Encoding: gzip\r\n")), Unreadable),
    "another resource": (replying(saying(bundle(patient()))), Unreadable),
    "redirect": (replying(saying({}, "302 Found", headers="Location: /R4/Patient/9990001006\r\n")), Refused),
    "our mistake": (replying(saying(outcome("MISSING_VALUE", "QUIMBLE"), "400 Bad Request")), Refused),
    "not entitled": (replying(saying(outcome("ACCESS_DENIED"), "403 Forbidden")), Refused),
    "no token wanted": (replying(saying(outcome("ACCESS_DENIED"), "401 Unauthorized")), Refused),
    "a wrong address": (replying(lambda *_: http_answer(b"QUIMBLE", "404 Not Found")), Refused),
}


@pytest.mark.rule("SMSP-ERR-006", "SMSP-PERF-006")
@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_has_its_kind_and_says_nothing_of_anybody(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    script, kind = FAILURES[name]
    with ScriptedServer(script) as server:
        began = time.monotonic()
        with pytest.raises(SpineFailure) as caught:
            connector_to(server, repeats=0).ask(RETRIEVE, SENDER, deadline(0.6 if script in (slow, silent) else 60.0))
        # (What drips would take longer to its end.)
        assert time.monotonic() - began < 30
    failure = caught.value
    assert type(failure) is kind
    assert failure.exchange is not None
    assert failure.exchange.sent[0] == asked(server)[0][1]["x-request-id"]
    told = f"{failure} {failure.args} {failure.reason} {failure.__cause__} {caplog.text}"
    for secret in (NUMBER.digits, "QUIMBLE", "Patient/"):
        assert secret not in told
    assert failure.__cause__ is None
    assert failure.__suppress_context__ or failure.__context__ is None


def test_nobody_there_means_nothing_was_sent() -> None:
    with ScriptedServer(silent) as server:
        connector = connector_to(server)
        server.stop_listening()
        with pytest.raises(NotSent) as caught:
            connector.ask(TRACE, SENDER, deadline())
    assert caught.value.exchange is not None
    assert caught.value.exchange.sent == ()
    assert "QUIMBLE" not in str(caught.value)


@pytest.mark.rule("WS-REL-02", "SMSP-PERF-006")
@pytest.mark.parametrize("status", ["500 X", "502 X", "503 X", "504 X", "408 X", "429 X"])
def test_trouble_that_passes_is_waited_for_with_the_same_request_id(status: str) -> None:
    pauses: list[float] = []
    trouble = saying(outcome("UNKNOWN_ERROR"), status)
    with ScriptedServer(replying(trouble, trouble, saying(patient()))) as server:
        answer = connector_to(server, pauses=pauses).ask(RETRIEVE, SENDER, deadline())
    assert answer.query_ok
    assert pauses == [0.01, 0.02]
    ids = {headers["x-request-id"] for _, headers in asked(server)}
    assert len(ids) == 1
    assert len(server.requests) == 3
    assert answer.exchange.sent[:1] == tuple(ids)
    assert len(answer.exchange.sent) == 2


@pytest.mark.rule("SMSP-PERF-006")
def test_trouble_that_stays_ends_after_three_requests() -> None:
    unavailable = replying(saying(outcome("SERVICE_UNAVAILABLE"), "503 X"))
    with ScriptedServer(unavailable) as server, pytest.raises(SentNoAnswer, match="503"):
        connector_to(server).ask(RETRIEVE, SENDER, deadline())
    assert len(server.requests) == 3


@pytest.mark.rule("SMSP-PERF-006")
def test_retry_after_is_honoured_within_the_deadline_and_not_waited_for_beyond() -> None:
    pauses: list[float] = []
    busy = saying(outcome("TOO_MANY_REQUESTS"), "429 X", headers="Retry-After: 2\r\n")
    with ScriptedServer(replying(busy, saying(patient()))) as server:
        assert connector_to(server, pauses=pauses).ask(RETRIEVE, SENDER, deadline()).query_ok
    assert pauses == [2.0]
    for header in (
        "Retry-After: 70\r\n",
        "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n",
        "Retry-After: 99999999\r\n",
    ):
        with ScriptedServer(replying(saying(outcome("X"), "503 X", headers=header), saying(patient()))) as server:
            pauses.clear()
            if "70\r" in header:
                with pytest.raises(SentNoAnswer):
                    connector_to(server, pauses=pauses).ask(RETRIEVE, SENDER, deadline())
                assert pauses == []
            else:
                assert connector_to(server, pauses=pauses).ask(RETRIEVE, SENDER, deadline()).query_ok
                assert pauses == [0.01]


@pytest.mark.rule("SMSP-PERF-001", "SMSP-PERF-006")
def test_a_request_that_met_a_closed_connection_goes_again_by_leave_only() -> None:
    answered = saying(patient())
    leave: list[Deadline] = []

    def once_each(peer: Peer) -> None:
        request = peer.read_request()
        assert request is not None
        peer.send(answered(*parsed(request)))
        peer.read_request()  # and closes without an answer

    def may_repeat(deadline: Deadline) -> bool:
        leave.append(deadline)
        return True

    with ScriptedServer(once_each) as server:
        transport = HTTPTransport(server.url(path="/R4"), RealClock(), resend=False)
        connector = PDSFHIRConnector(
            PDSFHIRSettings(pause_seconds=0.01),
            transport,
            None,
            RealClock(),
            RealIds(),
            time.sleep,
            lambda: 0.5,
            may_repeat,
        )
        connector.ask(RETRIEVE, SENDER, deadline())
        assert connector.ask(RETRIEVE, SENDER, deadline()).query_ok
    assert len(server.requests) == 3
    assert len(leave) == 1


def test_what_was_refused_is_not_asked_again() -> None:
    with ScriptedServer(replying(saying(outcome("MISSING_VALUE"), "400 X"))) as server, pytest.raises(Refused):
        connector_to(server).ask(RETRIEVE, SENDER, deadline())
    assert len(server.requests) == 1


def test_as_many_calls_as_allowed_are_under_way() -> None:
    entered, leave = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        entered.set()
        leave.wait(30)
        peer.send(saying(patient())("", parsed(server.requests[0])[1]))

    with ScriptedServer(script) as server:
        connector = connector_to(server, limits=TransportLimits(max_in_flight=1))
        first = threading.Thread(target=lambda: connector.ask(RETRIEVE, SENDER, deadline()))
        first.start()
        assert entered.wait(30)
        with pytest.raises(NoCapacity):
            connector.ask(RETRIEVE, SENDER, deadline())
        leave.set()
        first.join(30)
    assert len(server.requests) == 1


# Tokens, against the embedded Spine


@pytest.fixture(scope="module")
def keys() -> tuple[SigningKey, SigningKey]:
    return tuple(SigningKey(kid, rsa.generate_private_key(65537, 2048)) for kid in ("old", "new"))  # type: ignore[return-value]  # two of them


@pytest.fixture
def spine(keys: tuple[SigningKey, SigningKey]) -> Iterator[EmbeddedSpine]:
    record = SpinePatient(
        NUMBER.digits, names=(SpineName("L", "QUIMBLE", ("ORLA",)),), gender="2", birth_time="19620317"
    )
    application = Application(API_KEY, {"old": keys[0].key.public_key()})
    with PatientStore() as store:
        store.add(record)
        with EmbeddedSpine(store, application=application) as embedded:
            yield embedded


def test_one_token_serves_many_calls_of_many_threads(spine: EmbeddedSpine, keys: tuple[SigningKey, SigningKey]) -> None:
    connector = fhir_connector(spine, None, keys[0])
    threads = [
        threading.Thread(target=lambda: [connector.ask(RETRIEVE, SENDER, deadline()) for _ in range(5)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert spine.fhir.calls[READ] == 40
    assert spine.fhir.calls[TOKEN] == 1


def test_a_token_that_is_not_accepted_is_replaced_once_under_the_same_request_id(
    spine: EmbeddedSpine, keys: tuple[SigningKey, SigningKey]
) -> None:
    connector = fhir_connector(spine, None, keys[0])
    connector.ask(RETRIEVE, SENDER, deadline())
    assert spine.fhir.desk is not None
    spine.fhir.desk.revoke_all()
    heard: list[HTTPRequest] = []
    spine.fhir.heard = heard.append
    assert connector.ask(RETRIEVE, SENDER, deadline()).query_ok
    reads = [request.headers["x-request-id"] for request in heard if "x-request-id" in request.headers]
    assert len(reads) == 2
    assert len(set(reads)) == 1
    assert spine.fhir.calls[TOKEN] == 2


def test_a_new_token_that_is_not_accepted_either_is_a_refusal(
    spine: EmbeddedSpine, keys: tuple[SigningKey, SigningKey]
) -> None:
    assert spine.fhir.desk is not None
    spine.fhir.desk.lifetime_seconds = 100
    spine.fhir.desk.clock = lambda: RealClock().now().replace(year=2020)
    connector = fhir_connector(spine, None, keys[0])
    with pytest.raises(Refused):
        connector.ask(RETRIEVE, SENDER, deadline())  # its clock is years behind ours: the assertion is refused
    assert spine.fhir.calls[READ] == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(FaultKind.HTTP_STATUS, status=500), NotSent),
        (Fault(FaultKind.HTTP_STATUS, status=429), NotSent),
        (Fault(FaultKind.HTML, status=200), NotSent),
        (Fault(FaultKind.DROP_AFTER_READING), NotSent),
        (Fault(FaultKind.DELAY, seconds=60), NotSent),
        (Fault(FaultKind.HTTP_STATUS, status=400), Refused),
        (Fault(FaultKind.HTTP_STATUS, status=401), Refused),
        (Fault(FaultKind.HTTP_STATUS, status=403), Refused),
        (Fault(FaultKind.HTTP_STATUS, status=302), Refused),
    ],
    ids=lambda value: f"{value.kind.value}-{value.status}" if isinstance(value, Fault) else "",
)
@pytest.mark.rule("SMSP-ERR-006")
def test_without_a_token_pds_is_not_asked(
    spine: EmbeddedSpine, keys: tuple[SigningKey, SigningKey], fault: Fault, kind: type[SpineFailure]
) -> None:
    spine.faults.every(1, replace(fault, interaction=TOKEN))
    connector = fhir_connector(spine, None, keys[0])
    with pytest.raises(SpineFailure) as caught:
        connector.ask(RETRIEVE, SENDER, deadline(0.5 if fault.kind is FaultKind.DELAY else 60.0))
    assert type(caught.value) is kind
    assert spine.fhir.calls[READ] == 0
    assert caught.value.exchange is not None
    assert caught.value.exchange.sent == ()
    spine.faults.clear()
    assert connector.ask(RETRIEVE, SENDER, deadline()).query_ok


@pytest.mark.rule("SMSP-PERF-006")
@pytest.mark.parametrize(
    "fault",
    [Fault(FaultKind.DELAY, seconds=60), Fault(FaultKind.HTTP_STATUS, status=503)],
    ids=["slow", "down"],
)
def test_a_token_that_is_still_good_serves_while_it_cannot_be_renewed(
    monkeypatch: pytest.MonkeyPatch, spine: EmbeddedSpine, keys: tuple[SigningKey, SigningKey], fault: Fault
) -> None:
    monkeypatch.setattr(pds_fhir_token, "_FAILED_SECONDS", 60.0)
    assert spine.fhir.desk is not None
    spine.fhir.desk.lifetime_seconds = 50  # so short that it is to be renewed at once
    connector = fhir_connector(spine, None, keys[0])
    connector.ask(RETRIEVE, SENDER, deadline())
    spine.faults.every(1, replace(fault, interaction=TOKEN))
    # A renewal that took all the time there is would leave none for the question.
    assert connector.ask(RETRIEVE, SENDER, deadline(30)).query_ok
    assert connector.ask(RETRIEVE, SENDER, deadline(30)).query_ok
    assert spine.fhir.calls[TOKEN] == 2, "one attempt to renew it, and none again at once"
    assert spine.fhir.calls[READ] == 3


def test_while_keys_change_the_one_that_is_registered_is_found(
    spine: EmbeddedSpine, keys: tuple[SigningKey, SigningKey]
) -> None:
    endpoint = HTTPTransport(f"{spine.base_url}/oauth2/token", RealClock())
    for order in (keys, keys[::-1]):
        tokens = Tokens(API_KEY, order, endpoint, RealClock(), RealIds(), OneProcess())
        assert tokens.token(deadline())
    only_new = Tokens(API_KEY, keys[1:], endpoint, RealClock(), RealIds(), OneProcess())
    with pytest.raises(Refused) as caught:
        only_new.token(deadline())
    error, message_id = caught.value.codes
    assert error == "invalid_request"
    assert re.fullmatch("[0-9a-f]{16}", message_id), "those who run the platform ask for it"


def test_workers_share_a_token_until_one_of_them_sees_it_refused(
    spine: EmbeddedSpine, keys: tuple[SigningKey, SigningKey], tmp_path: Path
) -> None:
    def worker() -> Tokens:
        endpoint = HTTPTransport(f"{spine.base_url}/oauth2/token", RealClock())
        return Tokens(API_KEY, keys[:1], endpoint, RealClock(), RealIds(), TokenFile(tmp_path / "token", API_KEY))

    one, other = worker(), worker()
    first = one.token(deadline())
    assert other.token(deadline()) == first
    assert spine.fhir.calls[TOKEN] == 1
    one.reject(first)
    second = one.token(deadline())
    assert second != first
    assert other.token(deadline()) == first, "it has not been told"
    other.reject(first)
    assert other.token(deadline()) == second, "what was refused was the one before"
    assert spine.fhir.calls[TOKEN] == 2


def test_connections_can_be_dropped(spine: EmbeddedSpine, keys: tuple[SigningKey, SigningKey]) -> None:
    connector = fhir_connector(spine, None, keys[0])
    connector.ask(RETRIEVE, SENDER, deadline())
    connector.close_idle()
    assert connector.ask(RETRIEVE, SENDER, deadline()).query_ok


def test_the_certificate_of_the_server_must_be_trusted(tmp_path: Path) -> None:
    pki, foreign = make_pki(tmp_path / "own"), make_pki(tmp_path / "foreign")
    with (
        PatientStore() as store,
        EmbeddedSpine(store, tls=SpineTLS(pki.spine_server.certificate, pki.spine_server.key, None)) as spine,
    ):
        transport = HTTPTransport(spine.fhir_url, RealClock(), server_only_context(foreign.ca.certificate))
        connector = PDSFHIRConnector(
            PDSFHIRSettings(repeats=0), transport, None, RealClock(), RealIds(), time.sleep, lambda: 0.5
        )
        with pytest.raises(NotSent, match="not trusted"):
            connector.ask(RETRIEVE, SENDER, deadline())
        assert spine.fhir.calls[READ] == 0
