"""Alerts about certificates that end: when something is found first, and once a day while it lasts."""

from datetime import UTC, datetime, timedelta

from edge_endpoint import EventList
from smsp_provider.audit.operator_events import Alert, AlertKind
from smsp_provider.cli.certificate_watch import CertificateWatch

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


def test_each_thing_is_told_once_a_day() -> None:
    clock, heard, found = Clock(), EventList(), ["a"]
    watch = CertificateWatch(lambda _now: list(found), heard, clock)

    def told(**later: float) -> list[str]:
        heard.events.clear()
        clock.moment += timedelta(**later)
        watch.look()
        assert all(isinstance(event, Alert) and event.kind is AlertKind.CERTIFICATE_ENDING for event in heard.events)
        return [event.reason for event in heard.events if isinstance(event, Alert)]

    assert told(hours=1) == [], "it was told at the start"
    found.append("b")
    assert told(minutes=5) == [], "it is not looked at all the time"
    assert told(minutes=6) == ["b"]
    assert told(hours=1) == []
    assert told(hours=22) == ["a"]
    assert told(hours=2) == ["b"]
    found.remove("a")
    assert told(hours=25) == ["b"]
    found.append("a")
    assert told(hours=1) == ["a"], "it has come back"


def test_a_look_that_breaks_is_told_and_ends_nothing() -> None:
    clock, heard, broken = Clock(), EventList(), [False]

    def look(_now: datetime) -> list[str]:
        if broken[0]:
            raise NotImplementedError("whatever stands in a file")
        return []

    watch = CertificateWatch(look, heard, clock)
    broken[0] = True
    clock.moment += timedelta(minutes=11)
    watch.look()
    assert [event.reason for event in heard.events if isinstance(event, Alert)] == [
        "the certificate files cannot be looked at: unexpected NotImplementedError"
    ]
