"""Every row of "When Spine does not answer well" (pds-services.md), over mutual TLS, with its trace in the audit trail.

Each case asserts the answer, that it came within the deadline, what the audit trail says about it (reason, ids of every
message that reached Spine, intent before the query), which alert was raised, that the log holds nothing of a patient,
and that the next request gets its own answer.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from lxml import etree

from e2e.lies import ASKED, NEIGHBOUR, SHAPES, STRANGER, Shape
from e2e.world import CROSS_CHECK, RETRIEVAL, TRACE, Answer, ProviderUnderTest, World, make_world
from edge_process import until
from itk_messages import Fields
from smsp_provider.audit.events import Closure, EndingKind, Intent, Source
from smsp_provider.domain.service import Service
from smsp_provider.engine import asking, pipeline, stages
from smsp_provider.engine.system import RandomIds
from smsp_provider.simulator.answers import AnswerContext
from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.pki import make_pki
from smsp_provider.simulator.spine import Reply

DEADLINES = (0.7, 5.0, 40.0)
"""Seconds; the next one is tried where a machine that has other things to do took all of one before Spine was asked."""
NEVER = 120.0
"""Seconds that nobody waits for."""

VERIFY, DETAILS_BY_NUMBER, DETAILS_BY_SEARCH = SHAPES[0], SHAPES[2], SHAPES[3]
PLACES = [
    pytest.param(VERIFY, CROSS_CHECK, id="cross-check"),
    pytest.param(DETAILS_BY_SEARCH, TRACE, id="trace"),
    pytest.param(DETAILS_BY_NUMBER, RETRIEVAL, id="retrieval"),
]

REFUSED_US = "spine-refused-our-message"
GATE = "answer-refused-by-gate"
UNMAPPED = "unmapped-pds-code"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with make_world(folder, ASKED, NEIGHBOUR, STRANGER) as made:
        # The audit trail exists and a connection is open before anything is made to fail.
        made.ask(VERIFY.service, VERIFY.fields(ASKED))
        yield made


@pytest.fixture
def world(running: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[World]:
    caplog.set_level("DEBUG")
    running.new_log()
    yield running
    running.calm()
    printed = capfd.readouterr()
    written = running.everything_logged().decode() + caplog.text + printed.out + printed.err
    for patient in (ASKED, NEIGHBOUR, STRANGER):
        name = patient.names[0]
        values = (patient.nhs_number, patient.birth_time, patient.deceased_time, name.family, *name.given)
        assert not [value for value in values if value and value in written], "a log holds something of a patient"


@dataclass(frozen=True)
class Row:
    """What Spine does, and what must come of it. ``sends`` is how often each query leaves at most."""

    fault: Fault
    said: str
    reason: str
    alert: str | None = None
    sends: int = 1
    closes: bool = False

    @property
    def takes_all_the_time(self) -> bool:
        """Whether it is over only with the deadline."""
        return self.fault.kind in (FaultKind.DELAY, FaultKind.LATE)


def _fault(kind: FaultKind, **fields: object) -> Fault:
    return Fault.from_mapping({"kind": kind.value, **fields})


ROWS = {
    "drop after reading": Row(_fault(FaultKind.DROP_AFTER_READING), "SMSP-0004", "connection", sends=2, closes=True),
    "cut": Row(_fault(FaultKind.CUT), "SMSP-0004", "connection broke before a whole answer", closes=True),
    "delay": Row(_fault(FaultKind.DELAY, seconds=NEVER), "SMSP-0004", "no whole answer came in time", closes=True),
    "late": Row(_fault(FaultKind.LATE), "SMSP-0004", "no whole answer came in time", closes=True),
    "HTTP 500": Row(_fault(FaultKind.HTTP_STATUS, status=500), "SMSP-0004", "HTTP status 500 without"),
    "HTTP 503": Row(_fault(FaultKind.HTTP_STATUS, status=503), "SMSP-0004", "HTTP status 503 without"),
    "HTML 502": Row(_fault(FaultKind.HTML, status=502), "SMSP-0004", "HTTP status 502 without"),
    "HTTP 404": Row(_fault(FaultKind.HTTP_STATUS, status=404), "SMSP-9999", "HTTP status 404", REFUSED_US),
    "HTTP 403": Row(_fault(FaultKind.HTTP_STATUS, status=403), "SMSP-9999", "HTTP status 403", REFUSED_US),
    "HTTP 302": Row(_fault(FaultKind.HTTP_STATUS, status=302), "SMSP-9999", "HTTP status 302", REFUSED_US),
    "HTML 404": Row(_fault(FaultKind.HTML, status=404), "SMSP-9999", "HTTP status 404", REFUSED_US),
    "HTML 200": Row(_fault(FaultKind.HTML), "SMSP-0002", "answer cannot be read|not a SOAP 1.1 envelope"),
    "truncated XML": Row(_fault(FaultKind.TRUNCATED_XML), "SMSP-0002", "answer cannot be read"),
    "wrong charset": Row(_fault(FaultKind.WRONG_CHARSET), "SMSP-0002", "answer cannot be read"),
    "wrong interaction": Row(_fault(FaultKind.WRONG_INTERACTION), "SMSP-0002", "another interaction"),
    "uncorrelated": Row(_fault(FaultKind.UNCORRELATED), "SMSP-0002", "W1: ", GATE, closes=True),
    "acknowledgement AR": Row(_fault(FaultKind.REJECTION), "SMSP-9999", "acknowledgement AR", REFUSED_US),
    "AE unmapped": Row(_fault(FaultKind.GENERAL_REFUSAL), "DEMOG-9999", "PDS declined: GE002", UNMAPPED),
    "fault 200": Row(_fault(FaultKind.SOAP_FAULT, codes=["200"]), "SMSP-0004", "SOAP fault", sends=3),
    "fault 206": Row(_fault(FaultKind.SOAP_FAULT, codes=["206"]), "SMSP-0004", "SOAP fault", sends=3),
    "fault 208": Row(_fault(FaultKind.SOAP_FAULT, codes=["208"]), "SMSP-0004", "SOAP fault", sends=3),
    "fault 200 and 208": Row(_fault(FaultKind.SOAP_FAULT, codes=["200", "208"]), "SMSP-0004", "SOAP fault", sends=3),
    "fault 101": Row(_fault(FaultKind.SOAP_FAULT, codes=["101"]), "SMSP-9999", "SOAP fault", REFUSED_US),
    "fault 201": Row(_fault(FaultKind.SOAP_FAULT, codes=["201"]), "SMSP-9999", "SOAP fault", REFUSED_US),
    "fault 300": Row(_fault(FaultKind.SOAP_FAULT, codes=["300"]), "SMSP-9999", "SOAP fault", REFUSED_US),
    "fault mixed": Row(_fault(FaultKind.SOAP_FAULT, codes=["200", "300"]), "SMSP-9999", "SOAP fault", REFUSED_US),
    "fault unknown": Row(_fault(FaultKind.SOAP_FAULT, codes=["X9"]), "SMSP-9999", "SOAP fault", REFUSED_US),
}


@pytest.mark.rule("SMSP-ERR-001", "SMSP-ERR-006", "SMSP-AUDIT-004", "SMSP-AUDIT-006", "SMSP-AUDIT-008", "WS-REL-02")
@pytest.mark.parametrize(("shape", "interaction"), PLACES)
@pytest.mark.parametrize("name", ROWS)
def test_a_failure_is_answered_by_the_table_within_the_deadline_and_on_record(
    world: World, name: str, shape: Shape, interaction: str
) -> None:
    row = ROWS[name]
    if not row.takes_all_the_time:
        assert _goes_as(row, world, world, shape, interaction)
        return
    for deadline in DEADLINES:
        late = row if row.fault.seconds == NEVER else replace(row, fault=replace(row.fault, seconds=deadline + 0.3))
        with world.another_provider(limits={"request_seconds": deadline}) as hurried:
            # Its audit trail exists before anything is made to fail.
            hurried.ask(VERIFY.service, VERIFY.fields(ASKED))
            hurried.new_log()
            if _goes_as(late, world, hurried, shape, interaction):
                return
        world.calm()
    pytest.fail("the machine is too slow to tell")


def _goes_as(row: Row, world: World, asked: ProviderUnderTest, shape: Shape, interaction: str) -> bool:
    """Checks what comes of a row; False where a deadline was over before Spine was asked, which says nothing."""
    world.spine.faults.every(1, replace(row.fault, interaction=interaction))
    before = world.calls()
    answer = asked.ask(shape.service, shape.fields(ASKED))
    received = world.spine.received[before:]
    reached = len(received) - shape.interactions.index(interaction)
    if row.takes_all_the_time and reached < 1:
        return False
    assert answer.said == row.said
    assert answer.status == 200
    assert answer.is_bare
    assert answer.seconds < NEVER
    sent = _on_record(asked, answer, row.reason)
    assert sent == list(dict.fromkeys(received)), "the audit names every message that Spine received"
    assert 1 <= reached <= row.sends
    assert _alerts(asked) == ([row.alert] if row.alert else [])
    connections = world.spine.connections
    world.calm()
    following = asked.ask(DETAILS_BY_NUMBER.service, DETAILS_BY_NUMBER.fields(NEIGHBOUR))
    if row.takes_all_the_time and following.said == "SMSP-0004":
        return False
    _is_right(following)
    assert world.spine.connections == connections + 1 or not row.closes, "what went wrong on it ended the connection"
    return True


def _on_record(asked: ProviderUnderTest, answer: Answer, reason: str) -> list[str]:
    """Checks the audit of an answer that Spine was asked for; returns the message ids that it says were sent."""
    ending = asked.ending_of(answer)
    intent = asked.intent_of(ending)
    assert intent is not None, "the intent stands before the ending"
    assert intent.at <= ending.at
    assert ending.kind is EndingKind.ANSWERED
    assert ending.source is Source.SPINE
    assert ending.wire_code == answer.code
    assert re.search(reason, ending.reason), ending.reason
    assert ending.patient.nhs_number is None
    facts = intent.request
    assert (facts.message_id or "").upper() == (answer.relates_to or "").upper()
    assert [identity.uri for identity in facts.audit_ids] == ["urn:nhs-uk:identity:ods:X26"]
    assert intent.asid.value == "200000000205"
    return [soap_id for exchange in ending.spine for soap_id in exchange.sent[::2]]


def _alerts(asked: ProviderUnderTest) -> list[str]:
    lines = [json.loads(line) for line in asked.new_log().splitlines()]
    return [line["kind"] for line in lines if line["event"] == "alert"]


def _next_is_right(world: World) -> None:
    """A request right after it, for somebody else, gets what it asked for."""
    world.calm()
    _is_right(world.ask(DETAILS_BY_NUMBER.service, DETAILS_BY_NUMBER.fields(NEIGHBOUR)))


def _is_right(answer: Answer) -> None:
    assert (answer.code, answer.numbers) == ("SMSP-0000", (NEIGHBOUR.nhs_number,))
    assert answer.families == (NEIGHBOUR.names[0].family,)
    assert answer.birth == NEIGHBOUR.birth_time


# --- what PDS itself says ---------------------------------------------------------------------------------------------

PDS_CODES = {
    "1": "DEMOG-0001",
    "7": "DEMOG-0007",
    "2": "DEMOG-0007",
    "22": "DEMOG-0022",
    "40": "DEMOG-0040",
    "42": "DEMOG-0042",
    "0": "SMSP-0001",
    "AT001": "SMSP-0001",
    "ST004": "DEMOG-0001",
    "NHSNCC002": "DEMOG-0001",
    "99": "DEMOG-9999",
    "XYZ": "DEMOG-9999",
}


@pytest.mark.rule("SMSP-ERR-002", "SMSP-ERR-004", "SMSP-ERR-005", "SMSP-CONF-001")
@pytest.mark.parametrize("kind", [FaultKind.REFUSAL, FaultKind.GENERAL_REFUSAL])
@pytest.mark.parametrize("code", PDS_CODES)
@pytest.mark.parametrize(("shape", "interaction"), PLACES[:2])
def test_a_reason_of_pds_becomes_its_response_code(
    world: World, shape: Shape, interaction: str, code: str, kind: FaultKind
) -> None:
    world.spine.faults.once(_fault(kind, codes=[code], interaction=interaction))
    answer = world.ask(shape.service, shape.fields(ASKED))
    assert answer.said == PDS_CODES[code]
    assert answer.is_bare
    _on_record(world, answer, f"PDS declined: {code}")
    assert _alerts(world) == ([UNMAPPED] if PDS_CODES[code] == "DEMOG-9999" else [])


@pytest.mark.rule("SMSP-ERR-004", "SMSP-ERR-005")
@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        ("1", "SMSP-0002", "a number PDS knew is not known to its retrieval"),
        ("17", "DEMOG-0040", "the replacing record cannot be learnt"),
        ("44", "DEMOG-0040", "the replacing record cannot be learnt"),
        ("22", "DEMOG-0022", "PDS declined: 22"),
        ("99", "DEMOG-9999", "PDS declined: 99"),
    ],
)
def test_a_retrieval_that_declines_what_the_check_knew_gives_nothing_out(
    world: World, code: str, said: str, reason: str
) -> None:
    world.spine.faults.once(_fault(FaultKind.REFUSAL, codes=[code], interaction=RETRIEVAL))
    answer = world.ask(DETAILS_BY_NUMBER.service, DETAILS_BY_NUMBER.fields(ASKED))
    assert answer.said == said
    assert answer.is_bare
    assert len(_on_record(world, answer, reason)) == 2


@pytest.mark.rule("SMSP-ERR-005")
def test_a_trace_that_says_superseded_is_unusable(world: World) -> None:
    world.spine.faults.once(_fault(FaultKind.REFUSAL, codes=["17"], interaction=TRACE))
    answer = world.ask(DETAILS_BY_SEARCH.service, DETAILS_BY_SEARCH.fields(ASKED))
    assert answer.said == "SMSP-0002"
    assert answer.is_bare
    _on_record(world, answer, "W11: ")
    assert _alerts(world) == [GATE]


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.rule("WS-REL-02", "SMSP-ERR-006")
def test_a_connection_that_is_reset_before_it_is_read_is_no_answer(world: World) -> None:
    world.spine.faults.every(1, _fault(FaultKind.DROP_BEFORE_READING))
    before = world.calls()
    answer = world.ask(VERIFY.service, VERIFY.fields(ASKED))
    assert (answer.said, world.calls()) == ("SMSP-0004", before)
    assert answer.is_bare
    _on_record(world, answer, "connection")
    _next_is_right(world)


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE_READING, FaultKind.DROP_AFTER_READING])
def test_a_kept_connection_that_died_is_replaced_once_and_the_same_message_answered(
    world: World, kind: FaultKind
) -> None:
    _next_is_right(world)
    world.new_log()
    before, connections = world.calls(), world.spine.connections
    world.spine.faults.once(_fault(kind))
    answer = world.ask(VERIFY.service, VERIFY.fields(ASKED))
    assert (answer.said, answer.numbers) == ("SMSP-0000", (ASKED.nhs_number,))
    assert world.spine.connections == connections + 1
    assert len(set(world.spine.received[before:])) == 1, "the same message, so that the audit names it"


def test_a_second_copy_of_an_answer_is_never_taken_for_the_answer_to_the_next_request(world: World) -> None:
    world.spine.faults.every(1, _fault(FaultKind.DUPLICATED))
    for patient in (ASKED, NEIGHBOUR, ASKED, NEIGHBOUR):
        answer = world.ask(DETAILS_BY_NUMBER.service, DETAILS_BY_NUMBER.fields(patient))
        assert (answer.said, answer.numbers) == ("SMSP-0000", (patient.nhs_number,))
        assert answer.families == (patient.names[0].family,)
    assert _alerts(world) == [], "a connection with something unread on it is not used again"


@pytest.mark.rule("SMSP-PDS-002")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_an_answer_that_belongs_to_the_request_before_is_refused(
    world: World, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pooled connection does when an answer is late: from then on, everybody gets the answer before theirs."""
    honest = world.spine.spine.answer
    late: list[Reply] = []

    def one_behind(body: bytes, soap_action: str | None) -> Reply:
        late.append(honest(body, soap_action))
        return late[-2] if len(late) > 1 else late[-1]

    monkeypatch.setattr(world.spine.spine, "answer", one_behind)
    first = world.ask(VERIFY.service, VERIFY.fields(NEIGHBOUR))
    assert first.numbers == (NEIGHBOUR.nhs_number,)
    world.new_log()
    answer = world.ask(shape.service, shape.fields(ASKED))
    assert answer.said == "SMSP-0002"
    assert answer.is_bare
    # A cross-check before a trace is told by its interaction alone, one before a cross-check only by its references.
    _on_record(world, answer, "W1: " if shape.by_number else "another interaction")
    assert _alerts(world) == ([GATE] if shape.by_number else [])
    for patient in (ASKED, NEIGHBOUR, ASKED):
        following = world.ask(shape.service, shape.fields(patient))
        assert following.said == "SMSP-0002"
        assert following.is_bare


