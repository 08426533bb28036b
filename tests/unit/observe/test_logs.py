"""Events as lines."""

import io
import json
import logging
import os
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit_samples import SystemClock
from smsp_provider.audit.operator_events import (
    Alert,
    AlertKind,
    EdgeAnswered,
    InputRefused,
    OperatorEvent,
    RequestAnswered,
)
from smsp_provider.domain.service import Service
from smsp_provider.observe import lines as lines_module
from smsp_provider.observe.logs import Level, LogLevel, LogObserver, quieten_libraries

EXCHANGE = "0B9D8F4E-6F0C-4A7E-9A33-0C2F4F9F9B11"
ANSWERED = RequestAnswered(EXCHANGE, EXCHANGE, "client.example", Service.GET_NHS_NUMBER, "SMSP-0000", 200, 212, 2)


class _FixedClock(SystemClock):
    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, 0, 0, 500, tzinfo=UTC)


def _lines(level: Level, *events: OperatorEvent) -> list[dict[str, object]]:
    stream = io.BytesIO()
    observer = LogObserver(stream, LogLevel(level), _FixedClock())
    for event in events:
        observer.notify(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.rule("IFC-LOG-01")
def test_a_fault_is_found_by_its_error_id() -> None:
    (line,) = _lines(Level.INFO, replace(ANSWERED, code="1000", status=500, error_id=EXCHANGE))
    assert line["error_id"] == EXCHANGE


@pytest.mark.rule("IFC-LOG-01", "SMSP-AUDIT-011")
def test_a_request_is_one_line_with_what_an_operator_needs() -> None:
    assert _lines(Level.INFO, ANSWERED) == [
        {
            "at": "2026-03-01T12:00:00.000500Z",
            "level": "info",
            "event": "request-answered",
            "exchange_id": EXCHANGE,
            "message_id": EXCHANGE,
            "username": "client.example",
            "service": "getNHSNumber-v1-0",
            "code": "SMSP-0000",
            "status": 200,
            "duration_ms": 212,
            "spine_exchanges": 2,
            "pid": os.getpid(),
        }
    ]


@pytest.mark.rule("IG-ALERT-2.26")
def test_access_to_a_sensitive_record_is_an_alert_that_leads_to_the_audit_trail() -> None:
    (line,) = _lines(Level.WARNING, ANSWERED, Alert(AlertKind.SENSITIVE_RECORD, EXCHANGE, "IG-ALERT-2.26"))
    assert (line["event"], line["kind"], line["exchange_id"], line["level"]) == (
        *("alert", "sensitive-record-accessed", EXCHANGE, "warning"),
    )


@pytest.mark.rule("IFC-LOG-01")
@pytest.mark.parametrize(
    ("level", "written"),
    [(Level.DEBUG, "abcde"), (Level.INFO, "abce"), (Level.WARNING, "bc"), (Level.ERROR, "c")],
)
def test_a_level_lets_through_what_is_at_least_as_important(level: Level, written: str) -> None:
    events: dict[str, OperatorEvent] = {
        "a": ANSWERED,
        "b": Alert(AlertKind.UNMAPPED_PDS_CODE, EXCHANGE, "unknown", ("99",)),
        "c": Alert(AlertKind.AUDIT_UNAVAILABLE, None, "SQLITE_FULL"),
        "d": EdgeAnswered("GET", 200),
        "e": EdgeAnswered("GET", 404),
    }
    single = {name: _lines(Level.DEBUG, event) for name, event in events.items()}
    assert _lines(level, *events.values()) == [line for name in written for line in single[name]]


@pytest.mark.rule("IFC-LOG-01")
def test_the_level_can_be_switched_while_running() -> None:
    stream, level = io.BytesIO(), LogLevel(Level.ERROR)
    observer = LogObserver(stream, level, SystemClock())
    seen = []
    for _ in range(3):
        observer.notify(ANSWERED)
        seen.append(len(stream.getvalue().splitlines()))
        level.switch()
    assert seen == [0, 1, 1]
    assert level.current is Level.DEBUG


@pytest.mark.rule("IFC-LOG-02")
def test_an_event_made_wrongly_still_writes_no_patient_value() -> None:
    wrong = (
        RequestAnswered(EXCHANGE, "9434765919", "Mrs Jane Example", None, "943 476 5919", 500, 1),
        InputRefused(EXCHANGE, Service.GET_NHS_NUMBER, "Person.NHSNumber 9434765919 19620504"),
        Alert(AlertKind.UNMAPPED_PDS_CODE, EXCHANGE, "code\n943 476 5919", ("9434765919", "Mrs Jane Example")),
    )
    stream = io.BytesIO()
    observer = LogObserver(stream, LogLevel(Level.DEBUG), _FixedClock())
    for event in wrong:
        observer.notify(event)
    observer.note(Level.ERROR, "about 9434765919")
    text = stream.getvalue().decode("ascii")
    assert len(text.splitlines()) == 4
    for value in ("9434765919", "943 476 5919", "19620504", "Jane"):
        assert value not in text


def test_a_log_that_cannot_be_written_changes_nothing() -> None:
    stream = io.BytesIO()
    observer = LogObserver(stream, LogLevel(Level.INFO), SystemClock())
    stream.close()
    observer.notify(ANSWERED)


def _drain(reader: int) -> list[dict[str, object]]:
    """What is in the pipe now."""
    os.set_blocking(reader, False)
    text = b""
    with suppress(BlockingIOError):
        while piece := os.read(reader, 65536):
            text += piece
    return [json.loads(line) for line in text.splitlines()]


def _notify_in_time(observer: LogObserver, times: int) -> None:
    def write() -> None:
        for _ in range(times):
            observer.notify(ANSWERED)

    # (A daemon, so that a failure of this test does not hang the run.)
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "the log blocks"


@pytest.mark.rule("IFC-LOG-01")
def test_a_pipe_that_nobody_reads_stops_no_request_and_the_lost_lines_are_counted() -> None:
    reader, writer = os.pipe()
    with open(writer, "wb") as stream, open(reader, "rb"):  # noqa: PTH123 - descriptors
        observer = LogObserver(stream, LogLevel(Level.INFO), SystemClock())
        _notify_in_time(observer, 1000)
        kept = _drain(reader)
        assert 100 < len(kept) < 1000
        assert {line["event"] for line in kept} == {"request-answered"}
        _notify_in_time(observer, 2)
        assert [(line["event"], line.get("reason")) for line in _drain(reader)] == [
            ("request-answered", None),
            ("server", f"Log lines dropped since nobody read them: {1000 - len(kept)}."),
            ("request-answered", None),
        ]
        assert os.get_blocking(writer), "the mode of a stream that others share is not ours to change"


def test_the_loss_of_a_parent_is_not_told_by_its_child() -> None:
    reader, writer = os.pipe()
    with open(writer, "wb") as stream, open(reader, "rb"):  # noqa: PTH123 - descriptors
        observer = LogObserver(stream, LogLevel(Level.INFO), SystemClock())
        _notify_in_time(observer, 1000)
        _drain(reader)
        child = os.fork()
        if child == 0:
            observer.notify(ANSWERED)
            os._exit(0)
        os.waitpid(child, 0)
        assert [line["event"] for line in _drain(reader)] == ["request-answered"]


def test_lines_of_many_threads_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "_TURN_SECONDS", 60.0)
    with (tmp_path / "log").open("w+b") as stream:
        observer = LogObserver(stream, LogLevel(Level.INFO), SystemClock())

        def write() -> None:
            for _ in range(100):
                observer.notify(ANSWERED)

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stream.seek(0)
        lines = stream.read().splitlines()
    assert len(lines) == 800
    assert {json.loads(line)["event"] for line in lines} == {"request-answered"}


