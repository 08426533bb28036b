"""gunicorn around a WSGI application: one listener, worker processes of threads, mutual TLS or loopback.

Source: serving.md section 3.
"""

import ipaddress
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gunicorn.app.base import BaseApplication
from gunicorn.errors import HaltServer

from smsp_provider.observe.logs import Level, LogLevel, LogObserver
from smsp_provider.web.edge import WSGIApplication
from smsp_provider.web.memory import settle
from smsp_provider.web.tls import ServerTLS, server_context
from smsp_provider.web.worker import BoundWorker, operator_log

__all__ = ["Listener", "Supervision", "run"]

_KEEPALIVE_SECONDS: Final = 15
_HEARTBEAT_SECONDS: Final = 60
_MAX_REQUEST_LINE: Final = 2048
_MAX_HEADERS: Final = 64
_MAX_CONNECTIONS: Final = 1000
"""Of one worker, if it may have so many files open."""

_FILES_PER_THREAD: Final = 3
"""A thread may have open, besides its caller's connection: one to Spine, one to wait on, one to write to."""

_OTHER_FILES: Final = 128
"""What a worker has open whatever it does: libraries, logs, databases, listeners, pipes."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: ``bind`` is address and port; plain HTTP (``tls`` None) is for loopback addresses only.

    ``threads`` of each of the ``workers`` wait for Spine at once. ``graceful_stop_seconds`` is how long requests under
    way may go on after SIGTERM.

    Raises:
        ValueError: plain HTTP on another address than loopback, or an address without a port.
    """

    bind: str
    tls: ServerTLS | None = None
    workers: int = 2
    threads: int = 64
    graceful_stop_seconds: float = 30

    def __post_init__(self) -> None:
        host, separator, port = self.bind.rpartition(":")
        if not separator or not port.isdecimal():
            raise ValueError("the address to listen on needs a port")
        if self.tls is None and not _is_loopback(host.strip("[]")):
            raise ValueError("plain HTTP is for loopback addresses only")


@dataclass(frozen=True, slots=True)
class Supervision:
    """What surrounds the workers. ``on_worker_exit`` runs in the master whenever a worker has ended, however."""

    observer: LogObserver
    log_level: LogLevel
    on_worker_exit: Callable[[], object]


def run(make_app: Callable[[], WSGIApplication], listener: Listener, supervision: Supervision) -> NoReturn:
    """Serve until told to stop (SIGTERM, SIGINT); ends with SystemExit.

    ``make_app`` is called once in each worker, after the fork, so that no connection or thread is shared.

    Raises:
        OSError, ssl.SSLError: the TLS files cannot be used.
        SystemExit: the end; code 0 after a stop that was asked for.
    """
    server = _Server(make_app, _settings(listener, supervision))
    try:
        server.run()
    except HaltServer as halted:
        # A worker that could not start was found while the server was already stopping.
        supervision.observer.note(Level.ERROR, "The server stopped because a worker could not start.")
        raise SystemExit(halted.exit_status or 1) from None
    raise SystemExit(0)


def _connections_within_limits(threads: int) -> int:
    """How many connections a worker may take without running out of files; raises the soft limit where it is allowed.

    A worker whose accept fails for want of a file descriptor cannot even say so to the caller.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserve = _FILES_PER_THREAD * threads + _OTHER_FILES
    wanted = _MAX_CONNECTIONS + reserve
    if soft == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # One more than the threads is the least with which gunicorn keeps any connection alive.
    return max(threads + 1, min(_MAX_CONNECTIONS, soft - reserve))


def _settings(listener: Listener, supervision: Supervision) -> dict[str, Any]:
    """Gunicorn's settings. Nothing is taken from its own files or environment, and nobody's headers are trusted."""
    settings: dict[str, Any] = {
        "bind": listener.bind,
        "workers": listener.workers,
        "threads": listener.threads,
        "worker_connections": _connections_within_limits(listener.threads),
        "worker_class": BoundWorker,
        "logger_class": operator_log(supervision.observer, supervision.log_level),
        "proc_name": "smsp-provider",
        "graceful_timeout": round(listener.graceful_stop_seconds),
        "timeout": _HEARTBEAT_SECONDS,
        "keepalive": _KEEPALIVE_SECONDS,
        "limit_request_line": _MAX_REQUEST_LINE,
        "limit_request_fields": _MAX_HEADERS,
        "umask": 0o077,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "post_worker_init": lambda _worker: settle(),
        "child_exit": _after_worker(supervision),
    }
    if listener.tls is not None:
        context = server_context(listener.tls)
        settings |= {
            "certfile": os.fspath(listener.tls.certificate),
            "keyfile": os.fspath(listener.tls.key),
            # Called for each connection: the context is the same for all.
            "ssl_context": lambda _config, _default: context,
        }
    return settings


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn without its command line."""

    def __init__(self, make_app: Callable[[], WSGIApplication], settings: dict[str, Any]) -> None:
        self._make_app = make_app
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return self._make_app()


def _after_worker(supervision: Supervision) -> Callable[[object, object], None]:
    def child_exit(_arbiter: object, _worker: object) -> None:
        try:
            supervision.on_worker_exit()
        except Exception as error:  # noqa: BLE001 - the master must go on: its other workers serve
            supervision.observer.note(Level.ERROR, f"Looking after an ended worker failed: {type(error).__name__}")

    return child_exit


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
