"""How long a connection of the listener waits: for a whole request the bound, and never longer than it is asked to."""

import socket
import time

import pytest

from smsp_provider.web import tls
from smsp_provider.web.tls import BoundedSocket


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> tuple[BoundedSocket, socket.socket]:
    monkeypatch.setattr(tls, "_ARRIVAL_SECONDS", 0.4)
    ours, theirs = socket.socketpair()
    return BoundedSocket.taking_over(ours), theirs


def test_a_plain_request_must_be_there_within_the_bound(bounded: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = bounded
    with ours, theirs:
        ours.setblocking(True)
        began = time.monotonic()
        for _ in range(3):
            theirs.sendall(b"x")
            assert ours.recv(10) == b"x"
            time.sleep(0.1)
        with pytest.raises(TimeoutError):
            ours.recv(10)
        assert time.monotonic() - began < 0.6, "a byte does not begin the bound anew"
        with pytest.raises(TimeoutError, match="did not arrive in time"):
            ours.recv(10)
        ours.setblocking(True)
        theirs.sendall(b"y")
        assert ours.recv(10) == b"y"


def test_who_asks_for_less_waits_less(bounded: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = bounded
    with ours, theirs:
        ours.setblocking(True)
        ours.settimeout(0.05)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            ours.recv(10)
        assert time.monotonic() - began < 0.3
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(10)


def test_without_a_timeout_the_bound_holds(bounded: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = bounded
    with ours, theirs:
        ours.setblocking(True)
        ours.settimeout(None)
        with pytest.raises(TimeoutError):
            ours.recv(10)


def test_what_is_sent_arrives(bounded: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = bounded
    with ours, theirs:
        ours.sendall(b"answer")
        assert theirs.recv(10) == b"answer"
