"""What stays of a request that is refused: facts on the audit trail, the MessageID, and the right to try again."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from e2e.lies import ASKED, SHAPES
from e2e.world import CROSS_CHECK, Answer, World, make_world
from itk_messages import payload_of, request_for
from smsp_provider.audit.events import RequestFacts
from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.failures import NoCapacity
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import SpineAnswer
from smsp_provider.domain.spine_queries import Retrieval, SpineQuery
from smsp_provider.engine.ports import Deadline, SpineSender
from smsp_provider.simulator.faults import Fault, FaultKind

VERIFY, DETAILS = SHAPES[0], SHAPES[2]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("world"), ASKED) as made:
        yield made


@pytest.fixture
def world(running: World) -> Iterator[World]:
    running.new_log()
    yield running
    running.calm()


def facts(world: World, answer: Answer) -> RequestFacts:
    ending = world.ending_of(answer)
    assert ending.request is not None
    return ending.request


def alerts(world: World) -> list[str]:
    lines = [json.loads(line) for line in world.new_log().splitlines()]
    return [line["kind"] for line in lines if line["event"] == "alert"]


@pytest.mark.rule("SMSP-AUDIT-004", "IFA-SEC-02")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"profile_id": None}, "fault 1000"),
        ({"encrypted": "true"}, "fault 2200"),
        ({"expires": "2001-01-01T00:00:00Z"}, "fault 3000"),
        ({"payload": "<nothing/>"}, "SMSP-0001"),
    ],
    ids=["no profile", "encrypted", "expired", "another payload"],
)
def test_who_asked_is_on_record_whatever_was_wrong(world: World, changes: dict[str, str | None], said: str) -> None:
    answer = world.ask(VERIFY.service, VERIFY.fields(ASKED), **changes)
    assert answer.said == said
    known = facts(world, answer)
    assert known.username == "client.example.nhs.uk"
    assert known.tracking_id == "2B7D9A36-0C1F-4E0C-AE7B-6F6D5A1E93C8"
    assert [item.uri for item in known.audit_ids] == ["urn:nhs-uk:identity:ods:X26"]
    assert known.ods_code == ODSCode("X26")


@pytest.mark.rule("SMSP-AUDIT-004", "WS-SEC-08")
def test_that_there_was_a_signature_is_on_record_although_it_did_not_hold(world: World) -> None:
    nothing = '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'
    with world.another_provider(security={"signatures": "require"}) as strict:
        for markup, signed in ((nothing, True), ("", False)):
            answer = strict.ask(VERIFY.service, VERIFY.fields(ASKED), extra_security_markup=markup)
            assert answer.said == "fault 3000"
            known = strict.ending_of(answer).request
            assert known is not None
            assert (known.signed, known.signer) == (signed, None)


@pytest.mark.rule("SMSP-AUDIT-004")
def test_organisation_and_access_method_are_on_record_when_a_field_is_wrong(world: World) -> None:
    answer = world.ask(VERIFY.service, replace(VERIFY.fields(ASKED), nhs_number="9990000010"))
    assert answer.said == "SMSP-0001"
    assert (facts(world, answer).ods_code, facts(world, answer).method) == (ODSCode("X26"), AccessMethod.UNATTENDED)


@pytest.mark.rule("WS-ADR-09", "SMSP-AUDIT-004")
@pytest.mark.parametrize(
    "changes",
    [{"body_markup": ""}, {"extra_body_markup": "<x/>"}, {"to": None}],
    ids=["no body", "two bodies", "no To"],
)
def test_a_fault_relates_to_its_request_where_that_can_be_read(world: World, changes: dict[str, str | None]) -> None:
    request = replace(request_for(Service.VERIFY_NHS_NUMBER, now=datetime.now(UTC)), **changes)  # type: ignore[arg-type]  # names of fields
    answer = world.send(request)
    assert (answer.said, answer.relates_to) == ("fault 1000", request.message_id)
    assert facts(world, answer).message_id == request.message_id


def test_a_soap_12_message_is_related_to_as_well(world: World) -> None:
    request = request_for(Service.VERIFY_NHS_NUMBER, now=datetime.now(UTC))
    body = request.body().replace(
        b"http://schemas.xmlsoap.org/soap/envelope/", b"http://www.w3.org/2003/05/soap-envelope"
    )
    answer = world.send_bytes(body, request.soap_action)
    assert b"VersionMismatch" in answer.body
    assert answer.relates_to == request.message_id


@pytest.mark.rule("DE-PDS-03")
def test_a_payload_in_base64_is_marked_as_decoded(world: World) -> None:
    fields = VERIFY.fields(ASKED)
    payload = base64.b64encode(payload_of(VERIFY.service, fields).encode()).decode()
    answer = world.ask(VERIFY.service, fields, payload=payload, base64="true")
    intent = world.intent_of(world.ending_of(answer))
    assert intent is not None
    assert intent.request.decoded
    plain = world.intent_of(world.ending_of(world.ask(VERIFY.service, fields)))
    assert plain is not None
    assert not plain.request.decoded


@pytest.mark.rule("IG-ALERT-2.26")
def test_touching_a_sensitive_record_is_told_also_when_the_exchange_ends_in_a_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensitive = replace(ASKED, nhs_number="9990003432", confidentiality="S")
    world.store.add(sensitive)
    with world.another_provider() as provider:
        connector = provider.provider.pipeline._connector
        ask = connector.ask

        def only_once(query: SpineQuery, sender: SpineSender, deadline: Deadline) -> SpineAnswer:
            if isinstance(query, Retrieval):
                raise NoCapacity("as many calls as allowed are under way")
            return ask(query, sender, deadline)

        monkeypatch.setattr(connector, "ask", only_once)
        answer = provider.ask(DETAILS.service, DETAILS.fields(sensitive))
        assert answer.said == "fault 2100"
        assert provider.ending_of(answer).patient.sensitive
        assert "sensitive-record-accessed" in provider.new_log()


@pytest.mark.rule("WS-ADR-01", "WS-REL-02")
def test_where_repeats_are_rejected_who_is_told_to_try_again_may(world: World) -> None:
    with world.another_provider(service={"replay_policy": "reject"}) as strict:
        request = request_for(VERIFY.service, VERIFY.fields(ASKED), now=datetime.now(UTC))
        database = strict.settings.audit.database
        strict.ask(VERIFY.service, VERIFY.fields(ASKED), message_id="5E0A3C0E-52F5-4C8A-9E65-6A1F2B7C9D10")
        away = database.rename(database.with_suffix(".away"))
        try:
            assert strict.send(request).said == "fault 2100"
        finally:
            away.rename(database)
        assert strict.send(request).said == "SMSP-0000"
        before = world.calls()
        assert strict.send(request).said == "fault 1000"
        assert world.calls() == before, "nothing goes to Spine"


@pytest.mark.rule("SMSP-PDS-010")
def test_blanks_that_spine_does_not_know_do_not_make_its_answer_unusable(world: World) -> None:
    shape = SHAPES[3]
    fields = shape.fields(ASKED)
    assert fields.family is not None
    assert world.ask(shape.service, replace(fields, family=f" {fields.family}  ")).said == "SMSP-0000"
    assert alerts(world) == []


def test_an_unreadable_answer_closes_the_connection(world: World) -> None:
    world.spine.faults.once(Fault(FaultKind.WRONG_INTERACTION, interaction=CROSS_CHECK))
    assert world.ask(VERIFY.service, VERIFY.fields(ASKED)).said == "SMSP-0002"
    assert world.spine.wait_until_closed()
