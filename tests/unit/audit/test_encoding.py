"""Records as text and back."""

import json
import re
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsp_provider.audit.decoding import UnreadableRecord, decode
from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure, Officer, RecordRange
from smsp_provider.audit.encoding import MAX_TEXT, Kind, encode, kind_of, timestamp
from smsp_provider.audit.events import (
    Change,
    Closure,
    Ending,
    EndingKind,
    FaultFacts,
    Intent,
    OperatorAct,
    OperatorActKind,
    PatientFacts,
    Record,
    RefusalCount,
    RefusalMark,
    Refusals,
    RequestFacts,
    Source,
    Start,
)
from smsp_provider.audit.lane_events import Closing, LaneEnded, LanePlace, Opening
from smsp_provider.domain.audit_identity import AccessMethod, AuditId, SpineAuthor
from smsp_provider.domain.faults import ErrorCode, FaultCode
from smsp_provider.domain.identifiers import ASID, OID, ODSCode
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Evidence, Repair
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import ExchangeIds

PAGE: Final = (Path(__file__).parents[3] / "docs" / "reference" / "audit-records.md").read_text(encoding="utf-8")
WORD: Final = re.compile(r"`([a-z_-]+)`")
AT = datetime(2026, 3, 1, 12, 30, 15, 250, tzinfo=UTC)
NUMBER = NHSNumber("9434765919")
REQUEST = RequestFacts(
    address="192.0.2.7",
    username="client-system",
    common_name="client.example",
    certificate="c0" * 32,
    client="ward-system",
    service=Service.GET_PATIENT_DETAILS,
    action="urn:nhs-itk:services:201005:getPatientDetails-v1-0",
    message_id="urn:uuid:0b9d8f4e-6f0c-4a7e-9a33-0c2f4f9f9b11",
    tracking_id="1C5A5A4E-9E5B-4A61-9A5C-0D9C5C4F1A10",
    audit_ids=(AuditId(OID.ITK_IDENTITY, "urn:nhs-uk:identity:ods:X99:ward"), AuditId("1.2.3", "unknown kind")),
    method=AccessMethod.SMARTCARD,
    names_asid=True,
    ods_code=ODSCode("X99"),
    sender_address="urn:nhs-uk:addressing:ods:X99:system",
    from_address="http://client.example/",
    nhs_number=NUMBER,
    signed=True,
    signer="c1" * 32,
    repeated=True,
    decoded=True,
)
INTENT = Intent("E1", AT, REQUEST, ASID("200000000115"), SpineAuthor("100", "200", "S0080:G0450:R5080"))
ENDING = Ending(
    exchange_id="E1",
    at=AT,
    kind=EndingKind.ANSWERED,
    duration_ms=210,
    source=Source.SPINE,
    service=Service.GET_PATIENT_DETAILS,
    client="ward-system",
    response_code=ResponseCode.SUCCESS,
    wire_code="SMSP-0000",
    reason="all is well",
    reply_message_id="R1",
    spine=(
        ExchangeIds("QUPA_IN000008UK02", ("S1", "S2"), ("A1",), "hl7v3 pds.example", ("200000000115", "100")),
        ExchangeIds("QUPA_IN000011UK02", ("S3",)),
    ),
    patient=PatientFacts(
        NUMBER,
        Evidence.TRACE,
        True,
        True,
        True,
        (Repair("Person.Name", "cut"), Repair("addr", "first taken", truncation=True)),
    ),
)
FAULT = Ending(
    exchange_id="E2",
    at=AT,
    kind=EndingKind.CRASHED,
    duration_ms=0,
    request=RequestFacts("192.0.2.7"),
    fault=FaultFacts(FaultCode.SERVER, ErrorCode.PROVIDER_FAILURE, "ID1", "WS-FLT-01"),
)
REFUSALS = Refusals(
    AT,
    AT.replace(second=0, microsecond=0),
    "192.0.2.9",
    (RefusalCount("1000", "WS-STD-01", 12), RefusalCount("HTTP 404", "", 3)),
    "junk.example",
    "c2" * 32,
    RefusalMark("E4", "ID4"),
    RefusalMark("E5", "ID5"),
)
CHANGE = Change(AT, "operator", "client", "ward-system", 7, '{"enabled":true}', '{"enabled":false}')
ACT = OperatorAct(AT, OperatorActKind.LOCKED, "user on machine", "jsmith", 10, "too many failures")
OFFICER = Officer("jsmith", "john", "smsp on host, at a terminal")
RANGES = (RecordRange("LANE-A", 2, 17), RecordRange("LANE-A", 20, 20), RecordRange("LANE-B", 1, 3))
PROPOSED = DeletionProposed(AT, "P1", OFFICER, "wrong subject", "order of a court", RANGES)
ERASURE = Erasure(AT, "P1", OFFICER, Officer("agrey", "ann", "desk"), "old", "retention", RANGES, "ab" * 32)
OPENING = Opening(AT, "W1", "host", 7, "0.1.0 a1b2c3", "cd" * 32, "ef" * 32, LanePlace("LANE-A", 9, "ab" * 32))
RECORDS: tuple[Record, ...] = (
    INTENT,
    replace(INTENT, author=None, request=RequestFacts("192.0.2.7")),
    ENDING,
    FAULT,
    Closure("E3", AT, "W1"),
    REFUSALS,
    replace(REFUSALS, address=None, common_name=None, certificate=None, first=None, last=None),
    Start(AT, "0.1.0", "sandbox", "ab" * 32, (("codes.toml", "cd" * 32),), '{"server":{}}'),
    CHANGE,
    replace(CHANGE, before=None),
    ACT,
    OperatorAct(AT, OperatorActKind.LOGIN_REFUSED, "somebody"),
    OperatorAct(AT, OperatorActKind.AUDIT_SEARCHED, "desk", "agrey", detail="audit search", nhs_number=NUMBER),
    PROPOSED,
    replace(PROPOSED, archive="cd" * 32),
    DeletionWithdrawn(AT, "P1", OFFICER),
    ERASURE,
    OPENING,
    replace(OPENING, previous=None),
    Closing(AT, "W1"),
    LaneEnded(AT, "W1", LanePlace("LANE-A", 9, "ab" * 32)),
)


