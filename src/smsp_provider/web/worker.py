"""gunicorn's worker and logger as this provider needs them: nothing of a caller's in a log or an error page.

gunicorn writes request lines, header values and tracebacks into its log and quotes them in its error pages. Here its
log lines are its own fixed texts without their arguments, and an error page is a status without a body.
"""

import errno
import signal
import socket
import sys
import time
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.http.body import ChunkedReader
from gunicorn.workers.gthread import TConn, ThreadWorker

from smsp_provider.observe.logs import Level, LogLevel, LogObserver
from smsp_provider.web.framing import check_framing
from smsp_provider.web.proxy import is_behind_proxy
from smsp_provider.web.stopping import STOP_ORDER, obey_parent_alone
from smsp_provider.web.tls import BoundedSocket, is_outdated

__all__ = ["BoundWorker", "operator_log"]

_LONGEST_COURTESY: Final = 0.002
"""Seconds that a worker with as many connections as threads waits before it takes another one."""

_LINGER_SECONDS: Final = 1.0
"""How long a caller may take to close its side, so that the answer arrives although something it sent was not read."""

_LINGER_BYTES: Final = 16 * 1024 * 1024
"""How much of what it still sends is taken in and thrown away meanwhile: a document attached by mistake has room."""

_STARVED_SECONDS: Final = 0.05
"""How long a worker without file descriptors waits for its threads to free some."""

_STARVED_NOTE_SECONDS: Final = 10.0
"""How often it says so at most."""

_SECOND_TRY_SECONDS: Final = 2.0
"""How long a worker that cannot serve waits before it ends and another one takes its place."""

_CANNOT_SERVE: Final = 1
"""Its exit code: gunicorn's own for this would end the other workers too."""

_STATUS: Final = (
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, HTTPStatus.NOT_IMPLEMENTED),
    (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED),
    (errors.ParseException, HTTPStatus.BAD_REQUEST),
    (OSError, HTTPStatus.BAD_REQUEST),
)


class BoundWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A thread worker that takes its share of the connections, and answers what is not HTTP with a bare status."""

    cpu: int | None = None
    """The one that it keeps to, chosen before it begins."""

    _next_starved_note = 0.0

    def init_signals(self) -> None:
        """End by the master's order alone: only it knows whether all is to end, or is still needed for a while."""
        super().init_signals()
        obey_parent_alone()
        signal.signal(STOP_ORDER, self.handle_exit)
        signal.siginterrupt(STOP_ORDER, False)

    def load_wsgi(self) -> None:
        """Build what is served. At the start a failure is the server's; later it must not be that of the others.

        A worker that takes the place of an ended one may find files missing that were there at the start. The other
        workers go on, and this one's successor tries again.
        """
        try:
            super().load_wsgi()
        except Exception as error:
            if self.age <= self.cfg.workers:
                raise
            self.log.unable_to_serve(type(error))
            until = time.monotonic() + _SECOND_TRY_SECONDS
            while self.alive and time.monotonic() < until:
                self.notify()
                time.sleep(_STARVED_SECONDS)
            raise SystemExit(_CANNOT_SERVE) from None

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection, the later the more this worker has: the kernel would give one worker nearly all.

        All workers wake up for a connection; who comes late finds it taken, which gunicorn expects.
        """
        # gunicorn's count has been negative before, and a sleep that fails ends the worker.
        time.sleep(_LONGEST_COURTESY * min(1.0, max(0.0, self.nr_conns / self.cfg.threads)))
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE}:
                raise
            self._starve()

    def _starve(self) -> None:
        """Let connections end: without a pause the listener, still readable, would keep this thread busy."""
        now = time.monotonic()
        if now >= self._next_starved_note:
            self._next_starved_note = now + _STARVED_NOTE_SECONDS
            self.log.error("There are no file descriptors for another connection.")
        time.sleep(_STARVED_SECONDS)

    def enqueue_req(self, conn: TConn) -> None:
        """Hand a connection to the threads, and note when."""
        conn.queued_at = time.monotonic()
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> object:
        """Serve a request in a thread of the pool, and end the connection there if it is not kept.

        gunicorn would wait for the caller to close in the thread that accepts connections and sends the heartbeat.
        """
        conn.waited_s = time.monotonic() - conn.queued_at
        if not conn.initialized and not self.cfg.is_ssl and not isinstance(conn.sock, BoundedSocket):
            conn.sock = BoundedSocket.taking_over(conn.sock)
        kept: object = False
        try:
            kept = super().handle(conn)
        finally:
            if not kept:
                _close_gently(conn.sock)
        return kept

    def handle_request(self, req: Any, conn: TConn) -> object:  # noqa: ANN401 - gunicorn has no types
        """Serve a request that has one reading only.

        It is the last one of a connection whose TLS files were replaced, or on which some of its body is still to come
        when it is answered: gunicorn would promise to keep that connection and then close it.
        """
        check_framing(req, behind_proxy=is_behind_proxy(conn.sock))
        should_close = req.should_close
        req.should_close = lambda: should_close() or _is_unread(req.body.reader)
        if is_outdated(conn.sock):
            req.force_close()
        if isinstance(conn.sock, BoundedSocket):
            conn.sock.waited_s, conn.sock.is_ending = conn.waited_s, not self.alive
        served: object = super().handle_request(req, conn)
        return served

    def finish_request(self, conn: TConn, done: "Future[object]") -> None:
        """Count off a connection that is not kept, exactly once; gunicorn does it twice if closing fails."""
        if not done.cancelled() and done.exception() is None and done.result():
            super().finish_request(conn, done)
        else:
            self.nr_conns -= 1
            conn.close()

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: BaseException) -> None:
        """Answer a request that could not be read; ``exc`` may quote it, so only its type is told."""
        del req, addr
        status = next((status for kind, status in _STATUS if isinstance(exc, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        self.log.refused(type(exc))
        answer = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            "Cache-Control: no-store\r\nContent-Length: 0\r\n\r\n"
        )
        try:
            util.write_nonblock(client, answer.encode("ascii"))
        except (OSError, ValueError):
            self.log.debug("The caller was gone before it could be told.")


def _is_unread(reader: Any) -> bool:  # noqa: ANN401 - gunicorn has no types
    """Whether there is more of a request's body than was read; its length is known, or it comes in chunks."""
    return reader.parser is not None if isinstance(reader, ChunkedReader) else reader.length > 0


