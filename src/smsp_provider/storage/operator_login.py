"""Logging in, enrolling and changing a password: both factors, lockout, and a record of each attempt.

Whoever is refused is told one text, whatever the reason, after the same work: one run of argon2 and one look at a code,
also for a name that nobody has. The secrets are checked before the transaction and judged within it, on the account as
it is then: guesses made at the same time are judged one after the other, and the first failure delays the rest.

Source: SMSP-IG-002, SMSP-AUDIT-008, SMSP-AUDIT-009.
"""

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, update

from smsp_provider.audit.events import OperatorAct, OperatorActKind
from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.audit.trail import AuditTrail
from smsp_provider.domain.operator_lockout import (
    NO_FAILURES,
    LockoutPolicy,
    after_failure,
    is_last_administrator,
)
from smsp_provider.domain.operator_passwords import PasswordPolicy, weaknesses
from smsp_provider.domain.operators import Account, Operator
from smsp_provider.engine.ports import Clock
from smsp_provider.storage import operator_schema as schema
from smsp_provider.storage.client_database import ClientDatabase
from smsp_provider.storage.client_form import reading_registry
from smsp_provider.storage.operator_accounts import writing_accounts
from smsp_provider.storage.operator_key import SeedKey
from smsp_provider.storage.operator_rows import (
    HeldAccount,
    Password,
    former_passwords,
    read_accounts,
    replace_hash,
    write_failures,
    write_password,
    write_step,
)
from smsp_provider.storage.operator_secrets import Passwords, digest_of, matching_step, new_seed, typed_code
from smsp_provider.storage.operator_sessions import (
    AccessPoint,
    SessionOver,
    SessionPolicy,
    begin_session,
    session_holder,
)

__all__ = ["CodeRefused", "LoggedIn", "LoginPolicy", "LoginRefused", "OperatorLogin", "PasswordRefused"]

_NOBODYS_DIGEST: Final = digest_of("")

_UNKNOWN: Final = "nobody has this name"
_PASSWORD: Final = "password"  # noqa: S105 - what was wrong
_CODE: Final = "code"
_REPLAYED: Final = "code used before"
_COUNTED: Final = frozenset({_PASSWORD, _CODE, _REPLAYED})


class LoginRefused(Exception):
    """One text for every reason; the audit trail has the reason."""

    def __init__(self) -> None:
        super().__init__(
            "the login is refused: name, password or code are not right, the code was used before, or the account"
            " cannot be used now"
        )


class PasswordRefused(Exception):
    """A new password that cannot be; ``reasons`` repeat nothing of it."""

    def __init__(self, reasons: Iterable[str]) -> None:
        super().__init__("the password cannot be used")
        self.reasons: Final = tuple(reasons)


class CodeRefused(Exception):
    """The code shows that the new second factor is not set up right, or that a clock is wrong."""


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """What the settings say about logging in."""

    lockout: LockoutPolicy
    passwords: PasswordPolicy
    sessions: SessionPolicy


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A session has begun. With ``must_change`` it lets its holder choose a new password, and nothing else."""

    token: str
    operator: Operator
    must_change: bool = False

    def __repr__(self) -> str:
        return f"<LoggedIn {self.operator.name}>"


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was offered, compared with the account as it was: ``step`` is that of the code, None for no code."""

    seen: HeldAccount | None
    password: bool
    step: int | None
    rehashed: str | None