def test_a_late_answer_finds_nobody_to_take_it(world: World) -> None:
    deadline = DEADLINES[0]
    with world.another_provider(limits={"request_seconds": deadline}) as hurried:
        world.spine.faults.once(_fault(FaultKind.LATE, seconds=deadline + 0.2))
        assert hurried.ask(VERIFY.service, VERIFY.fields(ASKED)).said == "SMSP-0004"
        over, right = time.monotonic() + 0.6, 0
        while time.monotonic() < over or not right:
            answer = hurried.ask(DETAILS_BY_NUMBER.service, DETAILS_BY_NUMBER.fields(NEIGHBOUR))
            if answer.said == "SMSP-0004":
                # The machine was too slow for it: nothing is told, of nobody.
                assert answer.is_bare
                assert time.monotonic() < over + 60
            else:
                assert (answer.said, answer.numbers) == ("SMSP-0000", (NEIGHBOUR.nhs_number,))
                right += 1
        assert _alerts(hurried) == []


@pytest.mark.rule("SMSP-PDS-002")
@pytest.mark.parametrize(
    ("shape", "interaction", "said"),
    [
        pytest.param(VERIFY, CROSS_CHECK, "DEMOG-0040", id="cross-check"),
        pytest.param(DETAILS_BY_SEARCH, TRACE, "SMSP-0002", id="trace"),
        pytest.param(DETAILS_BY_NUMBER, RETRIEVAL, "SMSP-0002", id="retrieval"),
    ],
)
def test_another_patient_is_never_told_of(world: World, shape: Shape, interaction: str, said: str) -> None:
    lie = _fault(FaultKind.WRONG_PATIENT, nhs_number=STRANGER.nhs_number, interaction=interaction)
    world.spine.faults.every(1, lie)
    answer = world.ask(shape.service, shape.fields(ASKED))
    assert answer.said == said
    assert answer.is_bare
    assert _alerts(world) == ([GATE] if said == "SMSP-0002" else [])
    _next_is_right(world)