@pytest.mark.rule("SMSP-AUDIT-004", "SMSP-AUDIT-006", "SMSP-AUDIT-008", "SMSP-AUDIT-009")
@pytest.mark.parametrize("record", RECORDS, ids=kind_of)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert decode(kind_of(record), encode(record)) == record


@pytest.mark.rule("SMSP-AUDIT-004")
def test_the_text_of_a_chain_holds_every_id_that_must_be_linked() -> None:
    text = encode(INTENT) + encode(ENDING)
    for linked in (
        *(REQUEST.message_id, REQUEST.tracking_id, "urn:nhs-uk:identity:ods:X99:ward", "unknown kind", "X99"),
        *("S1", "S2", "S3", "A1", "100", "200", "S0080:G0450:R5080", "200000000115", "R1"),
    ):
        assert f'"{linked}"' in text


@pytest.mark.rule("SMSP-AUDIT-011")
def test_a_moment_is_written_in_utc_and_says_so() -> None:
    summer = datetime(2026, 7, 1, 1, 0, tzinfo=timezone(timedelta(hours=1)))
    assert timestamp(summer) == "2026-07-01T00:00:00.000000Z"
    assert json.loads(encode(replace(INTENT, at=summer)))["at"] == "2026-07-01T00:00:00.000000Z"


@pytest.mark.rule("SMSP-AUDIT-011")
def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        timestamp(AT.replace(tzinfo=None))


@pytest.mark.parametrize("value", [AT, NUMBER], ids=["moment", "value object"])
def test_a_value_that_was_not_taken_apart_is_refused_in_place_of_being_written_in_a_form_of_its_own(
    value: object,
) -> None:
    marked = replace(REQUEST, repeated=value)  # type: ignore[arg-type]  # what a change of the code may forget
    with pytest.raises(TypeError):
        encode(replace(INTENT, request=marked))


