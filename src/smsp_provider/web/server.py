"""gunicorn around a WSGI application: one listener, worker processes of threads, mutual TLS or loopback.

Source: serving.md section 3.
"""

import grp
import ipaddress
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from smsp_provider.audit.operator_events import Alert, AlertKind
from smsp_provider.observe.logs import Level, LogLevel, LogObserver
from smsp_provider.web.cpus import cpu_for, keep_to, usable_cpus
from smsp_provider.web.edge import WSGIApplication
from smsp_provider.web.memory import settle
from smsp_provider.web.stopping import STOP_ORDER, obey_parent_alone, stop_signals
from smsp_provider.web.tls import ServerTLS
from smsp_provider.web.tls_reload import ReloadedTLS
from smsp_provider.web.worker import BoundWorker, operator_log

__all__ = ["Listener", "SocketAccess", "Supervision", "run"]

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


_UNIX: Final = "unix:"


@dataclass(frozen=True, slots=True)
class SocketAccess:
    """Who may use a unix socket: its mode, and its group (empty: that of this process)."""

    mode: int
    group: str = ""

    def grant(self, socket: Path) -> None:
        """Give ``socket``, which until now is this user's alone, its group and its mode.

        Raises:
            OSError: it is not ours to give.
            KeyError: there is no such group.
        """
        if self.group:
            os.chown(socket, -1, grp.getgrnam(self.group).gr_gid)
        socket.chmod(self.mode)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: ``bind`` is address and port; plain HTTP (``tls`` None) is for loopback addresses only.

    With ``access`` it is ``unix:`` and a path, for a proxy that is believed (:mod:`smsp_provider.web.proxy`).
    ``threads`` of each of the ``workers`` wait for Spine at once. ``graceful_stop_seconds`` is how long requests under
    way may go on after SIGTERM. ``pinned`` workers keep to one CPU each, where they share the CPUs evenly.

    Raises:
        ValueError: plain HTTP on another address than loopback, an address without a port, or a unix socket that
            nobody is granted access to.
    """

    bind: str
    tls: ServerTLS | None = None
    workers: int = 2
    threads: int = 64
    graceful_stop_seconds: float = 30
    pinned: bool = True
    access: SocketAccess | None = None

    def __post_init__(self) -> None:
        if (self.socket is None) != (self.access is None):
            raise ValueError("a unix socket, and nothing else, needs to know who may use it")
        if self.socket is not None:
            return
        host, separator, port = self.bind.rpartition(":")
        if not separator or not port.isdecimal():
            raise ValueError("the address to listen on needs a port")
        if self.tls is None and not _is_loopback(host.strip("[]")):
            raise ValueError("plain HTTP is for loopback addresses only")

    @property
    def socket(self) -> Path | None:
        """The unix socket to listen on, None for an address and port."""
        return Path(self.bind.removeprefix(_UNIX)) if self.bind.startswith(_UNIX) else None


@dataclass(frozen=True, slots=True)
class Supervision:
    """What surrounds the workers. ``on_worker_exit`` runs in the master whenever a worker has ended, however.

    ``at_worker_end`` runs in a worker that ends by itself, after its last request.
    """

    observer: LogObserver
    log_level: LogLevel
    on_worker_exit: Callable[[], object]
    at_worker_end: Callable[[], object] = lambda: None


def run(make_app: Callable[[], WSGIApplication], listener: Listener, supervision: Supervision) -> NoReturn:
    """Serve until told to stop (:func:`.stopping.stop_signals`); ends with SystemExit.

    ``make_app`` is called once in each worker, after the fork, so that no connection or thread is shared.

    Raises:
        OSError, ssl.SSLError, ValueError: the TLS files cannot be used, or the unix socket cannot be made.
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
        # What is installed besides must not decide how a request is read.
        "http_parser": "python",
        "control_socket_disable": True,
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "pre_fork": _placing(listener),
        "post_fork": lambda _arbiter, worker: keep_to(worker.cpu),
        "post_worker_init": lambda _worker: settle(),
        "worker_exit": lambda _arbiter, _worker: supervision.at_worker_end(),
        "child_exit": _after_worker(supervision),
    }
    if listener.tls is not None:
        reloaded = ReloadedTLS(listener.tls, _alerting(supervision))
        settings |= {
            "certfile": os.fspath(listener.tls.certificate),
            "keyfile": os.fspath(listener.tls.key),
            # Called for each connection.
            "ssl_context": lambda _config, _default: reloaded.context(),
        }
    if listener.access is not None and listener.socket is not None:
        access, socket = listener.access, listener.socket
        settings["when_ready"] = lambda _arbiter: access.grant(socket)
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

    def run(self) -> None:
        _Master(self).run()


class _Master(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's master with another meaning of SIGHUP, none of SIGUSR2, and a parent of its own.

    There is no configuration of gunicorn's to read again, and no other program to put in this one's place.
    """

    def init_signals(self) -> None:
        """Take the order of a parent, where there is one that decides, for what SIGTERM is to gunicorn."""
        super().init_signals()
        if STOP_ORDER in stop_signals():
            # gunicorn has just taken them.
            obey_parent_alone()
            signal.signal(STOP_ORDER, lambda _number, frame: self.signal(signal.SIGTERM, frame))

    def kill_worker(self, pid: int, sig: int) -> None:
        """Order a worker to end, in place of the SIGTERM that it ignores (:meth:`BoundWorker.init_signals`)."""
        super().kill_worker(pid, STOP_ORDER if sig == signal.SIGTERM else sig)

    def handle_hup(self) -> None:
        """Hand over to new workers: the old ones finish the requests that they have."""
        self.log.info("Handing over to new workers.")
        for _ in range(self.num_workers):
            self.spawn_worker()
        # Ends the oldest, so that as many are left as there should be.
        self.manage_workers()

    def handle_usr2(self) -> None:
        """Stay: gunicorn would start the whole command once more beside this one."""
        self.log.warning("SIGUSR2 is not for this provider: a new version is a new start, new files are SIGHUP.")


def _placing(listener: Listener) -> Callable[[Arbiter, BoundWorker], None]:
    usable = usable_cpus() if listener.pinned else frozenset()

    def place(arbiter: Arbiter, worker: BoundWorker) -> None:
        taken = [other.cpu for other in arbiter.WORKERS.values()]
        worker.cpu = cpu_for(taken, usable, listener.workers)

    return place


def _after_worker(supervision: Supervision) -> Callable[[object, object], None]:
    def child_exit(_arbiter: object, _worker: object) -> None:
        try:
            supervision.on_worker_exit()
        except Exception as error:  # noqa: BLE001 - the master must go on: its other workers serve
            supervision.observer.note(Level.ERROR, f"Looking after an ended worker failed: {type(error).__name__}")

    return child_exit


def _alerting(supervision: Supervision) -> Callable[[str], None]:
    def alert(reason: str) -> None:
        supervision.observer.notify(Alert(AlertKind.TLS_FILES_REFUSED, None, reason))

    return alert


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
