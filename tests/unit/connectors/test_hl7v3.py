"""The HL7 V3 connector over its real transport, against a scripted Spine on loopback."""

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from lxml import etree

from scripted_server import Behaviour, Peer, RealClock, RealIds, ScriptedServer, answering, http_answer
from smsp_provider.connectors.hl7v3 import HL7v3Connector, HL7v3Settings
from smsp_provider.connectors.http import SpineTransport, TransportLimits
from smsp_provider.domain.failures import (
    NoCapacity,
    NotSent,
    QueryNotBuilt,
    Refused,
    SentNoAnswer,
    SpineFailure,
    Unreadable,
)
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_answers import Acknowledgement
from smsp_provider.domain.spine_queries import AdvancedTrace, CrossCheckTrace, Retrieval, SimpleTrace
from smsp_provider.engine.ports import Deadline, SpineConnector, SpineSender
from spine_messages import AUTHOR, NAMESPACES, envelope, message, patient

NUMBER = NHSNumber("9000000009")
BORN = HL7Date("19571231")
RETRIEVE = Retrieval(NUMBER)
SENDER = SpineSender(ASID("444455556666"))
ADVANCED = AdvancedTrace("SP*", "2", HL7Date("1957"))


def deadline(seconds: float = 60.0) -> Deadline:
    return Deadline(time.monotonic() + seconds)


def connector_to(
    server: ScriptedServer,
    *,
    pauses: list[float] | None = None,
    retries: int = 2,
    limits: TransportLimits | None = None,
    sleep: Callable[[float], None] | None = None,
) -> HL7v3Connector:
    recorded = pauses if pauses is not None else []
    settings = HL7v3Settings(ASID("111122223333"), "https://smsp.example.invalid/", retries, 0.05)
    transport = SpineTransport(server.url(), RealClock(), limits=limits)
    return HL7v3Connector(settings, transport, RealClock(), RealIds(), sleep or recorded.append)


def asked(request: bytes) -> etree._Element:
    return etree.fromstring(request.partition(b"\r\n\r\n")[2])


def ids_of(request: bytes) -> tuple[str, str]:
    root = asked(request)
    soap = root.xpath("string(//w:MessageID)", namespaces=NAMESPACES)
    hl7 = root.xpath("string(/s:Envelope/s:Body/*/h:id/@root)", namespaces=NAMESPACES)
    return str(soap), str(hl7)


def replying(make: Callable[[str, str], str], status: str = "200 OK") -> Behaviour:
    """Answers each request with what ``make`` makes of its two ids."""

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            peer.send(http_answer(make(*ids_of(request)).encode("utf-8"), status))

    return script


def found(soap: str, hl7: str) -> str:
    return envelope(message(patient(), references=(hl7,)), relates_to=soap)


def fault(*codes: str) -> str:
    errors = "".join(f"<n:error><n:errorCode>{code}</n:errorCode></n:error>" for code in codes)
    detail = (
        f'<detail><n:errorList xmlns:n="http://national.carerecords.nhs.uk/schema/">{errors}</n:errorList></detail>'
    )
    return envelope(f"<e:Fault><faultcode>e:Server</faultcode><faultstring>x</faultstring>{detail}</e:Fault>")


def faulting(*codes: str) -> bytes:
    return http_answer(fault(*codes).encode(), "500 Internal Server Error")


def test_it_is_a_connector_of_the_engine() -> None:
    with ScriptedServer(replying(found)) as server:
        connector: SpineConnector = connector_to(server)
        assert connector.can_ask(RETRIEVE)


@pytest.mark.rule("SMSP-AUDIT-004", "SMSP-IG-003")
def test_a_query_is_asked_and_its_answer_read() -> None:
    with ScriptedServer(replying(found)) as server:
        answer = connector_to(server).ask(RETRIEVE, SpineSender(ASID("444455556666"), AUTHOR), deadline())
    (request,) = server.requests
    soap, hl7 = ids_of(request)
    assert answer.acknowledgement is Acknowledgement.ACCEPTED
    assert [record.nhs_numbers for record in answer.records] == [("9000000009",)]
    assert [(one.expected, one.found) for one in answer.references] == [(soap, soap), (hl7, hl7)]
    assert answer.exchange.interaction == "QUPA_IN000008UK02"
    assert answer.exchange.sent == (soap, hl7)
    assert len(answer.exchange.received) == 2
    asids = asked(request).xpath("//h:communicationFunctionSnd//h:id/@extension", namespaces=NAMESPACES)
    assert asids == ["444455556666", "444455556666"]
    assert asked(request).xpath("string(//h:author//h:id/@extension)", namespaces=NAMESPACES) == AUTHOR.role_profile


