"""What a caller is told who may not ask now, through the whole engine; the real Spine behind it hears nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from client_samples import certificate_of, client_of
from e2e.lies import ASKED, SHAPES
from e2e.world import ProviderUnderTest, World, make_world, read_answer
from edge_process import until
from itk_messages import Request, request_for
from smsp_provider.audit.events import EndingKind
from smsp_provider.domain.access import ClientBook
from smsp_provider.domain.clients import Client, Limits, PriorityClass
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.engine.exchange import InboundExchange, Peer, Reply
from smsp_provider.simulator.faults import Fault, FaultKind

VERIFY = SHAPES[0]
URL = "http://127.0.0.1/smsp/pds"
LOCAL = Peer("127.0.0.1")
WARD = Peer("192.0.2.1", over_tls=True, certificate=certificate_of("ward-system"))


@dataclass(frozen=True)
class One:
    """A registry with one client."""

    client: Client

    def book(self) -> ClientBook:
        return ClientBook((self.client,), ASIDDirectory({}))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("world"), ASKED) as made:
        yield made


@contextmanager
def provider_with(world: World, **changes: Any) -> Iterator[ProviderUnderTest]:
    with world.another_provider(**changes) as provider:
        try:
            yield provider
        finally:
            world.calm()


def request(**changes: Any) -> Request:
    return replace(request_for(VERIFY.service, VERIFY.fields(ASKED), now=datetime.now(UTC)), **changes)


def reply_to(provider: ProviderUnderTest, asked: Request, peer: Peer = LOCAL, waited_s: float = 0.0) -> Reply:
    """The whole reply, with its headers."""
    pipeline = provider.provider.pipeline
    exchange = InboundExchange(asked.body(), "/smsp/pds", URL, peer, "text/xml", asked.soap_action, waited_s)
    return pipeline.answer(pipeline.receive(exchange))


def is_told_to_try_again(world: World, provider: ProviderUnderTest, reply: Reply, calls: int) -> str:
    """Assert fault 2100 on record without an intent, and no word to Spine; returns the reason for the operator."""
    answer = read_answer(reply.status, reply.body)
    assert (reply.status, answer.said) == (500, "fault 2100")
    assert answer.is_bare
    assert world.calls() == calls
    ending = provider.ending_of(answer)
    assert ending.kind is EndingKind.FAULT
    assert provider.intent_of(ending) is None
    return ending.reason


@pytest.mark.rule("SMSP-PERF-001")
def test_beyond_the_rate_of_spine_a_request_is_told_when_to_come_again(world: World) -> None:
    with provider_with(world, throttle={"rate_per_second": 0.01, "burst": 1}) as provider:
        assert provider.send(request()).said == "SMSP-0000"
        reply = reply_to(provider, request())
        assert int(dict(reply.headers)["Retry-After"]) > 0
        reason = is_told_to_try_again(world, provider, reply, world.calls())
        assert reason == "more wait for Spine than can have their turn in time"


@pytest.mark.rule("SMSP-PERF-001")
def test_a_request_that_waited_too_long_for_a_thread_is_not_asked_for_any_more(world: World) -> None:
    with provider_with(world) as provider:
        reply = reply_to(provider, request(), waited_s=20.1)
        assert is_told_to_try_again(world, provider, reply, world.calls()) == "no turn at Spine came in time"
        assert read_answer(200, reply_to(provider, request(), waited_s=5).body).said == "SMSP-0000"


@pytest.mark.rule("SMSP-PERF-006")
def test_with_the_breaker_open_the_answer_is_there_at_once(world: World) -> None:
    with provider_with(world, breaker={"failures": 2, "probe_seconds": 600}) as provider:
        world.spine.faults.every(1, Fault(FaultKind.HTTP_STATUS))
        for _ in range(2):
            assert provider.send(request()).said == "SMSP-0004"
        world.calm()
        calls = world.calls()
        answer = provider.send(request())
        assert answer.said == "SMSP-0004"
        assert world.calls() == calls
        ending = provider.ending_of(answer)
        assert ending.reason == "the circuit breaker to Spine is open"
        assert provider.intent_of(ending) is None


@pytest.mark.rule("SMSP-PERF-006")
def test_it_closes_again_when_spine_is_well(world: World) -> None:
    with provider_with(world, breaker={"failures": 1, "probe_seconds": 0.001, "successes": 2}) as provider:
        world.spine.faults.once(Fault(FaultKind.HTTP_STATUS))
        codes = [provider.send(request()).said for _ in range(20)]
        assert codes[0] == "SMSP-0004"
        assert codes[-3:] == ["SMSP-0000"] * 3


@pytest.mark.rule("SMSP-PERF-006")
def test_what_pds_answers_never_opens_the_breaker(world: World) -> None:
    with provider_with(world, breaker={"failures": 1, "failing_part": 0.01}) as provider:
        nobody = request_for(
            VERIFY.service, replace(VERIFY.fields(ASKED), nhs_number="9991234055"), now=datetime.now(UTC)
        )
        assert [provider.send(nobody).said for _ in range(3)] == ["DEMOG-0001"] * 3
        world.spine.faults.every(1, Fault(FaultKind.HTML))
        assert [provider.send(request()).said for _ in range(3)] == ["SMSP-0002"] * 3
        world.calm()
        assert provider.send(request()).said == "SMSP-0000"


def ward(limits: Limits, priority: PriorityClass = PriorityClass.NORMAL) -> One:
    organisations = {ODSCode("A1001"): ASID("200000000115")}
    return One(client_of(organisations=organisations, limits=limits, priority=priority))


def of_ward() -> Request:
    return request(username="ward-system", audit_ids=((None, "urn:nhs-uk:identity:ods:A1001"),))


@pytest.mark.rule("SMSP-PERF-001")
def test_a_client_has_its_own_rate(world: World) -> None:
    with provider_with(world, registry=ward(Limits(rate=0.1, burst=2))) as provider:
        for _ in range(2):
            assert read_answer(200, reply_to(provider, of_ward(), WARD).body).said == "SMSP-0000"
        reply = reply_to(provider, of_ward(), WARD)
        assert 1 <= int(dict(reply.headers)["Retry-After"]) <= 10
        assert is_told_to_try_again(world, provider, reply, world.calls()) == "the client has used up its rate"


@pytest.mark.rule("SMSP-PERF-001")
def test_a_client_has_its_own_concurrency(world: World) -> None:
    with provider_with(world, registry=ward(Limits(concurrency=1))) as provider:
        calls = world.calls()
        first: list[Reply] = []
        asking = threading.Thread(target=lambda: first.append(reply_to(provider, of_ward(), WARD)))
        with world.spine.silent():
            asking.start()
            until(lambda: world.calls() > calls)
            reply = reply_to(provider, of_ward(), WARD)
        reason = is_told_to_try_again(world, provider, reply, calls + 1)
        assert reason == "the client has as many requests under way as it may"
        asking.join()
        assert read_answer(200, first[0].body).said == "SMSP-0000"
        assert read_answer(200, reply_to(provider, of_ward(), WARD).body).said == "SMSP-0000"


@pytest.mark.rule("SMSP-PERF-007")
@pytest.mark.parametrize(
    ("identity", "priority", "waits_as"),
    [
        ("urn:nhs-uk:identity:ods:A1001", PriorityClass.NORMAL, "unattended"),
        ("urn:nhs-uk:identity:ods:A1001:person", PriorityClass.NORMAL, "attended"),
        ("urn:nhs-uk:identity:ods:A1001:person", PriorityClass.BACKGROUND, "unattended"),
    ],
    ids=["system", "person", "person-of-a-batch-client"],
)
def test_a_person_is_told_from_a_batch(world: World, identity: str, priority: PriorityClass, waits_as: str) -> None:
    with provider_with(world, registry=ward(Limits(), priority)) as provider:
        asked = replace(of_ward(), audit_ids=((None, identity),))
        assert read_answer(200, reply_to(provider, asked, WARD).body).said == "SMSP-0000"
        use = provider.provider.throttle.use()
        counted = {"attended": sum(use.attended.counts), "unattended": sum(use.unattended.counts)}
        assert counted == {"attended": 0, "unattended": 0, waits_as: 1}
