"""What the audit trail keeps of a request: every item that the requirements name, filled by real requests over HTTP.

A provider with a registry, behind mutual TLS; a Spine that keeps the very messages of both directions. Each item of
:data:`ITEMS` is looked up in the records of each :data:`CASES` and compared with what was sent, what Spine saw, what
came back, or what is known of the caller: never with the provider's own words.
"""

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from e2e.world import Answer
from edge_endpoint import EventList
from itk_messages import Fields, Request, request_for
from reading_trail import openings_in, records_in
from security_demo import LAB, WARD, Demo, running_demo
from smsp_provider import __version__
from smsp_provider.audit.events import (
    Ending,
    EndingKind,
    Intent,
    Record,
    RefusalCount,
    RefusalMark,
    Refusals,
    RequestFacts,
    Source,
)
from smsp_provider.config.settings import load_settings
from smsp_provider.domain.audit_identity import AccessMethod, SpineAuthor
from smsp_provider.domain.identifiers import OID
from smsp_provider.domain.outcomes import Evidence, Repair
from smsp_provider.domain.service import Service
from smsp_provider.engine.system import SystemClock
from smsp_provider.simulator.pki import KeyPair
from smsp_provider.simulator.population import load_population
from smsp_provider.simulator.population.book import number
from smsp_provider.simulator.spine import Reply, Spine
from smsp_provider.wiring.audit import build_audit
from smsp_provider.wiring.provider import build_refusals

_ODS: Final = "urn:nhs-uk:identity:ods:A1001"
_ASID: Final = "200000000115"
_PROFILE, _USER, _ROLE = "555000000105", "555000000208", "S0080:G0450:R5080"
_SMARTCARD: Final = ((OID.ROLE_PROFILE, _PROFILE), (OID.USER, _USER), (OID.ROLE, _ROLE))
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_ERROR_ID: Final = re.compile(rb"ErrorID>([^<]+)<")
_GOOD_PERSON: Final = Fields(nhs_number=number(3), date_of_birth="19791103")


@dataclass
class _Keeping(Spine):
    """A Spine that keeps the messages of both directions."""

    asked: list[bytes] = field(default_factory=list)
    answered: list[bytes] = field(default_factory=list)

    def answer(self, body: bytes, soap_action: str | None) -> Reply:
        self.asked.append(body)
        reply = super().answer(body, soap_action)
        self.answered.append(reply.body)
        return reply


@dataclass(frozen=True)
class Case:
    """A request, how it was answered, what Spine saw of it, and what is on record."""

    sent: Request
    keys: KeyPair
    began: datetime
    ended: datetime
    answer: Answer
    asked: Sequence[bytes]
    answered: Sequence[bytes]
    intent: Intent | None
    ending: Ending

    @property
    def request(self) -> RequestFacts:
        """What is kept of the request: in the intent where there is one, else in the ending."""
        found = self.ending.request if self.intent is None else self.intent.request
        assert found is not None
        assert (self.intent is None) == (self.ending.request is not None)
        return found