@pytest.mark.rule("SMSP-ERR-006")
def test_a_passing_fault_of_spine_is_asked_again_with_new_ids(world: World) -> None:
    world.spine.faults.once(_fault(FaultKind.SOAP_FAULT, codes=["208"]), times=2)
    before = world.calls()
    with world.another_provider() as unhurried:
        answer = unhurried.ask(VERIFY.service, VERIFY.fields(ASKED))
        ending = unhurried.ending_of(answer)
    assert (answer.said, answer.numbers) == ("SMSP-0000", (ASKED.nhs_number,))
    received = world.spine.received[before:]
    assert len(set(received)) == 3
    assert [sent for exchange in ending.spine for sent in exchange.sent[::2]] == received


@pytest.mark.rule("SMSP-ERR-006", "WS-REL-02")
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("nobody listens", "no address of the server accepted a connection"),
        ("no such name", "the name of the server cannot be resolved"),
        ("an untrusted server", "the certificate of the server is not trusted"),
        ("a certificate Spine does not know", "refused the TLS handshake|lost while it was made|connection"),
    ],
)
def test_no_connection_is_could_not_connect(world: World, tmp_path: Path, how: str, reason: str) -> None:
    stranger = make_pki(tmp_path / "elsewhere")
    settings = {
        "nobody listens": {"endpoint": "https://127.0.0.1:1/sync-service"},
        "no such name": {"endpoint": "https://no-such-host.invalid/sync-service"},
        "an untrusted server": {"ca": stranger.ca.certificate},
        "a certificate Spine does not know": {
            "certificate": stranger.provider_client.certificate,
            "key": stranger.provider_client.key,
        },
    }[how]
    before = world.calls()
    with world.another_provider(spine_settings=settings, limits={"request_seconds": 60}) as other:
        answer = other.ask(VERIFY.service, VERIFY.fields(ASKED))
        assert (answer.said, world.calls()) == ("SMSP-0004", before)
        assert answer.is_bare
        ending = other.ending_of(answer)
        assert re.search(reason, ending.reason), ending.reason
        assert other.intent_of(ending) is not None
        assert _alerts(other) == []