def test_what_a_client_sent_cannot_make_a_record_large_or_unwritable() -> None:
    hostile = RequestFacts("192.0.2.7", username="x" * 70_000, action="\ud800\x00é", message_id="y" * MAX_TEXT)
    text = encode(replace(FAULT, request=hostile))
    assert len(text.encode("ascii")) < 3 * MAX_TEXT
    read = decode("ending", text)
    assert isinstance(read, Ending)
    assert read.request is not None
    assert read.request.username == "x" * MAX_TEXT + "[cut]"
    assert read.request.message_id == "y" * MAX_TEXT
    assert read.request.action == "\ud800\x00é"


@pytest.mark.rule("SMSP-AUDIT-001")
@given(st.text(st.characters(), max_size=40), st.text(st.characters(max_codepoint=0x7F), max_size=40))
@example("\ud800", "\x00\x1f\x7f")
def test_any_text_is_written_in_the_one_form_of_all_versions_and_comes_back(wide: str, narrow: str) -> None:
    for sent in (wide, narrow):
        record = replace(INTENT, request=RequestFacts("192.0.2.7", username=sent, audit_ids=(AuditId("1.2.3", sent),)))
        text = encode(record)
        assert text == json.dumps(json.loads(text), separators=(",", ":"))
        assert decode("intent", text) == record


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("intent", "not json"),
        ("intent", "[]"),
        ("intent", "{}"),
        ("other", encode(INTENT)),
        ("ending", encode(INTENT)),
        ("intent", encode(INTENT).replace("9434765919", "9434765918")),
        ("intent", encode(INTENT).replace('"200000000115"', "200000000115")),
        ("intent", encode(INTENT).replace('"author":["100",', '"author":[')),
        ("ending", encode(ENDING).replace('"spine":[[', '"spine":[["",')),
        ("ending", encode(ENDING).replace('"ms":210', '"ms":"210"')),
        ("change", encode(CHANGE).replace('"version":7', '"version":"7"')),
        ("change", encode(CHANGE).replace('"who"', '"whose"')),
        ("act", encode(ACT).replace('"locked"', '"unlocked"')),
        ("act", encode(ACT).replace('"attempts":10', '"attempts":"10"')),
        ("ending", encode(ENDING).replace('"spine":[', '"spine":[1,')),
        ("ending", encode(FAULT).replace('"fault":[', '"fault":["x",')),
        ("ending", encode(ENDING).replace('["S1","S2"]', '"S1"')),
    ],
    ids=range(17),
)
def test_anything_else_is_refused_without_being_quoted(kind: str, text: str) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        decode(kind, text)
    assert str(caught.value) == "not a record of this version"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.rule("IFC-LOG-02")
def test_a_record_does_not_show_what_it_holds() -> None:
    for record in (INTENT, ENDING, FAULT):
        assert repr(record) == f"<{type(record).__name__}>"
        assert "9434765919" not in f"{record} {record.request} {getattr(record, 'patient', '')}"


def explained() -> dict[tuple[str, ...], set[str]]:
    """The fields of each section, by what its head names."""
    sections = {}
    for section in PAGE.split("\n## ")[1:]:
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        sections[tuple(WORD.findall(section.splitlines()[0]))] = {
            name for row in rows for name in WORD.findall(row.split("|")[1])
        }
    return sections


def written() -> dict[str, set[str]]:
    """The fields of each kind, and of the parts that have sections of their own."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for record in RECORDS:
        fields = json.loads(encode(record))
        found[kind_of(record)].update(fields)
        for part in ("request", "patient"):
            found[part].update(fields.get(part, ()))
    return found


@pytest.mark.rule("SMSP-AUDIT-009")
def test_every_field_is_explained_and_no_other() -> None:
    fields = written()
    named = {name: section_fields for names, section_fields in explained().items() for name in names}
    assert set(named) == set(fields) == {*get_args(Kind), "request", "patient"}
    for names, section_fields in explained().items():
        assert section_fields == {field for name in names for field in fields[name]}, names


def test_the_words_of_acts_and_endings_are_those_of_the_code() -> None:
    for field, words in (("act", OperatorActKind), ("ending", EndingKind)):
        (row,) = re.findall(rf"^\| `{field}` \|.*$", PAGE, re.MULTILINE)
        assert {word.value for word in words} == set(WORD.findall(row)) - {field}