@pytest.mark.rule("IFC-LOG-02")
@pytest.mark.parametrize(
    "name",
    ["spyne", "spyne.protocol.soap.invalid", "zeep.transports", "urllib3.connectionpool", "gunicorn.access"],
)
def test_libraries_that_log_content_write_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    root, before = logging.getLogger(), logging.getLogger().level
    handler = logging.StreamHandler()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("ours").error("this one is heard")
        quieten_libraries()
        logging.getLogger(name).critical("9434765919")
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert capfd.readouterr().err == "this one is heard\n"


@pytest.mark.parametrize("kind", ["a pipe that cannot be opened anew", "a socket"])
def test_a_stream_that_cannot_be_opened_anew_stops_no_request_either(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> int:
        raise PermissionError

    if kind == "a socket":
        ours, theirs = (end.detach() for end in socket.socketpair())
    else:
        theirs, ours = os.pipe()
    with open(ours, "wb") as stream, open(theirs, "rb"):  # noqa: PTH123 - descriptors
        with monkeypatch.context() as patched:
            if kind != "a socket":
                patched.setattr(os, "open", refuse)
            observer = LogObserver(stream, LogLevel(Level.INFO), SystemClock())
        _notify_in_time(observer, 2000)
        assert 10 < len(_drain(theirs)) < 2000