@pytest.mark.parametrize(
    ("query", "interaction", "answered"),
    [
        (SimpleTrace("SPECIMEN", "2", BORN), "QUPA_IN000005UK01", "QUPA_IN000007UK01"),
        (CrossCheckTrace(NUMBER, BORN), "QUPA_IN000014UK01", "QUPA_IN000015UK02"),
        (RETRIEVE, "QUPA_IN000008UK02", "QUPA_IN000009UK03"),
    ],
    ids=["simple", "cross-check", "retrieval"],
)
def test_each_query_goes_under_its_own_name(
    query: SimpleTrace | CrossCheckTrace | Retrieval, interaction: str, answered: str
) -> None:
    def answer(soap: str, hl7: str) -> str:
        return envelope(message(patient(), name=answered, references=(hl7,)), relates_to=soap)

    with ScriptedServer(replying(answer)) as server:
        assert connector_to(server).ask(query, SENDER, deadline()).query_ok
    head = server.requests[0].partition(b"\r\n\r\n")[0].decode("ascii")
    assert f'\r\nSOAPAction: "urn:nhs:names:services:pdsquery/{interaction}"\r\n' in f"{head}\r\n"
    assert "\r\nContent-Type: text/xml; charset=utf-8\r\n" in f"{head}\r\n"
    assert f"<{interaction} " in server.requests[0].decode("utf-8")


def test_ids_and_creation_time_have_the_form_spine_wants() -> None:
    with ScriptedServer(replying(found)) as server:
        connector = connector_to(server)
        for _ in range(2):
            connector.ask(RETRIEVE, SENDER, deadline())
    ids = [ids_of(request) for request in server.requests]
    uuid = "[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"
    assert all(re.fullmatch(f"uuid:{uuid}", soap) and re.fullmatch(uuid, hl7) for soap, hl7 in ids)
    assert len({one.rpartition(":")[2] for pair in ids for one in pair}) == 4
    created = asked(server.requests[0]).xpath("string(//h:creationTime/@value)", namespaces=NAMESPACES)
    moment = datetime.strptime(f"{created}+0000", "%Y%m%d%H%M%S%z")
    assert abs(RealClock().now() - moment) < timedelta(hours=1)


@pytest.mark.rule("SMSP-ERR-006")
def test_an_advanced_trace_is_never_sent() -> None:
    with ScriptedServer(replying(found)) as server:
        connector = connector_to(server)
        assert not connector.can_ask(ADVANCED)
        with pytest.raises(QueryNotBuilt) as caught:
            connector.ask(ADVANCED, SENDER, deadline())
        assert server.connections == 0
    assert caught.value.exchange is not None
    assert (caught.value.exchange.interaction, caught.value.exchange.sent) == ("QUPA_IN000006UK02", ())


# Faults


@pytest.mark.rule("WS-REL-02", "SMSP-PERF-006")
def test_a_fault_that_may_pass_is_asked_again_with_new_ids() -> None:
    pauses: list[float] = []
    number = iter(range(9))

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            good = http_answer(found(*ids_of(request)).encode())
            peer.send(good if next(number) == 2 else faulting("200", "206"))

    with ScriptedServer(script) as server:
        answer = connector_to(server, pauses=pauses).ask(RETRIEVE, SENDER, deadline())
    sent = [one for request in server.requests for one in ids_of(request)]
    assert len(set(sent)) == 6
    assert answer.exchange.sent == tuple(sent)
    assert answer.references[0].expected == sent[4]
    assert pauses == [0.05, 0.05]


@pytest.mark.parametrize(
    ("codes", "attempts"),
    [(("200",), 3), (("206", "208"), 3), (("201",), 1), (("200", "101"), 1), ((), 1)],
    ids=range(5),
)
def test_a_fault_that_stays_is_a_refusal_with_its_codes(codes: tuple[str, ...], attempts: int) -> None:
    with ScriptedServer(answering(faulting(*codes))) as server:
        with pytest.raises(Refused) as caught:
            connector_to(server).ask(RETRIEVE, SENDER, deadline())
        assert len(server.requests) == attempts
    assert caught.value.codes == (codes or ("unknown",))
    assert caught.value.exchange is not None
    assert caught.value.exchange.sent == tuple(one for request in server.requests for one in ids_of(request))


def test_without_time_for_the_pause_a_fault_is_not_asked_again() -> None:
    with ScriptedServer(answering(faulting("200"))) as server:
        connector = connector_to(server, sleep=lambda _: pytest.fail("paused without time"))
        connector._settings = HL7v3Settings(ASID("111122223333"), None, 2, 600.0)  # type: ignore[misc]  # a test may
        with pytest.raises(Refused):
            connector.ask(RETRIEVE, SENDER, deadline())
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error", "503 Service Unavailable"])
def test_a_fault_is_read_whatever_the_status(status: str) -> None:
    script = answering(http_answer(fault("101").encode(), status))
    with ScriptedServer(script) as server, pytest.raises(Refused) as caught:
        connector_to(server).ask(RETRIEVE, SENDER, deadline())
    assert caught.value.codes == ("101",)


