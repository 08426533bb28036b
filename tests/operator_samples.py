"""Operators' accounts for tests: a registry's database, a clock that is set, and a person with an authenticator."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import delete

from audit_trails import happened, make_trail
from smsp_provider.audit.events import Change, OperatorAct, Record
from smsp_provider.audit.operator_events import Alert, OperatorEvent
from smsp_provider.domain.operator_lockout import LockoutPolicy
from smsp_provider.domain.operator_passwords import PasswordPolicy
from smsp_provider.domain.operators import EVERYTHING, Account, Operator, OrganisationScope, Role
from smsp_provider.storage import operator_schema as schema
from smsp_provider.storage.chained_audit import ChainedAuditTrail
from smsp_provider.storage.client_database import ClientDatabase
from smsp_provider.storage.client_form import prepare
from smsp_provider.storage.operator_accounts import OperatorAccounts
from smsp_provider.storage.operator_key import SeedKey
from smsp_provider.storage.operator_login import LoggedIn, LoginPolicy, OperatorLogin
from smsp_provider.storage.operator_secrets import Argon2Parameters, Passwords
from smsp_provider.storage.operator_sessions import AccessPoint, OperatorSessions, SessionPolicy

__all__ = [
    "CHEAP",
    "DESK",
    "LOCKOUT",
    "PASSWORD",
    "POLICY",
    "CountingPasswords",
    "Listener",
    "Office",
    "Person",
    "SetClock",
    "account_of",
    "code_of",
    "office_at",
    "seed_in",
]

CHEAP = Argon2Parameters(memory_mib=8, passes=1, lanes=1)
DESK = AccessPoint("user on machine, at a terminal", "user@machine")
LOCKOUT = LockoutPolicy(attempts=6, free=2, first_seconds=5, longest_seconds=60)
PASSWORD = "tulip engine maple 84"
POLICY = LoginPolicy(
    LOCKOUT,
    PasswordPolicy(length=14, remembered=3, days=90),
    SessionPolicy(timedelta(minutes=15), timedelta(hours=8)),
)
_START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class SetClock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.at = _START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - _START).total_seconds()

    def pass_by(self, **span: float) -> None:
        self.at += timedelta(**span)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def notify(self, event: OperatorEvent) -> None:
        assert isinstance(event, Alert)
        self.alerts.append(event)


class CountingPasswords(Passwords):
    """The real ones, and how often argon2 ran to its end."""

    def __init__(self, parameters: Argon2Parameters = CHEAP) -> None:
        super().__init__(parameters)
        self.runs = 0

    def hash(self, password: str) -> str:
        self.runs += 1
        return super().hash(password)

    def verify(self, kept: str | None, password: str) -> bool:
        if kept is not None:
            self.runs += 1  # (Without a hash it is counted by the one that is made instead.)
        return super().verify(kept, password)


def account_of(name: str = "jsmith", *roles: Role, only: frozenset[str] | None = None) -> Account:
    from smsp_provider.domain.identifiers import ODSCode

    scope = EVERYTHING if only is None else OrganisationScope(frozenset(map(ODSCode, only)))
    return Account(name, f"Person behind {name}", frozenset(roles or {Role.OPERATOR}), scope)


def code_of(seed: bytes, at: datetime, *, step: int = 0) -> str:
    """What an authenticator shows, so many steps of 30 seconds from now."""
    return TOTP(seed, 6, SHA1(), 30).generate(int(at.timestamp()) + 30 * step).decode("ascii")  # noqa: S303 - TOTP's own


@dataclass
class Person:
    """Somebody with an account, a password and an authenticator."""

    office: "Office"
    name: str
    seed: bytes
    password: str = PASSWORD

    @property
    def operator(self) -> Operator:
        return next(
            held.account for held in self.office.accounts.everybody() if held.account.name == self.name
        ).operator()

    def code(self, *, step: int = 0) -> str:
        return code_of(self.seed, self.office.clock.at, step=step)

    def log_in(self, password: str | None = None, code: str | None = None, place: AccessPoint = DESK) -> LoggedIn:
        given = self.password if password is None else password
        return self.office.login.log_in(self.name, given, self.code() if code is None else code, place)


@dataclass
class Office:
    """The accounts of one registry, and all that works with them."""

    database: ClientDatabase
    trail: ChainedAuditTrail
    key: SeedKey = field(default_factory=lambda: SeedKey(b"k" * 32))
    clock: SetClock = field(default_factory=SetClock)
    listener: Listener = field(default_factory=Listener)
    passwords: Passwords = field(default_factory=lambda: Passwords(CHEAP))
    policy: LoginPolicy = POLICY

    @property
    def accounts(self) -> OperatorAccounts:
        return OperatorAccounts(self.database, self.clock, self.trail, timedelta(hours=24))

    @property
    def login(self) -> OperatorLogin:
        return OperatorLogin(
            self.database, self.clock, self.trail, self.listener, self.passwords, self.key, self.policy
        )

    @property
    def sessions(self) -> OperatorSessions:
        return OperatorSessions(self.database, self.clock, self.trail, self.policy.sessions)

    def records(self) -> list[Record]:
        return happened(self.trail.read())

    def acts(self) -> list[OperatorAct]:
        return [record for record in self.records() if isinstance(record, OperatorAct)]

    def changes(self) -> list[Change]:
        return [record for record in self.records() if isinstance(record, Change)]

    def first(self, name: str = "first.one") -> Person:
        """The first administrator, enrolled."""
        return self.enrol(name, self.accounts.add_first("os-user", account_of(name, Role.ADMINISTRATOR)))

    def person(self, by: Person, account: Account) -> Person:
        """Somebody whose account an administrator adds, enrolled."""
        return self.enrol(account.name, self.accounts.add(by.operator, account))

    def enrol(self, name: str, enrolment: str, password: str = PASSWORD) -> Person:
        seed = self.login.begin_enrolment(name, enrolment, DESK)
        self.login.enrol(name, enrolment, password, seed, code_of(seed, self.clock.at), DESK)
        self.clock.pass_by(minutes=1)
        return Person(self, name, seed, password)

    def clear(self) -> None:
        """Leave nobody with an account."""
        with self.database.writing() as connection:
            connection.execute(delete(schema.operator))

    def standing(self, name: str) -> tuple[int, bool]:
        """Failures in a row, and whether the account is locked."""
        held = next(held for held in self.accounts.everybody() if held.account.name == name)
        return held.failures.count, held.failures.locked


@contextmanager
def office_at(url: str, directory: Path) -> Iterator[Office]:
    """A registry with an audit trail; nobody has an account yet."""
    clock = SetClock()
    trail = make_trail(directory / "audit" / "audit.db", clock)
    trail.open()
    database = ClientDatabase(url)
    prepare(database)
    office = Office(database, trail, clock=clock)
    office.clear()
    try:
        yield office
    finally:
        trail.close_session()
        database.close()


def seed_in(uri: str) -> bytes:
    """The seed that an otpauth URI hands to an authenticator."""
    import base64

    found = re.search(r"[?&]secret=([A-Z2-7]+)", uri)
    assert found is not None
    return base64.b32decode(found.group(1))
