"""Somebody logged in to the accounts of a configuration, in this process: for tests of the commands themselves."""

from datetime import UTC, datetime
from pathlib import Path

from audit_trails import happened
from operator_samples import PASSWORD, code_of
from smsp_provider.audit.events import OperatorAct
from smsp_provider.cli.client_session import prepare_registry
from smsp_provider.cli.operator_session import office_of
from smsp_provider.cli.os_user import access_point
from smsp_provider.config.settings import load_settings
from smsp_provider.domain.operators import Account, Operator, Role
from smsp_provider.engine.system import SystemClock
from smsp_provider.storage.operator_key import make_key
from smsp_provider.wiring.audit import build_audit
from smsp_provider.wiring.operators import operator_key_file

__all__ = ["ACCOUNTS", "ADMINISTRATOR", "Desk", "write_configuration"]

ADMINISTRATOR = Account("first.one", "Ada Byron", frozenset({Role.ADMINISTRATOR}))

ACCOUNTS = """
session_directory = "{directory}/sessions"
argon2_memory_mib = 8
argon2_passes = 1
"""
"""Settings of operators with accounts, whose passwords cost little."""


def write_configuration(file: Path, operators: str) -> None:
    """Settings of a provider that is administered and never served; ``operators`` is that section of them."""
    file.write_text(
        f"""
        environment = "test"
        [server]
        http = "127.0.0.1:0"
        [spine]
        endpoint = "http://127.0.0.1:1/"
        pds_asid = "100000000104"
        [audit]
        database = "{file.parent}/state/audit.db"
        synchronous = "NORMAL"
        [operators]
        {operators}
        """,
        encoding="utf-8",
    )


class Desk:
    """A configuration whose operators have accounts, and who sits before it."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "provider.toml"
        write_configuration(self.config, ACCOUNTS.format(directory=directory) + "argon2_lanes = 1\n")
        self.settings = load_settings(self.config)
        self._tokens: dict[str, str] = {}

    def prepare(self) -> None:
        """Make the registry and the first administrator."""
        prepare_registry(self.settings)
        make_key(operator_key_file(self.settings))
        with office_of(self.settings) as office:
            self._enrol(ADMINISTRATOR.name, office.accounts.add_first("os-user", ADMINISTRATOR))

    def sit_down(self, account: Account) -> None:
        """Give somebody an account, or another one, and log them in: whoever sat here last is logged in no longer."""
        by = Operator("somebody.else", frozenset({Role.ADMINISTRATOR}))
        with office_of(self.settings) as office:
            if account.name in {held.account.name for held in office.accounts.everybody()}:
                office.accounts.change(by, account.name, lambda _: account)
                office.token_file.write(self._tokens[account.name])
                return
            enrolment = office.accounts.add(by, account)
        self._enrol(account.name, enrolment)

    def _enrol(self, name: str, enrolment: str) -> None:
        with office_of(self.settings) as office, office.login() as login:
            place = access_point()
            seed = login.begin_enrolment(name, enrolment, place)
            session = login.enrol(name, enrolment, PASSWORD, seed, code_of(seed, datetime.now(UTC)), place)
            self._tokens[name] = session.token
            office.token_file.write(session.token)

    def acts(self) -> list[OperatorAct]:
        """What is on record of operators."""
        records = happened(build_audit(self.settings, SystemClock()).read())
        return [record for record in records if isinstance(record, OperatorAct)]
