"""The accounts of operators as the settings want them, put together for the command line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from smsp_provider.audit.operator_events import Observer
from smsp_provider.audit.trail import AuditTrail
from smsp_provider.config.settings import Settings
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.client_database import ClientDatabase
from smsp_provider.storage.operator_accounts import OperatorAccounts
from smsp_provider.storage.operator_key import read_key
from smsp_provider.storage.operator_login import LoginPolicy, OperatorLogin
from smsp_provider.storage.operator_secrets import Argon2Parameters, Passwords
from smsp_provider.storage.operator_sessions import OperatorSessions, SessionPolicy
from smsp_provider.wiring.alerts import build_log
from smsp_provider.wiring.provider import build_client_store

__all__ = [
    "build_accounts",
    "build_login",
    "build_sessions",
    "operator_database",
    "operator_key_file",
    "operator_log",
]

_PRIVATE_FILE: Final = 0o600
_LAST_ALERTS_SECONDS: Final = 3.0


def operator_database(settings: Settings, clock: Clock) -> ClientDatabase:
    """Where the accounts are: with the registry of clients. Nothing is opened yet.

    Raises:
        RegistryBroken: the URL of the settings is unusable, or the driver is not installed.
    """
    return build_client_store(settings, clock).database


def operator_key_file(settings: Settings) -> Path:
    """The file of the key that second factors are sealed with."""
    return settings.operators.key or settings.audit.database.with_name("operators.key")


@contextmanager
def operator_log(settings: Settings, clock: Clock) -> Iterator[Observer]:
    """Who is told of refused logins: the operators' log, since the terminal of a command is the wrong place.

    Raises:
        OSError: the file cannot be opened.
    """
    path = settings.operators.log or settings.audit.database.with_name("operators.log")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, _PRIVATE_FILE), "ab", buffering=0) as stream:
        log = build_log(settings, stream, clock)
        try:
            yield log
        finally:
            # The terminal waits for so long, and no longer: the log has what could not be sent.
            log.finish(_LAST_ALERTS_SECONDS)


def build_accounts(settings: Settings, database: ClientDatabase, clock: Clock, trail: AuditTrail) -> OperatorAccounts:
    """The accounts, for administrators."""
    return OperatorAccounts(database, clock, trail, settings.operators.enrolment())


def build_sessions(settings: Settings, database: ClientDatabase, clock: Clock, trail: AuditTrail) -> OperatorSessions:
    """Who is logged in."""
    return OperatorSessions(database, clock, trail, _sessions(settings))


def build_login(
    settings: Settings, database: ClientDatabase, clock: Clock, trail: AuditTrail, observer: Observer
) -> OperatorLogin:
    """The way in; the key is read.

    Raises:
        KeyUnusable: it is not there, or none.
    """
    operators = settings.operators
    return OperatorLogin(
        database,
        clock,
        trail,
        observer,
        Passwords(Argon2Parameters(operators.argon2_memory_mib, operators.argon2_passes, operators.argon2_lanes)),
        read_key(operator_key_file(settings)),
        LoginPolicy(operators.lockout(), operators.passwords(), _sessions(settings)),
    )


def _sessions(settings: Settings) -> SessionPolicy:
    return SessionPolicy(settings.operators.idle(), settings.operators.longest_session())
