"""Look-ups of names that end in time, whatever the resolver does. The resolver itself cannot be made slow in a test."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripted_server import RealClock, ScriptedServer, answering, http_answer
from smsp_provider.connectors import names
from smsp_provider.connectors.http import ClientTLS, SpineTransport, TransportLimits, client_context
from smsp_provider.connectors.names import AddressInfo, addresses_of
from smsp_provider.domain.failures import NotSent
from smsp_provider.engine.ports import Deadline
from tls_fixtures import make_pki

LONG = 30.0


class HeldResolver:
    """The system's resolver, which answers for names once it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.failure: Exception | None = None
        self.asked = 0
        self.answered = 0
        self._ask = socket.getaddrinfo

    def __call__(self, host: str, port: int, **options: int) -> Sequence[AddressInfo]:
        if options.get("flags"):
            return self._ask(host, port, **options)
        self.asked += 1
        self.let_go.wait(LONG)
        self.answered += 1
        if self.failure is not None:
            raise self.failure
        return self._ask("127.0.0.1", port, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldResolver]:
    held = HeldResolver()
    monkeypatch.setattr(socket, "getaddrinfo", held)
    yield held
    held.let_go.set()
    wait_until_idle()


def wait_until_idle() -> None:
    until = time.monotonic() + LONG
    while names._under_way and time.monotonic() < until:
        time.sleep(0.005)
    assert not names._under_way


@pytest.mark.rule("SMSP-PERF-006")
def test_a_resolver_that_hangs_fails_every_call_in_time_and_holds_one_thread(
    resolver: HeldResolver, tmp_path: Path
) -> None:
    pki = make_pki(tmp_path)
    with ScriptedServer(answering(http_answer(b"<a/>")), context=pki.server_context()) as server:
        context = client_context(ClientTLS(pki.ca, pki.client.certificate, pki.client.key))
        url = server.url(host="localhost")
        hasty = SpineTransport(url, RealClock(), context, TransportLimits(connect_seconds=0.1))

        def call(_: int) -> None:
            with pytest.raises(NotSent, match="the name of the server was not resolved in time"):
                hasty.post(b"<q/>", {}, Deadline(time.monotonic() + LONG))

        with ThreadPoolExecutor(4) as callers:
            list(callers.map(call, range(8)))
        assert (resolver.asked, resolver.answered) == (1, 0)
        assert server.connections == 0
        # The look-up that is still under way serves the next call.
        resolver.let_go.set()
        patient = SpineTransport(url, RealClock(), context)
        assert patient.post(b"<q/>", {}, Deadline(time.monotonic() + LONG)).body == b"<a/>"


def test_those_who_wait_share_the_answer_and_the_next_one_asks_anew(resolver: HeldResolver) -> None:
    with ThreadPoolExecutor(4) as callers:
        waiting = [callers.submit(addresses_of, "spine.invalid", 443, LONG) for _ in range(4)]
        while not resolver.asked:
            time.sleep(0.005)
        time.sleep(0.05)
        resolver.let_go.set()
        answers = [one.result(LONG) for one in waiting]
    assert [answer[0][4] for answer in answers] == [("127.0.0.1", 443)] * 4
    asked = resolver.asked
    addresses_of("spine.invalid", 443, LONG)
    assert resolver.asked == asked + 1


def test_a_failure_is_told_and_not_kept(resolver: HeldResolver) -> None:
    resolver.let_go.set()
    resolver.failure = socket.gaierror(socket.EAI_NONAME, "no such name")
    with pytest.raises(socket.gaierror):
        addresses_of("spine.invalid", 443, LONG)
    resolver.failure = None
    assert addresses_of("spine.invalid", 443, LONG)[0][4] == ("127.0.0.1", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["four", "six"])
def test_an_address_needs_no_resolver(resolver: HeldResolver, host: str) -> None:
    assert addresses_of(host, 443, LONG)[0][4][:2] == (host, 443)
    assert resolver.asked == 0


def test_without_a_thread_to_spare_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(NotSent, match="the name of the server cannot be resolved"):
        SpineTransport("http://localhost:1/", RealClock()).post(b"<q/>", {}, Deadline(time.monotonic() + LONG))
    assert not names._under_way
