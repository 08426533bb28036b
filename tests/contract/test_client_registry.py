"""What the registry of clients must do, in SQLite and in PostgreSQL."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from audit_samples import SystemClock
from client_samples import AT, any_clients, client_of, pin_of
from postgres_server import new_database
from smsp_provider.domain.client_document import document_of
from smsp_provider.domain.clients import Client, NamePin, PinState
from smsp_provider.storage import client_database
from smsp_provider.storage.client_database import ClientDatabase, RegistryBroken
from smsp_provider.storage.client_form import RegistryNotReady, check_form, prepare
from smsp_provider.storage.client_registry import (
    ClientChange,
    ClientConflict,
    ClientStore,
    RegistryChanged,
)
from smsp_provider.storage.client_rows import BrokenClient, insert_client
from smsp_provider.storage.clients_schema import VERSION_TABLE
from smsp_provider.storage.operator_schema import METADATA

DAY = timedelta(days=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/registry/clients.db" if request.param == "sqlite" else new_database()


@pytest.fixture
def another(url: str) -> Iterator[Callable[[], ClientStore]]:
    """Opens the registry once more, which may not be there yet."""
    with ExitStack() as opened:

        def open_one() -> ClientStore:
            store = _open(url)
            opened.callback(store.database.close)
            return store

        yield open_one


@pytest.fixture
def store(another: Callable[[], ClientStore]) -> ClientStore:
    made = another()
    assert prepare(made.database)
    return made


def _open(url: str) -> ClientStore:
    return ClientStore(ClientDatabase(url), SystemClock())


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here waits for a lock in vain, however slow the machine is."""
    monkeypatch.setattr(client_database, "_WAIT_SECONDS", 60)


def _open_in_a_child(url: str) -> ClientStore:
    """As patient, in a process of its own."""
    pytest.MonkeyPatch().setattr(client_database, "_WAIT_SECONDS", 60)
    return _open(url)


def _unrecorded(_change: ClientChange, _version: int) -> None:
    """Nothing is put on record."""


def _added(*clients: Client) -> list[ClientChange]:
    return [ClientChange(client.name, None, client) for client in clients]


def _add(store: ClientStore, *clients: Client) -> int:
    return store.apply(_added(*clients), _unrecorded).version


def _clients(store: ClientStore) -> list[object]:
    return list(store.read().clients.values())


@pytest.mark.rule("SMSP-SEC-001")
def test_a_new_registry_is_empty_and_in_the_form_of_this_version(store: ClientStore) -> None:
    check_form(store.database)
    assert not prepare(store.database)
    assert _clients(store) == []
    assert store.mark().version == 0


def test_the_migrations_lead_to_the_tables_that_are_used(store: ClientStore) -> None:
    with store.database.reading() as connection:
        options = {"compare_type": True, "version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


@pytest.mark.rule("SMSP-SEC-001", "WS-SEC-09")
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.lists(any_clients(), min_size=1, max_size=3, unique_by=lambda client: client.name))
def test_every_client_comes_back_as_it_was_written(store: ClientStore, clients: list[Client]) -> None:
    before = store.read()
    try:
        mark = store.apply(
            [
                *(ClientChange(name, was, None) for name, was in before.clients.items()),
                *(ClientChange(client.name, None, client) for client in clients if client.name not in before.clients),
            ],
            _unrecorded,
        )
    except ClientConflict:
        return
    written = [client for client in clients if client.name not in before.clients]
    state = store.read()
    assert state.mark == mark
    assert [document_of(found) for found in state.clients.values() if isinstance(found, Client)] == [
        document_of(client) for client in sorted(written, key=lambda client: client.name)
    ]
    assert {client.name: client for client in written} == state.clients


def test_each_change_makes_one_version_whatever_it_holds(store: ClientStore) -> None:
    first, second = client_of("first"), client_of("second")
    assert _add(store, first, second) == 1
    changed = replace(first, contact="somebody else")
    assert store.apply([ClientChange("first", first, changed)], _unrecorded).version == 2
    assert store.apply([ClientChange("second", second, None)], _unrecorded).version == 3
    assert _clients(store) == [changed]
    assert store.mark().version == 3


@pytest.mark.rule("SMSP-AUDIT-008")
def test_a_change_is_on_record_before_it_can_be_seen(store: ClientStore, another: Callable[[], ClientStore]) -> None:
    seen: list[object] = []
    other = another()

    def record(change: ClientChange, version: int) -> None:
        seen.append((change.name, change.before, change.after, version, _clients(other), other.mark().version))

    client = client_of()
    store.apply(_added(client), record)
    assert seen == [(client.name, None, client, 1, [], 0)]
    assert _clients(store) == [client]


@pytest.mark.rule("SMSP-AUDIT-008")
def test_what_cannot_be_put_on_record_is_not_changed(store: ClientStore) -> None:
    _add(store, client_of("first"))
    recorded: list[str] = []

    def record(change: ClientChange, _version: int) -> None:
        if recorded:
            raise RuntimeError
        recorded.append(change.name)

    with pytest.raises(RuntimeError):
        store.apply(_added(client_of("second"), client_of("third")), record)
    assert recorded == ["second"]
    assert _clients(store) == [client_of("first")]
    assert _add(store, client_of("second")) == 2


