"""What PostgreSQL refuses, whatever the provider does; and that a provider refuses a PostgreSQL that would not."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from postgres_audit import OWNER, PROVIDER, new_audit_url, prepared_on, superuser_of
from postgres_instance import PostgresInstance
from postgres_server import new_database
from postgres_tls import TLSFront
from smsp_provider.audit.chain import Lane, SignedRoot
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.simulator.pki import make_pki
from smsp_provider.storage import postgres_audit_safety
from smsp_provider.storage.audit_database import ErasedRow, LaneClosed, NewLane, Row, StorageUnsafe
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.postgres_audit_form import CannotPrepare, prepare

TODAY = date(2026, 11, 21)
TOMORROW = date(2026, 11, 22)

TABLES = ("trail", "lane", "lane_end", "chain", "content", "erased", "root", "chain_20261121", "content_20261121")
COLUMNS = {"trail": "form", "lane": "at", "lane_end": "at", "erased": "tombstone_n", "root": "statement"}


def row_of(n: int, kind: str = "intent", exchange: str | None = None) -> Row:
    return (n, kind, 10**15 + n, exchange, secrets.token_bytes(32), secrets.token_bytes(32), secrets.token_bytes(300))


def begin(database: PostgresAuditDatabase, writer: str = "W1", day: date = TODAY) -> Lane:
    lane = NewLane(secrets.token_hex(8), day, writer, os.getpid(), 10**15, "K1", b"wrapped")
    return database.begin_lane(lane, row_of(1, "opening"))


def filled(url: str) -> None:
    """One row at least in each table."""
    database = PostgresAuditDatabase(url)
    lane = begin(database)
    database.append(lane, [row_of(2), row_of(3), row_of(4, "closing")], ended=[lane])
    database.erase([ErasedRow(lane.id, 2, lane.id, 3)])
    database.write_root(SignedRoot(1, b"{}", b"signature"))
    database.close()


@pytest.fixture(scope="module")
def url() -> str:
    made = new_audit_url()
    filled(made)
    return made


@pytest.fixture
def fresh() -> str:
    return new_audit_url()


@pytest.fixture
def database(fresh: str) -> Iterator[PostgresAuditDatabase]:
    made = PostgresAuditDatabase(fresh, wait_s=30.0)
    yield made
    made.close()


@pytest.fixture
def another(fresh: str) -> Iterator[PostgresAuditDatabase]:
    made = PostgresAuditDatabase(fresh, wait_s=30.0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def instance() -> Iterator[PostgresInstance]:
    with PostgresInstance(in_memory=True) as running:
        yield running


def _open(url: str, *, live: bool = False) -> None:
    with closing(PostgresAuditDatabase(url, live=live)) as database:
        database.open()


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _changes(table: str) -> list[str]:
    column = COLUMNS.get(table, "link" if table.startswith("chain") else "sealed")
    # (A value of the right type, other than what is there.)
    value = {"form": "9", "at": "9", "tombstone_n": "9"}.get(column, "'other'")
    return [
        f"UPDATE smsp_audit.{table} SET {column} = {value}",  # noqa: S608 - all three are constants of this module
        f"DELETE FROM smsp_audit.{table}",  # noqa: S608 - see above
        f"TRUNCATE smsp_audit.{table} CASCADE",
    ]


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("table", TABLES)
def test_the_role_of_the_provider_can_change_and_remove_nothing(url: str, table: str) -> None:
    expected = (psycopg.errors.InsufficientPrivilege, psycopg.errors.RestrictViolation)
    for change in (*_changes(table), f"DROP TABLE smsp_audit.{table} CASCADE"):
        with pytest.raises(expected):
            _execute(url, change)
    for setting in (
        f"ALTER TABLE smsp_audit.{table} DISABLE TRIGGER ALL",
        f"ALTER TABLE smsp_audit.{table} ADD COLUMN another integer",
        f"CREATE TRIGGER mine BEFORE INSERT ON smsp_audit.{table} EXECUTE FUNCTION smsp_audit.refuse()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _execute(url, setting)


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("role", ["session_replication_role = replica", "session_replication_role = origin"])
@pytest.mark.parametrize("table", TABLES)
def test_the_triggers_refuse_a_superuser_until_they_are_removed(url: str, table: str, role: str) -> None:
    for change in _changes(table):
        with pytest.raises(psycopg.errors.RestrictViolation):
            _execute(superuser_of(url), f"SET {role}", change)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_the_role_of_the_provider_can_make_nothing_in_the_schema_of_the_trail(url: str) -> None:
    for statement in (
        "CREATE TABLE smsp_audit.mine (x integer)",
        "CREATE FUNCTION smsp_audit.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE smsp_audit.chain DETACH PARTITION smsp_audit.chain_20261121",
        "INSERT INTO smsp_audit.trail VALUES ('other', 1, 2)",
        "INSERT INTO smsp_audit.chain_20261121 SELECT * FROM smsp_audit.chain",
        "ALTER FUNCTION smsp_audit.open_day(date) OWNER TO smsp_provider",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _execute(url, statement)


def test_the_tables_of_a_day_are_the_owners_and_a_day_is_made_once(fresh: str) -> None:
    _execute(fresh, *["SELECT smsp_audit.open_day('2026-11-25')"] * 2)
    with psycopg.connect(superuser_of(fresh)) as connection:
        owners = connection.execute(
            "SELECT relname, relowner::regrole::text, relispartition FROM pg_class"
            " WHERE relname LIKE '%_20261125' ORDER BY relname"
        ).fetchall()
    assert owners == [("chain_20261125", OWNER, True), ("content_20261125", OWNER, True)]
    for day in ("'infinity'", "NULL", "'1999-12-31'"):
        with pytest.raises(psycopg.errors.DatetimeFieldOverflow):
            _execute(fresh, f"SELECT smsp_audit.open_day({day})")


def test_many_writers_may_open_a_day_at_once(fresh: str) -> None:
    lanes: list[Lane] = []

    def writer(number: int) -> None:
        database = PostgresAuditDatabase(fresh, wait_s=30.0)
        lane = begin(database, f"W{number}")
        database.append(lane, [row_of(2)])
        lanes.append(lane)
        database.close()

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({lane.id for lane in lanes}) == 8


@pytest.mark.rule("SMSP-AUDIT-001")
def test_only_contents_that_are_noted_as_erased_can_be_deleted(database: PostgresAuditDatabase, fresh: str) -> None:
    lane = begin(database)
    database.append(lane, [row_of(2), row_of(3)])
    with pytest.raises(psycopg.errors.RestrictViolation):
        _execute(fresh, "DELETE FROM smsp_audit.content WHERE n = 2")
    assert database.erase([ErasedRow(lane.id, 2, lane.id, 3)]) == 1
    assert [content.n for content in database.contents(lane)] == [1, 3]
    with pytest.raises(psycopg.errors.RestrictViolation):
        _execute(fresh, "DELETE FROM smsp_audit.content WHERE n = 3")


@pytest.mark.rule("SMSP-AUDIT-001")
def test_of_a_lane_only_the_wrapping_changes(database: PostgresAuditDatabase, fresh: str) -> None:
    lane = begin(database)
    database.rewrap(lane, "K2", b"wrapped again")
    assert database.lanes() == [Lane(lane.id, lane.token, lane.day, lane.writer, "K2", b"wrapped again")]
    for column in ("token = 'other'", "day = '2026-11-22'", "writer = 'other'", "pid = 0", "at = 0"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _execute(fresh, f"UPDATE smsp_audit.lane SET {column}")  # noqa: S608 - one of the constants above


@pytest.mark.rule("SMSP-AUDIT-009")
def test_a_record_that_is_not_the_next_of_its_lane_is_refused(
    database: PostgresAuditDatabase, another: PostgresAuditDatabase
) -> None:
    lane = begin(database)
    for n in (1, 3):
        for side in (database, another):
            with pytest.raises(AuditUnavailable):
                side.append(lane, [row_of(n)])
    database.append(lane, [row_of(2), row_of(3)])
    assert [record.n for record in database.chain(lane)] == [1, 2, 3]


@pytest.mark.rule("SMSP-AUDIT-009")
def test_nothing_follows_in_a_lane_that_was_ended(
    database: PostgresAuditDatabase, another: PostgresAuditDatabase
) -> None:
    dead, living = begin(database), begin(another, "W2")
    another.append(living, [row_of(2, "lane-ended")], ended=[dead])
    with pytest.raises(LaneClosed):
        database.append(dead, [row_of(2)])
    with pytest.raises(LaneClosed):
        database.settled_head(dead)
    with pytest.raises(LaneClosed):
        another.append(living, [row_of(3, "lane-ended")], ended=[dead])
    with pytest.raises(LaneClosed):
        begin_after(database, dead)
    assert another.settled_head(living) == database.heads()[1]
    assert (database.ends(), database.unended()) == ([dead.id], [living])


def begin_after(database: PostgresAuditDatabase, lane: Lane) -> None:
    following = NewLane(secrets.token_hex(8), TOMORROW, lane.writer, os.getpid(), 10**15, "K1", b"wrapped")
    database.begin_lane(following, row_of(1, "opening"), closing=(lane, row_of(2, "closing")))


def test_open_intents_are_looked_for_in_the_last_two_lanes_of_a_writer(database: PostgresAuditDatabase) -> None:
    lane = begin(database)
    database.append(lane, [row_of(2, "intent", "over midnight"), row_of(3, "intent", "left"), row_of(4)])
    following = NewLane("T2", TOMORROW, lane.writer, os.getpid(), 10**15, "K1", b"wrapped")
    later = database.begin_lane(following, row_of(1, "opening"), closing=(lane, row_of(5, "closing")))
    database.append(later, [row_of(2, "ending", "over midnight"), row_of(3, "intent", "new")])
    begin(database, "W2")
    assert [name for name in database.open_intents("W1") if name] == ["left", "new"]
    assert [head.n for head in database.heads(since=TOMORROW)] == [3]
    assert [found.id for found in database.lanes(until=TODAY)] == [lane.id, 3]


def test_a_long_lane_is_read_in_pages(database: PostgresAuditDatabase) -> None:
    lane = begin(database)
    for first in range(2, 4502, 500):
        database.append(lane, [row_of(n) for n in range(first, first + 500)])
    assert [record.n for record in database.chain(lane, after=7)] == list(range(8, 4502))
    assert [content.n for content in database.contents(lane)] == list(range(1, 4502))


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_lock_is_its_holders_until_that_loses_its_connection(
    database: PostgresAuditDatabase, another: PostgresAuditDatabase, fresh: str
) -> None:
    lock = database.take("W1")
    assert lock is not None
    assert database.take("W1") is None
    assert another.take("W1") is None
    assert lock.is_held()
    lock.release()
    assert not lock.is_held()
    taken = another.take("W1")
    assert taken is not None
    again = database.take("W2")
    assert again is not None
    _cut_all(fresh)
    assert again.is_held(), "nobody took it meanwhile"
    _cut_all(fresh)
    assert another.take("W2") is not None
    assert not again.is_held()
    assert not again.is_held(), "lost for good"


def _cut_all(url: str) -> None:
    with psycopg.connect(superuser_of(url), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_writer_whose_lock_was_taken_by_a_recovery_writes_no_more(
    database: PostgresAuditDatabase, another: PostgresAuditDatabase, fresh: str
) -> None:
    lane, lock = begin(database), database.take("W1")
    assert lock is not None
    _cut_all(fresh)
    assert another.take("W1") is not None
    for _ in range(2):
        with pytest.raises(LaneClosed):
            database.append(lane, [row_of(2)])
        with pytest.raises(LaneClosed):
            database.settled_head(lane)
    assert not lock.is_held()
    assert database.take("W1") is None


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_connection_that_was_cut_is_made_anew_and_the_chain_goes_on(
    database: PostgresAuditDatabase, fresh: str
) -> None:
    lane = begin(database)
    for n in range(2, 6):
        _cut_all(fresh)
        database.append(lane, [row_of(n)])
        assert len(list(database.chain(lane))) == n


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_chain_that_was_changed_while_its_writer_was_cut_off_is_not_written_on(
    database: PostgresAuditDatabase, fresh: str
) -> None:
    lane = begin(database)
    database.append(lane, [row_of(2)])
    _execute(
        superuser_of(fresh),
        "ALTER TABLE smsp_audit.chain DISABLE TRIGGER ALL",
        "UPDATE smsp_audit.chain SET link = '\\x00' WHERE n = 2",
    )
    _cut_all(fresh)
    for _ in range(2):
        with pytest.raises(AuditUnavailable, match="changed under its writer"):
            database.append(lane, [row_of(3)])


def test_a_writer_that_ends_does_not_wait_for_a_frozen_server_as_long_as_a_reader_does(
    instance: PostgresInstance,
) -> None:
    database = PostgresAuditDatabase(prepared_on(instance), wait_s=2.0)
    lane = begin(database)
    assert database.open_intents(lane.writer) == []
    instance.freeze()
    began = time.monotonic()
    try:
        with pytest.raises(AuditUnavailable, match="in time"):
            database.open_intents(lane.writer)
        assert time.monotonic() - began < 50, "a reader waits for a minute"
    finally:
        instance.thaw()
        database.close()


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_frozen_server_is_noticed_and_a_commit_of_unknown_end_is_settled(instance: PostgresInstance) -> None:
    database = PostgresAuditDatabase(prepared_on(instance), wait_s=2.0)
    lane = begin(database)
    instance.freeze()
    began = time.monotonic()
    try:
        with pytest.raises(AuditUnavailable, match="in time"):
            database.append(lane, [row_of(2)])
        with pytest.raises(AuditUnavailable):
            database.settled_head(lane)
        assert time.monotonic() - began < 60, "it does not wait for the server, however long that takes"
    finally:
        instance.thaw()
    database._wait_s = 30.0  # for the connections that follow
    head = database.settled_head(lane)
    assert head is not None
    assert head.n in (1, 2)
    time.sleep(0.2)
    assert database.settled_head(lane) == head, "nothing comes after it was settled"
    database.append(lane, [row_of(head.n + 1)])
    database.close()


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_stopped_server_makes_it_unavailable_until_it_is_back(instance: PostgresInstance) -> None:
    database = PostgresAuditDatabase(prepared_on(instance), wait_s=30.0)
    lane, lock = begin(database), database.take("W1")
    assert lock is not None
    instance.stop("immediate")
    try:
        for _ in range(2):
            with pytest.raises(AuditUnavailable, match="cannot be reached"):
                database.append(lane, [row_of(2)])
        with pytest.raises(AuditUnavailable):
            list(database.chain(lane))
        with pytest.raises(AuditUnavailable):
            database.has_room()
    finally:
        instance.start()
    database.append(lane, [row_of(2)])
    assert [record.n for record in database.chain(lane)] == [1, 2]
    assert database.has_room()
    assert lock.is_held()
    database.close()


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_commit_that_the_replica_did_not_confirm_does_not_count() -> None:
    with PostgresInstance(in_memory=True) as primary, primary.replica({}) as replica:
        database = PostgresAuditDatabase(prepared_on(primary), wait_s=2.0)
        lane = begin(database)
        database.append(lane, [row_of(2)])
        replica.freeze()
        try:
            with pytest.raises(AuditUnavailable, match="in time"):
                database.append(lane, [row_of(3)])
            database._wait_s = 30.0  # for the connections that follow
            head = database.settled_head(lane)
            # An administrator who loses patience: the server says that it committed, with a warning.
            over = threading.Event()

            def lose_patience() -> None:
                while not over.wait(0.05):
                    primary.execute(_CANCEL_WAITING)

            impatient = threading.Thread(target=lose_patience)
            impatient.start()
            try:
                with pytest.raises(AuditUnavailable, match="replicas did not confirm"):
                    database.append(lane, [row_of(4 if head is not None and head.n == 3 else 3)])
            finally:
                over.set()
                impatient.join()
        finally:
            replica.thaw()
        found = database.settled_head(lane)
        assert found is not None
        database.append(lane, [row_of(found.n + 1)])
        database.close()


_CANCEL_WAITING = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_forked_child_leaves_the_connection_and_the_locks_to_its_parent(
    database: PostgresAuditDatabase, another: PostgresAuditDatabase
) -> None:
    lane, lock = begin(database), database.take("W1")
    assert lock is not None
    list(database.chain(lane))
    database.before_fork()
    child = os.fork()
    if child == 0:
        lock.release()
        database.after_fork_in_child()
        held = database.take("W1")
        begin(database, "W2")
        os._exit(0 if held is None and not lock.is_held() else 1)
    database.after_fork_in_parent()
    assert os.waitpid(child, 0)[1] == 0
    assert lock.is_held()
    database.append(lane, [row_of(2)])
    assert len(list(another.chain(lane))) == 2
    assert another.take("W1") is None


def test_a_forked_child_does_not_keep_the_locks_of_its_dead_parent(another: PostgresAuditDatabase, fresh: str) -> None:
    parent = os.fork()
    if parent == 0:
        database = PostgresAuditDatabase(fresh)
        assert database.take("W1") is not None
        database.before_fork()
        child = os.fork()
        if child == 0:
            database.after_fork_in_child()
            time.sleep(60)
        os.write(_pipe[1], str(child).encode())
        time.sleep(60)
    child = int(os.read(_pipe[0], 20))
    try:
        assert another.take("W1") is None
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        give_up = time.monotonic() + 60
        while (lock := another.take("W1")) is None and time.monotonic() < give_up:
            time.sleep(0.02)
        assert lock is not None
    finally:
        os.kill(child, signal.SIGKILL)


_pipe = os.pipe()


def test_another_trail_in_the_same_place_is_not_written_to(database: PostgresAuditDatabase, fresh: str) -> None:
    lane = begin(database)
    _execute(
        superuser_of(fresh),
        "ALTER TABLE smsp_audit.trail DISABLE TRIGGER ALL",
        "UPDATE smsp_audit.trail SET id = 'another'",
    )
    _cut_all(fresh)
    with pytest.raises(AuditUnavailable, match="another audit trail"):
        database.append(lane, [row_of(2)])
    with pytest.raises(StorageUnsafe, match="another audit trail"):
        database.open()


def test_a_process_told_which_trail_it_is_writes_to_no_other(fresh: str) -> None:
    program = f"""
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.audit_database import StorageUnsafe
PostgresAuditDatabase.keep_to({fresh!r}, "another")
try:
    PostgresAuditDatabase({fresh!r}).open()
