"""Callers that keep nginx waiting: the provider does not notice, and nothing of what they send is on disk."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from edge_process import PATH, until
from nginx_server import (
    Front,
    running_front,
    running_nginx,
    settings_behind_nginx,
)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("front"), threads=4) as running:
        yield running


CHUNKED = "Transfer-Encoding: chunked\r\n"


def hold_a_body(front: Front, kind: str) -> ssl.SSLSocket:
    """A connection whose body is nearly there: as much as may be sent, without its end."""
    connection = front.secure()
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\n"
    if kind == "chunked":
        connection.sendall(f"{head}{CHUNKED}\r\n".encode() + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 15)
    else:
        connection.sendall(f"{head}Content-Length: 65536\r\n\r\n".encode() + b"x" * 65_000)
    return connection


@pytest.mark.parametrize("kind", ["with a length", "chunked"])
def test_bodies_are_never_on_disk(front: Front, kind: str) -> None:
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(hold_a_body(front, kind))
        time.sleep(0.5)
        assert front.nginx.temporary_files() == []
        assert front.post(front.zoo.good)[0] == 200
        assert front.nginx.temporary_files() == []


def test_a_smaller_buffer_would_put_bodies_on_disk(tmp_path: Path, front: Front) -> None:
    """The test above can fail."""
    assert front.provider.socket is not None
    settings = settings_behind_nginx(tmp_path, front.zoo, front.provider.socket)
    change = ("client_body_buffer_size 131072", "client_body_buffer_size 1024")
    with running_nginx(tmp_path / "nginx", settings, change=change) as nginx:
        small = Front(nginx, front.provider, front.zoo)
        with hold_a_body(small, "with a length"):
            until(lambda: nginx.temporary_files() != [])


@pytest.mark.rule("SMSP-PERF-001")
def test_slow_callers_stay_in_nginx(front: Front) -> None:
    """Ten half-open handshakes, ten slow headers, ten held bodies; the provider has four threads."""
    with ExitStack() as held:
        for _ in range(10):
            half = held.enter_context(socket.create_connection(("127.0.0.1", front.nginx.port)))
            half.sendall(b"\x16\x03\x01")
            slow = held.enter_context(front.secure())
            slow.sendall(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nX-Slow:".encode())
            held.enter_context(hold_a_body(front, "with a length"))
        # On a machine that is busy with something else one of them may wait for that.
        waits: list[float] = []
        while not waits or (min(waits) > 5 and len(waits) < 5):
            began = time.monotonic()
            assert front.post(front.zoo.good)[0] == 200
            waits.append(time.monotonic() - began)
    print("with 30 slow callers:", *(f"{wait * 1000:.0f} ms" for wait in waits))  # noqa: T201 - the figure to be shown
    assert min(waits) < 5, waits


def test_slow_callers_are_cut_off(tmp_path: Path, front: Front) -> None:
    assert front.provider.socket is not None
    settings = settings_behind_nginx(tmp_path, front.zoo, front.provider.socket)
    # Every bound of ten seconds, made shorter.
    with running_nginx(tmp_path / "nginx", settings, change=("timeout 10s", "timeout 1s")) as nginx:
        quick = Front(nginx, front.provider, front.zoo)
        half = socket.create_connection(("127.0.0.1", nginx.port), timeout=60)
        half.sendall(b"\x16\x03\x01")
        slow, body = quick.secure(), hold_a_body(quick, "with a length")
        slow.sendall(b"POST ")
        for connection in (half, slow, body):
            connection.settimeout(60)
            with connection, suppress(ConnectionError, ssl.SSLError):
                assert connection.recv(1000) == b""
