"""The commands on protected things: each asks who acts, gives what the role gives, and is on record."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from command_line import Done, run_main
from signed_in import ADMINISTRATOR, Desk, write_configuration
from smsp_provider.audit.events import OperatorActKind
from smsp_provider.cli.exit_codes import ExitCode
from smsp_provider.cli.main import cli
from smsp_provider.cli.os_user import os_user
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.operators import ROLE_PERMISSIONS, Account, OrganisationScope, Permission, Role
from smsp_provider.storage.operator_token_file import OperatorTokenFile

pytestmark = pytest.mark.rule("SMSP-IG-001", "SMSP-IG-002")

Run = Callable[..., Done]

READ, CHANGE = Permission.CLIENTS_READ, Permission.CLIENTS_CHANGE
ENDPOINT = Permission.ENDPOINT_CHANGE
LIST, ADMINISTER = Permission.OPERATORS_READ, Permission.OPERATORS_CHANGE

COMMANDS: dict[str, tuple[Permission, tuple[str, ...]]] = {
    "client list": (READ, ()),
    "client show": (READ, ("nobody",)),
    "client export": (READ, ("nobody",)),
    "client add": (CHANGE, ("no name",)),
    "client set": (CHANGE, ("nobody", "--contact=x")),
    "client disable": (CHANGE, ("nobody", "--reason=x")),
    "client enable": (CHANGE, ("nobody",)),
    "client rotate": (CHANGE, ("nobody",)),
    "client remove": (CHANGE, ("nobody", "--yes")),
    "client import": (CHANGE, ("EMPTY",)),
    "client pin add": (CHANGE, ("nobody", "--fingerprint", "00" * 32)),
    "client pin remove": (CHANGE, ("nobody", "00000000")),
    "endpoint init": (ENDPOINT, ("--side=https", "--name=smsp.example")),
    "endpoint install": (ENDPOINT, ("--side=https", "EMPTY")),
    "endpoint rollback": (ENDPOINT, ("--side=https",)),
    "user add": (ADMINISTER, ("no name", "--person=x", "--role=auditor")),
    "user list": (LIST, ()),
    "user set": (ADMINISTER, ("nobody", "--person=x")),
    "user disable": (ADMINISTER, ("nobody", "--reason=x")),
    "user enable": (ADMINISTER, ("nobody",)),
    "user reset": (ADMINISTER, ("nobody",)),
    "user unlock": (ADMINISTER, ("nobody",)),
}
OPEN_TO_ALL = {"client init", "user first", "endpoint status"}
"""The first makes empty tables, the second is refused once there is an account, the third shows what callers see."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    made = Desk(tmp_path_factory.mktemp("desk"))
    made.prepare()
    return made


