"""A worker's connections: counted off once, ended outside the main thread, and not taken without file descriptors."""

import errno
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from gunicorn.workers.gthread import TConn, ThreadWorker

from smsp_provider.web import worker as worker_module
from smsp_provider.web.tls import BoundedSocket
from smsp_provider.web.worker import BoundWorker


@pytest.fixture
def noted() -> list[str]:
    return []


@pytest.fixture
def worker(noted: list[str]) -> BoundWorker:
    one = BoundWorker.__new__(BoundWorker)
    one.cfg, one.nr_conns = SimpleNamespace(threads=4, is_ssl=False), 1
    one.log = SimpleNamespace(error=noted.append)
    return one


@pytest.fixture
def conn(worker: BoundWorker) -> Iterator[TConn]:
    """A connection whose other side never closes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made = TConn(worker.cfg, ours, "", "")
        made.queued_at = time.monotonic()
        yield made
        made.close()


def _done(result: object) -> "Future[object]":
    done: Future[object] = Future()
    if isinstance(result, BaseException):
        done.set_exception(result)
    else:
        done.set_result(result)
    return done


def _cancelled() -> "Future[object]":
    done: Future[object] = Future()
    done.cancel()
    return done


@pytest.mark.parametrize(
    "done", [_done(result=False), _done(ValueError()), _cancelled()], ids=["not kept", "failed", "cancelled"]
)
def test_a_connection_is_counted_off_once_even_if_it_is_gone(
    worker: BoundWorker, conn: TConn, done: "Future[object]"
) -> None:
    # So it is after a failed handshake: TLS has taken the connection over, and closed it.
    conn.sock.close()
    worker.finish_request(conn, done)
    assert worker.nr_conns == 0


def test_the_main_thread_does_not_wait_for_the_caller_to_close(
    monkeypatch: pytest.MonkeyPatch, worker: BoundWorker, conn: TConn
) -> None:
    monkeypatch.setattr(worker_module, "_LINGER_SECONDS", 60.0)
    began = time.monotonic()
    worker.finish_request(conn, _done(result=False))
    assert time.monotonic() - began < 30
    assert (worker.nr_conns, conn.sock.fileno()) == (0, -1)


def test_what_is_kept_is_left_to_gunicorn(monkeypatch: pytest.MonkeyPatch, worker: BoundWorker, conn: TConn) -> None:
    finished: list[object] = []
    monkeypatch.setattr(ThreadWorker, "finish_request", lambda _self, one, _done: finished.append(one))
    monkeypatch.setattr(ThreadWorker, "handle", lambda _self, _conn: "kept")
    assert worker.handle(conn) == "kept"
    worker.finish_request(conn, _done("kept"))
    assert (finished, worker.nr_conns) == ([conn], 1)
    assert conn.sock.fileno() != -1


def test_a_connection_ends_in_the_thread_of_its_request(
    monkeypatch: pytest.MonkeyPatch, worker: BoundWorker, conn: TConn
) -> None:
    monkeypatch.setattr(ThreadWorker, "handle", lambda _self, _conn: False)
    began = time.monotonic()
    assert worker.handle(conn) is False
    assert 0.5 < time.monotonic() - began < 30
    assert conn.sock.fileno() == -1
    assert worker.handle(conn) is False, "a connection that is gone is no error"


def test_a_plain_connection_is_bounded_and_a_tls_one_later(
    monkeypatch: pytest.MonkeyPatch, worker: BoundWorker, conn: TConn
) -> None:
    monkeypatch.setattr(ThreadWorker, "handle", lambda _self, _conn: True)
    worker.cfg.is_ssl = True
    worker.handle(conn)
    assert not isinstance(conn.sock, BoundedSocket)
    worker.cfg.is_ssl = False
    worker.handle(conn)
    bounded = conn.sock
    assert isinstance(bounded, BoundedSocket)
    worker.handle(conn)
    assert conn.sock is bounded


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_without_file_descriptors_a_worker_pauses_and_says_so_now_and_then(
    monkeypatch: pytest.MonkeyPatch, worker: BoundWorker, noted: list[str], code: int
) -> None:
    pauses: list[float] = []
    now = [100.0]
    # (The worker's alone: other threads of this process have clocks and sleep too.)
    own = SimpleNamespace(sleep=pauses.append, monotonic=lambda: now[0])
    monkeypatch.setattr(worker_module, "time", own)
    listener = SimpleNamespace(accept=lambda: _fail(code))
    worker.nr_conns = 0
    for now[0], said in ((100.0, 1), (100.1, 1), (111.0, 2)):
        worker.accept(listener)  # type: ignore[arg-type]  # all that is used of a socket
        assert len(noted) == said
    assert pauses == [0.0, 0.05] * 3
    assert set(noted) == {"There are no file descriptors for another connection."}


def test_other_failures_to_accept_are_not_hidden(worker: BoundWorker) -> None:
    with pytest.raises(OSError, match="22"):
        worker.accept(SimpleNamespace(accept=lambda: _fail(errno.EINVAL)))  # type: ignore[arg-type]  # the same


def _fail(code: int) -> None:
    raise OSError(code, str(code))
