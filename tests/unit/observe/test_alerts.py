"""Alerts on their way to other sinks: gathered, delivered in order, and never lost without a word."""

import io
import json
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_samples import SystemClock
from smsp_provider.audit.operator_events import Alert, AlertKind, EdgeAnswered
from smsp_provider.observe.alert_delivery import Delivery
from smsp_provider.observe.alert_sinks import AlertFile, AlertSink, SinkFailed
from smsp_provider.observe.alert_throttle import AlertThrottle, Gathered
from smsp_provider.observe.alerts import AlertingLog, finish_alerts
from smsp_provider.observe.logs import Level, LogLevel
from throttles import wait_until

pytestmark = pytest.mark.rule("IFC-ALT-01")

_LOST = Alert(AlertKind.AUDIT_UNAVAILABLE, None, "disk full")
_CUT = Alert(AlertKind.AUDIT_UNAVAILABLE, None, "locked")


class _Sink:
    """Does with each line what the test says, and keeps what it took."""

    name = "sink"

    def __init__(self, *, is_local: bool = False) -> None:
        self.is_local = is_local
        self.lines: list[dict[str, object]] = []
        self.does: Callable[[], object] = lambda: None

    def take(self, line: bytes, seconds: float) -> None:
        assert seconds > 0
        self.does()
        self.lines.append(json.loads(line))

    def fails(self, *, again: bool) -> None:
        def fail() -> None:
            raise SinkFailed("no room", again=again)

        self.does = fail

    def works(self) -> None:
        self.does = lambda: None

    def told(self, name: str) -> list[object]:
        return [line.get(name) for line in self.lines]


def _log(*sinks: AlertSink, seconds: float = 60.0) -> tuple[AlertingLog, io.BytesIO]:
    stream = io.BytesIO()
    return AlertingLog(stream, LogLevel(Level.INFO), SystemClock(), sinks, seconds), stream


def test_the_first_goes_out_at_once_and_the_next_are_counted() -> None:
    throttle = AlertThrottle(60)
    assert throttle.admit(_LOST, 0)
    assert throttle.admit(_CUT, 1), "another reason is another alert"
    assert [throttle.admit(_LOST, at) for at in (2, 59.9)] == [False, False]
    assert (throttle.due(59.9), throttle.next_due()) == ([], 60)
    assert throttle.due(60) == [Gathered(_LOST, 2)]
    assert not throttle.admit(_LOST, 61), "what goes on is told once a minute"
    assert throttle.due(200) == [Gathered(_LOST, 1)]
    assert throttle.due(400) == []
    assert throttle.next_due() is None
    assert throttle.admit(_LOST, 401)


def test_two_clients_are_two_alerts() -> None:
    throttle = AlertThrottle(60)
    assert throttle.admit(Alert(AlertKind.PROBING, None, "many-numbers", client="ward-a"), 0)
    assert throttle.admit(Alert(AlertKind.PROBING, None, "many-numbers", client="ward-b"), 0)


@given(st.lists(st.tuples(st.integers(0, 700), st.floats(0, 30)), max_size=900))
def test_no_alert_goes_uncounted(alerts: list[tuple[int, float]]) -> None:
    """However many different ones there are, and whenever they come."""
    throttle, now, told = AlertThrottle(60), 0.0, 0
    for which, later in alerts:
        now += later
        told += sum(one.repeated for one in throttle.due(now))
        told += throttle.admit(Alert(AlertKind.TEST, None, f"reason {which}"), now)
    assert told + sum(one.repeated for one in throttle.take_all()) == len(alerts)


def test_an_alert_reaches_log_and_sink_and_nothing_else_does() -> None:
    sink = _Sink(is_local=True)
    log, stream = _log(sink)
    log.notify(_LOST)
    log.notify(_LOST)
    log.notify(EdgeAnswered("GET", 404))
    log.note(Level.ERROR, "not an alert")
    assert len(stream.getvalue().splitlines()) == 4, "the log has each one"
    (line,) = sink.lines
    assert (line["event"], line["kind"], line["reason"], line["level"]) == (
        "alert",
        "audit-unavailable",
        "disk full",
        "error",
    )
    assert {"at", "host", "pid"} < line.keys()


def test_what_was_gathered_is_sent_when_it_is_due() -> None:
    sink = _Sink(is_local=True)
    log, _ = _log(sink, seconds=0.2)
    for _ in range(5):
        log.notify(_LOST)
    wait_until(lambda: sum(int(str(line.get("repeated", 1))) for line in sink.lines) == 5)
    assert len(sink.lines) < 5


def test_what_was_gathered_is_sent_at_the_end_of_a_process() -> None:
    sink = _Sink()
    log, _ = _log(sink)
    for _ in range(3):
        log.notify(_LOST)
    finish_alerts(5.0)
    assert sink.told("repeated") == [None, 2]


