"""Operators at a terminal: the first administrator, another account, roles in force, no way around the questions."""

import json
import os
import re
import stat
import subprocess
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from operator_samples import code_of, seed_in
from sandbox_process import environment
from signed_in import ACCOUNTS, write_configuration
from smsp_provider.audit.events import Change, OperatorAct, OperatorActKind
from smsp_provider.config.settings import load_settings
from smsp_provider.engine.system import SystemClock
from smsp_provider.wiring.audit import build_audit
from terminal_session import Terminal, at_terminal

pytestmark = [pytest.mark.rule("SMSP-IG-001", "SMSP-IG-002", "SMSP-AUDIT-008", "SMSP-AUDIT-009"), pytest.mark.slow]

FIRST = "tulip engine maple 84"
SECOND = "a lamp beneath nine maps"


class Machine:
    """A provider's machine: its settings, and the commands that people run there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "provider.toml"
        write_configuration(self.config, ACCOUNTS.format(directory=directory))
        self.environment = {**environment(), "HOME": str(directory)}

    def run(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Without a terminal, as a script would."""
        command = [sys.executable, "-m", "smsp_provider.cli", *map(str, arguments), "--config", str(self.config)]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=300,
            check=False,
            start_new_session=True,
        )

    def done(self, *arguments: object) -> str:
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def enrol(self, name: str, enrolment: str, password: str) -> bytes:
        """Choose a password and set up the second factor; the seed is returned, as an authenticator has it."""
        with self.terminal("login", name, "--enrol") as terminal:
            terminal.answer("Enrolment code", enrolment)
            seed = seed_in(terminal.wait_for("otpauth://"))
            terminal.answer("New password", password)
            terminal.answer("Once more", password)
            terminal.answer("Code of the authenticator", code_of(seed, datetime.now(UTC)))
            code, out, err = terminal.end()
        assert code == 0, err
        assert "otpauth" not in out + err
        return seed

    def terminal(self, *arguments: object) -> AbstractContextManager[Terminal]:
        return at_terminal(*arguments, "--config", self.config, environment=self.environment)

    def records(self) -> list[object]:
        trail = build_audit(load_settings(self.config), SystemClock())
        return [entry.record for entry in trail.read()]


def _code_in(text: str) -> str:
    found = re.search(r"hours: ([A-Z2-7-]+)$", text, re.MULTILINE)
    assert found is not None
    return found.group(1)


def test_from_the_first_administrator_to_a_client_manager(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    enrolment = _code_in(machine.done("user", "first", "first.one", "--person", "Ada Byron"))
    assert machine.run("user", "list").returncode == 6
    machine.enrol("first.one", enrolment, FIRST)

    [session] = (tmp_path / "sessions").iterdir()
    assert stat.S_IMODE(session.stat().st_mode) == 0o600
    assert stat.S_IMODE(session.parent.stat().st_mode) == 0o700
    assert machine.done("whoami") == "first.one: administrator; all organisations\n"
    denied = machine.run("client", "list")
    assert (denied.returncode, denied.stdout) == (6, "")
    assert "may not: read the registered clients" in denied.stderr
    assert "there are accounts" in machine.run("user", "first", "second.one", "--person", "Grace Brewster").stderr

    added = machine.done("user", "add", "second.one", "--person", "Grace Brewster", "--role", "client-manager")
    assert machine.done("logout") == "first.one: logged out\n"
    assert not session.exists()
    seed = machine.enrol("second.one", _code_in(added), SECOND)
    assert json.loads(machine.done("client", "list", "--json"))["clients"] == []
    assert machine.run("user", "list").returncode == 6
    machine.done("logout")

    with machine.terminal("login", "second.one") as terminal:
        terminal.answer("Password", FIRST)
        terminal.answer("Code of the authenticator", code_of(seed, datetime.now(UTC), step=1))
        code, out, err = terminal.end()
    assert (code, out) == (6, "")
    assert "the login is refused" in err
    alerts = [json.loads(line) for line in (tmp_path / "state" / "operators.log").read_text().splitlines()]
    assert [alert["kind"] for alert in alerts] == ["operator-login-refused"]

    records = machine.records()
    assert [(record.name, record.who == "first.one") for record in records if isinstance(record, Change)] == [
        ("first.one", False),
        ("second.one", True),
    ]
    acts = [record for record in records if isinstance(record, OperatorAct)]
    assert [(act.operator, act.kind, act.detail) for act in acts] == [
        ("first.one", OperatorActKind.ENROLLED, ""),
        ("first.one", OperatorActKind.LOGIN, ""),
        ("first.one", OperatorActKind.COMMAND_REFUSED, "client list"),
        ("first.one", OperatorActKind.COMMAND, "user add"),
        ("first.one", OperatorActKind.LOGOUT, ""),
        ("second.one", OperatorActKind.ENROLLED, ""),
        ("second.one", OperatorActKind.LOGIN, ""),
        ("second.one", OperatorActKind.COMMAND, "client list"),
        ("second.one", OperatorActKind.COMMAND_REFUSED, "user list"),
        ("second.one", OperatorActKind.LOGOUT, ""),
        ("second.one", OperatorActKind.LOGIN_REFUSED, "password"),
    ]
    assert all(os.uname().nodename in act.access_point for act in acts)
    assert acts[1].access_point.rpartition(", ")[2].startswith("/dev/")


def test_nothing_is_asked_where_there_is_no_terminal(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.done("user", "first", "first.one", "--person", "Ada Byron")
    for options in ((), ("--enrol",)):
        ended = machine.run("login", "first.one", *options)
        assert (ended.returncode, ended.stdout) == (3, ""), ended.stderr
        assert "at a terminal" in ended.stderr


def test_a_weak_password_and_a_wrong_code_are_asked_for_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    enrolment = _code_in(machine.done("user", "first", "first.one", "--person", "Ada Byron"))
    with machine.terminal("login", "first.one", "--enrol") as terminal:
        terminal.answer("Enrolment code", enrolment.lower())
        seed = seed_in(terminal.wait_for("otpauth://"))
        for password, again in (("Ada Byron was here", None), (FIRST, SECOND)):
            terminal.answer("New password", password)
            terminal.answer("Once more", again or password)
            if again is None:
                terminal.answer("Code of the authenticator", code_of(seed, datetime.now(UTC)))
        terminal.answer("New password", FIRST)
        terminal.answer("Once more", FIRST)
        terminal.answer("Code of the authenticator", code_of(seed, datetime.now(UTC), step=9))
        terminal.answer("New password", FIRST)
        terminal.answer("Once more", FIRST)
        terminal.answer("Code of the authenticator", code_of(seed, datetime.now(UTC)))
        code, out, err = terminal.end()
    assert (code, out) == (0, "logged in as first.one: administrator; all organisations\n")
    assert "a name of yours" in err
    assert "two different passwords" in err
    assert "not the code of that authenticator" in err
    for secret in (FIRST, SECOND, enrolment):
        assert secret not in err
