"""The process of ``smsp serve`` that answers for health and metrics (:mod:`smsp_provider.web.ops`).

It looks at what every request needs, about once a second, takes back what killed workers held of the limits, and puts
the throughput of each day into the operator log when the day is over (SMSP-PERF-002).
"""

import errno
import socket
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from smsp_provider.cli.audit_keeper import keeper_state_file
from smsp_provider.config.section import split_bind
from smsp_provider.config.settings import ClientPolicy, Settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.clock_state import read_kernel_clock
from smsp_provider.observe.logs import Level, LogObserver
from smsp_provider.observe.metrics import CONTENT_TYPE, RootsMade, exposition, throughput
from smsp_provider.storage.keeper_state import read_keeper_state
from smsp_provider.web.application import is_writable
from smsp_provider.web.ops import Readiness, serve_ops
from smsp_provider.wiring.audit import build_audit, keep_to_trail
from smsp_provider.wiring.provider import build_client_store, build_counters, build_throttle

__all__ = ["ops_socket", "run_ops"]

_YES_NO: Final = {True: "yes", False: "no"}


def ops_socket(bind: str) -> socket.socket:
    """A socket that listens on address and port.

    Raises:
        OSError: it cannot.
    """
    host, port = split_bind(bind)
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def run_ops(settings: Settings, listener: socket.socket, audit_mark: str, observer: LogObserver) -> int:
    """Answer until told to stop; the exit code."""
    keep_to_trail(settings, audit_mark)
    clock = SystemClock()
    throttle, counters = build_throttle(settings, clock), build_counters(settings)
    log_throughput = _DailyThroughput(counters.hours, observer, clock.now().date())
    look_at_provider = _looking(settings)

    def look() -> Readiness:
        throttle.take_back()
        log_throughput.at(clock.now().date())
        return look_at_provider()

    def metrics() -> bytes:
        try:
            kept = read_keeper_state(keeper_state_file(settings))
            roots = None if kept is None else RootsMade(kept.root_at, kept.unbound)
            return exposition(
                counters.read(), counters.hours(), throttle.use(), clock.now(), read_kernel_clock(), roots
            )
        except Exception as error:  # noqa: BLE001 - a table that somebody else wrote into can hold anything
            observer.note(Level.ERROR, f"The metrics cannot be made: {type(error).__name__}")
            raise OSError(errno.EIO, "no metrics") from None

    return serve_ops(listener, look, metrics, CONTENT_TYPE)


def _looking(settings: Settings) -> Callable[[], Readiness]:
    """What readiness takes: each part is looked at, whatever is found of the others."""
    clock = SystemClock()
    audit, throttle = build_audit(settings, clock), build_throttle(settings, clock)
    clients = build_client_store(settings, clock) if settings.clients.policy is ClientPolicy.REGISTERED else None

    def look() -> Readiness:
        writable, registered = is_writable(audit), True
        if clients is not None:
            try:
                clients.mark()
            except Exception:  # noqa: BLE001 - drivers have exceptions of their own; any of them is the finding
                registered = False
        use = throttle.use()
        return Readiness(
            writable and registered and not use.draining,
            {
                "draining": _YES_NO[use.draining],
                "audit-writable": _YES_NO[writable],
                "registry-readable": _YES_NO[registered],
                "breaker": use.breaker.name.lower().replace("_", "-"),
            },
        )

    return look


class _DailyThroughput:
    """Puts each day's throughput into the log when the next one begins."""

    def __init__(self, hours: Callable[[], dict[int, int]], observer: LogObserver, today: date) -> None:
        self._hours = hours
        self._observer = observer
        self._day = today

    def at(self, today: date) -> None:
        """Note the day before, once."""
        if today == self._day:
            return
        self._day = today
        day = today - timedelta(days=1)
        total, busiest = throughput(self._hours(), day)
        self._observer.note(Level.INFO, f"Throughput of {day}: {total} requests, {busiest} in the busiest hour (UTC).")