def _die_before_the_commit(url: str) -> None:
    """In a process of its own: it dies when the change is on record and not committed yet."""
    _open_in_a_child(url).apply(_added(client_of("second")), lambda *_: os._exit(7))


@pytest.mark.rule("SMSP-AUDIT-008")
def test_a_death_after_the_record_changes_nothing_and_is_in_nobodys_way(store: ClientStore, url: str) -> None:
    _add(store, client_of("first"))
    process = multiprocessing.get_context("spawn").Process(target=_die_before_the_commit, args=(url,))
    process.start()
    process.join(60)
    assert process.exitcode == 7
    assert _clients(store) == [client_of("first")]
    assert _add(store, client_of("third")) == 2


@pytest.mark.rule("SMSP-AUDIT-008")
def test_what_is_refused_leaves_no_record(store: ClientStore) -> None:
    _add(store, client_of("first"))
    recorded: list[ClientChange] = []
    with pytest.raises(ClientConflict):
        store.apply(
            _added(client_of("second"), client_of("third", pins=(pin_of("first"),))),
            lambda change, _: recorded.append(change),
        )
    with pytest.raises(RegistryChanged):
        store.apply(_added(client_of("first")), lambda change, _: recorded.append(change))
    assert recorded == []
    assert _clients(store) == [client_of("first")]


@pytest.mark.rule("WS-SEC-08", "WS-SEC-09")
@pytest.mark.parametrize("together", [True, False], ids=["in one change", "one after the other"])
def test_two_clients_do_not_share_a_certificate(store: ClientStore, *, together: bool) -> None:
    first, second = client_of("one"), client_of("two", pins=(pin_of("one", PinState.RETIRED, AT),))
    if not together:
        _add(store, first)
    with pytest.raises(ClientConflict, match="client two: pins: client one "):
        _add(store, *((first, second) if together else (second,)))
    assert _clients(store) == ([] if together else [first])


@pytest.mark.rule("WS-SEC-08")
@pytest.mark.parametrize(
    "second",
    [
        client_of("two", pins=(pin_of("x"),)),
        client_of("two", pins=(NamePin("CN=x", "CN=ca", AT + DAY),)),
        client_of("two", usernames=frozenset({"login"})),
        client_of("two", usernames=frozenset({"one"})),
    ],
    ids=["fingerprint", "name in a certificate", "username", "name"],
)
def test_the_database_itself_refuses_what_two_clients_would_share(store: ClientStore, second: Client) -> None:
    first = client_of("one", usernames=frozenset({"login"}), pins=(pin_of("x", until=AT), NamePin("CN=x", "CN=ca", AT)))
    _add(store, first)
    with pytest.raises(RegistryBroken), store.database.writing() as connection:
        insert_client(connection, second)
    assert _clients(store) == [first]


@pytest.mark.rule("WS-SEC-09")
def test_a_pin_can_go_from_one_client_to_another_in_one_change(store: ClientStore) -> None:
    one, two = client_of("one", pins=(pin_of("x"),)), client_of("two", pins=(pin_of("y"),))
    _add(store, one, two)
    changes = [
        ClientChange("one", one, replace(one, pins=two.pins)),
        ClientChange("two", two, replace(two, pins=one.pins)),
    ]
    store.apply(changes, _unrecorded)
    assert _clients(store) == [replace(one, pins=two.pins), replace(two, pins=one.pins)]


@pytest.mark.parametrize(
    "change",
    [
        lambda client: ClientChange("first", replace(client, contact="seen before"), replace(client, contact="mine")),
        lambda client: ClientChange("first", None, client),
        lambda client: ClientChange("first", replace(client, contact="seen before"), None),
        lambda _: ClientChange("second", client_of("second"), None),
    ],
    ids=["changed meanwhile", "added meanwhile", "changed, to be removed", "removed meanwhile"],
)
def test_an_update_that_would_be_lost_is_refused(store: ClientStore, change: Callable[[Client], ClientChange]) -> None:
    client = client_of("first")
    _add(store, client)
    with pytest.raises(RegistryChanged):
        store.apply([change(client)], _unrecorded)
    assert _clients(store) == [client]
    assert store.mark().version == 1


def test_a_change_of_everything_is_refused_after_any_other_change(store: ClientStore) -> None:
    seen = store.mark()
    _add(store, client_of("first"))
    with pytest.raises(RegistryChanged):
        store.apply(_added(client_of("second")), _unrecorded, based_on=seen)
    store.apply(_added(client_of("second")), _unrecorded, based_on=store.mark())
    assert len(_clients(store)) == 2


def _count_up(url: str, name: str, times: int) -> None:
    """In a process of its own: raise a limit that another process raises too, looking again where that was first."""
    store = _open_in_a_child(url)
    done = 0
    while done < times:
        client = store.read().clients[name]
        assert isinstance(client, Client)
        limits = replace(client.limits, concurrency=(client.limits.concurrency or 0) + 1)
        try:
            store.apply([ClientChange(name, client, replace(client, limits=limits))], _unrecorded)
        except RegistryChanged:
            continue
        done += 1