PERSON = {
    "1.2.826.0.1285.0.2.0.67": "111122223333",
    "1.2.826.0.1285.0.2.0.65": "444455556666",
    "1.2.826.0.1285.0.2.1.104": "S0080:G0450:R5080",
}


@pytest.mark.rule("SMSP-AUDIT-003", "SMSP-AUDIT-004", "SMSP-AUDIT-009")
def test_the_audit_links_the_person_who_asked_with_what_spine_was_told_even_when_spine_fails(world: World) -> None:
    world.spine.faults.once(_fault(FaultKind.CUT))
    ids = (("2.16.840.1.113883.2.1.3.2.4.18.27", "urn:nhs-uk:identity:ods:X26"), *PERSON.items())
    answer = world.ask(VERIFY.service, VERIFY.fields(ASKED), audit_ids=ids)
    assert answer.said == "SMSP-0004"
    intent = world.intent_of(world.ending_of(answer))
    assert intent is not None
    assert intent.author is not None
    assert {(identity.type, identity.uri) for identity in intent.request.audit_ids} == set(ids)
    said = (intent.author.role_profile, intent.author.user, intent.author.role)
    assert said == tuple(PERSON.values())
    sent = etree.fromstring(world.spine.bodies[-1])
    author = sent.xpath("//h:author//h:id", namespaces={"h": "urn:hl7-org:v3"})
    assert isinstance(author, list)
    told = [(found.get("root"), found.get("extension")) for found in author if isinstance(found, etree._Element)]
    assert sorted(told) == sorted(PERSON.items())


