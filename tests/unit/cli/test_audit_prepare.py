"""``smsp audit prepare``: what it does, says, and never says."""

from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa

from command_line import Done, run_main
from postgres_audit import OWNER, PROVIDER, new_audit_url, superuser_of
from postgres_server import new_database
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.storage.postgres_audit_database import PostgresAuditDatabase
from smsp_provider.storage.postgres_audit_schema import HEAD

Prepare = Callable[..., Done]


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Prepare:
    monkeypatch.delenv("SMSP_AUDIT_OWNER_URL", raising=False)

    def run(*arguments: object) -> Done:
        return run_main(monkeypatch, capsys, "audit", "prepare", *arguments)

    return run


def _empty() -> sa.URL:
    new_audit_url()  # so that the roles are there
    url = sa.make_url(new_database())
    with psycopg.connect(superuser_of(str(url)).replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"GRANT CREATE ON DATABASE {url.database} TO {OWNER}".encode())
    return url.set(drivername="postgresql", username=OWNER)


@pytest.mark.rule("SMSP-AUDIT-001")
def test_it_makes_a_trail_once_and_says_what_it_did(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    url = _empty()
    # (The servers of the tests trust everybody: any password will do.)
    monkeypatch.setenv("SMSP_AUDIT_OWNER_URL", url.set(password="sesame").render_as_string(hide_password=False))
    first = prepare("--role", PROVIDER)
    assert (first.code, first.err) == (ExitCode.OK, "")
    assert first.out.splitlines() == [
        f"made the audit trail: schema smsp_audit, form {HEAD}",
        f"it belongs to {OWNER}",
        (
            f"{PROVIDER} may add records and read them, delete contents that are noted as erased, "
            "and keep the search index"
        ),
    ]
    with closing(PostgresAuditDatabase(str(url.set(username=PROVIDER)))) as database:
        mark = database.open()
        second = prepare("--role", PROVIDER)
        assert second.code == ExitCode.OK
        assert second.out.splitlines()[0] == f"the audit trail is there: schema smsp_audit, form {HEAD}"
        assert database.trail_id() == mark
    assert "sesame" not in first.out + second.out


@pytest.mark.rule("SMSP-AUDIT-001")
def test_what_it_leaves_is_told_and_is_exit_code_1_each_time(prepare: Prepare) -> None:
    url = _empty()
    arguments = ("--role", PROVIDER, "--owner-url", url.render_as_string())
    assert prepare(*arguments).code == ExitCode.OK
    with psycopg.connect(url.render_as_string(), autocommit=True) as connection:
        connection.execute("CREATE TABLE smsp_audit.mine (x integer)")
        for _ in range(2):
            done = prepare(*arguments)
            assert (done.code, done.err) == (ExitCode.UNEXPECTED, "")
            assert done.out.splitlines()[-1] == "left as it is: the table mine is nothing of the provider's"
        connection.execute("DROP TABLE smsp_audit.mine")
    assert prepare(*arguments).code == ExitCode.OK


def test_what_belongs_to_another_role_is_told_in_one_line(prepare: Prepare) -> None:
    url = _empty()
    with psycopg.connect(superuser_of(url.render_as_string()), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA smsp_audit")
    done = prepare("--role", PROVIDER, "--owner-url", url.render_as_string())
    assert (done.code, done.out, len(done.err.splitlines())) == (ExitCode.CANNOT_START, "", 1)
    assert "to the role postgres belong: the schema smsp_audit." in done.err


def test_a_password_in_the_command_line_is_refused_and_not_repeated(prepare: Prepare) -> None:
    done = prepare("--role", PROVIDER, "--owner-url", "postgresql://owner:sesame@host.example/database")
    assert done.code == ExitCode.USAGE
    assert "others can read the password" in done.err
    assert "sesame" not in done.out + done.err


@pytest.mark.parametrize(
    "url", ["sesame", "mysql://sesame@host.example/x", "postgresql+asyncpg://sesame@host.example/x"]
)
def test_what_is_no_url_of_postgresql_is_refused_and_not_repeated(prepare: Prepare, url: str) -> None:
    done = prepare("--role", PROVIDER, "--owner-url", url)
    assert done.code == ExitCode.USAGE
    assert "--owner-url" in done.err
    assert "sesame" not in done.out + done.err


def test_what_the_database_refuses_is_told_in_one_line(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    url = _empty()
    unknown = prepare("--role", "nobody", "--owner-url", url.render_as_string())
    assert (unknown.code, len(unknown.err.splitlines())) == (ExitCode.CANNOT_START, 1)
    assert "there is no role nobody" in unknown.err
    monkeypatch.setenv("SMSP_AUDIT_OWNER_URL", "postgresql://owner:sesame@127.0.0.1:1/database")
    away = prepare("--role", PROVIDER)
    assert (away.code, len(away.err.splitlines())) == (ExitCode.CANNOT_START, 1)
    assert "sesame" not in away.out + away.err