def test_nobody_waits_for_a_sink_that_hangs() -> None:
    sink, let_go = _Sink(), threading.Event()
    sink.does = lambda: let_go.wait(60)
    log, _ = _log(sink)
    log.notify(_LOST)
    log.notify(_CUT)
    assert sink.lines == [], "notify came back while the sink hangs"
    let_go.set()
    wait_until(lambda: sink.told("reason") == ["disk full", "locked"])


def test_what_is_not_taken_is_tried_again_in_order_and_told_in_the_log() -> None:
    sink, told = _Sink(), list[tuple[str, int]]()
    sink.fails(again=True)
    delivery = Delivery(sink, lambda reason, lost: told.append((reason, lost)), first_pause=0.01)
    for number in range(3):
        delivery.put(json.dumps({"number": number}).encode())
    wait_until(lambda: bool(told))
    assert told == [("sink: no room", 0)]
    sink.works()
    wait_until(lambda: len(sink.lines) == 3 and len(told) == 2)
    assert sink.told("number") == [0, 1, 2]
    assert told[1] == ("sink: works again", 0)


def test_what_was_lost_is_counted_and_told_when_the_sink_works_again() -> None:
    sink = _Sink()
    sink.fails(again=False)
    log, stream = _log(sink)
    for number in range(4):
        log.notify(Alert(AlertKind.AUDIT_UNAVAILABLE, None, f"reason {number}"))
    wait_until(lambda: b"sink: no room" in stream.getvalue())
    # The alert about the sink is one that it does not take either.
    wait_until(lambda: log.waiting() == 0)
    sink.works()
    log.notify(_LOST)
    wait_until(lambda: len(sink.lines) == 2)
    assert sink.told("reason") == ["disk full", "sink: works again"]
    assert sink.told("count") == [None, 5]


def test_a_queue_that_is_full_loses_the_newest_and_says_so() -> None:
    sink, told, let_go = _Sink(), list[tuple[str, int]](), threading.Event()
    sink.does = lambda: let_go.wait(60)
    delivery = Delivery(sink, lambda reason, lost: told.append((reason, lost)), first_pause=0.01)
    for number in range(300):
        delivery.put(json.dumps({"number": number}).encode())
    assert told == [("sink: more alerts wait than there is room for", 1)]
    let_go.set()
    wait_until(lambda: len(sink.lines) == 256)
    assert sink.told("number") == list(range(256))
    assert told[1:] == [("sink: works again", 44)]


def test_what_cannot_be_sent_at_the_end_is_counted_in_the_log() -> None:
    sink = _Sink()
    sink.fails(again=True)
    log, stream = _log(sink)
    log.notify(_LOST)
    log.finish(0.2)
    last = json.loads(stream.getvalue().splitlines()[-1])
    assert last["kind"] == "alerts-undelivered"
    assert last["count"] >= 1


def test_a_child_sends_nothing_of_its_parents(tmp_path: Path) -> None:
    file = tmp_path / "alerts"
    sink = _Sink()
    sink.fails(again=True)
    log, _ = _log(sink, AlertFile(file))
    log.notify(_LOST)
    wait_until(lambda: file.read_bytes().count(b"\n") == 2)
    before = file.read_bytes()
    with warnings.catch_warnings():
        # Later versions of Python warn of any fork beside threads: servers do it, and this is about just that.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            log.finish(1.0)
            os._exit(0 if file.read_bytes() == before and log.waiting() == 0 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert log.waiting() >= 1
    sink.works()


def test_a_file_is_private_and_found_anew_after_it_was_rotated_away(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    file = AlertFile(path)
    file.take(b'{"number":1}', 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.rename(tmp_path / "alerts.jsonl.1")
    file.take(b'{"number":2}', 1)
    assert path.read_bytes() == b'{"number":2}\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_file_is_refused_and_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path, tmp_path / "gone" / "alerts"):
        with pytest.raises(SinkFailed):
            AlertFile(path).take(b"{}", 1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_disk_that_is_full_spoils_one_line_at_most() -> None:
    file = AlertFile(Path("/dev/full"))
    with pytest.raises(SinkFailed):
        file.take(b"{}", 1)


@pytest.mark.rule("IFC-LOG-02")
@given(
    st.from_regex(re.compile(r"[1-9][0-9]{9}"), fullmatch=True),
    st.sampled_from(("{}", "number {} is", "nhs:{}", "a {} b", "00{}")),
    st.sampled_from(("", " ", "-")),
)
def test_no_number_of_a_patient_reaches_a_sink(number: str, text: str, between: str) -> None:
    """Not even when somebody made an alert with one in a field, grouped as people group it."""
    written = text.format(between.join((number[:3], number[3:6], number[6:])))
    sink = _Sink(is_local=True)
    log, stream = _log(sink)
    log.notify(Alert(AlertKind.GATE_REFUSED, written, written, codes=(written,), client=written))
    out = json.dumps(sink.lines) + stream.getvalue().decode()
    assert number not in re.sub(r"[ -]", "", out)
    assert len(sink.lines) == 1
