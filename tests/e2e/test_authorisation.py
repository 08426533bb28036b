"""Who may ask, as a caller meets it: each dimension of a registration through the whole engine against a real Spine.

What is refused is fault 3000, is on record with its reason, and never reaches Spine; the text tells a stranger nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from client_samples import certificate_of, client_of, pin_of
from e2e.lies import ASKED, SHAPES
from e2e.world import Answer, ProviderUnderTest, World, make_world
from itk_messages import Request, request_for
from smsp_provider.domain.access import ClientBook
from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.clients import Client, Limits
from smsp_provider.domain.identifiers import ASID, OID, ODSCode
from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.domain.service import Service
from smsp_provider.engine.exchange import Peer
from smsp_provider.engine.ports import RegistryUnavailable

VERIFY = SHAPES[0]
STRANGER = "The calling system is not authorised to use this service"
SHARED = ASIDDirectory({ODSCode("SHARED1"): ASID("200000000777")})
ORGANISATIONS = {ODSCode("A1001"): ASID("200000000115"), ODSCode("SHARED1"): None, ODSCode("NOASID"): None}
WARD = Peer("192.0.2.1", over_tls=True, certificate=certificate_of("ward-system"))
LAB = Peer("192.0.2.2", over_tls=True, certificate=certificate_of("lab-system"))


@dataclass
class Held:
    """A registry that a test can change under a running provider."""

    clients: tuple[Client, ...] = ()
    unavailable: bool = False
    enforce_review: bool = True

    def book(self) -> ClientBook:
        if self.unavailable:
            raise RegistryUnavailable("the registry was not read for too long")
        return ClientBook(self.clients, SHARED, enforce_review=self.enforce_review)


@dataclass
class Gate:
    """A provider that knows clients."""

    world: World
    provider: ProviderUnderTest
    registry: Held

    def ask(self, peer: Peer = WARD, **changes: Any) -> Answer:
        return self.provider.send(self.request(**changes), peer)

    def request(self, **changes: Any) -> Request:
        asked = {"username": "ward-system", "audit_ids": identity(), **changes}
        service = asked.pop("service", VERIFY.service)
        fields = asked.pop("fields", VERIFY.fields(ASKED))
        return replace(request_for(service, fields, now=datetime.now(UTC)), **asked)


def identity(organisation: str = "A1001", *tokens: str, asid: str | None = None) -> tuple[tuple[str | None, str], ...]:
    itk = (None, ":".join(("urn:nhs-uk:identity:ods", organisation, *tokens)))
    return (itk,) if asid is None else (itk, (OID.ASID, asid))


SMARTCARD = (
    (OID.ROLE_PROFILE, "100000000001"),
    (OID.USER, "200000000002"),
    (OID.ROLE, "S0080:G0450:R5080"),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    registry = Held()
    with (
        make_world(tmp_path_factory.mktemp("world"), ASKED) as world,
        world.another_provider(registry=registry, security={"username": "require-match"}) as provider,
    ):
        yield Gate(world, provider, registry)


@pytest.fixture
def gate(running: Gate) -> Gate:
    running.registry.clients = (
        client_of(organisations=ORGANISATIONS),
        client_of("lab-system", organisations={ODSCode("B2002"): ASID("200000000222")}),
    )
    running.registry.unavailable, running.registry.enforce_review = False, True
    running.provider.new_log()
    return running


def is_refused(gate: Gate, text: str, peer: Peer = WARD, **changes: Any) -> str:
    """Assert fault 3000 with this text, on record, and no word to Spine; returns the reason for the operator."""
    before = gate.world.calls()
    answer = gate.ask(peer, **changes)
    assert answer.said == "fault 3000"
    assert answer.is_bare
    ending = gate.provider.ending_of(answer)
    assert ending.fault is not None
    assert answer.fault_text == text
    assert gate.world.calls() == before
    assert ending.spine == ()
    return ending.reason


@pytest.mark.rule("WS-SEC-08", "SMSP-IG-003", "SMSP-AUDIT-004")
def test_a_registered_client_is_answered_under_its_name(gate: Gate) -> None:
    answer = gate.ask()
    assert answer.said == "SMSP-0000"
    ending = gate.provider.ending_of(answer)
    intent = gate.provider.intent_of(ending)
    assert intent is not None
    assert (intent.request.client, intent.request.common_name) == ("ward-system", "ward-system")
    assert WARD.certificate is not None
    assert intent.request.certificate == WARD.certificate.fingerprint
    assert intent.asid == ASID("200000000115")


@pytest.mark.rule("SMSP-IG-003")
def test_an_aggregator_asks_with_the_asid_of_each_organisation(gate: Gate) -> None:
    asids = set()
    for organisation in ("A1001", "shared1"):
        answer = gate.ask(audit_ids=identity(organisation))
        assert answer.said == "SMSP-0000"
        intent = gate.provider.intent_of(gate.provider.ending_of(answer))
        assert intent is not None
        asids.add(intent.asid.value)
    assert asids == {"200000000115", "200000000777"}


@pytest.mark.rule("WS-SEC-01", "WS-SEC-08")
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("unknown", "no client has this certificate"),
        ("missing", "no client certificate"),
        ("disabled", "client ward-system is disabled"),
        ("overdue", "client ward-system: the authority to access was to be reviewed"),
        ("ended", "no client has this certificate"),
        ("shared", "more than one client has it"),
    ],
)
def test_who_may_not_call_hears_the_same_whatever_the_reason(gate: Gate, case: str, reason: str) -> None:
    ward, lab = gate.registry.clients
    peer = WARD
    match case:
        case "unknown":
            peer = replace(WARD, certificate=certificate_of("stranger", subject="CN=ward-system"))
        case "missing":
            peer = replace(WARD, certificate=None)
        case "disabled":
            ward = replace(ward, enabled=False, disabled_reason="stolen key")
        case "overdue":
            ward = replace(ward, authority=replace(ward.authority, review_on=date(2020, 1, 1)))
        case "ended":
            ward = replace(ward, pins=(pin_of("ward-system", until=datetime.now(UTC) - timedelta(seconds=1)),))
        case "shared":
            lab = replace(lab, pins=(*lab.pins, *ward.pins))
    gate.registry.clients = (ward, lab)
    assert is_refused(gate, STRANGER, peer) == reason


@pytest.mark.rule("WS-SEC-08")
def test_a_review_that_is_due_stops_nobody_outside_live(gate: Gate) -> None:
    ward, lab = gate.registry.clients
    gate.registry.clients = (replace(ward, authority=replace(ward.authority, review_on=date(2020, 1, 1))), lab)
    gate.registry.enforce_review = False
    assert gate.ask().said == "SMSP-0000"


@pytest.mark.rule("WS-SEC-08", "SMSP-IG-003", "COR-DEH-09")
@pytest.mark.parametrize(
    ("registered", "sent", "text"),
    [
        (
            {"services": frozenset({Service.GET_PATIENT_DETAILS})},
            {},
            "The calling system is not registered for this service",
        ),
        (
            {"profiles": frozenset({"urn:nhs-en:profile:verifyNHSNumberRequest-v1-1"})},
            {},
            "The calling system is not registered for the profileid",
        ),
        (
            {"access_methods": frozenset({AccessMethod.ATTENDED})},
            {},
            "The calling system is not registered for the access method of auditIdentity",
        ),
        (
            {},
            {"audit_ids": (*identity(), *SMARTCARD)},
            "The calling system is not registered for the access method of auditIdentity",
        ),
        (
            {},
            {"audit_ids": identity(asid="200000000115")},
            "The calling system is not registered for the access method of auditIdentity",
        ),
        ({}, {"audit_ids": identity("B2002")}, "the organisation in auditIdentity is not registered here"),
        ({}, {"audit_ids": identity("NOASID")}, "the organisation in auditIdentity is not registered here"),
        (
            {"access_methods": frozenset(AccessMethod)},
            {"audit_ids": identity(asid="200000000222")},
            "auditIdentity names an ASID that is not the organisation's",
        ),
        (
            {"access_methods": frozenset(AccessMethod)},
            {"audit_ids": ((OID.ASID, "200000000222"),)},
            "auditIdentity names an ASID that is not the organisation's",
        ),
    ],
    ids=[
        "service",
        "profile",
        "unattended",
        "smartcard",
        "named asid",
        "organisation of another client",
        "organisation without an asid",
        "asid of another client",
        "asid of another client alone",
    ],
)
def test_a_client_is_told_what_it_is_not_registered_for(
    gate: Gate, registered: dict[str, Any], sent: dict[str, Any], text: str
) -> None:
    ward, lab = gate.registry.clients
    gate.registry.clients = (replace(ward, **registered), lab)
    assert is_refused(gate, text, **sent) == text


@pytest.mark.rule("WS-SEC-08")
@pytest.mark.parametrize(
    "sent",
    [
        {"audit_ids": (*identity(), *SMARTCARD)},
        {"audit_ids": identity(asid="200000000115")},
        {"audit_ids": identity("A1001", "nurse")},
        {"audit_ids": ((OID.ASID, "200000000115"),)},
    ],
    ids=["smartcard", "named asid", "attended", "asid alone"],
)
def test_every_access_method_is_answered_where_it_is_registered(gate: Gate, sent: dict[str, Any]) -> None:
    ward, lab = gate.registry.clients
    gate.registry.clients = (replace(ward, access_methods=frozenset(AccessMethod)), lab)
    assert gate.ask(**sent).said == "SMSP-0000"


@pytest.mark.rule("WS-SEC-07")
def test_a_username_of_another_client_is_refused(gate: Gate) -> None:
    is_refused(gate, "wsse:Username is not the common name of the client certificate", username="lab-system")


@pytest.mark.rule("WS-SEC-07")
def test_a_known_name_is_one_that_this_very_client_is_registered_with(gate: Gate) -> None:
    ward, lab = gate.registry.clients
    gate.registry.clients = (replace(ward, usernames=frozenset({"ward-terminal"})), lab)
    with gate.world.another_provider(registry=gate.registry, security={"username": "known-name"}) as provider:
        for username, said in (
            ("ward-terminal", "SMSP-0000"),
            ("ward-system", "SMSP-0000"),
            ("lab-system", "fault 3000"),
        ):
            assert provider.send(gate.request(username=username), WARD).said == said


@pytest.mark.rule("WS-ADR-01")
def test_the_same_message_id_of_two_clients_is_no_repeat(gate: Gate) -> None:
    ward, lab = gate.registry.clients
    gate.registry.clients = (ward, replace(lab, organisations=ORGANISATIONS))
    message_id = "5B0E5C0C-8A35-4C59-9B14-3C33D5A0C7D1"
    for peer, username, repeated in (
        (WARD, "ward-system", False),
        (LAB, "lab-system", False),
        (WARD, "ward-system", True),
    ):
        answer = gate.ask(peer, username=username, message_id=message_id)
        intent = gate.provider.intent_of(gate.provider.ending_of(answer))
        assert intent is not None
        assert intent.request.repeated is repeated


@pytest.mark.rule("WS-ADR-01")
def test_a_repeat_that_is_told_to_try_again_stays_a_repeat(gate: Gate) -> None:
    held = Held((client_of(organisations=ORGANISATIONS, limits=Limits(rate=0.001, burst=1)),))
    options = {"registry": held, "security": {"username": "require-match"}, "service": {"replay_policy": "reject"}}
    with gate.world.another_provider(**options) as provider:
        request = gate.request()
        assert provider.send(request, WARD).said == "SMSP-0000"
        assert provider.send(request, WARD).said == "fault 2100", "the client has used up its rate"
        held.unavailable = True
        assert provider.send(request, WARD).said == "fault 2100", "who is registered is not known"
        held.unavailable, held.clients = False, (client_of(organisations=ORGANISATIONS),)
        before = gate.world.calls()
        assert provider.send(request, WARD).said == "fault 1000"
        assert gate.world.calls() == before


@pytest.mark.rule("SMSP-AUDIT-004")
def test_whose_message_could_not_be_read_is_on_record_where_the_certificate_tells(gate: Gate) -> None:
    stranger = replace(WARD, certificate=certificate_of("stranger"))
    for peer, name in ((WARD, "ward-system"), (stranger, None), (Peer("127.0.0.1"), None)):
        answer = gate.provider.send_bytes(b"<nothing/>", "", peer)
        assert answer.said == "fault 1000"
        known = gate.provider.ending_of(answer).request
        assert known is not None
        assert (known.client, known.address) == (name, peer.address)
    gate.registry.unavailable = True
    answer = gate.provider.send_bytes(b"<nothing/>", "", WARD)
    assert answer.said == "fault 1000"
    known = gate.provider.ending_of(answer).request
    assert known is not None
    assert (known.client, known.common_name) == (None, "ward-system")


@pytest.mark.rule("WS-SEC-08")
def test_without_the_registry_nobody_is_let_in(gate: Gate) -> None:
    gate.registry.unavailable = True
    before = gate.world.calls()
    answer = gate.ask()
    assert answer.said == "fault 2100"
    assert gate.provider.ending_of(answer).reason == "the registry was not read for too long"
    assert gate.world.calls() == before


@pytest.mark.rule("WS-SEC-08")
def test_on_this_machine_a_client_is_known_by_its_username(gate: Gate) -> None:
    local = Peer("127.0.0.1")
    assert gate.ask(local).said == "SMSP-0000"
    assert is_refused(gate, STRANGER, local, username="nobody") == "no client has this username"
    assert is_refused(gate, STRANGER, local, username=None) == "no client has this username"
