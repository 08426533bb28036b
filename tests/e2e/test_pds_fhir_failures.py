"""Every row of the error table of PDS FHIR through the whole product: code, alert, audit trail, log, and the next one.

The API is the embedded Spine's FHIR door, behind TLS and tokens.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from e2e.fhir_world import FHIRWorld, make_fhir_world
from e2e.lies import ASKED, NEIGHBOUR, SHAPES, STRANGER, Shape
from edge_process import until
from smsp_provider.domain.identifiers import OID, ODSCode
from smsp_provider.simulator.faults import Fault, FaultKind
from smsp_provider.simulator.fhir import READ, SEARCH, TOKEN
from smsp_provider.simulator.fhir_outcome import FHIRReply
from smsp_provider.simulator.http import HTTPRequest

DEADLINES = (1.5, 10.0, 60.0)
"""Seconds; the next one is tried where a machine that has other things to do took all of one before PDS was asked."""
NEVER = 120.0
"""Seconds that nobody waits for."""

REFUSED_US, GATE, UNMAPPED = "spine-refused-our-message", "answer-refused-by-gate", "unmapped-pds-code"
VERIFY, DETAILS_BY_NUMBER, DETAILS_BY_SEARCH = SHAPES[0], SHAPES[2], SHAPES[3]
PLACES = {
    "read of a verification": (VERIFY, READ),
    "read of details": (DETAILS_BY_NUMBER, READ),
    "search": (DETAILS_BY_SEARCH, SEARCH),
    "read after a search": (DETAILS_BY_SEARCH, READ),
}


@dataclass(frozen=True)
class Row:
    """What the API does, and what must come of it; ``sends`` is how often the request leaves at most."""

    fault: Fault
    said: str
    alert: str | None = None
    sends: int = 1


def outcome(code: str, status: int) -> Fault:
    return Fault(FaultKind.REFUSAL, codes=(code,), status=status)


ROWS = {
    "400 INVALID_RESOURCE_ID": Row(outcome("INVALID_RESOURCE_ID", 400), "DEMOG-0042"),
    "400 INVALID_SEARCH_DATA": Row(outcome("INVALID_SEARCH_DATA", 400), "SMSP-0001"),
    "400 INVALID_VALUE": Row(outcome("INVALID_VALUE", 400), "SMSP-9999", REFUSED_US),
    "400 MISSING_VALUE": Row(outcome("MISSING_VALUE", 400), "SMSP-9999", REFUSED_US),
    "400 ADDITIONAL_PROPERTIES": Row(outcome("ADDITIONAL_PROPERTIES", 400), "SMSP-9999", REFUSED_US),
    "400 UNSUPPORTED_SERVICE": Row(outcome("UNSUPPORTED_SERVICE", 400), "SMSP-9999", REFUSED_US),
    "401 ACCESS_DENIED": Row(outcome("ACCESS_DENIED", 401), "SMSP-9999", REFUSED_US, sends=2),
    "403 ACCESS_DENIED": Row(outcome("ACCESS_DENIED", 403), "SMSP-9999", REFUSED_US),
    "403 INVALID_METHOD": Row(outcome("INVALID_METHOD", 403), "SMSP-9999", REFUSED_US),
    "404 something": Row(outcome("SOMETHING", 404), "SMSP-9999", REFUSED_US),
    "404 page": Row(Fault(FaultKind.HTML, status=404), "SMSP-9999", REFUSED_US),
    "302": Row(Fault(FaultKind.HTTP_STATUS, status=302), "SMSP-9999", REFUSED_US),
    "408": Row(outcome("UNABLE_TO_CALL_SERVICE", 408), "SMSP-0004", sends=3),
    "429": Row(outcome("TOO_MANY_REQUESTS", 429), "SMSP-0004", sends=3),
    "500": Row(outcome("UNKNOWN_ERROR", 500), "SMSP-0004", sends=3),
    "502 page": Row(Fault(FaultKind.HTML, status=502), "SMSP-0004", sends=3),
    "503": Row(outcome("SERVICE_UNAVAILABLE", 503), "SMSP-0004", sends=3),
    "504": Row(Fault(FaultKind.HTTP_STATUS, status=504), "SMSP-0004", sends=3),
    "reset": Row(Fault(FaultKind.DROP_AFTER_READING), "SMSP-0004", sends=3),
    "cut": Row(Fault(FaultKind.CUT), "SMSP-0004", sends=3),
    "409 of that system": Row(outcome("SOMETHING_NEW", 409), "DEMOG-9999", UNMAPPED),
    "page": Row(Fault(FaultKind.HTML), "SMSP-0002"),
    "truncated": Row(Fault(FaultKind.TRUNCATED_XML), "SMSP-0002"),
    "another charset": Row(Fault(FaultKind.WRONG_CHARSET), "SMSP-0002"),
    "another resource": Row(Fault(FaultKind.WRONG_INTERACTION), "SMSP-0002"),
    "an answer to another request": Row(Fault(FaultKind.UNCORRELATED), "SMSP-0002", GATE),
}
# What is tried again is tried in one place only: a place more costs a second each.
CASES = [
    pytest.param(name, *place, id=f"{name}, {where}")
    for name, row in ROWS.items()
    for where, place in PLACES.items()
    if row.said != "SMSP-0004" or where == "read of a verification"
]


BUDGET = {"rate_per_second": 1000, "burst": 1000}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FHIRWorld]:
    folder = tmp_path_factory.mktemp("world")
    with make_fhir_world(folder, ASKED, NEIGHBOUR, STRANGER, throttle=BUDGET, fhir=BUDGET) as made:
        made.ask(VERIFY.service, VERIFY.fields(ASKED))
        yield made


@pytest.fixture
def world(running: FHIRWorld, caplog: pytest.LogCaptureFixture) -> Iterator[FHIRWorld]:
    caplog.set_level("DEBUG")
    running.new_log()
    running.spine.fhir.retry_after = 0
    yield running
    running.calm()
    written = running.log.decode() + caplog.text
    for patient in (ASKED, NEIGHBOUR, STRANGER):
        name = patient.names[0]
        values = (patient.nhs_number, patient.birth_time, name.family, *name.given)
        assert not [value for value in values if value and value in written], "a log holds something of a patient"


@pytest.mark.rule("SMSP-ERR-001", "SMSP-ERR-004", "SMSP-ERR-006", "SMSP-AUDIT-004", "SMSP-AUDIT-006")
@pytest.mark.parametrize(("name", "shape", "kind"), CASES)
def test_a_failure_is_answered_by_the_table_within_the_deadline_and_on_record(
    world: FHIRWorld, name: str, shape: Shape, kind: str
) -> None:
    row = ROWS[name]
    before = world.spine.fhir.calls[kind]
    world.spine.faults.every(1, replace(row.fault, interaction=kind))
    answer = world.ask(shape.service, shape.fields(ASKED))
    world.calm()
    assert (answer.said, answer.status) == (row.said, 200)
    assert answer.is_bare
    assert 1 <= world.spine.fhir.calls[kind] - before <= row.sends
    ending = world.ending_of(answer)
    assert world.intent_of(ending) is not None
    assert all(ids.sent for ids in ending.spine)
    log = world.new_log()
    assert [alert for alert in (REFUSED_US, GATE, UNMAPPED) if alert in log] == ([row.alert] if row.alert else [])
    following = world.ask(shape.service, shape.fields(NEIGHBOUR))
    assert (following.code, following.numbers) == ("SMSP-0000", (NEIGHBOUR.nhs_number,))


@pytest.mark.rule("SMSP-ERR-001", "SMSP-ERR-006", "SMSP-AUDIT-004")
def test_nobody_waits_longer_than_the_deadline(tmp_path: Path) -> None:
    for deadline in DEADLINES:
        with make_fhir_world(tmp_path / f"{deadline} s", ASKED, limits={"request_seconds": deadline}) as world:
            world.spine.faults.every(1, Fault(FaultKind.DELAY, seconds=NEVER, interaction=READ))
            answer = world.ask(VERIFY.service, VERIFY.fields(ASKED))
            assert (answer.said, answer.status, answer.is_bare) == ("SMSP-0004", 200, True)
            assert answer.seconds < NEVER
            ending = world.ending_of(answer)
            if world.spine.fhir.calls[READ]:
                assert world.spine.fhir.calls[READ] == 1
                assert world.intent_of(ending) is not None
                assert all(ids.sent for ids in ending.spine)
                return
    pytest.fail("the machine is too slow to tell")


NUMBERS = {
    "unknown": (outcome("RESOURCE_NOT_FOUND", 404), "DEMOG-0001", "SMSP-0002"),
    "invalidated": (outcome("INVALIDATED_RESOURCE", 404), "DEMOG-0022", "DEMOG-0022"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_what_pds_says_of_a_number(world: FHIRWorld, name: str) -> None:
    fault, by_number, after_a_search = NUMBERS[name]
    world.spine.faults.every(1, replace(fault, interaction=READ))
    for shape, said in ((VERIFY, by_number), (DETAILS_BY_NUMBER, by_number), (DETAILS_BY_SEARCH, after_a_search)):
        answer = world.ask(shape.service, shape.fields(ASKED))
        assert (answer.said, answer.is_bare) == (said, True)


def numbered(number: str) -> dict[str, Any]:
    return {"id": number, "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": number}]}


IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "a day of birth that no month has": {"birthDate": "1962-02-30"},
    "a month of birth that no year has": {"birthDate": "1962-13-01"},
    "a date of birth in words": {"birthDate": "in spring"},
    "a date of birth in figures of another script": {"birthDate": "\uff11\uff19\uff16\uff12-03-17"},
    "a date of birth that is a number": {"birthDate": 19620317},
    "a day of death that no month has": {"deceasedDateTime": "2021-02-30T00:00:00+00:00"},
    "a number with a wrong check digit": numbered("9990001007"),
    "a number of nine digits": numbered("999000100"),
    "no number": {"identifier": []},
}


@pytest.mark.rule("SMSP-ERR-006")
@pytest.mark.parametrize("shape", [DETAILS_BY_NUMBER, DETAILS_BY_SEARCH], ids=["by number", "by search"])
@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_a_record_that_cannot_be_is_no_answer(world: FHIRWorld, shape: Shape, what: str) -> None:
    def mutate(request: HTTPRequest, reply: FHIRReply) -> FHIRReply:
        is_read = not request.path.endswith("/Patient")
        return replace(reply, document={**json.loads(reply.body), **IMPOSSIBLE[what]}) if is_read else reply

    world.spine.fhir.mutate = mutate
    answer = world.ask(shape.service, shape.fields(ASKED))
    assert (answer.said, answer.is_bare) == ("SMSP-0002", True)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.HTTP_STATUS, status=500), "SMSP-0004"),
        (Fault(FaultKind.DELAY, seconds=NEVER), "SMSP-0004"),
        (Fault(FaultKind.DROP_AFTER_READING), "SMSP-0004"),
        (Fault(FaultKind.HTTP_STATUS, status=400), "SMSP-9999"),
        (Fault(FaultKind.HTTP_STATUS, status=401), "SMSP-9999"),
        (Fault(FaultKind.HTTP_STATUS, status=403), "SMSP-9999"),
    ],
    ids=["in trouble", "slow", "reset", "not understood", "not known", "not registered"],
)
@pytest.mark.rule("SMSP-ERR-006")
def test_without_a_token_there_is_an_answer_in_time(tmp_path: Path, fault: Fault, said: str) -> None:
    limits = {"request_seconds": DEADLINES[0]} if fault.kind is FaultKind.DELAY else {}
    with make_fhir_world(tmp_path, ASKED, limits=limits) as world:
        world.spine.faults.every(1, replace(fault, interaction=TOKEN))
        answer = world.ask(VERIFY.service, VERIFY.fields(ASKED))
        assert (answer.said, answer.is_bare) == (said, True)
        assert answer.seconds < NEVER
        assert world.spine.fhir.calls[READ] == 0
        log = world.new_log()
        assert (REFUSED_US in log) is (said == "SMSP-9999")
        assert ("invalid_request planned" in log) is (said == "SMSP-9999")
        world.calm()
        # (With a short deadline, a machine that stood still for it is asked again.)
        until(lambda: world.ask(VERIFY.service, VERIFY.fields(ASKED)).code == "SMSP-0000")


@pytest.mark.rule("SMSP-PERF-006")
def test_the_breaker_opens_while_the_api_is_down_and_closes_when_it_is_well(tmp_path: Path) -> None:
    breaker = {"failures": 2, "probe_seconds": 0.001, "successes": 1}
    with make_fhir_world(tmp_path, ASKED, breaker=breaker, throttle=BUDGET, fhir=BUDGET) as world:
        world.spine.faults.every(1, Fault(FaultKind.HTTP_STATUS, status=503))
        said = [world.ask(VERIFY.service, VERIFY.fields(ASKED)).said for _ in range(3)]
        assert said == ["SMSP-0004"] * 3
        world.calm()
        codes = [world.ask(VERIFY.service, VERIFY.fields(ASKED)).said for _ in range(20)]
        assert codes[-3:] == ["SMSP-0000"] * 3


ASIDS = {"A1001": "200000000115", "B2002": "200000000222", "C3003": "200000000222"}


@pytest.mark.rule("SMSP-IG-003")
@pytest.mark.parametrize(
    ("asid", "organisation", "said"),
    [("200000000115", "A1001", "SMSP-0000"), ("200000000222", None, "SMSP-9999")],
    ids=["of one organisation", "of two organisations"],
)
def test_an_asid_alone_is_enough_where_one_organisation_has_it(
    tmp_path: Path, asid: str, organisation: str | None, said: str
) -> None:
    heard: list[str] = []
    with make_fhir_world(tmp_path, ASKED, asids=ASIDS) as world:
        world.spine.fhir.heard = lambda request: heard.append(
            request.headers.get("nhsd-end-user-organisation-ods", "token")
        )
        answer = world.ask(VERIFY.service, VERIFY.fields(ASKED), audit_ids=((OID.ASID, asid),))
        assert answer.said == said
        intent = world.intent_of(world.ending_of(answer))
        assert intent is not None
        assert intent.request.ods_code == (None if organisation is None else ODSCode(organisation))
        assert intent.asid.value == asid
    assert heard == ([] if organisation is None else ["token", organisation])


SMARTCARD = (
    (None, "urn:nhs-uk:identity:ods:X26"),
    ("1.2.826.0.1285.0.2.0.67", "111111111111"),
    ("1.2.826.0.1285.0.2.0.65", "222222222222"),
    ("1.2.826.0.1285.0.2.1.104", "333333333333"),
)


@pytest.mark.rule("SMSP-IG-003")
@pytest.mark.parametrize(("policy", "said"), [("refuse", "SMSP-0005"), ("unattended", "SMSP-0000")])
def test_a_smartcards_user_cannot_be_told_to_this_api(tmp_path: Path, policy: str, said: str) -> None:
    with make_fhir_world(tmp_path, ASKED, fhir={"smartcard": policy}) as world:
        answer = world.ask(VERIFY.service, VERIFY.fields(ASKED), audit_ids=SMARTCARD)
        assert answer.said == said
        ending = world.ending_of(answer)
        intent = world.intent_of(ending)
        assert intent is not None
        assert intent.author is not None
        assert intent.author.user == "222222222222"
        if policy == "refuse":
            assert world.spine.fhir.calls[READ] == 0
            assert ending.reason == "PDS FHIR cannot be asked in the name of a smartcard's user"
            assert "input-refused" in world.new_log()
        else:
            (exchange,) = ending.spine
            assert exchange.interaction == "PDS FHIR retrieve, without the smartcard's user"
