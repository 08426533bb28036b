"""Operator events as structured logs: one JSON object a line, times in UTC.

Source: IFC-LOG-01 (levels that can be switched at run time), IFC-LOG-02 (nothing of a patient).
"""

import json
import logging
import os
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from enum import Enum, IntEnum
from typing import BinaryIO, Final, assert_never

import structlog

from smsp_provider.audit.encoding import timestamp
from smsp_provider.audit.operator_events import (
    Alert,
    AlertKind,
    EdgeAnswered,
    InputRefused,
    OperatorEvent,
    RequestAnswered,
)
from smsp_provider.engine.ports import Clock
from smsp_provider.observe.lines import LineWriter
from smsp_provider.observe.redaction import keep_safe

__all__ = ["Level", "LogLevel", "LogObserver", "alert_level", "alert_line", "quieten_libraries"]

_LIBRARIES: Final = ("spyne", "zeep", "urllib3", "signxml", "gunicorn.access", "gunicorn.http", "asyncio")
"""Loggers that write messages, URLs or whole requests."""

_CLIENT_ERROR: Final = 400


class Level(IntEnum):
    """How much is written; the values are in the order of the settings' names."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


class LogLevel:
    """The level in force, which an operator can switch without a restart (IFC-LOG-01)."""

    def __init__(self, configured: Level) -> None:
        self._configured: Final = configured
        self._current = configured

    @property
    def current(self) -> Level:
        """The level in force."""
        return self._current

    def switch(self) -> Level:
        """Change between the configured level and ``DEBUG``; returns the new one."""
        self._current = self._configured if self._current is Level.DEBUG else Level.DEBUG
        return self._current


class LogObserver:
    """Writes events to ``stream``, each line in one piece, so that threads and processes do not mix theirs.

    Lines that the stream does not take in time are dropped; the next one that it takes is followed by their number.
    """

    def __init__(self, stream: BinaryIO, level: LogLevel, clock: Clock) -> None:
        self._level: Final = level
        self._clock: Final = clock
        self._lines: Final = LineWriter(stream)
        self._logger = structlog.wrap_logger(
            _Sink(self._lines),
            processors=[keep_safe, structlog.processors.JSONRenderer(serializer=_to_bytes)],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=True,
        )

    def notify(self, event: OperatorEvent) -> None:
        """See :meth:`smsp_provider.audit.operator_events.Observer.notify`."""
        level = _level_of(event)
        if level >= self._level.current:
            self._write(
                level, _NAMES[type(event)], {field.name: _plain(getattr(event, field.name)) for field in fields(event)}
            )

    def note(self, level: Level, text: str) -> None:
        """Write something about the running of the provider itself; ``text`` is fixed text or masked."""
        if level >= self._level.current:
            self._write(level, "server", {"reason": text})

    def _write(self, level: Level, name: str, values: dict[str, object]) -> None:
        # A log that cannot be written (a closed or unread pipe, a full disk) must not decide what a caller is answered.
        with suppress(Exception):
            if self._put(level, name, values) and (dropped := self._lines.take_dropped()):
                reason = f"Log lines dropped since nobody read them: {dropped}."
                if not self._put(Level.ERROR, "server", {"reason": reason}):
                    self._lines.count_dropped(dropped)

    def _put(self, level: Level, name: str, values: dict[str, object]) -> bool:
        line = {"at": timestamp(self._clock.now()), "level": level.name.lower(), **values, "pid": os.getpid()}
        return bool(self._logger.info(name, **line))


class _Sink:
    """What structlog hands a finished line to."""

    def __init__(self, lines: LineWriter) -> None:
        self.info: Final = lines.write


_NAMES: Final[dict[type[OperatorEvent], str]] = {
    RequestAnswered: "request-answered",
    InputRefused: "input-refused",
    Alert: "alert",
    EdgeAnswered: "edge-answered",
}

_WORTH_A_LOOK: Final = frozenset(
    {
        AlertKind.SENSITIVE_RECORD,
        AlertKind.UNMAPPED_PDS_CODE,
        AlertKind.CLIENT_REVIEW_DUE,
        AlertKind.PROBING,
        AlertKind.SPINE_OUTAGE_OVER,
        AlertKind.THROUGHPUT,
        AlertKind.MESSAGE_SIZES,
        AlertKind.BACKLOG,
        AlertKind.TEST,
    }
)


def _level_of(event: OperatorEvent) -> Level:
    match event:
        case RequestAnswered() | InputRefused():
            return Level.INFO
        case Alert():
            return alert_level(event.kind)
        case EdgeAnswered():
            return Level.INFO if event.status >= _CLIENT_ERROR else Level.DEBUG
        case _:
            assert_never(event)


def alert_level(kind: AlertKind) -> Level:
    """How serious alerts of a kind are."""
    return Level.WARNING if kind in _WORTH_A_LOOK else Level.ERROR


def alert_line(alert: Alert, at: datetime, host: str, repeated: int = 0) -> bytes:
    """An alert as a JSON object, as it goes out to other sinks: like its line in the log, and from which ``host``.

    ``repeated`` is how often the same came since the last one that was sent.
    """
    values: dict[str, object] = {"at": timestamp(at), "level": _level_of(alert).name.lower(), "event": "alert"}
    values |= {field.name: _plain(getattr(alert, field.name)) for field in fields(alert)}
    values |= {"host": host, "pid": os.getpid()} | ({"repeated": repeated} if repeated else {})
    return _to_bytes(keep_safe(None, "", values))


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _to_bytes(line: object, **_options: object) -> bytes:
    return json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def quieten_libraries() -> None:
    """Silence the loggers of libraries that write content: this provider writes its own events instead."""
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