def _close_gently(sock: socket.socket) -> None:
    # A connection that broke, or that TLS has taken over and closed, fails here: there is nothing left to close.
    with suppress(OSError):
        sock.setblocking(True)
        util.close_graceful(sock, timeout=_LINGER_SECONDS, max_drain=_LINGER_BYTES)


class _OperatorLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's logger, writing to an observer."""

    observer: LogObserver
    level: LogLevel

    def critical(self, msg: object, *_args: object, **_options: object) -> None:
        self.observer.note(Level.ERROR, str(msg))

    def error(self, msg: object, *_args: object, **_options: object) -> None:
        self.observer.note(Level.ERROR, str(msg))

    def warning(self, msg: object, *_args: object, **_options: object) -> None:
        self.observer.note(Level.WARNING, str(msg))

    def info(self, msg: object, *_args: object, **_options: object) -> None:
        self.observer.note(Level.INFO, str(msg))

    def debug(self, msg: object, *_args: object, **_options: object) -> None:
        self.observer.note(Level.DEBUG, str(msg))

    def exception(self, msg: object, *_args: object, **_options: object) -> None:
        kind = sys.exc_info()[0] or Exception
        # Connections that break or come to their time are everyday life.
        level = Level.WARNING if issubclass(kind, OSError) else Level.ERROR
        self.observer.note(level, f"{msg} {kind.__name__}")

    def log(self, _level: object, msg: object, *_args: object, **_options: object) -> None:
        self.observer.note(Level.INFO, str(msg))

    def refused(self, kind: type[BaseException]) -> None:
        """A request that is not HTTP, or no TLS that is good enough."""
        self.observer.note(Level.WARNING, f"A request was refused below HTTP: {kind.__name__}")

    def unable_to_serve(self, kind: type[BaseException]) -> None:
        """A worker that took another one's place and cannot do its work."""
        self.observer.note(Level.ERROR, f"A new worker cannot serve, another one will try: {kind.__name__}")

    def access(self, *_args: object) -> None:
        """The engine tells of requests itself."""

    def reopen_files(self) -> None:
        """Switch the level, in place of what gunicorn does at this signal."""
        self.observer.note(Level.ERROR, f"The log level is now {self.level.switch().name.lower()}.")


def operator_log(observer: LogObserver, level: LogLevel) -> type[Logger]:
    """The logger class for one server. ``SIGUSR1`` to the master switches ``level`` everywhere (IFC-LOG-01).

    Gunicorn hands that signal on to all its workers and calls ``reopen_files`` in each process; files there are none.
    """
    return type("OperatorLog", (_OperatorLog,), {"observer": observer, "level": level})