except StorageUnsafe as error:
    print(error)
"""
    source = Path(__file__).parents[3] / "src"
    told = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True
    )
    assert told.stdout == "the database holds another audit trail than before\n"


def test_a_database_without_a_trail_is_refused() -> None:
    database = PostgresAuditDatabase(new_database().replace("+psycopg", ""))
    with pytest.raises(StorageUnsafe, match="smsp audit prepare"):
        database.open()
    with pytest.raises(AuditUnavailable):
        database.trail_id()
    database.close()


def test_a_trail_of_another_version_is_refused(fresh: str) -> None:
    _execute(superuser_of(fresh), "UPDATE smsp_audit.form SET version_num = 'audit_9999'")
    with pytest.raises(StorageUnsafe, match="form"):
        _open(fresh)


def test_a_role_without_rights_is_told_so(fresh: str) -> None:
    _execute(superuser_of(fresh), f"REVOKE ALL ON SCHEMA smsp_audit FROM {PROVIDER}")
    with pytest.raises(StorageUnsafe, match="no rights"):
        _open(fresh)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_a_live_trail_wants_a_safe_server_and_a_role_that_can_change_nothing(instance: PostgresInstance) -> None:
    url = prepared_on(instance)
    _open(url, live=True)
    as_superuser, as_owner = superuser_of(url), str(sa.make_url(url).set(username=OWNER))
    for unsafe, reason in ((as_superuser, "superuser"), (as_owner, "owns the audit trail")):
        with pytest.raises(StorageUnsafe, match=reason):
            _open(unsafe, live=True)
        _open(unsafe)
    for given, taken, reason in (
        (f"GRANT {OWNER} TO {PROVIDER}", f"REVOKE {OWNER} FROM {PROVIDER}", "owner"),
        (f"GRANT pg_write_all_data TO {PROVIDER}", f"REVOKE pg_write_all_data FROM {PROVIDER}", "change or remove"),
        (
            f"GRANT TRUNCATE ON smsp_audit.root TO {PROVIDER}",
            f"REVOKE TRUNCATE ON smsp_audit.root FROM {PROVIDER}",
            "change or remove",
        ),
    ):
        _execute(as_superuser, given)
        try:
            with pytest.raises(StorageUnsafe, match=reason):
                _open(url, live=True)
        finally:
            _execute(as_superuser, taken)
    _open(url, live=True)


@pytest.mark.rule("SMSP-AUDIT-001")
@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_live_trail_wants_a_durable_server(instance: PostgresInstance, setting: str) -> None:
    url = prepared_on(instance)
    instance.execute(f"ALTER SYSTEM SET {setting} = off")
    instance.execute("SELECT pg_reload_conf()")
    try:
        # (The server reads its settings anew when it gets to it.)
        give_up = time.monotonic() + 60
        while instance.execute(f"SHOW {setting}") != [("off",)] and time.monotonic() < give_up:
            time.sleep(0.02)
        with pytest.raises(StorageUnsafe, match=setting):
            _open(url, live=True)
    finally:
        instance.execute(f"ALTER SYSTEM RESET {setting}")
        instance.execute("SELECT pg_reload_conf()")


def test_a_commit_is_synchronous_whatever_the_role_is_set_to(fresh: str) -> None:
    _execute(superuser_of(fresh), f"ALTER ROLE {PROVIDER} IN DATABASE {sa.make_url(fresh).database}"
             " SET synchronous_commit = off")  # fmt: skip
    for durable, expected in ((True, "on"), (False, "off")):
        database = PostgresAuditDatabase(fresh, durable=durable)
        with database._writing() as connection:
            assert connection.execute("SHOW synchronous_commit").fetchone() == (expected,)
        database.close()


def test_a_server_that_is_too_old_is_refused(instance: PostgresInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_audit_safety, "OLDEST_VERSION", 99)
    with pytest.raises(StorageUnsafe, match="older than"):
        _open(prepared_on(instance), live=True)


def test_the_oldest_server_at_hand_is_good_enough() -> None:
    with PostgresInstance(version=16) as older:
        url = prepared_on(older)
        _open(url, live=True)
        filled(url)
        for table in TABLES:
            for change in _changes(table):
                with pytest.raises(psycopg.errors.RestrictViolation):
                    _execute(superuser_of(url), "SET session_replication_role = replica", change)


@pytest.mark.rule("SMSP-SEC-001")
def test_a_live_trail_on_another_host_wants_tls_to_a_proven_server(instance: PostgresInstance, tmp_path: Path) -> None:
    pki, other = make_pki(tmp_path / "keys"), make_pki(tmp_path / "other")
    url = sa.make_url(prepared_on(instance))
    with TLSFront(instance, pki.spine_server.certificate, pki.spine_server.key) as front:
        over_tcp = url.set(query={"host": "localhost", "port": str(front.port)}).render_as_string()
        for mode in ("disable", "prefer", "require"):
            with pytest.raises(StorageUnsafe, match="verify-full"):
                _open(f"{over_tcp}&sslmode={mode}", live=True)
            _open(f"{over_tcp}&sslmode={mode}", live=False)
        database = PostgresAuditDatabase(f"{over_tcp}&sslmode=verify-full&sslrootcert={pki.ca.certificate}", live=True)
        lane = begin(database)
        database.append(lane, [row_of(2)])
        database.close()
        with pytest.raises(AuditUnavailable, match="cannot be reached"):
            _open(f"{over_tcp}&sslmode=verify-full&sslrootcert={other.ca.certificate}", live=True)


def test_what_goes_wrong_is_told_without_a_password_and_without_values(fresh: str, tmp_path: Path) -> None:
    with pytest.raises(AuditUnavailable) as unreachable:
        PostgresAuditDatabase(f"postgresql://smsp:sesame@/x?host={tmp_path}").open()
    assert "sesame" not in str(unreachable.value)
    database = PostgresAuditDatabase(fresh)
    lane = begin(database)
    with pytest.raises(AuditUnavailable) as twice:
        database.begin_lane(
            NewLane(lane.token, TODAY, "sesame", 1, 1, "K1", b"wrapped"), row_of(1, "opening", "sesame")
        )
    assert twice.value.reason == "UniqueViolation"
    database.close()


@pytest.mark.rule("SMSP-AUDIT-001")
def test_preparing_again_takes_back_what_was_given_besides_and_changes_nothing_else(fresh: str) -> None:
    _execute(superuser_of(fresh), f"GRANT UPDATE, TRUNCATE ON smsp_audit.chain TO {PROVIDER}")
    told: list[str] = []
    database = PostgresAuditDatabase(fresh)
    mark = database.open()
    assert prepare(sa.make_url(fresh).set(username=OWNER), PROVIDER, told.append) == (False, ())
    assert told[0].startswith("the audit trail is there")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _execute(fresh, "UPDATE smsp_audit.chain SET link = ''")
    begin(database)
    assert database.open() == mark
    database.close()


@pytest.mark.rule("SMSP-AUDIT-001")
def test_unfit_roles_are_refused_and_nothing_is_made(fresh: str) -> None:
    empty = sa.make_url(new_database())
    _execute(str(empty.set(drivername="postgresql")), f"GRANT CREATE ON DATABASE {empty.database} TO {OWNER}")
    for owner, role, reason in (
        ("postgres", PROVIDER, "not as a superuser"),
        (OWNER, "postgres", "is a superuser"),
        (OWNER, OWNER, "is the owner"),
        (OWNER, "nobody", "no role nobody"),
        ("nobody", PROVIDER, "nobody"),
    ):
        with pytest.raises(CannotPrepare, match=reason):
            prepare(empty.set(username=owner), role, lambda _: None)
    with pytest.raises(StorageUnsafe, match="no audit trail yet"):
        PostgresAuditDatabase(str(empty.set(drivername="postgresql", username=PROVIDER))).open()
    del fresh