def test_processes_that_change_one_client_at_once_lose_nothing(store: ClientStore, url: str) -> None:
    _add(store, client_of("first"))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_up, args=(url, "first", 10)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    client = store.read().clients["first"]
    assert isinstance(client, Client)
    assert client.limits.concurrency == 20
    assert store.mark().version == 21


def test_a_reader_sees_one_state_while_others_write(store: ClientStore, another: Callable[[], ClientStore]) -> None:
    names = [f"client-{number}" for number in range(3)]
    _add(store, *(client_of(name, contact="0") for name in names))
    torn: list[object] = []
    stop = threading.Event()

    def read() -> None:
        reader = another()
        while not stop.is_set():
            state = reader.read()
            contacts = {found.contact for found in state.clients.values() if isinstance(found, Client)}
            if contacts != {str(state.mark.version - 1)}:
                torn.append((state.mark, contacts))

    thread = threading.Thread(target=read)
    thread.start()
    for turn in range(15):
        found = [client for client in store.read().clients.values() if isinstance(client, Client)]
        changes = [ClientChange(one.name, one, replace(one, contact=str(turn + 1))) for one in found]
        store.apply(changes, _unrecorded)
    stop.set()
    thread.join(60)
    assert torn == []


BREAKAGES: Sequence[str] = (
    "UPDATE client SET review_on = 'soon' WHERE name = :name",
    "UPDATE client SET priority = 'first' WHERE name = :name",
    "UPDATE client SET contact = '' WHERE name = :name",
    "UPDATE client SET ods_code = 'A1001:1' WHERE name = :name",
    "UPDATE client SET enabled = (1 = 0) WHERE name = :name",
    "UPDATE client_pin SET fingerprint = 'none' WHERE client = :name",
    "UPDATE client_pin SET until = 'later' WHERE client = :name",
    "UPDATE client_pin SET state = 'former' WHERE client = :name",
    "UPDATE client_organisation SET asid = '1' WHERE client = :name",
    "DELETE FROM client_organisation WHERE client = :name",
    "UPDATE client_grant SET value = 'x' WHERE client = :name AND kind = 'access-method' AND value = '1'",
    "DELETE FROM client_grant WHERE client = :name AND kind = 'service'",
)


@pytest.mark.rule("SMSP-SEC-001")
def test_rows_that_make_no_client_break_that_client_alone(store: ClientStore) -> None:
    whole = client_of("whole")
    names = [f"broken-{number}" for number in range(len(BREAKAGES))]
    _add(store, whole, *map(client_of, names))
    with store.database.writing() as connection:
        for name, statement in zip(names, BREAKAGES, strict=True):
            assert connection.execute(text(statement), {"name": name}).rowcount > 0
    assert store.read().clients == {**{name: BrokenClient(name) for name in names}, "whole": whole}
    repaired = [client_of(name) for name in names[1:]]
    repairs = [ClientChange(one.name, BrokenClient(one.name), one) for one in repaired]
    store.apply([*repairs, ClientChange(names[0], BrokenClient(names[0]), None)], _unrecorded)
    assert store.read().clients == {**{one.name: one for one in repaired}, "whole": whole}


def test_there_is_no_registry_before_it_is_made(another: Callable[[], ClientStore]) -> None:
    fresh = another()
    for use in (fresh.mark, fresh.read, lambda: _add(fresh, client_of())):
        with pytest.raises(RegistryNotReady, match="there is no client registry"):
            use()


@pytest.mark.parametrize("form", ["clients_0000", "clients_9999"])
def test_a_registry_of_another_version_is_neither_read_nor_changed(store: ClientStore, form: str) -> None:
    with store.database.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{form}'"))  # noqa: S608 - two constants
    for use in (store.mark, store.read, lambda: _add(store, client_of()), lambda: check_form(store.database)):
        with pytest.raises(RegistryNotReady, match="another version"):
            use()
    with pytest.raises(RegistryNotReady, match="later version"):
        prepare(store.database)


def test_a_registry_without_its_version_is_not_believed(store: ClientStore) -> None:
    with store.database.writing() as connection:
        connection.execute(text("DELETE FROM client_registry"))
    with pytest.raises(RegistryBroken, match="lost"):
        store.read()


def _make(url: str, begin: Barrier, made: "Queue[bool]") -> None:
    """In a process of its own."""
    store = _open_in_a_child(url)
    begin.wait(60)
    made.put(prepare(store.database))


def test_processes_that_make_the_registry_at_once_make_one(url: str, another: Callable[[], ClientStore]) -> None:
    context = multiprocessing.get_context("spawn")
    made: Queue[bool] = context.Queue()
    begin = context.Barrier(2)
    processes = [context.Process(target=_make, args=(url, begin, made)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(made.get(timeout=60) for _ in processes) == [False, True]
    for process in processes:
        process.join(60)
    assert another().mark().version == 0
