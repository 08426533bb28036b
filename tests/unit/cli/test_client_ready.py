import io
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from audit_trails import happened
from client_samples import certificate_of, client_of
from postgres_server import new_database
from smsp_provider.audit.events import Change
from smsp_provider.cli.client_ready import ready_registry, registry_warnings
from smsp_provider.cli.client_session import prepare_registry, registry_of, session_of
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.cli.sandbox_client import USERNAMES, register_sandbox_client
from smsp_provider.config.settings import (
    AuditSettings,
    ClientSettings,
    Environment,
    HTTPSListener,
    Server,
    Settings,
    SpineSettings,
)
from smsp_provider.domain.audit_identity import AccessMethod, Caller
from smsp_provider.domain.clients import Authority, Client, FingerprintPin, PeerCertificate
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.engine.system import SystemClock
from smsp_provider.observe.logs import Level, LogLevel, LogObserver
from smsp_provider.storage.client_registry import ClientChange
from smsp_provider.storage.clients_schema import VERSION_TABLE
from smsp_provider.wiring.audit import build_audit
from smsp_provider.wiring.provider import build_client_store, build_registry
from tls_fixtures import make_pki

EMPTY = "the client registry is empty: nobody is let in (`smsp client add`)"


def _settings(folder: Path, *, live: bool = False, **clients: Any) -> Settings:
    any_file = folder / "file.pem"
    https = HTTPSListener(bind="127.0.0.1:0", certificate=any_file, key=any_file, client_ca=any_file, crl=any_file)
    live_spine: dict[str, Any] = {
        "endpoint": "https://spine.example/",
        "certificate": any_file,
        "key": any_file,
        "ca": any_file,
    }
    spine: dict[str, Any] = live_spine if live else {"endpoint": "http://127.0.0.1:1/", "default_asid": "200000000205"}
    return Settings(
        environment=Environment.LIVE if live else Environment.TEST,
        server=Server(https=https),
        spine=SpineSettings(pds_asid="100000000104", **spine),
        audit=AuditSettings(
            database=folder / "state" / "audit.db", keys=any_file, signing_key=any_file, witness_file=any_file
        ),
        clients=ClientSettings(**clients),
    )


def _register(settings: Settings, *clients: Client) -> None:
    with session_of(settings) as session:
        session.change(lambda _: [ClientChange(client.name, None, client) for client in clients])


def test_a_registry_in_sqlite_is_made_at_a_start_outside_live(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    assert ready_registry(settings) == (EMPTY,)
    assert ready_registry(settings) == (EMPTY,)
    assert registry_of(settings).mark.version == 0


@pytest.mark.rule("SMSP-SEC-001")
def test_a_live_provider_does_not_begin_a_registry(tmp_path: Path) -> None:
    settings = _settings(tmp_path, live=True)
    (warning,) = registry_warnings(settings)
    assert "smsp client init" in warning
    with pytest.raises(CannotStart, match="smsp client init"):
        ready_registry(settings)
    assert not (tmp_path / "state").exists()
    prepare_registry(settings)
    assert ready_registry(settings) == (EMPTY,)


@pytest.mark.parametrize("live", [True, False], ids=["live", "test"])
def test_a_registry_in_postgresql_is_made_by_an_operator_alone(tmp_path: Path, *, live: bool) -> None:
    settings = _settings(tmp_path, live=live, database=new_database())
    with pytest.raises(CannotStart, match="smsp client init"):
        ready_registry(settings)
    prepare_registry(settings)
    assert ready_registry(settings) == (EMPTY,)


@pytest.mark.parametrize("live", [True, False], ids=["live", "test"])
def test_a_registry_of_a_later_version_is_not_served_from(tmp_path: Path, *, live: bool) -> None:
    settings = _settings(tmp_path, live=live)
    prepare_registry(settings)
    store = build_client_store(settings, SystemClock())
    with closing(store.database), store.database.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'clients_9999'"))  # noqa: S608 - two constants
    with pytest.raises(CannotStart, match="version"):
        ready_registry(settings)


def test_a_registry_that_cannot_be_reached_stops_the_start_without_a_password_in_the_text(tmp_path: Path) -> None:
    settings = _settings(tmp_path, database=f"postgresql+psycopg:///nowhere?host={tmp_path}")
    with pytest.raises(CannotStart, match=r"clients\.database: postgresql\+psycopg:///nowhere"):
        ready_registry(settings)


def test_where_everybody_is_let_in_no_registry_is_looked_at(tmp_path: Path) -> None:
    settings = _settings(tmp_path, policy="any")
    assert ready_registry(settings) == ()
    assert list(registry_warnings(settings)) == []
    observer = LogObserver(io.BytesIO(), LogLevel(Level.INFO), SystemClock())
    assert build_registry(settings, SystemClock(), observer) is None
    assert not (tmp_path / "state").exists()


@pytest.mark.rule("SMSP-SEC-001")
def test_what_to_look_at_is_told_at_a_start(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    prepare_registry(settings)
    review_on = (datetime.now(UTC) + timedelta(days=5)).date()
    _register(
        settings,
        client_of("ready"),
        client_of("soon", authority=Authority("reference", "basis", "use", review_on)),
        client_of("gone", enabled=False, disabled_reason="left"),
    )
    assert ready_registry(settings) == (
        "client gone: disabled",
        "client soon: authority to access is to be reviewed in 5 days",
    )


@pytest.mark.rule("SMSP-AUDIT-008", "SMSP-SEC-001")
def test_the_client_of_a_sandbox_is_a_client_like_any_other(tmp_path: Path) -> None:
    settings, pki = _settings(tmp_path), make_pki(tmp_path)
    for _ in range(2):
        register_sandbox_client(settings, "sandbox-client", pki.client.certificate, "X26")
    (client,) = registry_of(settings).clients.values()
    assert isinstance(client, Client)
    assert client.usernames == set(USERNAMES)
    assert client.access_methods == set(AccessMethod)
    assert len(client.organisations) > 100
    (record,) = happened(build_audit(settings, SystemClock()).read())
    assert isinstance(record, Change)
    observer = LogObserver(io.BytesIO(), LogLevel(Level.INFO), SystemClock())
    registry = build_registry(settings, SystemClock(), observer)
    assert registry is not None
    with closing(registry):
        book, now = registry.book(), datetime.now(UTC)
        (pin,) = client.pins
        assert isinstance(pin, FingerprintPin)
        assert pin.certificate is not None
        shown = PeerCertificate(pin.fingerprint, "CN=x", "CN=y", "x", pin.certificate)
        for found in (book.by_certificate(shown, now), *(book.by_username(name, now) for name in USERNAMES)):
            assert found.client == client
            assert found.asid_for(Caller(AccessMethod.UNATTENDED, ODSCode("x26"), None, None)).value == "200000000205"
    register_sandbox_client(settings, "sandbox-client", pki.elsewhere.certificate, "X26")
    (client,) = registry_of(settings).clients.values()
    assert isinstance(client, Client)
    assert not client.recognises(certificate_of("other"), datetime.now(UTC))
    assert client.pins != (pin,)
