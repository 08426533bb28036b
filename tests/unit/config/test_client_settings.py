import pytest
from pydantic import ValidationError

from smsp_provider.config.settings import ClientSettings


@pytest.mark.parametrize(
    "url",
    ["", "sqlite:////var/lib/smsp/clients.db", "postgresql+psycopg://smsp@db.example/smsp", "postgresql+psycopg:///x"],
)
def test_a_registry_is_named_by_its_url(url: str) -> None:
    assert ClientSettings(database=url).database == url


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