# --- our own capacity -------------------------------------------------------------------------------------------------


@pytest.mark.rule("SMSP-PERF-001", "SMSP-ERR-001")
def test_a_full_pool_is_fault_2100_at_once_and_nothing_is_sent(world: World) -> None:
    before = world.calls()
    answers: list[Answer] = []
    with world.another_provider(spine_settings={"max_in_flight": 1}, limits={"request_seconds": 60}) as narrow:
        first = threading.Thread(target=lambda: answers.append(narrow.ask(VERIFY.service, VERIFY.fields(NEIGHBOUR))))
        with world.spine.silent():
            first.start()
            until(lambda: world.calls() > before)
            refused = narrow.ask(VERIFY.service, VERIFY.fields(ASKED))
            assert not answers, "it does not wait for the first one"
        first.join()
        assert (refused.said, refused.status) == ("fault 2100", 500)
        assert refused.is_bare
        assert world.calls() == before + 1
        ending = narrow.ending_of(refused)
        assert ending.kind is EndingKind.FAULT
        assert ending.reason == "as many calls to Spine as allowed are in flight"
        assert ending.fault is not None
        assert (ending.fault.error_code.value, ending.fault.rule) == ("2100", "SMSP-PERF-001")
        assert (answers[0].said, answers[0].numbers) == ("SMSP-0000", (NEIGHBOUR.nhs_number,))


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-008")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_without_an_intent_on_record_nothing_is_sent_to_spine(world: World, shape: Shape) -> None:
    database = world.settings.audit.database
    before = world.calls()
    away = database.rename(database.with_suffix(".away"))
    try:
        answer = world.ask(shape.service, shape.fields(ASKED))
    finally:
        away.rename(database)
    assert (answer.said, answer.status, world.calls()) == ("fault 2100", 500, before)
    assert answer.is_bare
    assert _alerts(world) == ["audit-unavailable"]
    _next_is_right(world)


