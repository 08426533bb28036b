"""A witness behind HTTPS: it gets each root once, in order, and tells the last one it has. Real TLS on loopback."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from made_trails import BEGIN
from scripted_server import Peer, RealClock, ScriptedServer, answering, http_answer
from smsp_provider.audit.chain import SignedRoot
from smsp_provider.audit.roots import BoundLane, next_statement, sign
from smsp_provider.audit.witness import WitnessUnavailable, read_line
from smsp_provider.connectors.http import server_only_context
from smsp_provider.connectors.witness_webhook import WitnessWebhook
from smsp_provider.storage.audit_signing_key import SigningKey
from throttles import StandingClock
from tls_fixtures import TestPKI, make_pki

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))


class WitnessService:
    """Keeps lines in memory."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.heads: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            head, _, body = request.partition(b"\r\n\r\n")
            self.heads.append(head)
            if head.startswith(b"POST"):
                self.lines.append(body)
                peer.send(http_answer(b"", "201 Created"))
            else:
                peer.send(http_answer(self.lines[-1]) if self.lines else http_answer(b"", "204 No Content"))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPKI:
    return make_pki(tmp_path_factory.mktemp("pki"))


def served_by(pki: TestPKI) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    return context


def roots(number: int) -> list[SignedRoot]:
    made: list[SignedRoot] = []
    for n in range(1, number + 1):
        moved = [(BoundLane("lane", n, bytes(32)), n - 1)]
        last = made[-1] if made else None
        made.append(sign(next_statement(last, moved, trail="T", made_at="M", at=BEGIN, signer=KEY), KEY))
    return made


def test_roots_arrive_in_order_and_the_last_one_is_told(pki: TestPKI, tmp_path: Path) -> None:
    service, made, token = WitnessService(), roots(3), tmp_path / "token"
    token.write_text("secret\n")
    with ScriptedServer(service, context=served_by(pki)) as server:
        url = server.url(path="/roots?of=here")
        witness = WitnessWebhook(url, RealClock(), server_only_context(pki.ca), token)
        assert witness.last() is None
        witness.append(made[:1])
        witness.append(made[1:])
        assert witness.last() == made[2]
    assert [read_line(line) for line in service.lines] == made
    assert all(b"Authorization: Bearer secret" in head for head in service.heads)
    assert witness.name == url.partition("?")[0]


@pytest.mark.parametrize("status", ["500 Oops", "404 None", "302 There", "409 Conflict"])
def test_a_root_that_is_not_taken_is_told(pki: TestPKI, status: str) -> None:
    with ScriptedServer(answering(http_answer(b"", status)), context=served_by(pki)) as server:
        witness = WitnessWebhook(server.url(), RealClock(), server_only_context(pki.ca))
        with pytest.raises(WitnessUnavailable, match=status[:3]):
            witness.append(roots(1))
        with pytest.raises(WitnessUnavailable, match=status[:3]):
            witness.last()


def test_a_witness_that_is_slow_gone_or_somebody_else_is_unavailable(pki: TestPKI, tmp_path: Path) -> None:
    with ScriptedServer(lambda peer: peer.wait_until_closed(), context=served_by(pki)) as server:
        slow = WitnessWebhook(server.url(), RealClock(), server_only_context(pki.ca), seconds=0.3)
        stranger = WitnessWebhook(server.url(), RealClock(), server_only_context(pki.other_ca))
        for witness in (slow, stranger):
            with pytest.raises(WitnessUnavailable):
                witness.append(roots(1))
    gone = WitnessWebhook(server.url(), RealClock(), server_only_context(pki.ca))
    without_token = WitnessWebhook(server.url(), RealClock(), server_only_context(pki.ca), tmp_path / "none")
    for witness in (gone, without_token):
        with pytest.raises(WitnessUnavailable):
            witness.last()


def test_a_witness_that_takes_its_time_for_each_root_gets_no_more_in_all(pki: TestPKI) -> None:
    taken: list[bytes] = []
    clock = StandingClock()

    def script(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            taken.append(request)
            clock.go_on(30.0)
            peer.send(http_answer(b"", "201 Created"))

    with ScriptedServer(script, context=served_by(pki)) as server:
        witness = WitnessWebhook(server.url(), clock, server_only_context(pki.ca), seconds=100.0)
        with pytest.raises(WitnessUnavailable):
            witness.append(roots(20))
    assert len(taken) == 4


def test_an_answer_that_is_no_root_is_told(pki: TestPKI) -> None:
    script = answering(http_answer(b"<html/>"))
    with (
        ScriptedServer(script, context=served_by(pki)) as server,
        pytest.raises(WitnessUnavailable, match="no root"),
    ):
        WitnessWebhook(server.url(), RealClock(), server_only_context(pki.ca)).last()


def test_plain_http_is_for_this_machine_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        WitnessWebhook("http://witness.example/", RealClock(), None)