@pytest.fixture
def run(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    empty = tmp_path / "empty.toml"
    empty.write_text("")

    def run_command(*words: str) -> Done:
        given = [str(empty) if word == "EMPTY" else word for word in words]
        return run_main(monkeypatch, capsys, *given, "--config", desk.config)

    return run_command


def leaves(group: click.Group, *path: str) -> set[str]:
    found = set()
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        here = (*path, name)
        found |= leaves(command, *here) if isinstance(command, click.Group) else {" ".join(here)}
    return found


def test_every_command_on_protected_things_is_tried_here() -> None:
    protected = {name for name in leaves(cli) if name.startswith(("client ", "endpoint ", "user "))}
    assert protected == COMMANDS.keys() | OPEN_TO_ALL


@pytest.mark.rule("SMSP-AUDIT-008")
@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_a_role_gives_what_the_table_gives_and_each_use_is_on_record(desk: Desk, run: Run, role: Role) -> None:
    desk.sit_down(Account(f"the.{role.value}", "Grace Brewster", frozenset({role})))
    for command, (permission, arguments) in COMMANDS.items():
        ended = run(*command.split(), *arguments)
        act = desk.acts()[-1]
        assert (act.operator, act.detail) == (f"the.{role.value}", command)
        if permission in ROLE_PERMISSIONS[role]:
            assert f"may not: {permission.value}" not in ended.err
            assert act.kind is OperatorActKind.COMMAND
        else:
            assert ended.code == ExitCode.NOT_ALLOWED
            assert f"may not: {permission.value}" in ended.err
            assert ended.out == ""
            assert act.kind is OperatorActKind.COMMAND_REFUSED


def test_nobody_logged_in_may_do_nothing(desk: Desk, run: Run) -> None:
    assert run("logout").code == ExitCode.OK
    recorded = len(desk.acts())
    for command, (_, arguments) in COMMANDS.items():
        ended = run(*command.split(), *arguments)
        assert (ended.code, ended.out) == (ExitCode.NOT_ALLOWED, "")
        assert "smsp login" in ended.err
    assert run("whoami").code == ExitCode.NOT_ALLOWED
    assert run("logout").out == "nobody was logged in\n"
    assert len(desk.acts()) == recorded


def test_a_token_that_somebody_made_up_is_none(desk: Desk, run: Run) -> None:
    directory = desk.settings.operators.session_directory
    assert directory is not None
    run("logout")
    for token in ("x", "", "é", "a" * 5000):
        for file in directory.iterdir():
            file.unlink()
        run("logout")
        desk.sit_down(Account("just.once", "Grace Brewster", frozenset({Role.CLIENT_MANAGER})))
        for file in directory.iterdir():
            file.write_text(token)
        assert run("client", "list").code == ExitCode.NOT_ALLOWED


def test_a_session_is_bound_to_who_logged_in_to_the_machine(
    desk: Desk, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk.sit_down(Account("bound.one", "Grace Brewster", frozenset({Role.CLIENT_MANAGER})))
    assert run("client", "list").code == ExitCode.OK
    directory = desk.settings.operators.session_directory
    assert directory is not None
    [mine] = directory.iterdir()
    login_uid = tmp_path / "loginuid"
    login_uid.write_text("4711\n")
    monkeypatch.setattr("smsp_provider.cli.os_user._LOGIN_UID", login_uid)
    assert run("client", "list").code == ExitCode.NOT_ALLOWED
    # Not even where they take the file: everybody who became the provider's user can.
    token = OperatorTokenFile(mine).read()
    assert token is not None
    OperatorTokenFile(directory / "session-4711").write(token)
    assert run("client", "list").code == ExitCode.NOT_ALLOWED
    (directory / "session-4711").unlink()
    login_uid.write_text("4294967295\n")
    monkeypatch.setenv("SUDO_UID", "4712")
    assert run("client", "list").code == ExitCode.NOT_ALLOWED
    monkeypatch.undo()


class TestAccounts:
    @pytest.fixture(autouse=True)
    def administrator(self, desk: Desk) -> None:
        desk.sit_down(Account("second.one", "Grace Brewster", frozenset({Role.ADMINISTRATOR})))

    def test_the_life_of_an_account(self, run: Run) -> None:
        added = run(
            *("user", "add", "jsmith", "--person", "Jane Smith", "--role", "client-manager", "--role", "operator"),
            *("--organisation", "a1", "--organisation", "B2"),
        )
        assert added.out.startswith("enrolment code of jsmith, for the next 24 hours: ")
        assert "not used again" in run("user", "add", "jsmith", "--person", "Jane Smith", "--role", "auditor").err
        assert run("user", "set", "jsmith", "--role", "auditor", "--all-organisations").out == "jsmith: changed\n"
        assert run("user", "set", "jsmith", "--role", "auditor").out == "jsmith: is so already\n"
        assert run("user", "disable", "jsmith", "--reason", "left").out == "jsmith: disabled\n"
        assert run("user", "enable", "jsmith").out == "jsmith: enabled\n"
        assert run("user", "enable", "jsmith").out == "jsmith: is enabled already\n"
        assert run("user", "unlock", "jsmith").out == "jsmith: has no failed attempts\n"
        assert run("user", "reset", "jsmith").out.startswith("enrolment code of jsmith")
        [found] = [one for one in json.loads(run("user", "list", "--json").out) if one["name"] == "jsmith"]
        assert found == {
            "name": "jsmith",
            "person": "Jane Smith",
            "roles": ["auditor"],
            "organisations": "all",
            "enabled": True,
            "enrolled": False,
            "locked": False,
            "failures": 0,
            "password_since": None,
            "state": "waits for its person",
        }
        table = run("user", "list").out
        assert "jsmith" in table
        assert "waits for its person" in table

    @pytest.mark.parametrize(
        ("words", "code", "text"),
        [
            (("user", "add", "admin", "--person", "Jane Smith", "--role", "auditor"), 2, "one person's"),
            (("user", "add", "jdoe", "--person", "Jane Doe"), 2, "roles: at least one"),
            (
                ("user", "add", "jdoe", "--person", "Jane Doe", "--role", "auditor", "--role", "administrator"),
                2,
                "nobody is both",
            ),
            (("user", "add", "jdoe", "--person", "Jane Doe", "--role", "everything"), 2, "--role"),
            (("user", "set", "first.one"), 2, "nothing to change"),
            (("user", "set", "first.one", "--organisation", "A1", "--all-organisations"), 2, "either"),
            (("user", "set", "first.one", "--organisation", "A1"), 2, "administrator's is all"),
            (("user", "disable", "first.one", "--reason", " "), 2, "empty"),
            (("user", "disable", "second.one", "--reason", "x"), 6, "their own account"),
            (("user", "reset", "second.one"), 6, "their own account"),
            (("user", "set", "second.one", "--role", "client-manager"), 6, "their own account"),
            (("user", "unlock", "nobody"), 6, "there is no account"),
            (("user", "first", "third.one", "--person", "Jane Doe"), 6, "there are accounts"),
        ],
        ids=range(13),
    )
    def test_what_cannot_be_is_refused(self, run: Run, words: tuple[str, ...], code: int, text: str) -> None:
        before = run("user", "list").out
        ended = run(*words)
        assert ended.code == code
        assert text in ended.err
        assert run("user", "list").out == before

    def test_a_lost_key_is_not_replaced(self, desk: Desk, run: Run) -> None:
        file = desk.settings.audit.database.with_name("operators.key")
        kept = file.read_bytes()
        file.unlink()
        try:
            ended = run("user", "add", "late.one", "--person", "Jane Doe", "--role", "auditor")
            assert (ended.code, ended.out) == (ExitCode.CANNOT_START, "")
            assert "restore it" in ended.err
            assert not file.exists()
        finally:
            file.write_bytes(kept)
            file.chmod(0o600)

    def test_an_auditor_of_some_organisations_sees_the_accounts_for_these(self, desk: Desk, run: Run) -> None:
        only = OrganisationScope(frozenset({ODSCode("A1"), ODSCode("B2")}))
        run("user", "add", "within", "--person", "Jane Doe", "--role", "operator", "--organisation", "B2")
        run("user", "add", "beyond", "--person", "Jane Doe", "--role", "operator", "--organisation", "C3")
        desk.sit_down(Account("an.auditor", "Jane Smith", frozenset({Role.AUDITOR}), only))
        names = {one["name"] for one in json.loads(run("user", "list", "--json").out)}
        assert {"an.auditor", "within"} <= names
        assert "beyond" not in names


def test_whoami_tells_roles_and_organisations(desk: Desk, run: Run) -> None:
    only = OrganisationScope(frozenset({ODSCode("B2"), ODSCode("A1")}))
    desk.sit_down(Account("who.am.i", "Jane Smith", frozenset({Role.OPERATOR, Role.CLIENT_MANAGER}), only))
    assert run("whoami").out == "who.am.i: client-manager, operator; A1, B2\n"


@pytest.mark.parametrize("command", ["login somebody", "logout", "whoami"])
def test_with_the_policy_os_user_nobody_logs_in(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("SMSP_OPERATORS__POLICY", "os-user")
    ended = run(*command.split())
    assert ended.code == ExitCode.USAGE
    assert "os-user" in ended.err


@pytest.mark.rule("SMSP-AUDIT-008")
def test_with_the_policy_os_user_each_command_is_on_record_by_that_user(
    desk: Desk, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMSP_OPERATORS__POLICY", "os-user")
    before = len(desk.acts())
    for command, (_, arguments) in COMMANDS.items():
        run(*command.split(), *arguments)
    acts = [act for act in desk.acts()[before:] if act.kind is OperatorActKind.COMMAND]
    assert [act.detail for act in acts] == list(COMMANDS)
    assert {act.operator for act in acts} == {os_user()}


def test_with_the_policy_os_user_no_trail_is_begun_for_a_command_that_only_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path / "provider.toml", 'policy = "os-user"')
    ended = run_main(monkeypatch, capsys, "audit", "signing-key", "show", "--config", tmp_path / "provider.toml")
    assert ended.code == ExitCode.CANNOT_START
    assert not (tmp_path / "state").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a directory of another user can be made by root only")
def test_with_the_policy_os_user_a_trail_that_is_not_there_may_be_in_anybodys_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path / "provider.toml", 'policy = "os-user"')
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 65534, 65534)
    ended = run_main(monkeypatch, capsys, "audit", "signing-key", "show", "--config", tmp_path / "provider.toml")
    assert "signing-key init" in ended.err
    assert "sudo" not in ended.err


def test_without_accounts_nobody_can_log_in_and_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = Desk(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    for command in ("whoami", "client list"):
        ended = run_main(monkeypatch, capsys, *command.split(), "--config", fresh.config)
        assert ended.code == ExitCode.NOT_ALLOWED
    ended = run_main(monkeypatch, capsys, "login", ADMINISTRATOR.name, "--config", fresh.config)
    assert ended.code == ExitCode.CANNOT_START
    assert "operators.key" in ended.err