def test_a_second_attempt_that_is_not_sent_does_not_hide_the_first() -> None:
    with ScriptedServer(
        answering(http_answer(fault("200").encode(), "500 Oops", headers="Connection: close\r\n"))
    ) as server:
        connector = connector_to(server, sleep=lambda _: server.stop_listening())
        with pytest.raises(Refused) as caught:
            connector.ask(RETRIEVE, SENDER, deadline())
    assert caught.value.codes == ("200",)
    assert caught.value.exchange is not None
    assert len(caught.value.exchange.sent) == 2


def test_a_second_attempt_without_an_answer_is_told_with_all_ids() -> None:
    def fault_then_silence(peer: Peer) -> None:
        peer.read_request()
        peer.send(faulting("208"))
        peer.read_request()
        peer.wait_until_closed()

    # With more patience where the machine is too slow for both attempts.
    for seconds in (0.4, 3.0, 30.0):
        with ScriptedServer(fault_then_silence) as server, pytest.raises(SentNoAnswer) as caught:
            connector_to(server).ask(RETRIEVE, SENDER, deadline(seconds))
        if len(server.requests) == 2:
            break
    assert caught.value.exchange is not None
    assert len(caught.value.exchange.sent) == 4


# Failures of the way


def closing(peer: Peer) -> None:
    peer.read_request()


@pytest.mark.parametrize(
    ("script", "kind", "sent"),
    [
        (closing, SentNoAnswer, 2),
        (answering(http_answer(b"<html><body/></html>")), Unreadable, 2),
        (answering(http_answer(envelope(message(patient())).encode()[:-9])), Unreadable, 2),
        (answering(http_answer(envelope(message(patient(), name="QUPA_IN000007UK01")).encode())), Unreadable, 2),
        (answering(http_answer("<a>é</a>".encode("latin-1"))), Unreadable, 2),
        (answering(http_answer(b"<html/>", "500 Internal Server Error")), SentNoAnswer, 2),
        (answering(http_answer(b"busy", "503 Service Unavailable")), SentNoAnswer, 2),
        (answering(http_answer(envelope(message(patient())).encode(), "500 Oops")), SentNoAnswer, 2),
        (answering(http_answer(b"", "404 Not Found")), Refused, 2),
        (answering(http_answer(b"", "302 Found")), Refused, 2),
    ],
    ids=["cut", "html", "truncated", "interaction", "latin-1", "500-html", "503", "500-answer", "404", "302"],
)
@pytest.mark.rule("SMSP-ERR-006", "SMSP-PERF-006")
def test_each_failure_is_told_by_its_kind_with_the_ids_that_were_sent(
    script: Behaviour, kind: type[SpineFailure], sent: int
) -> None:
    with ScriptedServer(script) as server, pytest.raises(SpineFailure) as caught:
        connector_to(server).ask(RETRIEVE, SENDER, deadline())
    assert type(caught.value) is kind
    assert caught.value.exchange is not None
    assert caught.value.exchange.interaction == "QUPA_IN000008UK02"
    assert len(caught.value.exchange.sent) == sent
    assert "9000000009" not in f"{caught.value!r}{caught.value.exchange}"


def test_what_was_not_sent_has_no_ids() -> None:
    with ScriptedServer(closing) as server:
        connector = connector_to(server)
        server.stop_listening()
        with pytest.raises(NotSent) as caught:
            connector.ask(RETRIEVE, SENDER, deadline())
    assert caught.value.exchange is not None
    assert caught.value.exchange.sent == ()


def test_a_full_transport_is_told_as_such() -> None:
    with ScriptedServer(replying(found)) as server:
        connector = connector_to(server, limits=TransportLimits(max_in_flight=1))
        connector._transport._slots.acquire()
        with pytest.raises(NoCapacity):
            connector.ask(RETRIEVE, SENDER, deadline())
        assert server.connections == 0


def test_connections_can_be_dropped_when_an_answer_was_not_to_be_trusted() -> None:
    with ScriptedServer(replying(found)) as server:
        connector = connector_to(server)
        connector.ask(RETRIEVE, SENDER, deadline())
        connector.ask(RETRIEVE, SENDER, deadline())
        connector.close_idle()
        connector.ask(RETRIEVE, SENDER, deadline())
        assert server.connections == 2
