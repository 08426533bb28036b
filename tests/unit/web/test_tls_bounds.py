"""How long a connection of the listener waits: for a whole request the bound, and never longer than it is asked to."""

import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from smsp_provider.web import tls
from smsp_provider.web.tls import BoundedSocket

LONG, SHORT = 60.0, 0.2


@pytest.fixture
def bounded() -> Iterator[tuple[BoundedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with BoundedSocket.taking_over(ours) as taken, theirs:
        yield taken, theirs


@pytest.mark.parametrize("how", ["nothing more comes", "bytes go on coming"])
def test_a_plain_request_must_be_there_within_the_bound(
    monkeypatch: pytest.MonkeyPatch, bounded: tuple[BoundedSocket, socket.socket], how: str
) -> None:
    now = 1000.0
    monkeypatch.setattr(tls, "_ARRIVAL_SECONDS", LONG)
    monkeypatch.setattr(tls, "time", SimpleNamespace(monotonic=lambda: now))
    ours, theirs = bounded
    ours.setblocking(True)
    for _ in range(3):
        theirs.sendall(b"x")
        assert ours.recv(10) == b"x"
        now += LONG / 4
    if how == "bytes go on coming":
        theirs.sendall(b"x")
        now += LONG / 4
        with pytest.raises(TimeoutError, match="did not arrive in time"):
            ours.recv(10)  # A byte does not begin the bound anew.
    else:
        now += LONG / 4 - SHORT
        with pytest.raises(TimeoutError):
            ours.recv(10)
    ours.setblocking(True)
    theirs.sendall(b"y")
    assert ours.recv(10)[-1:] == b"y"


def test_who_asks_for_less_waits_less(
    monkeypatch: pytest.MonkeyPatch, bounded: tuple[BoundedSocket, socket.socket]
) -> None:
    monkeypatch.setattr(tls, "_ARRIVAL_SECONDS", LONG)
    ours, _ = bounded
    ours.setblocking(True)
    ours.settimeout(SHORT)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ours.recv(10)
    assert time.monotonic() - began < LONG / 2
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(10)


def test_without_a_timeout_the_bound_holds(
    monkeypatch: pytest.MonkeyPatch, bounded: tuple[BoundedSocket, socket.socket]
) -> None:
    monkeypatch.setattr(tls, "_ARRIVAL_SECONDS", SHORT)
    ours, _ = bounded
    ours.setblocking(True)
    ours.settimeout(None)
    with pytest.raises(TimeoutError):
        ours.recv(10)


def test_what_is_sent_arrives(bounded: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = bounded
    ours.sendall(b"answer")
    assert theirs.recv(10) == b"answer"
