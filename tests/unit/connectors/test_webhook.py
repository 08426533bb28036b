"""One document to a webhook: taken, refused for good, or worth another attempt. Real TLS on loopback."""

import ssl
from pathlib import Path

import pytest

from scripted_server import RealClock, ScriptedServer, answering, http_answer
from smsp_provider.connectors.http import server_only_context
from smsp_provider.connectors.webhook import Webhook, WebhookFailed
from tls_fixtures import TestPKI, make_pki

_TAKEN = http_answer(b"", "204 No Content")
_DOCUMENT = b'{"kind":"test"}'


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPKI:
    return make_pki(tmp_path_factory.mktemp("pki"))


def _receiver(pki: TestPKI) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    return context


def _failure(hook: Webhook, seconds: float = 5.0) -> WebhookFailed:
    with pytest.raises(WebhookFailed) as failed:
        hook.post(_DOCUMENT, seconds)
    return failed.value


@pytest.mark.rule("IFC-ALT-01")
def test_a_document_arrives_whole_over_a_connection_that_is_kept(pki: TestPKI) -> None:
    with ScriptedServer(answering(_TAKEN), context=_receiver(pki)) as server:
        hook = Webhook(server.url(path="/alerts"), RealClock(), server_only_context(pki.ca))
        hook.post(_DOCUMENT, 5.0)
        hook.post(_DOCUMENT, 5.0)
    assert server.connections == 1
    assert [request.split(b"\r\n", 1)[0] for request in server.requests] == [b"POST /alerts HTTP/1.1"] * 2
    assert all(request.endswith(b"\r\n\r\n" + _DOCUMENT) for request in server.requests)
    assert b"application/json" in server.requests[0]


@pytest.mark.parametrize(
    ("status", "again"),
    [("500 Oops", True), ("503 Busy", True), ("429 Slower", True), ("404 None", False), ("302 There", False)],
)
def test_what_another_attempt_could_change_is_told_apart(pki: TestPKI, status: str, *, again: bool) -> None:
    with ScriptedServer(answering(http_answer(b"told you", status)), context=_receiver(pki)) as server:
        failure = _failure(Webhook(server.url(), RealClock(), server_only_context(pki.ca)))
    assert (failure.reason, failure.again) == (f"HTTP status {status[:3]}", again)


def test_a_receiver_that_is_slow_gone_or_somebody_else_may_be_tried_again(pki: TestPKI) -> None:
    with ScriptedServer(lambda peer: peer.wait_until_closed(), context=_receiver(pki)) as server:
        slow = _failure(Webhook(server.url(), RealClock(), server_only_context(pki.ca)), 0.3)
        stranger = _failure(Webhook(server.url(), RealClock(), server_only_context(pki.other_ca)))
        gone = Webhook(server.url(), RealClock(), server_only_context(pki.ca))
    assert slow.again
    assert "in time" in slow.reason
    assert stranger.again
    assert _failure(gone).again


def test_a_token_is_read_for_each_document_and_never_told(pki: TestPKI, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with ScriptedServer(answering(_TAKEN), context=_receiver(pki)) as server:
        hook = Webhook(server.url(), RealClock(), server_only_context(pki.ca), token)
        missing = _failure(hook)
        token.write_text("first-secret\n")
        hook.post(_DOCUMENT, 5.0)
        token.write_text("second-secret\n")
        hook.post(_DOCUMENT, 5.0)
        token.write_text("not\na token")
        wrong = _failure(hook)
    assert missing.again
    assert b"Authorization: Bearer first-secret\r\n" in server.requests[0]
    assert b"Authorization: Bearer second-secret\r\n" in server.requests[1]
    assert "token" in wrong.reason
    assert "not\n" not in wrong.reason
    assert len(server.requests) == 2


def test_nothing_is_sent_in_the_clear_to_another_host() -> None:
    with pytest.raises(ValueError, match="https"):
        Webhook("http://hooks.example/alerts", RealClock())
