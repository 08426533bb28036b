"""What Spine refuses to read, and how it says so."""

from dataclasses import replace

import pytest

from simulator_client import SpineAsk, cross_check, message_of, retrieval, said, trace, xpath
from smsp_provider.simulator.patients import PatientStore
from smsp_provider.simulator.spine import Spine

GOOD = trace("HARROWGATE", "2", "19800517", "NESTA")
SERVICE = "urn:nhs:names:services:pdsquery"


def fault_codes(body: bytes, soap_action: str | None) -> list[str]:
    with PatientStore() as store:
        reply = Spine(store).answer(body, soap_action)
    if reply.status == 200:
        return []
    assert reply.status == 500
    assert xpath(reply.body, "/s:Envelope/s:Body/s:Fault/faultcode")[0].startswith("SOAP:")
    return xpath(reply.body, "//detail/n:errorList/n:error/n:errorCode")


@pytest.mark.parametrize("action", [f"{SERVICE}/QUPA_IN000005UK01", f'"{SERVICE}/QUPA_IN000005UK01"', None])
def test_a_sound_request_is_read_with_and_without_quotes(action: str | None) -> None:
    assert fault_codes(GOOD.body(), action) == []


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "nothing"),
        (b"not xml", "text"),
        (b"<a/>", "another document"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "a DTD"),
        (GOOD.body()[:-30], "half a document"),
        (GOOD.body().replace(b"NESTA", b"N\xcbSTA"), "Latin-1"),
        (GOOD.body().replace(b"s:Header", b"s:Other"), "no header"),
        (replace(GOOD, message_id="uuid:1").body(), "a short message id"),
        (replace(GOOD, message_id="urn:" + "A" * 37).body(), "a message id without uuid:"),
        (replace(GOOD, to="short").body(), "a short receiver"),
        (replace(GOOD, header_sender="200000000999").body(), "two senders"),
        (replace(GOOD, sender="").body(), "no sender"),
        (replace(GOOD, hl7_id="").body(), "no message id"),
        (replace(GOOD, parameters="").body(), "an empty query"),
        (replace(GOOD, author='<author typeCode="AUT"/>').body(), "an author without a person"),
        (GOOD.body().replace(b"<author1", b"<author9").replace(b"</author1", b"</author9"), "no authoring system"),
        (GOOD.body().replace(b'extension="QUPA_IN000005UK01"', b'extension="QUPA_IN000008UK02"'), "two interactions"),
        (GOOD.body().replace(b"creationTime", b"creationDay"), "no creation time"),
        (GOOD.body().replace(b"versionCode", b"versionKode"), "no version"),
        (GOOD.body().replace(b'xmlns="urn:hl7-org:v3"><id', b'xmlns="urn:other"><id'), "another namespace"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_envelope_or_wrapper_is_a_fault_201(body: bytes, what: str) -> None:
    assert fault_codes(body, GOOD.soap_action) == ["201"], what


def test_a_soap_action_that_differs_is_a_fault_201() -> None:
    assert fault_codes(GOOD.body(), f"{SERVICE}/QUPA_IN000008UK02") == ["201"]


@pytest.mark.parametrize(
    "action", [f"{SERVICE}/QUPA_IN000016UK02", "urn:nhs:names:services:pds/QUPA_IN000005UK01", "QUPA_IN000005UK01"]
)
def test_what_is_not_offered_is_a_fault_101(action: str) -> None:
    assert fault_codes(replace(GOOD, action=action).body(), action) == ["101"]


def test_a_person_may_have_asked() -> None:
    person = (
        '<author typeCode="AUT"><AgentPersonSDS classCode="AGNT">'
        '<id root="1.2.826.0.1285.0.2.0.67" extension="555254240100"/>'
        '<agentPersonSDS classCode="PSN" determinerCode="INSTANCE">'
        '<id root="1.2.826.0.1285.0.2.0.65" extension="687227875014"/></agentPersonSDS>'
        '<part typeCode="PART"><partSDSRole classCode="ROL">'
        '<id root="1.2.826.0.1285.0.2.1.104" extension="R8003"/></partSDSRole></part></AgentPersonSDS></author>'
    )
    assert fault_codes(replace(GOOD, author=person).body(), GOOD.soap_action) == []
    assert fault_codes(replace(GOOD, author=person.replace(".0.65", ".0.99")).body(), GOOD.soap_action) == ["201"]
    assert fault_codes(replace(GOOD, author=person.replace("R8003", "")).body(), GOOD.soap_action) == ["201"]


def without(ask: SpineAsk, parameter: str) -> SpineAsk:
    """The request without one parameter."""
    return replace(ask, parameters=ask.parameters.replace(f"<{parameter}>", "<x>").replace(f"</{parameter}>", "</x>"))


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (without(GOOD, "person.birthTime"), "0"),
        (without(GOOD, "person.administrativeGenderCode"), "0"),
        (without(GOOD, "person.name"), "0"),
        (trace("HARROWGATE", "3", "19800517"), "0"),
        (trace(" ", "2", "19800517"), "0"),
        (replace(GOOD, parameters=GOOD.parameters.replace("<family>", "<family>A</family><family>")), "0"),
        (without(cross_check("9990000018", "19800517"), "person.birthTime"), "0"),
        (without(cross_check("9990000018", "19800517"), "person.id"), "0"),
        (cross_check("", "19800517"), "0"),
        (retrieval(""), "0"),
        (without(retrieval("9990000018"), "historicDataIndicator"), "0"),
        (without(retrieval("9990000018"), "person.id"), "0"),
    ],
)
def test_a_query_that_lacks_a_parameter_is_refused(ask: SpineAsk, code: str) -> None:
    with PatientStore() as store:
        reply = Spine(store).answer(ask.body(), ask.soap_action)
    assert (reply.status, said(reply.body)) == (200, f"AE {code}")
    assert xpath(message_of(reply.body), "h:acknowledgement/h:messageRef/h:id/@root") == [ask.hl7_id]


def test_a_cross_check_of_another_kind_of_number_is_refused_with_42() -> None:
    ask = cross_check("9990000018", "19800517")
    ask = replace(ask, parameters=ask.parameters.replace("883.2.1.4.1", "883.2.1.3.2.4.3"))
    with PatientStore() as store:
        assert said(Spine(store).answer(ask.body(), ask.soap_action).body) == "AE 42"
