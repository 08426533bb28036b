"""By what records of the audit trail can be found."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from smsp_provider.audit.deletion_events import DeletionProposed, Erasure, Officer
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
    RefusalMark,
    Refusals,
    RequestFacts,
    Source,
    Start,
)
from smsp_provider.audit.terms import Term, TermKind, term, terms_of
from smsp_provider.domain.audit_identity import AuditId, SpineAuthor
from smsp_provider.domain.faults import ErrorCode, FaultCode
from smsp_provider.domain.identifiers import ASID, OID, ODSCode
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import ExchangeIds

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NUMBER = NHSNumber("9434765919")
OTHER = NHSNumber("9434765870")
REQUEST = RequestFacts(
    "192.0.2.7",
    username="ward",
    common_name="ward.nhs.uk",
    client="ward-system",
    service=Service.GET_NHS_NUMBER,
    message_id="urn:uuid:0cc175b9-c0f1-b6a8-31c3-99e269772661",
    tracking_id="t-1",
    audit_ids=(
        AuditId(OID.ITK_IDENTITY, " urn:nhs-uk:identity:ods:x26:ward:jsmith "),
        AuditId(OID.USER, "100200300400"),
        AuditId(OID.ROLE_PROFILE, "500600700800"),
        AuditId("1.2.3", "something else"),
    ),
    ods_code=ODSCode("X26"),
    nhs_number=NUMBER,
)


def _found(record: object) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for kind, value in terms_of(record):  # type: ignore[arg-type] # any kind of record
        found.setdefault(kind.value, set()).add(value)
    return found


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-AUDIT-004")
def test_an_intent_is_found_by_all_that_it_tells_of_who_asked() -> None:
    intent = Intent("e-1", AT, REQUEST, ASID("200000000115"), SpineAuthor("555000111222", "999888777666", "S:G:R"))
    assert _found(intent) == {
        "kind": {"exchange"},
        "exchange": {"e-1"},
        "nhs": {NUMBER.digits},
        "message": {"0CC175B9-C0F1-B6A8-31C3-99E269772661", "t-1"},
        "client": {"ward-system", "ward", "ward.nhs.uk"},
        "organisation": {"X26"},
        "service": {"getnhsnumber-v1-0"},
        "identity": {"urn:nhs-uk:identity:ods:X26:ward:jsmith", "100200300400", "500600700800", "something else"},
        "user": {"ward:jsmith", "ward", "jsmith", "100200300400", "500600700800", "555000111222", "999888777666"},
    }


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-AUDIT-004")
def test_an_ending_is_found_by_its_outcome_and_by_every_message_with_spine() -> None:
    ending = Ending(
        "e-1",
        AT,
        EndingKind.ANSWERED,
        7,
        Source.SPINE,
        response_code=ResponseCode.SUPERSEDED,
        wire_code="DEMOG-0017",
        reply_message_id="uuid:1cc175b9-c0f1-b6a8-31c3-99e269772661",
        spine=(ExchangeIds("Q1", ("s-1", "s-2"), ("r-1",)), ExchangeIds("Q2", ("s-3",))),
        patient=PatientFacts(OTHER, superseded=True),
    )
    assert _found(ending) == {
        "kind": {"exchange"},
        "exchange": {"e-1"},
        "outcome": {"answered", "demog-0017", "superseded"},
        "message": {"1CC175B9-C0F1-B6A8-31C3-99E269772661", "s-1", "s-2", "s-3", "r-1"},
        "nhs": {OTHER.digits},
    }


@pytest.mark.rule("SMSP-AUDIT-007")
def test_a_fault_is_found_by_its_code_and_its_error_id() -> None:
    fault = FaultFacts(FaultCode.CLIENT, ErrorCode.ACCESS_DENIED, "2cc175b9-c0f1-b6a8-31c3-99e269772661", "WS-SEC-01")
    found = _found(Ending("e-1", AT, EndingKind.FAULT, 7, request=REQUEST, fault=fault))
    assert found["outcome"] == {"fault", "3000"}
    assert found["error"] == {"2CC175B9-C0F1-B6A8-31C3-99E269772661"}
    assert found["organisation"] == {"X26"}


@pytest.mark.rule("SMSP-AUDIT-007", "SMSP-AUDIT-008")
def test_other_records_are_found_by_who_did_it_and_whom_they_are_about() -> None:
    officer = Officer("agrey", "ann", "desk")
    act = OperatorAct(AT, OperatorActKind.AUDIT_SEARCHED, "desk", "agrey", nhs_number=NUMBER)
    assert _found(act) == {"kind": {"act", "audit-searched"}, "operator": {"agrey"}, "nhs": {NUMBER.digits}}
    change = Change(AT, "jsmith", "client", "ward-system", 3)
    assert _found(change) == {"kind": {"change"}, "operator": {"jsmith"}, "client": {"ward-system"}}
    assert _found(replace(change, what="operator")) == {"kind": {"change"}, "operator": {"jsmith"}}
    proposed = DeletionProposed(AT, "P1", officer, "reason", "basis", ())
    assert _found(proposed) == {"kind": {"deletion-proposed"}, "operator": {"agrey"}}
    erasure = Erasure(AT, "P1", officer, Officer("bblue", "bob", "desk"), "reason", "basis", ())
    assert _found(erasure) == {"kind": {"erasure"}, "operator": {"agrey", "bblue"}}
    refusals = Refusals(AT, AT, "192.0.2.7", (), "peer.nhs.uk", first=RefusalMark("e-1", "i-1"))
    assert _found(refusals) == {"kind": {"refusals"}, "client": {"peer.nhs.uk"}, "error": {"i-1"}}
    assert _found(Closure("e-1", AT, "w")) == {"kind": {"exchange"}, "exchange": {"e-1"}, "outcome": {"unknown"}}
    assert _found(Start(AT, "0.1.0", "test", "00" * 32)) == {"kind": {"start"}}


@pytest.mark.rule("SMSP-AUDIT-007")
@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (TermKind.NHS_NUMBER, NUMBER.digits, f" {NUMBER.digits[:3]} {NUMBER.digits[3:6]}-{NUMBER.digits[6:]}"),
        (TermKind.MESSAGE, "0CC175B9-C0F1-B6A8-31C3-99E269772661", "urn:uuid:0cc175b9-c0f1-b6a8-31c3-99e269772661"),
        (TermKind.ORGANISATION, "X26", " x26"),
        (TermKind.IDENTITY, "urn:nhs-uk:identity:ods:X26:jsmith", "URN:nhs-uk:identity:ODS:x26:jsmith"),
        (TermKind.OUTCOME, "SMSP-0000", "smsp-0000"),
    ],
    ids=lambda value: value.value if isinstance(value, TermKind) else "",
)
def test_the_same_thing_written_otherwise_is_the_same_term(kind: TermKind, one: str, other: str) -> None:
    assert term(kind, one) == term(kind, other)


def test_what_could_be_different_people_stays_different() -> None:
    assert term(TermKind.USER, "JSMITH") != term(TermKind.USER, "jsmith")
    assert term(TermKind.IDENTITY, "urn:nhs-uk:identity:ods:X26:A") != term(
        TermKind.IDENTITY, "urn:nhs-uk:identity:ods:X26:a"
    )
    assert term(TermKind.USER, "a") != Term(TermKind.CLIENT, "a")


def test_a_term_does_not_show_its_value() -> None:
    assert NUMBER.digits not in repr(term(TermKind.NHS_NUMBER, NUMBER.digits))
