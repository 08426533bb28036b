"""Any bytes give a request or a known refusal; any field comes through as sent; nothing is quoted."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile_vectors import hostile_vectors
from itk_messages import NHS_NUMBER, Fields, Request, payload_of, with_texts
from reading_chain import read_everything
from smsp_provider.domain.faults import ErrorCode, ToolkitFault
from smsp_provider.domain.identifiers import LocalIdentifier
from smsp_provider.domain.requests import InputInvalid
from smsp_provider.domain.service import Service
from smsp_provider.itk.request import read_request
from smsp_provider.xmlcore.parse import parse
from smsp_provider.xmlcore.schemas import Schemas

IN_XML = st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")
TEXTS = st.text(IN_XML, max_size=20)
MARKUP = [b"<x/>", b"&amp;", b"&#9;", b'"', b"<!--", b"-->", b"<![CDATA[", b"]]>", b"xmlns=''", b"<?p?>"]
WATERMARK = "Wxqzjvk"
BODIES = [
    replace(
        Request(service=service),
        fields=Fields(gender=None, nhs_number=NHS_NUMBER, given=WATERMARK, family=WATERMARK),
    ).body()
    for service in (Service.VERIFY_NHS_NUMBER, Service.GET_PATIENT_DETAILS)
] + [vector.body for vector in hostile_vectors() if len(vector.body) < 5_000]


SCHEMAS = Schemas()


def answer_to(body: bytes, soap_action: str | None) -> None:
    """Read a body; only the two known refusals may come of it, and neither quotes the patient."""
    try:
        read_everything(body, soap_action, SCHEMAS)
    except ToolkitFault as fault:
        told = f"{fault.text} {fault.diagnostic} {fault.rule} {fault.args}"
        known = fault.error_code in ErrorCode
    except InputInvalid as problem:
        told = f"{problem.field} {problem.rule} {problem.args}"
        known = True
    else:
        return
    assert known
    assert WATERMARK not in told
    assert NHS_NUMBER not in told


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A request with bytes changed, cut out, doubled or put in."""
    body = bytearray(draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 30)))
        piece = draw(
            st.binary(max_size=6)
            | st.sampled_from(
                [b"<x/>", b"&amp;", b"&#9;", b'"', b"<!--", b"-->", b"<![CDATA[", b"]]>", b"xmlns=''", b"<?p?>"]
            )
            | st.just(bytes(body[start:end]) * 2)
        )
        body[start:end] = piece
    return bytes(body)


@pytest.mark.rule("WS-STD-01", "WS-VAL-01", "SMSP-ERR-001", "IFC-LOG-02")
@settings(max_examples=500)
@given(st.binary() | damaged(), st.none() | st.text(max_size=30))
def test_any_bytes_give_a_request_or_a_known_refusal(body: bytes, soap_action: str | None) -> None:
    answer_to(body, soap_action)


@pytest.mark.rule("WS-STD-01", "WS-VAL-01", "SMSP-ERR-001", "IFC-LOG-02")
@settings(max_examples=300)
@given(st.data())
def test_any_text_in_any_place_gives_a_request_or_a_known_refusal(data: st.DataObject) -> None:
    names = ["message_id", "to", "action", "wsa_from", "reply_to", "created", "expires", "username", "header_service"]
    names += ["tracking_id", "manifest_count", "manifest_id", "mimetype", "profile_id", "metadata", "compressed"]
    names += ["base64", "encrypted", "sender_address", "payloads_count", "payload_id", "filename"]
    changes = data.draw(st.dictionaries(st.sampled_from(names), TEXTS | st.none(), min_size=1, max_size=4))
    request = with_texts(Request(fields=Fields(nhs_number=NHS_NUMBER, family=WATERMARK)), **changes)
    answer_to(request.body(), request.soap_action)


@pytest.mark.rule("SMSP-VAL-001")
@given(
    st.builds(
        Fields,
        date_of_birth=st.from_regex(r"[0-9]{1,8}", fullmatch=True).filter(str.isascii),
        gender=st.none() | st.sampled_from("0129"),
        local_identifier=st.none() | st.tuples(st.sampled_from(["1.2.3", "2.16.840.1"]), st.text(IN_XML, min_size=1)),
        nhs_number=st.none() | st.text(IN_XML, min_size=1, max_size=12),
        given=st.none() | TEXTS,
        family=st.none() | TEXTS,
        postcode=st.none() | TEXTS,
    )
)
def test_fields_come_through_exactly_as_sent(sent: Fields) -> None:
    payload = parse(payload_of(Service.GET_PATIENT_DETAILS, sent).encode())
    read = read_request(Service.GET_PATIENT_DETAILS, payload, SCHEMAS)
    assert (read.date_of_birth, read.gender, read.nhs_number) == (sent.date_of_birth, sent.gender, sent.nhs_number)
    assert (read.given, read.family, read.postcode) == (sent.given, sent.family, sent.postcode)
    local_identifier = None if sent.local_identifier is None else LocalIdentifier(*sent.local_identifier)
    assert read.local_identifier == local_identifier