@pytest.mark.rule("SMSP-AUDIT-001", "SMSP-AUDIT-008")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_without_an_outcome_on_record_nothing_is_answered_and_the_next_start_closes_the_intent(
    world: World, shape: Shape
) -> None:
    with world.another_provider() as failing:
        failing.ask(VERIFY.service, VERIFY.fields(NEIGHBOUR))
        failing.new_log()
        database = failing.settings.audit.database
        away = database.with_suffix(".away")

        def lose_the_audit(answer: AnswerContext) -> AnswerContext:
            if not away.exists():
                database.rename(away)
            return answer

        world.spine.spine.mutate_answer = lose_the_audit
        before = world.calls()
        answer = failing.ask(shape.service, shape.fields(ASKED))
        away.rename(database)
        world.calm()
        assert (answer.said, answer.status) == ("fault 2100", 500)
        assert answer.is_bare
        assert ASKED.nhs_number.encode() not in answer.body
        assert world.calls() == before + len(shape.interactions), "Spine had answered"
        assert _alerts(failing) == ["audit-unavailable"]
        opened = failing.entries()[-1].record
        assert isinstance(opened, Intent), "the intent is the last thing on record"
        assert failing.provider.audit.recover() == 0, "its writer lives"
        failing.provider.audit.close_session()
        assert failing.provider.audit.recover() == 1
        closed = failing.entries()[-1].record
        assert isinstance(closed, Closure)
        assert closed.exchange_id == opened.exchange_id