class OperatorLogin:
    """The way in.

    Besides what each method says, all raise AuditUnavailable where their record cannot be made, and RegistryNotReady or
    RegistryBroken where the accounts cannot be read or written: nobody is let in then.
    """

    def __init__(
        self,
        database: ClientDatabase,
        clock: Clock,
        trail: AuditTrail,
        observer: Observer,
        passwords: Passwords,
        key: SeedKey,
        policy: LoginPolicy,
    ) -> None:
        self.database: Final = database
        self._clock: Final = clock
        self._trail: Final = trail
        self._observer: Final = observer
        self._passwords: Final = passwords
        self._key: Final = key
        self._policy: Final = policy

    def log_in(self, name: str, password: str, code: str, place: AccessPoint) -> LoggedIn:
        """Let somebody in by password and code.

        Raises:
            LoginRefused: for whatever reason.
            KeyUnusable: the second factor of the account cannot be opened.
        """
        checked = self._check(name, password, code)
        with writing_accounts(self.database) as connection:
            everybody = read_accounts(connection)
            held, now = everybody.get(name), self._clock.now()
            refused = _refusal(held, checked, now)
            if held is not None and refused is None:
                return self._let_in(connection, held, checked, place, now)
            acts = self._refused(connection, everybody, held, str(refused), place, now)
        self._tell(acts)
        raise LoginRefused

    def begin_enrolment(self, name: str, code: str, place: AccessPoint) -> bytes:
        """The seed of a new second factor, for whoever holds the enrolment code; nothing is changed yet.

        Raises:
            LoginRefused: the code is not that of the account, or over.
        """
        with writing_accounts(self.database) as connection:
            held, now = read_accounts(connection).get(name), self._clock.now()
            if self._may_enrol(held, code, now):
                return new_seed()
            act = OperatorAct(
                now,
                OperatorActKind.LOGIN_REFUSED,
                place.shown,
                None if held is None else name,
                0 if held is None else held.failures.count,
                "enrolment",
            )
            self._trail.record_act(act)
        self._tell([act])
        raise LoginRefused

    def enrol(self, name: str, enrolment: str, password: str, seed: bytes, code: str, place: AccessPoint) -> LoggedIn:
        """Take password and second factor of a new or reset account, and let the person in.

        Raises:
            LoginRefused: the enrolment is over meanwhile.
            PasswordRefused: the password cannot be used.
            CodeRefused: ``code`` is not of ``seed``; it can be tried again.
        """
        with reading_registry(self.database) as connection:
            seen = read_accounts(connection).get(name)
            former = former_passwords(connection, name)
        if seen is None or not self._may_enrol(seen, enrolment, self._clock.now()):
            raise LoginRefused
        self._check_new(seen.account, password, former)
        step = matching_step(seed, code, self._clock.now())
        if step is None:
            raise CodeRefused
        hashed, sealed = self._passwords.hash(password), self._key.seal(name, seed)
        with writing_accounts(self.database) as connection:
            held, now = read_accounts(connection).get(name), self._clock.now()
            if held is None or not self._may_enrol(held, enrolment, now):
                raise LoginRefused
            write_password(connection, name, Password(hashed, now), self._policy.passwords.remembered, sealed)
            write_step(connection, name, step)
            token = begin_session(connection, held, place, now, must_change=False)
            for kind in (OperatorActKind.ENROLLED, OperatorActKind.LOGIN):
                self._trail.record_act(OperatorAct(now, kind, place.shown, name))
            return LoggedIn(token, held.account.operator())

    def change_password(self, token: str, password: str, place: AccessPoint) -> None:
        """Take a new password from whoever is logged in.

        Raises:
            SessionOver: the session is none, or over.
            PasswordRefused: the password cannot be used.
        """
        with reading_registry(self.database) as connection:
            found = session_holder(connection, token, place, self._clock.now(), self._policy.sessions)
            former = [] if found is None else former_passwords(connection, found[0].account.name)
        if found is None:
            raise SessionOver
        account = found[0].account
        self._check_new(account, password, former)
        hashed = self._passwords.hash(password)
        with writing_accounts(self.database) as connection:
            now = self._clock.now()
            if session_holder(connection, token, place, now, self._policy.sessions) is None:
                raise SessionOver
            write_password(connection, account.name, Password(hashed, now), self._policy.passwords.remembered)
            mine = schema.session.c.operator == account.name
            connection.execute(update(schema.session).where(mine).values(must_change=False))
            self._trail.record_act(OperatorAct(now, OperatorActKind.PASSWORD_CHANGED, place.shown, account.name))

    def _check(self, name: str, password: str, code: str) -> _Checked:
        with reading_registry(self.database) as connection:
            held = read_accounts(connection).get(name)
        kept = None if held is None or held.password is None else held.password.hash
        right = self._passwords.verify(kept, password)
        seed = None if held is None or held.totp is None else self._key.open(name, held.totp)
        step = matching_step(seed, code, self._clock.now())
        is_old = right and step is not None and kept is not None and self._passwords.is_outdated(kept)
        return _Checked(held, right, step, self._passwords.hash(password) if is_old else None)

    def _let_in(
        self, connection: Connection, held: HeldAccount, checked: _Checked, place: AccessPoint, now: datetime
    ) -> LoggedIn:
        name, kept = held.account.name, held.password
        if kept is None or checked.step is None:
            raise AssertionError
        write_failures(connection, name, NO_FAILURES)
        write_step(connection, name, checked.step)
        if checked.rehashed is not None:
            replace_hash(connection, name, kept.hash, checked.rehashed)
        is_over = self._policy.passwords.is_over(kept.since, now)
        token = begin_session(connection, held, place, now, must_change=is_over)
        self._trail.record_act(OperatorAct(now, OperatorActKind.LOGIN, place.shown, name, held.failures.count))
        return LoggedIn(token, held.account.operator(), is_over)

    def _refused(
        self,
        connection: Connection,
        everybody: dict[str, HeldAccount],
        held: HeldAccount | None,
        reason: str,
        place: AccessPoint,
        now: datetime,
    ) -> list[OperatorAct]:
        """Count the failure where it counts, and put it on record."""
        act = OperatorAct(now, OperatorActKind.LOGIN_REFUSED, place.shown, detail=reason)
        acts = [act]
        if held is not None:
            name, failures = held.account.name, held.failures
            if reason in _COUNTED:
                last = is_last_administrator(name, [one.standing() for one in everybody.values()])
                failures = after_failure(self._policy.lockout, failures, now, last_administrator=last)
                write_failures(connection, name, failures)
            acts = [replace(act, operator=name, attempts=failures.count)]
            if failures.locked and not held.failures.locked:
                acts.append(
                    OperatorAct(now, OperatorActKind.LOCKED, place.shown, name, failures.count, "too many failures")
                )
        for one in acts:
            self._trail.record_act(one)
        return acts

    def _tell(self, acts: Iterable[OperatorAct]) -> None:
        for act in acts:
            who = "an account that is not there" if act.operator is None else f"account {act.operator}"
            is_lock = act.kind is OperatorActKind.LOCKED
            kind = AlertKind.OPERATOR_LOCKED if is_lock else AlertKind.OPERATOR_LOGIN_REFUSED
            reason = f"{who}, {act.attempts} failures in a row: {act.detail}; from {act.access_point}"
            self._observer.notify(Alert(kind, None, reason))

    def _may_enrol(self, held: HeldAccount | None, code: str, at: datetime) -> bool:
        enrolment = None if held is None else held.enrolment
        expected = _NOBODYS_DIGEST if enrolment is None else enrolment.digest
        is_it = hmac.compare_digest(expected, digest_of(typed_code(code)))
        return is_it and held is not None and held.account.enabled and enrolment is not None and at < enrolment.until

    def _check_new(self, account: Account, password: str, former: Iterable[str]) -> None:
        reasons = weaknesses(password, self._policy.passwords, (account.name, account.person))
        if reasons:
            raise PasswordRefused(reasons)
        if any(self._passwords.verify(kept, password) for kept in former):
            raise PasswordRefused(["it was yours before"])


def _refusal(held: HeldAccount | None, checked: _Checked, at: datetime) -> str | None:
    """Why somebody is not let in, in a word for the record; None where they are."""
    return _UNKNOWN if held is None else next(_refusals(held, checked, at), None)


def _refusals(held: HeldAccount, checked: _Checked, at: datetime) -> Iterator[str]:
    """Every reason, what has nothing to do with the secrets first: a refused attempt must not try them."""
    if not held.account.enabled:
        yield "disabled"
    if not held.enrolled:
        yield "not enrolled"
    if held.failures.locked:
        yield "locked"
    if held.failures.refuses(at):
        yield "too soon after a failure"
    seen = checked.seen
    if seen is None or seen.password != held.password or seen.totp != held.totp:
        yield "changed meanwhile"
    if not checked.password:
        yield _PASSWORD
    if checked.step is None:
        yield _CODE
    elif checked.step <= held.step:
        yield _REPLAYED
