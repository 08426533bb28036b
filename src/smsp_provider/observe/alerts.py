"""Alerts for those who do not read the operator log: the same alerts, gathered, to every sink of the settings.

The operator log comes first and has every single alert. What a sink cannot take is tried again, counted, and told.

Source: IFC-ALT-01, IG-ALERT-2.26; IFC-LOG-02 (nothing of a patient).
"""

import os
import socket
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO, Final

from smsp_provider.audit.operator_events import Alert, AlertKind, OperatorEvent
from smsp_provider.engine.ports import Clock
from smsp_provider.observe.alert_delivery import Delivery
from smsp_provider.observe.alert_sinks import AlertSink
from smsp_provider.observe.alert_throttle import AlertThrottle, Gathered
from smsp_provider.observe.logs import LogLevel, LogObserver, alert_line

__all__ = ["AlertingLog", "finish_alerts"]

_AT_ONCE_SECONDS: Final = 0.01


class AlertingLog(LogObserver):
    """The operator log of a process, which sends alerts on to ``sinks``; safe for threads and forks.

    Identical alerts go out once in ``repeat_seconds``, with a count of those in between.
    """

    def __init__(
        self,
        stream: BinaryIO,
        level: LogLevel,
        clock: Clock,
        sinks: Sequence[AlertSink] = (),
        repeat_seconds: float = 60.0,
    ) -> None:
        super().__init__(stream, level, clock)
        self._host: Final = socket.gethostname().partition(".")[0]
        self._repeat_seconds: Final = repeat_seconds
        self._deliveries: Final = tuple(Delivery(sink, self._tell) for sink in sinks)
        self.begin_anew()
        _all.add(self)

    def begin_anew(self) -> None:
        """The state of one process; after a fork, in the child."""
        self._guard = threading.Lock()
        self._throttle = AlertThrottle(self._repeat_seconds)
        self._thread: threading.Thread | None = None

    def notify(self, event: OperatorEvent) -> None:
        """See :meth:`smsp_provider.audit.operator_events.Observer.notify`."""
        super().notify(event)
        if self._deliveries and isinstance(event, Alert):
            # An alert that cannot be sent on must not decide what a caller is answered.
            with suppress(Exception):
                self._take(event)

    def finish(self, seconds: float) -> None:
        """At the end of the process: send what was gathered and what waits, for so long at most."""
        with self._guard:
            gathered = self._throttle.take_all()
        self._send(gathered)
        until = self._clock.monotonic() + seconds
        for delivery in self._deliveries:
            lost = delivery.finish(max(_AT_ONCE_SECONDS, until - self._clock.monotonic()))
            if lost:
                reason = f"{delivery.sink.name}: not delivered when process {os.getpid()} ended"
                super().notify(Alert(AlertKind.ALERTS_UNDELIVERED, None, reason, count=lost))

    def waiting(self) -> int:
        """How many alerts wait to be taken, over all sinks."""
        return sum(delivery.waiting() for delivery in self._deliveries)

    def _take(self, alert: Alert) -> None:
        with self._guard:
            if not self._throttle.admit(alert, self._clock.monotonic()):
                self._have_thread()
                return
        self._hand_out(alert, 0)

    def _hand_out(self, alert: Alert, repeated: int) -> None:
        line = alert_line(alert, self._clock.now(), self._host, repeated)
        for delivery in self._deliveries:
            delivery.put(line)

    def _send(self, gathered: Sequence[Gathered]) -> None:
        for one in gathered:
            self._hand_out(one.alert, one.repeated)

    def _tell(self, reason: str, lost: int) -> None:
        self.notify(Alert(AlertKind.ALERTS_UNDELIVERED, None, reason, count=lost or None))

    def _have_thread(self) -> None:
        """Somebody who sends what was gathered when it is due. With the guard held."""
        if self._thread is None:
            thread = threading.Thread(target=self._send_when_due, name="alerts-gathered", daemon=True)
            # Where the system gives no thread now, the next alert asks again.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _send_when_due(self) -> None:
        while True:
            with self._guard:
                gathered = self._throttle.due(self._clock.monotonic())
                due = self._throttle.next_due()
                if due is None and not gathered:
                    self._thread = None
                    return
            self._send(gathered)
            if due is not None:
                time.sleep(max(_AT_ONCE_SECONDS, due - self._clock.monotonic()))


_all: "weakref.WeakSet[AlertingLog]" = weakref.WeakSet()


def finish_alerts(seconds: float) -> None:
    """At the end of a process that ends without Python's own: send what there still is to send. Never raises."""
    for one in list(_all):
        with suppress(Exception):
            one.finish(seconds)


def _after_fork_in_child() -> None:
    for one in list(_all):
        one.begin_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)
