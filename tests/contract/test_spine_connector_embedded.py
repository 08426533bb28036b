"""Our connector and our embedded Spine over mutual TLS: what one writes the other reads; every fault has its kind."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from scripted_server import RealClock, RealIds
from smsp_provider.connectors.hl7v3 import HL7v3Connector, HL7v3Settings
from smsp_provider.connectors.http import ClientTLS, SpineTransport, client_context
from smsp_provider.domain.failures import NotSent, Refused, SentNoAnswer, SpineFailure, Unreadable
from smsp_provider.domain.gate import Declined, Found, GateRefusal, admit
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ASID
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.spine_answers import Acknowledgement
from smsp_provider.domain.spine_queries import CrossCheckTrace, Retrieval, SimpleTrace
from smsp_provider.engine.ports import Deadline, SpineSender
from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.pki import make_pki
from smsp_provider.simulator.records import (
    RelatedPerson,
    SpineAddress,
    SpineName,
    SpinePatient,
    SpinePractice,
    SpineTelecom,
)
from smsp_provider.simulator.server import EmbeddedSpine, SpineTLS

NUMBER, OTHER = NHSNumber("9000000009"), NHSNumber("9000000017")
BORN = HL7Date("19571231")
SENDER = SpineSender(ASID("444455556666"))
PATIENT = SpinePatient(
    NUMBER.digits,
    names=(SpineName("L", "O'SPECIMEN & CO", ("ANNE", "<B>"), "MS"), SpineName("PREVIOUS-BIRTH", "EXAMPLE", ("ANNE",))),
    gender="2",
    birth_time="19571231",
    addresses=(SpineAddress("H", ("", "1 A ST", "", "TOWN", ""), "ZZ99 3VZ"),),
    telecoms=(SpineTelecom("HP", "tel:01632960001"),),
    practices=(SpinePractice("Z99993"), SpinePractice("FZZ99", "P1")),
    related=(RelatedPerson("14", SpineName("L", "NOTTHEPATIENT", ("X",)), SpineAddress("H", ("9",), "ZZ99 9ZZ")),),
)
SOMEBODY_ELSE = SpinePatient(OTHER.digits, names=(SpineName("L", "OTHER", ("X",)),), gender="1", birth_time="19600101")


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedSpine, HL7v3Connector]]:
    pki = make_pki(tmp_path_factory.mktemp("pki"))
    with PatientStore() as store:
        store.add_all([PATIENT, SOMEBODY_ELSE])
        tls = SpineTLS(pki.spine_server.certificate, pki.spine_server.key, pki.ca.certificate)
        with EmbeddedSpine(store, tls=tls) as embedded:
            own = pki.provider_client
            context = client_context(ClientTLS(pki.ca.certificate, own.certificate, own.key))
            transport = SpineTransport(embedded.url, RealClock(), context)
            settings = HL7v3Settings(ASID("111122223333"), None, 1, 0.0)
            yield embedded, HL7v3Connector(settings, transport, RealClock(), RealIds(), lambda _: None)
            transport.close_idle()


@pytest.fixture(autouse=True)
def no_faults(spine: tuple[EmbeddedSpine, HL7v3Connector]) -> None:
    spine[0].faults.clear()


def deadline(seconds: float = 60.0) -> Deadline:
    return Deadline(time.monotonic() + seconds)


@pytest.mark.rule("SMSP-MESSAGES-001")
@pytest.mark.parametrize(
    "query",
    [
        SimpleTrace("O'SPECIMEN & CO", "2", BORN, "ANNE", "ZZ99 3VZ"),
        CrossCheckTrace(NUMBER, BORN, "O'SPECIMEN & CO", "ANNE"),
        Retrieval(NUMBER),
    ],
    ids=["simple-trace", "cross-check", "retrieval"],
)
def test_the_patient_is_found_and_read(
    spine: tuple[EmbeddedSpine, HL7v3Connector], query: SimpleTrace | CrossCheckTrace | Retrieval
) -> None:
    found = admit(query, spine[1].ask(query, SENDER, deadline()))
    assert isinstance(found, Found)
    assert found.nhs_number == NUMBER
    record = found.record
    assert (record.names[0].family, record.names[0].given, record.names[0].prefix) == (
        "O'SPECIMEN & CO",
        ("ANNE", "<B>"),
        "MS",
    )
    assert (record.birth_time, record.gender) == ("19571231", "2")
    assert [(one.lines, one.postal_code) for one in record.addresses] == [(("", "1 A ST", "", "TOWN", ""), "ZZ99 3VZ")]
    assert [one.value for one in record.telecoms] == ["tel:01632960001"]
    assert [one.ods_code for one in record.practices] == ["Z99993"]
    assert all(name.family != "NOTTHEPATIENT" for name in record.names)


@pytest.mark.rule("SMSP-ERR-005")
def test_nobody_is_found_and_said_so(spine: tuple[EmbeddedSpine, HL7v3Connector]) -> None:
    query = Retrieval(NHSNumber("9000000025"))
    declined = admit(query, spine[1].ask(query, SENDER, deadline()))
    assert isinstance(declined, Declined)
    assert "RT003" in {issue.code for issue in declined.issues}


@pytest.mark.rule("SMSP-PERF-006", "SMSP-ERR-006")
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(FaultKind.DELAY, seconds=60.0), SentNoAnswer),
        (Fault(FaultKind.DROP_AFTER_READING), SentNoAnswer),
        (Fault(FaultKind.CUT), SentNoAnswer),
        (Fault(FaultKind.HTTP_STATUS, status=503), SentNoAnswer),
        (Fault(FaultKind.HTTP_STATUS, status=404), Refused),
        (Fault(FaultKind.HTML), Unreadable),
        (Fault(FaultKind.HTML, status=502), SentNoAnswer),
        (Fault(FaultKind.SOAP_FAULT, codes=("101",)), Refused),
        (Fault(FaultKind.TRUNCATED_XML), Unreadable),
        (Fault(FaultKind.WRONG_CHARSET), Unreadable),
        (Fault(FaultKind.WRONG_INTERACTION), Unreadable),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else value.__name__,
)
def test_each_fault_of_spine_is_told_by_its_kind(
    spine: tuple[EmbeddedSpine, HL7v3Connector], fault: Fault, kind: type[SpineFailure]
) -> None:
    embedded, connector = spine
    connector.close_idle()
    embedded.faults.once(fault, 2)
    # A delay is not waited for; with more patience where that was too little for a TLS handshake on this machine.
    for seconds in (0.5, 3.0, 30.0) if fault.kind is FaultKind.DELAY else (60.0,):
        with pytest.raises(SpineFailure) as caught:
            connector.ask(Retrieval(NUMBER), SENDER, deadline(seconds))
        if not isinstance(caught.value, NotSent):
            break
    assert type(caught.value) is kind
    embedded.faults.clear()
    answer = connector.ask(Retrieval(NUMBER), SENDER, deadline())
    assert isinstance(admit(Retrieval(NUMBER), answer), Found)


@pytest.mark.rule("WS-REL-02")
def test_a_passing_fault_is_passed(spine: tuple[EmbeddedSpine, HL7v3Connector]) -> None:
    spine[0].faults.once(Fault(FaultKind.SOAP_FAULT, codes=("206", "208")))
    answer = spine[1].ask(Retrieval(NUMBER), SENDER, deadline())
    assert isinstance(admit(Retrieval(NUMBER), answer), Found)
    assert len(answer.exchange.sent) == 4


def test_a_rejection_is_read_as_one(spine: tuple[EmbeddedSpine, HL7v3Connector]) -> None:
    spine[0].faults.once(Fault(FaultKind.REJECTION))
    answer = spine[1].ask(Retrieval(NUMBER), SENDER, deadline())
    assert answer.acknowledgement is Acknowledgement.REJECTED
    assert [issue.code for issue in answer.issues] == ["200"]


def test_an_answer_to_another_question_reaches_the_gate_and_no_further(
    spine: tuple[EmbeddedSpine, HL7v3Connector],
) -> None:
    spine[0].faults.once(Fault(FaultKind.UNCORRELATED))
    answer = spine[1].ask(Retrieval(NUMBER), SENDER, deadline())
    with pytest.raises(GateRefusal, match="W1"):
        admit(Retrieval(NUMBER), answer)


@pytest.mark.parametrize("kind", [FaultKind.LATE, FaultKind.DUPLICATED], ids=lambda kind: kind.value)
def test_late_and_doubled_answers_are_never_taken_for_the_next_one(
    spine: tuple[EmbeddedSpine, HL7v3Connector], kind: FaultKind
) -> None:
    embedded, connector = spine
    embedded.faults.once(Fault(kind, seconds=0.6))
    own = 0
    for number, seconds in ((NUMBER, 0.3), (OTHER, 60.0), (NUMBER, 60.0), (OTHER, 60.0)):
        # A doubled answer that comes just when the connection is used again is the gate's to refuse.
        with suppress(NotSent, SentNoAnswer, GateRefusal):
            found = admit(Retrieval(number), connector.ask(Retrieval(number), SENDER, deadline(seconds)))
            assert isinstance(found, Found)
            assert found.nhs_number == number
            own += 1
    assert own >= 3
