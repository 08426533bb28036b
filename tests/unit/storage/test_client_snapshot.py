import os
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from audit_samples import SystemClock
from client_samples import NO_ASIDS, certificate_of, client_of
from smsp_provider.audit.operator_events import Alert, AlertKind, OperatorEvent
from smsp_provider.domain.clients import Authority, Client
from smsp_provider.engine.ports import RegistryUnavailable
from smsp_provider.storage.client_database import ClientDatabase
from smsp_provider.storage.client_form import prepare
from smsp_provider.storage.client_registry import ClientChange, ClientStore, Mark
from smsp_provider.storage.client_snapshot import ClientSnapshot, SnapshotPolicy
from smsp_provider.storage.clients_schema import client as client_table
from smsp_provider.storage.daily_notices import DailyNotices

PATIENCE = 60.0
"""Seconds after which a test gives up waiting for what should come in hundredths of one."""


class Clock(SystemClock):
    """The real clock, and a hand to move it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead.total_seconds()


class Alerts:
    """An observer that keeps alerts."""

    def __init__(self) -> None:
        self.seen: list[Alert] = []

    def notify(self, event: OperatorEvent) -> None:
        assert isinstance(event, Alert)
        self.seen.append(event)

    def of(self, kind: AlertKind) -> list[str]:
        return [alert.reason for alert in self.seen if alert.kind is kind]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registry" / "clients.db"


@pytest.fixture
def store(file: Path) -> Iterator[ClientStore]:
    made = ClientStore(ClientDatabase(f"sqlite:///{file}"), SystemClock())
    prepare(made.database)
    yield made
    made.database.close()


@pytest.fixture
def alerts() -> Alerts:
    return Alerts()


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., ClientSnapshot]


@pytest.fixture
def make(file: Path, alerts: Alerts, clock: Clock) -> Iterator[Make]:
    with ExitStack() as made:

        def make_one(refresh: float = 0.02, stale: float = 30.0, look: float = PATIENCE) -> ClientSnapshot:
            database = ClientDatabase(f"sqlite:///{file}")
            notices = DailyNotices(file.with_name("notices"))
            policy = SnapshotPolicy(refresh, stale, look)
            snapshot = ClientSnapshot(ClientStore(database, clock), NO_ASIDS, clock, alerts, notices, policy)
            made.callback(snapshot.close)
            return snapshot

        yield make_one


def _change(store: ClientStore, name: str, after: Client | None) -> None:
    before = store.read().clients.get(name)
    store.apply([ClientChange(name, before, after)], lambda *_: None)


def _eventually(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def _names(snapshot: ClientSnapshot) -> list[str]:
    return list(snapshot.book().clients)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "client-registry"]


@pytest.mark.rule("SMSP-SEC-001")
def test_the_first_request_already_knows_who_is_registered(store: ClientStore, make: Make) -> None:
    _change(store, "ward-system", client_of())
    snapshot = make(refresh=3600)
    assert snapshot.book().by_certificate(certificate_of("ward-system"), datetime.now(UTC)).client == client_of()
    assert snapshot.book().version == 1


@pytest.mark.rule("SMSP-SEC-001")
def test_changes_arrive_without_being_asked_for(store: ClientStore, make: Make) -> None:
    snapshot = make()
    assert _names(snapshot) == []
    _change(store, "ward-system", client_of())
    assert _eventually(lambda: _names(snapshot) == ["ward-system"])
    _change(store, "ward-system", client_of(enabled=False, disabled_reason="stolen key"))
    assert _eventually(lambda: not snapshot.book().clients["ward-system"].client.enabled)
    _change(store, "ward-system", None)
    assert _eventually(lambda: _names(snapshot) == [])


def test_a_book_that_nobody_changed_stays_the_same_object(store: ClientStore, make: Make, clock: Clock) -> None:
    _change(store, "ward-system", client_of())
    snapshot = make()
    book = snapshot.book()
    clock.ahead = timedelta(seconds=25)
    assert _eventually(lambda: snapshot._copy is not None and snapshot._copy.looked_at > clock.monotonic() - 20)
    assert snapshot.book() is book


@pytest.mark.rule("SMSP-SEC-001")
def test_many_first_requests_start_one_thread(store: ClientStore, make: Make) -> None:
    _change(store, "ward-system", client_of())
    others = set(_threads())
    snapshot = make()
    found: list[list[str]] = []
    requests = [threading.Thread(target=lambda: found.append(_names(snapshot))) for _ in range(16)]
    assert set(_threads()) <= others
    for request in requests:
        request.start()
    for request in requests:
        request.join(PATIENCE)
    assert found == [["ward-system"]] * 16
    assert len(set(_threads()) - others) == 1
    snapshot.close()
    assert set(_threads()) <= others


@pytest.mark.rule("WS-SEC-08")
def test_nobody_is_let_in_while_it_was_never_known_who_may(make: Make, alerts: Alerts) -> None:
    snapshot = make()
    for _ in range(3):
        with pytest.raises(RegistryUnavailable, match="cannot be read"):
            snapshot.book()
    (reason,) = alerts.of(AlertKind.CLIENT_REGISTRY_UNAVAILABLE)
    assert "there is no client registry" in reason


@pytest.mark.rule("WS-SEC-08", "SMSP-SEC-001")
def test_old_knowledge_is_used_for_so_long_and_no_longer(
    store: ClientStore, file: Path, make: Make, alerts: Alerts, clock: Clock
) -> None:
    _change(store, "ward-system", client_of())
    snapshot = make(stale=30)
    assert _names(snapshot) == ["ward-system"]
    away = file.with_name("away.db")
    file.rename(away)
    assert _eventually(lambda: bool(alerts.of(AlertKind.CLIENT_REGISTRY_UNAVAILABLE)))
    assert _names(snapshot) == ["ward-system"]
    clock.ahead = timedelta(seconds=31)
    with pytest.raises(RegistryUnavailable, match="for too long"):
        snapshot.book()
    away.rename(file)
    assert _eventually(lambda: _is_known(snapshot))
    assert _names(snapshot) == ["ward-system"]


class Gate:
    """Where the looks of a snapshot wait while it is closed, as at a slow database; ``reached`` is when one does."""

    def __init__(self, snapshot: ClientSnapshot, patch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        mark = snapshot._store.mark

        def look() -> Mark:
            if not self.opened.is_set():
                self.reached.set()
            assert self.opened.wait(PATIENCE)
            return mark()

        patch.setattr(snapshot._store, "mark", look)
        assert self.reached.wait(PATIENCE)


@pytest.mark.rule("SMSP-SEC-001", "WS-SEC-08")
def test_who_finds_old_knowledge_waits_for_the_look_under_way_and_gets_what_it_finds(
    store: ClientStore, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _change(store, "ward-system", client_of())
    snapshot = make(stale=5)
    assert _names(snapshot) == ["ward-system"]
    gate = Gate(snapshot, monkeypatch)
    _change(store, "ward-system", client_of(enabled=False, disabled_reason="stolen key"))
    clock.ahead = timedelta(seconds=6)
    found: list[bool] = []
    asking = threading.Event()

    def ask() -> None:
        asking.set()
        found.append(snapshot.book().clients["ward-system"].client.enabled)

    request = threading.Thread(target=ask)
    request.start()
    assert asking.wait(PATIENCE)
    gate.opened.set()
    request.join(PATIENCE)
    assert found == [False]


@pytest.mark.rule("WS-SEC-08")
def test_a_look_that_does_not_end_is_waited_for_once(
    store: ClientStore, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _change(store, "ward-system", client_of())
    snapshot = make(stale=5, look=0.5)
    assert _eventually(lambda: _is_known(snapshot))
    gate = Gate(snapshot, monkeypatch)
    clock.ahead = timedelta(seconds=6)
    began = time.monotonic()
    for _ in range(200):
        with pytest.raises(RegistryUnavailable, match="for too long"):
            snapshot.book()
    assert time.monotonic() - began < PATIENCE
    gate.opened.set()
    assert _eventually(lambda: _is_known(snapshot))


def _is_known(snapshot: ClientSnapshot) -> bool:
    try:
        snapshot.book()
    except RegistryUnavailable:
        return False
    return True


def test_a_registry_that_stays_away_is_told_of_once_a_minute(make: Make, alerts: Alerts, clock: Clock) -> None:
    snapshot = make()
    assert not _is_known(snapshot)
    for minute in range(1, 4):
        clock.ahead = timedelta(minutes=minute, seconds=1)
        assert _eventually(lambda: len(alerts.of(AlertKind.CLIENT_REGISTRY_UNAVAILABLE)) > minute)  # noqa: B023 - asked at once
    assert len(alerts.of(AlertKind.CLIENT_REGISTRY_UNAVAILABLE)) == 4


def test_a_copy_put_in_the_place_of_the_registry_is_seen_though_its_version_is_the_same(
    store: ClientStore, file: Path, make: Make
) -> None:
    store.database.close()
    copy = file.with_name("copy.db")
    shutil.copy(file, copy)
    _change(store, "first", client_of("first"))
    snapshot = make()
    assert _names(snapshot) == ["first"]
    other = ClientStore(ClientDatabase(f"sqlite:///{copy}"), SystemClock())
    _change(other, "second", client_of("second"))
    assert other.mark().version == store.mark().version
    copy.rename(file)
    assert _eventually(lambda: _names(snapshot) == ["second"])


@pytest.mark.rule("SMSP-SEC-001")
def test_a_broken_client_is_refused_and_told_of_and_the_others_are_served(
    store: ClientStore, make: Make, alerts: Alerts
) -> None:
    _change(store, "whole", client_of("whole"))
    _change(store, "broken", client_of("broken"))
    with store.database.writing() as connection:
        connection.execute(client_table.update().where(client_table.c.name == "broken").values(priority="first"))
    snapshot = make(refresh=0.01)
    assert _names(snapshot) == ["whole"]
    assert snapshot._copy is not None
    first_look = snapshot._copy.looked_at
    assert _eventually(lambda: snapshot._copy is not None and snapshot._copy.looked_at > first_look + 0.03)
    (reason,) = alerts.of(AlertKind.CLIENT_UNREADABLE)
    assert reason.startswith("client broken: ")


def test_anything_unexpected_leaves_the_thread_alive(
    store: ClientStore, make: Make, alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = make()
    assert _names(snapshot) == []
    with monkeypatch.context() as patched:
        patched.setattr(snapshot._store, "mark", lambda: 1 / 0)
        assert _eventually(lambda: alerts.of(AlertKind.CLIENT_REGISTRY_UNAVAILABLE) == ["unexpected ZeroDivisionError"])
    _change(store, "ward-system", client_of())
    assert _eventually(lambda: _names(snapshot) == ["ward-system"])


def _to_review(name: str, on: date, **changes: object) -> Client:
    authority = Authority("reference", "basis", "use", on)
    return replace(client_of(name), authority=authority, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.rule("SMSP-SEC-001")
def test_a_review_is_announced_once_a_day_whatever_the_number_of_workers(
    store: ClientStore, make: Make, alerts: Alerts, clock: Clock
) -> None:
    today = clock.now().date()
    for client in (
        _to_review("soon", today + timedelta(days=30)),
        _to_review("today", today),
        _to_review("over", today - timedelta(days=3)),
        _to_review("later", today + timedelta(days=31)),
        _to_review("disabled", today, enabled=False, disabled_reason="left"),
    ):
        _change(store, client.name, client)
    workers = [make() for _ in range(3)]
    assert all(_names(worker) for worker in workers)
    expected = [
        "client over: the authority to access was to be reviewed 3 days ago",
        "client soon: the authority to access is to be reviewed in 30 days",
        "client today: the authority to access is to be reviewed in 0 days",
    ]
    assert _eventually(lambda: all(worker._told[0] == today for worker in workers))
    assert _eventually(lambda: sorted(alerts.of(AlertKind.CLIENT_REVIEW_DUE)) == expected)
    clock.ahead = timedelta(days=1)
    assert _eventually(lambda: all(worker._told[0] == today + timedelta(days=1) for worker in workers))
    assert _eventually(lambda: len(alerts.of(AlertKind.CLIENT_REVIEW_DUE)) == len(expected) + 4)


@pytest.mark.rule("SMSP-SEC-001")
def test_a_forked_worker_reads_for_itself(store: ClientStore, make: Make) -> None:
    _change(store, "first", client_of("first"))
    snapshot = make()
    assert _names(snapshot) == ["first"]
    receiving, sending = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads: that is what is looked at here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # Nothing of the test runner may run here.
        status = 1
        try:
            os.write(sending, b"1" if snapshot._thread is None else b"0")
            ready = _eventually(lambda: sorted(_names(snapshot)) == ["first", "second"])
            status = 0 if ready and len(_threads()) == 1 else 1
        finally:
            os._exit(status)
    assert os.read(receiving, 1) == b"1"
    _change(store, "second", client_of("second"))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert _eventually(lambda: sorted(_names(snapshot)) == ["first", "second"])
    os.close(receiving)
    os.close(sending)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"day": "x"}', b"\xff"])
def test_notices_survive_whatever_their_file_holds(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notices"
    path.write_bytes(content)
    notices, day = DailyNotices(path), date(2026, 6, 1)
    assert notices.take(day, frozenset({"a", "b"})) == {"a", "b"}
    assert DailyNotices(path).take(day, frozenset({"b", "c"})) == {"c"}
    assert notices.take(day, frozenset({"a", "b", "c"})) == frozenset()
    assert notices.take(day + timedelta(days=1), frozenset({"a"})) == {"a"}


def test_a_database_that_is_too_slow_for_anybody_to_be_let_in_is_told(
    store: ClientStore, make: Make, clock: Clock, alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    _change(store, "ward", client_of("ward"))
    for look in ("mark", "read"):
        quick = getattr(ClientStore, look)

        def slow(asked: ClientStore, quick: Callable[[ClientStore], object] = quick) -> object:
            clock.ahead += timedelta(seconds=6)
            return quick(asked)

        monkeypatch.setattr(ClientStore, look, slow)
    snapshot = make(stale=5.0, look=0.01)
    with pytest.raises(RegistryUnavailable):
        snapshot.book()
    assert _eventually(lambda: alerts.of(AlertKind.CLIENT_REGISTRY_UNAVAILABLE) != [])
    assert alerts.of(AlertKind.CLIENT_REGISTRY_UNAVAILABLE)[0] == (
        "a look at it takes longer than clients.stale_seconds"
    )
    with pytest.raises(RegistryUnavailable, match="too long"):
        snapshot.book()