# --- ourselves --------------------------------------------------------------------------------------------------------


@pytest.mark.rule("SMSP-ERR-006")
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(Fields(date_of_birth="1901", gender="2", family="FAMILY0000007"), id="a-partial-date"),
        pytest.param(Fields(date_of_birth=ASKED.birth_time, gender="2", family="FAM*"), id="a-wildcard"),
    ],
)
def test_a_query_that_cannot_be_built_is_our_failure_and_nothing_is_sent(world: World, fields: Fields) -> None:
    before = world.calls()
    answer = world.ask(Service.GET_NHS_NUMBER, fields)
    assert (answer.said, answer.status, world.calls()) == ("SMSP-9999", 200, before)
    assert answer.is_bare
    ending = world.ending_of(answer)
    assert ending.source is Source.NONE
    assert "AdvancedTrace" in ending.reason
    assert world.intent_of(ending) is None
    assert ending.request is not None, "without an intent the ending says who asked"


class _BrokenIds(RandomIds):
    """Breaks at one call, with a message that quotes what it should not."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._left = at

    def new_uuid(self) -> str:
        self._left -= 1
        if self._left == 0:
            raise RuntimeError(f"no id for {ASKED.nhs_number}")
        return super().new_uuid()


@pytest.mark.rule("SMSP-ERR-001", "SMSP-ERR-006", "WS-FDT-02")
@pytest.mark.parametrize(("at", "said"), [(1, "fault 2200"), (2, "SMSP-9999"), (3, "SMSP-9999"), (4, "SMSP-9999")])
def test_a_crash_is_9999_once_the_payload_is_understood_and_2200_before(world: World, at: int, said: str) -> None:
    with world.another_provider(ids=_BrokenIds(at)) as broken:
        answer = broken.ask(DETAILS_BY_NUMBER.service, DETAILS_BY_NUMBER.fields(ASKED))
        assert answer.said == said
        assert answer.is_bare
        ending = broken.ending_of(answer)
        assert ending.kind is (EndingKind.ANSWERED if said == "SMSP-9999" else EndingKind.CRASHED)
        assert ASKED.nhs_number not in ending.reason
        assert _alerts(broken) == ["unexpected-failure"]
        again = broken.ask(DETAILS_BY_NUMBER.service, DETAILS_BY_NUMBER.fields(ASKED))
        assert (again.said, again.numbers) == ("SMSP-0000", (ASKED.nhs_number,))


def _break(*_: object, **__: object) -> None:
    raise LookupError(f"{ASKED.nhs_number} {ASKED.names[0].family}")


@pytest.mark.rule("SMSP-ERR-001", "SMSP-ERR-006", "WS-FDT-02")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize(
    ("where", "name", "said"),
    [
        (stages, "check_fields", "fault 2200"),
        (stages, "read_request", "fault 2200"),
        (asking, "admit", "SMSP-9999"),
        (asking, "release", "SMSP-9999"),
        (pipeline, "build_response", "fault 2200"),
        (pipeline, "read_back", "fault 2200"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_breaks_on_the_way_says_nothing_of_the_patient(
    world: World, shape: Shape, where: object, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A response that cannot be built, or read again, leaves nothing but a fault to answer with."""
    monkeypatch.setattr(where, name, _break)
    answer = world.ask(shape.service, shape.fields(ASKED))
    assert answer.said == said
    assert answer.is_bare
    ending = world.ending_of(answer)
    assert ASKED.nhs_number not in ending.reason
    assert _alerts(world) == ["unexpected-failure"]
    monkeypatch.undo()
    _next_is_right(world)
