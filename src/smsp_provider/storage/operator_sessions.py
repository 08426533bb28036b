"""Who is logged in: one session for each account, kept as the digest of a token that only the person's machine has.

A session ends after a time without use, after a longer time whatever happens, when its account logs out, logs in again,
is disabled or reset, and holds only for the user and the machine that it was begun for.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from smsp_provider.audit.events import OperatorAct, OperatorActKind
from smsp_provider.audit.trail import AuditTrail
from smsp_provider.domain.operators import Operator
from smsp_provider.engine.ports import Clock
from smsp_provider.storage import operator_schema as schema
from smsp_provider.storage.client_database import ClientDatabase
from smsp_provider.storage.client_form import writing_registry
from smsp_provider.storage.client_rows import moment_text
from smsp_provider.storage.operator_rows import HeldAccount, read_accounts
from smsp_provider.storage.operator_secrets import digest_of, new_token

__all__ = ["AccessPoint", "OperatorSessions", "SessionOver", "SessionPolicy", "begin_session", "session_holder"]

_SKEW: Final = timedelta(minutes=1)
"""How far a session may have been used in the future: two machines of one database disagree a little."""


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """From where somebody acts: ``shown`` for the record, ``binding`` is what a session must come from again."""

    shown: str
    binding: str


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How long a session lasts without use, and at most."""

    idle: timedelta
    longest: timedelta


class SessionOver(Exception):
    """There is no such session any more, or not from here."""


def begin_session(
    connection: Connection, held: HeldAccount, place: AccessPoint, at: datetime, *, must_change: bool
) -> str:
    """Begin a session in the place of the one before; returns the token."""
    token, name = new_token(), held.account.name
    connection.execute(delete(schema.session).where(schema.session.c.operator == name))
    values = {
        "operator": name,
        "token": digest_of(token),
        "bound_to": place.binding,
        "begun_at": moment_text(at),
        "used_at": moment_text(at),
        "must_change": must_change,
    }
    connection.execute(insert(schema.session).values(values))
    return token


def session_holder(
    connection: Connection, token: str, place: AccessPoint, at: datetime, policy: SessionPolicy
) -> tuple[HeldAccount, bool] | None:
    """Whose session it is, and whether its password has to be changed first; None where it is none, or over."""
    table = schema.session
    row = connection.execute(select(table).where(table.c.token == digest_of(token))).mappings().one_or_none()
    if row is None or row["bound_to"] != place.binding:
        return None
    held = read_accounts(connection).get(row["operator"])
    if held is None or not held.account.enabled or not held.enrolled or not _lasts(row, at, policy):
        return None
    return held, bool(row["must_change"])


def _lasts(row: RowMapping, at: datetime, policy: SessionPolicy) -> bool:
    begun, used = datetime.fromisoformat(row["begun_at"]), datetime.fromisoformat(row["used_at"])
    return begun <= used <= at + _SKEW and at < used + policy.idle and at < begun + policy.longest


class OperatorSessions:
    """Sessions as commands use them."""

    def __init__(self, database: ClientDatabase, clock: Clock, trail: AuditTrail, policy: SessionPolicy) -> None:
        self.database: Final = database
        self._clock: Final = clock
        self._trail: Final = trail
        self._policy: Final = policy

    def use(self, token: str, place: AccessPoint) -> Operator:
        """Whose session it is, as the account is now; the time without use begins anew.

        Raises:
            SessionOver: it is none, over, from elsewhere, or its password has to be changed first.
            RegistryNotReady, RegistryBroken: that cannot be told.
        """
        now = self._clock.now()
        with writing_registry(self.database) as connection:
            found = session_holder(connection, token, place, now, self._policy)
            if found is not None and not found[1]:
                account = found[0].account
                mine = schema.session.c.operator == account.name
                connection.execute(update(schema.session).where(mine).values(used_at=moment_text(now)))
                return account.operator()
        raise SessionOver

    def end(self, token: str, place: AccessPoint) -> str | None:
        """Log out; returns the name of the account, or None where the session was over anyway.

        Raises:
            AuditUnavailable: it is not on record, and the session goes on.
            RegistryNotReady, RegistryBroken: the same.
        """
        table = schema.session
        with writing_registry(self.database) as connection:
            mine = table.c.token == digest_of(token)
            name = connection.scalar(select(table.c.operator).where(mine))
            if name is None:
                return None
            connection.execute(delete(table).where(mine))
            act = OperatorAct(self._clock.now(), OperatorActKind.LOGOUT, place.shown, str(name))
            self._trail.record_act(act)
            return str(name)
