import pytest
from pydantic import ValidationError

from smsp_provider.config.settings import ClientSettings


@pytest.mark.parametrize(
    "url",
    ["", "sqlite:////var/lib/smsp/clients.db", "postgresql+psycopg://smsp@db.example/smsp", "postgresql+psycopg:///x"],
)
def test_a_registry_is_named_by_its_url(url: str) -> None:
    assert ClientSettings(database=url).database == url


@pytest.mark.rule("SMSP-SEC-001")
@pytest.mark.parametrize(
    ("url", "is_relaxed"),
    [
        ("", False),
        ("sqlite:////var/lib/smsp/clients.db", False),
        ("postgresql+psycopg:///smsp", False),
        ("postgresql+psycopg:///smsp?host=/run/postgresql", False),
        ("postgresql+psycopg://smsp@localhost:5432/smsp", False),
        ("postgresql+psycopg://db.example/smsp?sslmode=verify-full&sslrootcert=/etc/smsp/db-ca.pem", False),
        ("postgresql+psycopg://[::1]/smsp", False),
        ("postgresql+psycopg://db.example/smsp", True),
        ("postgresql+psycopg://[::ffff:192.0.2.1]/smsp", True),
        ("postgresql+psycopg:///smsp?service=registry", True),
        ("postgresql+psycopg://db.example/smsp?sslmode=require", True),
        ("postgresql+psycopg://db.example/smsp?sslmode=verify-full&sslmode=disable", True),
        ("postgresql+psycopg:///smsp?host=db.example", True),
        ("postgresql+psycopg:///smsp?host=/run/postgresql,db.example", True),
        ("postgresql+psycopg://localhost/smsp?hostaddr=192.0.2.1", True),
        ("postgresql+psycopg:///smsp?host=localhost:5432&host=db.example:5432", True),
    ],
)
def test_a_registry_over_the_network_has_to_prove_who_it_is(url: str, is_relaxed: bool) -> None:
    assert any(ClientSettings(database=url).relaxed().values()) is is_relaxed


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://smsp:sesame@db.example/smsp",
        "postgresql+psycopg://smsp:@db.example/smsp",
        "postgresql+psycopg://db.example/smsp?password=sesame",
        "postgresql+psycopg://db.example/smsp?PASSWORD=sesame",
        "postgresql://db.example/sesame",
        "mysql://db.example/sesame",
        "/var/lib/sesame.db",
        "sqlite:///sesame\n.db",
        "postgresql+psycopg://[sesame/x",
    ],
    ids=[
        "password",
        "empty password",
        "password in the query",
        "password in capitals",
        "another driver",
        "another database",
        "a path",
        "a line end",
        "no URL",
    ],
)
def test_a_password_or_another_database_is_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ClientSettings(database=url)
    assert "sesame" not in str(refused.value)


@pytest.mark.rule("SMSP-SEC-001")
def test_nobody_is_let_in_by_what_was_known_more_than_five_seconds_ago() -> None:
    settings = ClientSettings()
    assert settings.refresh_seconds < settings.stale_seconds <= 5


def test_knowledge_is_not_old_before_it_is_looked_at_again() -> None:
    assert ClientSettings(refresh_seconds=1, stale_seconds=1.1).stale_seconds == 1.1
    with pytest.raises(ValidationError, match="stale_seconds must be more than refresh_seconds"):
        ClientSettings(refresh_seconds=2, stale_seconds=2)