@dataclass
class World:
    """The provider, its Spine and its trail."""

    demo: Demo
    spine: _Keeping

    def send(self, keys: KeyPair, **changes: Any) -> Answer:
        """Send a request and say nothing of what is kept."""
        return self.demo.send(self.request(**changes), keys)

    @staticmethod
    def request(**changes: Any) -> Request:
        made = request_for(changes.pop("service", Service.VERIFY_NHS_NUMBER), now=datetime.now(UTC))
        plain = {
            "username": WARD,
            "message_id": str(uuid.uuid4()).upper(),
            "tracking_id": str(uuid.uuid4()).upper(),
            "audit_ids": ((None, _ODS),),
            "sender_address": "urn:nhs-uk:addressing:ods:A1001:the-ward-system",
            "wsa_from": "https://ward.example.nhs.uk/client",
            "fields": _GOOD_PERSON,
        }
        return replace(made, **{**plain, **changes})

    def ask(self, **changes: Any) -> Case:
        """Send a request and read back what is kept of it."""
        keys = changes.pop("keys", None) or self.demo.pki.client(WARD)
        sent = self.request(**changes)
        asked, answered = len(self.spine.asked), len(self.spine.answered)
        began = datetime.now(UTC)
        answer = self.demo.send(sent, keys)
        ended = datetime.now(UTC)
        records = self.records()
        (ending,) = [
            record
            for record in records
            if isinstance(record, Ending) and record.reply_message_id == answer.message_id and answer.message_id
        ]
        intents = [
            record for record in records if isinstance(record, Intent) and record.exchange_id == ending.exchange_id
        ]
        assert len(intents) < 2
        return Case(
            sent,
            keys,
            began,
            ended,
            answer,
            self.spine.asked[asked:],
            self.spine.answered[answered:],
            intents[0] if intents else None,
            ending,
        )

    def records(self) -> list[Record]:
        return list(records_in(load_settings(self.demo.settings)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_demo(tmp_path_factory.mktemp("recorded")) as demo:
        inner = demo.spine.spine
        keeping = _Keeping(inner.store, inner.faults, inner.clock, inner.wait)
        demo.spine.spine = keeping
        load_population(keeping.store)
        everything = [f"--service={service.value.removesuffix('-v1-0')}" for service in Service]
        methods = [f"--access-method={method}" for method in (1, 2, 3, 5)]
        demo.client("set", WARD, *everything, *methods, "--rate=0", "--burst=0")
        assert demo.ask(LAB) == "SMSP-0000"
        made = World(demo, keeping)
        _wait_until_in_force(made)
        yield made


def _wait_until_in_force(world: World) -> None:
    """Every worker has the change by then: 5 seconds are promised, and each of the two workers is met by chance."""
    give_up = datetime.now(UTC) + timedelta(seconds=60)
    in_a_row = 0
    while in_a_row < 12:
        answer = world.send(world.demo.pki.client(WARD), audit_ids=((None, _ODS), *_SMARTCARD))
        in_a_row = in_a_row + 1 if answer.code == "SMSP-0000" else 0
        assert datetime.now(UTC) < give_up, answer


CASES: Final[dict[str, dict[str, Any]]] = {
    "method 1, verified": {},
    "method 2, verified": {"audit_ids": ((None, f"{_ODS}:ward-9:nurse-17"),)},
    "method 3, verified": {"audit_ids": ((None, _ODS), *_SMARTCARD)},
    "method 5, verified": {"audit_ids": ((None, _ODS), (OID.ASID, _ASID))},
    "an unknown kind of id beside": {"audit_ids": ((None, _ODS), ("1.2.3.4", "whatever it is"))},
    "details, one of two addresses": {
        "service": Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER,
        "fields": Fields(nhs_number=number(502), date_of_birth="19621122"),
    },
    "details by a search": {
        "service": Service.GET_PATIENT_DETAILS_BY_SEARCH,
        "fields": Fields(date_of_birth="19621122", gender="2", family="BEETHAMLEY", given="THOMASINA"),
        "audit_ids": ((None, _ODS), *_SMARTCARD),
    },
    "verified against another name": {"fields": replace(_GOOD_PERSON, family="Quillfeather", given="Orla")},
    "not verified": {"fields": replace(_GOOD_PERSON, date_of_birth="19500101")},
    "a superseded number": {
        "service": Service.GET_PATIENT_DETAILS_BY_NHS_NUMBER,
        "fields": Fields(nhs_number=number(201), date_of_birth="19640911"),
    },
    "a sensitive record": {"fields": Fields(nhs_number=number(301), date_of_birth="19800505")},
    "nobody found": {
        "service": Service.GET_NHS_NUMBER,
        "fields": Fields(date_of_birth="19500101", gender="1", family="NOBODYHERE", given="ATALL"),
    },
    "a fault of Spine, met again and again": {"fields": Fields(nhs_number=number(817), date_of_birth="19270601")},
    "a refusal of Spine": {"fields": Fields(nhs_number=number(819), date_of_birth="19290601")},
    "an answer that is no answer": {"fields": Fields(nhs_number=number(815), date_of_birth="19250601")},
    "an invalid field": {"fields": replace(_GOOD_PERSON, date_of_birth="20991231")},
    "a smartcard without its role": {"audit_ids": ((None, _ODS), *_SMARTCARD[:2])},
    "another organisation's name": {"audit_ids": ((None, "urn:nhs-uk:identity:ods:B2002"),)},
    "a payload of another service": {"header_service": "urn:nhs-itk:services:201005:getNHSNumber-v1-0"},
}
"""At least one for each access method and for each way a request can end."""

ASKED_SPINE: Final = frozenset(list(CASES)[:15])
FAULTS: Final = {"another organisation's name": "3000", "a payload of another service": "1000"}
CODES: Final = {
    "not verified": "DEMOG-0040",
    "a superseded number": "DEMOG-0017",
    "nobody found": "DEMOG-0001",
    "a fault of Spine, met again and again": "SMSP-0004",
    "a refusal of Spine": "SMSP-9999",
    "an answer that is no answer": "SMSP-0002",
    "an invalid field": "SMSP-0001",
    "a smartcard without its role": "SMSP-0005",
}


def _fingerprint(keys: KeyPair) -> str:
    certificate = x509.load_pem_x509_certificate(keys.certificate.read_bytes())
    return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _audit_ids(case: Case) -> list[tuple[str, str]]:
    return [(kind or OID.ITK_IDENTITY, uri or "") for kind, uri in case.sent.audit_ids or ()]


def _told_on_the_wire(case: Case) -> list[list[str]]:
    """Of each message that Spine saw: the ASID of author1, and the ids of the person where there is one."""
    found = []
    for message in case.asked:
        text = message.decode()
        told = re.findall(r"<author1 .*?extension=\"(\d+)\"", text)
        person = re.search(r"<author typeCode=.*?</author>", text)
        told += [] if person is None else re.findall(r'extension="([^"]+)"', person[0])
        found.append(told)
    return found


def _ids_on_the_wire(messages: Sequence[bytes]) -> list[str]:
    """SOAP and HL7 id of each message, in its order; of what is no message, none."""
    found: list[str] = []
    for message in messages:
        try:
            root = etree.fromstring(message)
        except etree.XMLSyntaxError:
            continue
        found += [str(text) for text in root.xpath("/*/*[local-name()='Header']/*[local-name()='MessageID']/text()")]
        found += [str(text) for text in root.xpath("//*[contains(local-name(), '_IN')]/*[local-name()='id']/@root")]
    return found


def _methods(case: Case) -> tuple[AccessMethod | None, bool]:
    kinds = {kind for kind, _ in _audit_ids(case)}
    if OID.ROLE_PROFILE in kinds:
        return (AccessMethod.SMARTCARD if OID.ROLE in kinds else None), False
    attended = any(uri.removeprefix(_ODS) for kind, uri in _audit_ids(case) if kind == OID.ITK_IDENTITY)
    is_ours = any(uri.startswith(_ODS) for _, uri in _audit_ids(case))
    return (AccessMethod.ATTENDED if attended and is_ours else AccessMethod.UNATTENDED), OID.ASID in kinds


@dataclass(frozen=True)
class Item:
    """One item that the requirements want kept: what is on record, and what it has to be."""

    rule: str
    name: str
    kept: Callable[[Case], object]
    wanted: Callable[[Case], object]
    only: Callable[[str], bool] = lambda _: True


def _was_asked(name: str) -> bool:
    return name in ASKED_SPINE


def _by_number(name: str) -> bool:
    return "search" not in name and name not in ("nobody found", "an invalid field", "a payload of another service")


ITEMS: Final = (
    Item("SMSP-AUDIT-004", "incoming message id", lambda c: c.request.message_id, lambda c: c.sent.message_id),
    Item("SMSP-AUDIT-004", "tracking id", lambda c: c.request.tracking_id, lambda c: c.sent.tracking_id),
    Item(
        "SMSP-AUDIT-004",
        "every id of the audit identity",
        lambda c: [(item.type, item.uri) for item in c.request.audit_ids],
        _audit_ids,
    ),
    Item(
        "SMSP-AUDIT-004",
        "Spine message ids sent, of every exchange and attempt",
        lambda c: [identifier for ids in c.ending.spine for identifier in ids.sent],
        lambda c: _ids_on_the_wire(c.asked),
    ),
    Item(
        "SMSP-AUDIT-004",
        "Spine message ids received",
        lambda c: [identifier for ids in c.ending.spine for identifier in ids.received],
        lambda c: _ids_on_the_wire(c.answered),
        lambda name: name != "a fault of Spine, met again and again",
    ),
    Item(
        "SMSP-AUDIT-004",
        "user, role profile, role and ASID sent to Spine, in each query",
        lambda c: [list(ids.told) for ids in c.ending.spine],
        lambda c: _told_on_the_wire(c)[: len(c.ending.spine)],
    ),
    Item(
        "SMSP-AUDIT-003",
        "the person of a smartcard in the intent",
        lambda c: c.intent and c.intent.author,
        lambda c: SpineAuthor(_PROFILE, _USER, _ROLE) if (OID.ROLE_PROFILE, _PROFILE) in _audit_ids(c) else None,
        _was_asked,
    ),
    Item("SMSP-IG-003", "ASID in the intent", lambda c: c.intent and c.intent.asid.value, lambda _: _ASID, _was_asked),
    Item(
        "SMSP-AUDIT-006",
        "source of the answer",
        lambda c: c.ending.source,
        lambda c: Source.SPINE if c.asked else Source.NONE,
    ),
    Item(
        "SMSP-AUDIT-006",
        "which way to PDS, and which host",
        lambda c: {ids.upstream.rpartition(":")[0] for ids in c.ending.spine},
        lambda c: {"hl7v3 127.0.0.1"} if c.asked else set(),
    ),
    Item("SMSP-AUDIT-009", "calling system", lambda c: c.request.client, lambda _: WARD),
    Item("SMSP-AUDIT-009", "its username", lambda c: c.request.username, lambda c: c.sent.username),
    Item(
        "SMSP-AUDIT-009",
        "its certificate",
        lambda c: (c.request.certificate, c.request.common_name),
        lambda c: (_fingerprint(c.keys), WARD),
    ),
    Item("SMSP-AUDIT-009", "its network address", lambda c: c.request.address, lambda _: "127.0.0.1"),
    Item(
        "SMSP-AUDIT-009",
        "originating system",
        lambda c: (c.request.from_address, c.request.sender_address),
        lambda c: (c.sent.wsa_from, c.sent.sender_address),
        lambda name: name != "a payload of another service",
    ),
    Item("SMSP-AUDIT-009", "service", lambda c: c.request.service, lambda c: c.sent.service),
    Item("SMSP-AUDIT-009", "action", lambda c: c.request.action, lambda c: c.sent.default_action),
    Item(
        "SMSP-AUDIT-009",
        "access method, and whether an ASID was named",
        lambda c: (c.request.method, c.request.names_asid),
        _methods,
        lambda name: name != "a payload of another service",
    ),
    Item(
        "SMSP-AUDIT-009",
        "organisation",
        lambda c: c.request.ods_code and c.request.ods_code.code,
        lambda c: _audit_ids(c)[0][1].split(":")[4],
    ),
    Item(
        "SMSP-AUDIT-009",
        "patient asked for",
        lambda c: c.request.nhs_number and c.request.nhs_number.digits,
        lambda c: c.sent.fields and c.sent.fields.nhs_number,
        _by_number,
    ),
    Item(
        "SMSP-AUDIT-009",
        "patient of the answer",
        lambda c: c.ending.patient.nhs_number and c.ending.patient.nhs_number.digits,
        lambda c: c.answer.numbers[0] if c.answer.numbers else None,
    ),
    Item(
        "SMSP-AUDIT-009",
        "moment, in UTC",
        lambda c: [
            record.at.utcoffset() == timedelta(0) and c.began <= record.at <= c.ended
            for record in (c.intent or c.ending, c.ending)
        ],
        lambda _: [True, True],
    ),
    Item(
        "SMSP-AUDIT-009",
        "duration",
        lambda c: 0 <= c.ending.duration_ms <= (c.ended - c.began) / timedelta(milliseconds=1) + 1,
        lambda _: True,
    ),
    Item("SMSP-AUDIT-009", "outcome on the wire", lambda c: c.ending.wire_code, lambda c: c.answer.code),
    Item(
        "SMSP-AUDIT-009",
        "fault with its ErrorID",
        lambda c: (
            None if c.ending.fault is None else (c.ending.fault.error_code.value, c.ending.fault.error_id.encode())
        ),
        lambda c: None if c.answer.fault is None else (c.answer.fault, _ERROR_ID.findall(c.answer.body)[0]),
    ),
    Item(
        "SMSP-PERF-002",
        "service and client with each ending",
        lambda c: (c.ending.request or c.ending).service and (c.ending.request or c.ending).client,
        lambda _: WARD,
    ),
)


@pytest.fixture(scope="module")
def cases(world: World) -> dict[str, Case]:
    return {name: world.ask(**changes) for name, changes in CASES.items()}


@pytest.mark.rule("SMSP-AUDIT-003", "SMSP-AUDIT-004", "SMSP-AUDIT-006", "SMSP-AUDIT-009", "SMSP-IG-003")
def test_what_has_to_be_kept_is_kept_of_each_request(cases: dict[str, Case]) -> None:
    # One test for all items: a parallel run would start the world once more for a part of them.
    wrong: dict[tuple[str, str], tuple[object, object]] = {}
    for item in ITEMS:
        kept = {name: item.kept(case) for name, case in cases.items() if item.only(name)}
        wanted = {name: item.wanted(case) for name, case in cases.items() if item.only(name)}
        assert any(kept.values()), f"{item.name}: nothing would be compared with nothing"
        wrong |= {(item.name, name): (kept[name], wanted[name]) for name in kept if kept[name] != wanted[name]}
    assert wrong == {}


def test_every_requirement_that_is_marked_here_has_an_item() -> None:
    marked = {"SMSP-AUDIT-003", "SMSP-AUDIT-004", "SMSP-AUDIT-006", "SMSP-AUDIT-009", "SMSP-IG-003"}
    assert {item.rule for item in ITEMS} >= marked


def test_the_cases_end_as_they_are_meant_to(cases: dict[str, Case]) -> None:
    said = {name: case.answer.code or case.answer.fault for name, case in cases.items()}
    assert said == {name: FAULTS.get(name) or CODES.get(name, "SMSP-0000") for name in CASES}
    assert {name for name, case in cases.items() if case.asked} == ASKED_SPINE


@pytest.mark.rule("SMSP-ERR-006")
def test_repairs_and_truncations_are_on_record(cases: dict[str, Case]) -> None:
    for name in ("details, one of two addresses", "details by a search"):
        assert cases[name].ending.patient.repairs == (
            Repair("addr H", "several current addresses, first taken", truncation=True),
        )
    assert cases["method 1, verified"].ending.patient.repairs == ()


def test_how_sure_the_answer_is_and_about_whom_is_on_record(cases: dict[str, Case]) -> None:
    patients = {name: case.ending.patient for name, case in cases.items()}
    assert patients["method 1, verified"].evidence is Evidence.DATE_OF_BIRTH
    assert patients["details by a search"].evidence is Evidence.TRACE
    contradicted = {name for name, patient in patients.items() if patient.name_contradiction}
    assert contradicted == {"verified against another name"}
    assert {name for name, patient in patients.items() if patient.superseded} == {"a superseded number"}
    assert {name for name, patient in patients.items() if patient.sensitive} == {"a sensitive record"}


@pytest.mark.rule("SMSP-AUDIT-008")
def test_as_what_the_provider_answered_stands_in_the_opening_of_the_lane(world: World) -> None:
    openings = openings_in(load_settings(world.demo.settings))
    assert len(openings) > 2, "the workers, and the commands that changed the registry"
    assert all(opening.build.startswith(f"{__version__}+") for opening in openings)
    assert all(_DIGEST.fullmatch(opening.rules) and _DIGEST.fullmatch(opening.configuration) for opening in openings)
    assert len({(opening.rules, opening.configuration) for opening in openings}) == 1


class _InAMinute(SystemClock):
    def now(self) -> datetime:
        return super().now() + timedelta(minutes=1)


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-009")
def test_who_is_nobodys_client_is_on_record_once_and_then_counted(world: World) -> None:
    stranger = world.demo.pki.client("stranger")
    fingerprint = _fingerprint(stranger)
    error_ids = []
    for number_of_times in range(4):
        answer = world.send(stranger, message_id="no uuid" if number_of_times == 2 else str(uuid.uuid4()).upper())
        error_ids.append(_ERROR_ID.findall(answer.body)[0].decode())
    assert world.demo.get("/elsewhere", stranger) == 404
    settings = load_settings(world.demo.settings)
    audit = build_audit(settings, SystemClock())
    build_refusals(settings, _InAMinute(), EventList(), audit).run()
    audit.close_session()
    records = world.records()
    endings = [
        record
        for record in records
        if isinstance(record, Ending) and record.request is not None and record.request.certificate == fingerprint
    ]
    counted = [record for record in records if isinstance(record, Refusals) and record.certificate == fingerprint]
    assert {record.kind for record in endings} == {EndingKind.REFUSED}
    assert {record.address for record in counted} == {"127.0.0.1"}
    assert {record.common_name for record in counted} == {"stranger"}
    faults = [record.fault.error_id for record in endings if record.fault is not None]
    assert len(faults) in (1, 2), "the minute may have ended in between"
    assert faults == [identifier for identifier in error_ids if identifier in faults]
    assert sum(count.times for record in counted for count in record.counts) == 5 - len(faults)
    assert RefusalCount("HTTP 404", "", 1) in counted[-1].counts
    if len(faults) == 1:
        (one,) = counted
        assert {(count.code, count.rule): count.times for count in one.counts} == {
            ("3000", "WS-SEC-08"): 2,
            ("1000", "WS-ADR-01"): 1,
            ("HTTP 404", ""): 1,
        }
        assert isinstance(one.first, RefusalMark)
        assert isinstance(one.last, RefusalMark)
        assert (one.first.error_id, one.last.error_id) == (error_ids[1], error_ids[3])
    log = (world.demo.settings.parent / "provider.log").read_text()
    assert all(f'"error_id":"{identifier}"' in log for identifier in error_ids), "each alone is found in the log"
