"""What the registry's database does beside the contract: who may use it, and what is told when it cannot be used."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from audit_samples import SystemClock
from client_samples import client_of
from postgres_server import new_database
from smsp_provider.storage.client_database import ClientDatabase, RegistryBroken
from smsp_provider.storage.client_form import prepare
from smsp_provider.storage.client_registry import ClientChange, ClientStore


def _store(url: str) -> ClientStore:
    return ClientStore(ClientDatabase(url), SystemClock())


def _add(store: ClientStore, name: str) -> None:
    store.apply([ClientChange(name, None, client_of(name))], lambda *_: None)


@pytest.fixture
def url() -> str:
    made = new_database()
    with closing(ClientDatabase(made)) as database:
        prepare(database)
    return made


@pytest.mark.parametrize(
    "url",
    [
        "sesame",
        "mysql://x/sesame",
        "postgresql://x/sesame",
        "postgresql+asyncpg://x/sesame",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///sesame.db?mode=memory",
        "sqlite://sesame/x.db",
    ],
)
def test_another_kind_of_database_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(RegistryBroken) as refused:
        ClientDatabase(url)
    assert "sesame" not in str(refused.value)


def test_a_password_is_never_shown() -> None:
    database = ClientDatabase("postgresql+psycopg://smsp:sesame@127.0.0.1:1/registry")
    with closing(database), pytest.raises(RegistryBroken) as failed, database.reading():
        pass
    assert "sesame" not in f"{database} {failed.value}"
    assert "127.0.0.1" in str(failed.value)


@pytest.mark.rule("SMSP-SEC-001")
def test_a_provider_needs_no_more_than_to_read(url: str) -> None:
    administration = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with administration.connect() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS reader")
        connection.exec_driver_sql("CREATE ROLE reader LOGIN")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    writer, reader = _store(url), _store(str(sa.make_url(url).set(username="reader")))
    with closing(writer.database), closing(reader.database):
        _add(writer, "first")
        assert list(reader.read().clients) == ["first"]
        with pytest.raises(RegistryBroken, match="permission denied"):
            _add(reader, "second")
        assert list(writer.read().clients) == ["first"]
    with administration.connect() as connection:
        connection.exec_driver_sql("DROP OWNED BY reader")
        connection.exec_driver_sql("DROP ROLE reader")


def test_connections_that_were_cut_are_made_anew(url: str) -> None:
    store = _store(url)
    administration = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with closing(store.database):
        assert store.mark().version == 0
        with administration.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert store.mark().version == 0


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_reading_changes_nothing(backend: str, tmp_path: Path) -> None:
    store = _store(f"sqlite:///{tmp_path}/registry/clients.db" if backend == "sqlite" else new_database())
    with closing(store.database):
        prepare(store.database)
        with pytest.raises(RegistryBroken), store.database.reading() as connection:
            connection.execute(sa.text("DELETE FROM client_registry"))
        assert store.mark().version == 0


def test_a_file_that_another_program_holds_is_waited_for(tmp_path: Path) -> None:
    store = _store(f"sqlite:///{tmp_path}/registry/clients.db")
    assert store.database.file is not None
    with closing(store.database):
        prepare(store.database)
        held = threading.Event()

        def hold() -> None:
            with closing(sqlite3.connect(str(store.database.file), isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                held.set()
                threading.Event().wait(0.3)
                other.execute("ROLLBACK")

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(60)
        assert store.mark().version == 0
        _add(store, "first")
        holder.join(60)
        assert store.mark().version == 1


def test_a_registry_is_never_begun_by_looking_for_it(tmp_path: Path) -> None:
    store = _store(f"sqlite:///{tmp_path}/registry/clients.db")
    with closing(store.database), pytest.raises(RegistryBroken):
        store.read()
    assert not (tmp_path / "registry").exists()
