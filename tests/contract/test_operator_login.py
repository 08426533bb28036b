"""Logging in, in SQLite and PostgreSQL: both factors, lockout, sessions, enrolment, and a record of every attempt."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from operator_samples import (
    CHEAP,
    DESK,
    LOCKOUT,
    PASSWORD,
    CountingPasswords,
    Office,
    Person,
    account_of,
    code_of,
    office_at,
)
from postgres_server import new_database
from smsp_provider.audit.events import OperatorActKind
from smsp_provider.audit.operator_events import AlertKind
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.domain.operators import Role
from smsp_provider.storage import client_database
from smsp_provider.storage.operator_key import KeyUnusable, SeedKey
from smsp_provider.storage.operator_login import CodeRefused, LoggedIn, LoginRefused, PasswordRefused
from smsp_provider.storage.operator_secrets import Passwords
from smsp_provider.storage.operator_sessions import AccessPoint, SessionOver

pytestmark = pytest.mark.rule("SMSP-IG-002")

WRONG = "not the right one at all"
OTHER = "a lamp beneath nine maps"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests, each of which begins without accounts."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('registry')}/clients.db"
    return new_database()


@pytest.fixture
def office(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    # Threads that log in at once wait for each other, however slow the machine is.
    monkeypatch.setattr(client_database, "_WAIT_SECONDS", 60)
    with office_at(url, tmp_path) as made:
        yield made


@pytest.fixture
def first(office: Office) -> Person:
    return office.first()


@pytest.fixture
def person(office: Office, first: Person) -> Person:
    return office.person(first, account_of("jsmith", Role.CLIENT_MANAGER, only=frozenset({"X26"})))


def refused(person: Person, password: str | None = None, code: str | None = None) -> str:
    """Why, as the record has it."""
    with pytest.raises(LoginRefused):
        person.log_in(password, code)
    return next(act for act in reversed(person.office.acts()) if act.kind is OperatorActKind.LOGIN_REFUSED).detail


class TestBothFactors:
    @pytest.mark.rule("SMSP-AUDIT-008", "SMSP-AUDIT-009")
    def test_password_and_code_let_in(self, office: Office, person: Person) -> None:
        session = person.log_in()
        assert not session.must_change
        assert office.sessions.use(session.token, DESK) == person.operator
        act = office.acts()[-1]
        assert (act.kind, act.operator, act.attempts) == (OperatorActKind.LOGIN, "jsmith", 0)
        assert act.access_point == DESK.shown
        assert act.at == office.clock.at

    @pytest.mark.rule("SMSP-AUDIT-008", "SMSP-AUDIT-009")
    def test_each_alone_does_not(self, office: Office, person: Person) -> None:
        assert refused(person, password=WRONG) == "password"
        assert refused(person, code="000000" if person.code() != "000000" else "111111") == "code"
        assert [(act.operator, act.attempts) for act in office.acts()[-2:]] == [("jsmith", 1), ("jsmith", 2)]
        assert [alert.kind for alert in office.listener.alerts] == [AlertKind.OPERATOR_LOGIN_REFUSED] * 2
        assert all("jsmith" in alert.reason for alert in office.listener.alerts)

    @pytest.mark.parametrize(
        "code",
        ["", "12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "\udc80" * 6, "0" * 10_000],
        ids=["none", "short", "long", "letters", "digits of another script", "surrogates", "endless"],
    )
    def test_what_is_no_code_is_refused(self, person: Person, code: str) -> None:
        assert refused(person, code=code) == "code"

    def test_a_code_counts_once(self, office: Office, person: Person) -> None:
        code = person.code()
        person.log_in(code=code)
        assert refused(person, code=code) == "code used before"
        office.clock.pass_by(seconds=30)
        person.log_in()

    @pytest.mark.parametrize("step", [-1, 0, 1])
    def test_a_clock_may_be_one_step_off(self, person: Person, step: int) -> None:
        person.log_in(code=person.code(step=step))

    @pytest.mark.parametrize("step", [-2, 2])
    def test_and_no_more(self, person: Person, step: int) -> None:
        assert refused(person, code=person.code(step=step)) == "code"

    def test_an_older_code_does_not_count_after_a_newer_one(self, person: Person) -> None:
        person.log_in(code=person.code(step=1))
        assert refused(person) == "code used before"

    def test_a_password_is_the_same_however_it_is_composed(self, office: Office, first: Person) -> None:
        composed, decomposed = "Blåbærsyltetøy på brød", "Bla\u030abærsyltetøy pa\u030a brød"
        office.accounts.add(first.operator, account_of("jsmith"))
        person = office.enrol("jsmith", office.accounts.reset(first.operator, "jsmith"), composed)
        person.log_in(password=decomposed)

    @pytest.mark.rule("SMSP-AUDIT-008")
    def test_who_cannot_be_put_on_record_is_not_let_in(self, office: Office, person: Person, tmp_path: Path) -> None:
        (tmp_path / "audit" / "audit.db").rename(tmp_path / "audit" / "gone.db")
        for password in (PASSWORD, WRONG):
            with pytest.raises(AuditUnavailable):
                person.log_in(password=password)
        with office.database.reading() as connection:
            sessions = "SELECT count(*) FROM operator_session WHERE operator = 'jsmith'"
            # (The one that the enrolment began.)
            assert connection.scalar(text(sessions)) == 1
        assert office.standing("jsmith") == (0, False)

    def test_another_key_opens_nothing(self, office: Office, person: Person) -> None:
        other = replace(office, key=SeedKey(b"x" * 32))
        with pytest.raises(KeyUnusable, match="jsmith"):
            other.login.log_in("jsmith", PASSWORD, person.code(), DESK)

    def test_a_seed_of_another_account_opens_nothing(self, office: Office, first: Person, person: Person) -> None:
        theft = "UPDATE operator SET totp = (SELECT totp FROM operator WHERE name = 'first.one') WHERE name = 'jsmith'"
        with office.database.writing() as connection:
            connection.execute(text(theft))
        with pytest.raises(KeyUnusable):
            person.log_in(code=first.code())


class TestNobodyLearnsWhy:
    @pytest.fixture
    def counting(self, office: Office) -> Office:
        return replace(office, passwords=CountingPasswords())

    @pytest.mark.parametrize(
        "state", ["right name, wrong password", "nobody", "disabled", "locked", "not enrolled", "no name at all"]
    )
    def test_one_text_after_the_same_work(
        self, counting: Office, office: Office, first: Person, person: Person, state: str
    ) -> None:
        name, password = "jsmith", PASSWORD
        match state:
            case "right name, wrong password":
                password = WRONG
            case "nobody":
                name = "somebody.else"
            case "no name at all":
                name = PASSWORD  # typed into the wrong field
            case "disabled":
                office.accounts.change(first.operator, name, lambda one: replace(one, disabled_reason="left"))
            case "locked":
                with office.database.writing() as connection:
                    connection.execute(text("UPDATE operator SET locked = (1 = 1) WHERE name = 'jsmith'"))
            case _:
                office.accounts.reset(first.operator, name)
        with pytest.raises(LoginRefused) as caught:
            counting.login.log_in(name, password, person.code(), DESK)
        assert str(caught.value) == str(LoginRefused())
        assert isinstance(counting.passwords, CountingPasswords)
        assert counting.passwords.runs == 1

    def test_what_was_typed_for_a_name_is_not_kept(self, office: Office, first: Person) -> None:
        with pytest.raises(LoginRefused):
            office.login.log_in(first.password, "", "", DESK)
        act = office.acts()[-1]
        assert (act.operator, act.detail) == (None, "nobody has this name")
        assert first.password not in repr(office.records()) + repr(office.listener.alerts)


class TestLockout:
    def test_delays_grow_and_then_the_account_is_locked(self, office: Office, person: Person) -> None:
        waits = []
        while not office.standing("jsmith")[1]:
            assert refused(person, password=WRONG) == "password"
            waited = 0
            while not office.standing("jsmith")[1]:
                # The right password is what tells: it is let in as soon as the delay is over.
                held = next(held for held in office.accounts.everybody() if held.account.name == "jsmith")
                if not held.failures.refuses(office.clock.at):
                    break
                office.clock.pass_by(seconds=1)
                waited += 1
            waits.append(waited)
        assert waits == [0, 0, 5, 10, 20, 0]
        office.clock.pass_by(days=365)
        assert refused(person) == "locked"
        assert [act.kind for act in office.acts()].count(OperatorActKind.LOCKED) == 1
        assert [alert.kind for alert in office.listener.alerts].count(AlertKind.OPERATOR_LOCKED) == 1

    def test_the_right_password_is_refused_during_a_delay_and_does_not_make_it_longer(
        self, office: Office, person: Person
    ) -> None:
        for _ in range(3):
            assert refused(person, password=WRONG) == "password"
        for _ in range(4):
            office.clock.pass_by(seconds=1)
            assert refused(person) == "too soon after a failure"
        assert office.standing("jsmith") == (3, False)
        office.clock.pass_by(seconds=1)
        person.log_in()
        assert office.standing("jsmith") == (0, False)

    @pytest.mark.rule("SMSP-AUDIT-009")
    def test_a_login_tells_how_many_failures_went_before(self, office: Office, person: Person) -> None:
        refused(person, password=WRONG)
        person.log_in()
        assert office.acts()[-1].attempts == 1

    def test_an_administrator_unlocks(self, office: Office, first: Person, person: Person) -> None:
        for _ in range(LOCKOUT.attempts):
            office.clock.pass_by(minutes=2)
            refused(person, password=WRONG)
        assert office.standing("jsmith") == (LOCKOUT.attempts, True)
        assert office.accounts.unlock(first.operator, "jsmith")
        assert office.changes()[-1].who == first.name
        person.log_in()

    def test_the_last_administrator_is_delayed_and_never_locked(self, office: Office, first: Person) -> None:
        for count in range(1, 3 * LOCKOUT.attempts):
            office.clock.pass_by(seconds=LOCKOUT.longest_seconds)
            assert refused(first, password=WRONG) == "password"
            assert office.standing(first.name) == (count, False)
        assert refused(first) == "too soon after a failure"
        office.clock.pass_by(seconds=LOCKOUT.longest_seconds)
        first.log_in()

    def test_one_of_two_administrators_is_locked_and_then_the_other_is_the_last(
        self, office: Office, first: Person
    ) -> None:
        second = office.person(first, account_of("second.one", Role.ADMINISTRATOR))
        for person in (second, first):
            for _ in range(LOCKOUT.attempts):
                office.clock.pass_by(seconds=LOCKOUT.longest_seconds)
                refused(person, password=WRONG)
        assert office.standing("second.one")[1]
        assert not office.standing("first.one")[1]

    def test_guesses_at_the_same_moment_are_judged_one_after_the_other(self, office: Office, person: Person) -> None:
        code, done = person.code(), []

        def guess() -> None:
            try:
                office.login.log_in("jsmith", WRONG, code, DESK)
            except LoginRefused:
                done.append(True)

        threads = [threading.Thread(target=guess) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(done) == 8
        # Three were judged; the third one's delay refused the others, whatever they had brought.
        assert office.standing("jsmith") == (3, False)

    def test_one_code_at_the_same_moment_lets_in_once(self, office: Office, person: Person) -> None:
        code, let_in = person.code(), []

        def log_in() -> None:
            with suppress(LoginRefused):
                let_in.append(office.login.log_in("jsmith", PASSWORD, code, DESK))

        threads = [threading.Thread(target=log_in) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(let_in) == 1


@settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 90)), max_size=8))
def test_only_both_factors_together_ever_let_in(
    office: Office, first: Person, attempts: list[tuple[bool, bool, int]]
) -> None:
    with office.database.writing() as connection:
        connection.execute(text("UPDATE operator SET failures = 0, not_before = NULL"))
    last_code = ""
    for password_right, code_right, wait in attempts:
        office.clock.pass_by(seconds=wait)
        code = first.code() if code_right else "no code"
        try:
            first.log_in(PASSWORD if password_right else WRONG, code)
        except LoginRefused:
            continue
        assert password_right
        assert code_right
        assert code != last_code
        last_code = code


class TestSessions:
    def session(self, person: Person) -> LoggedIn:
        return person.log_in()

    def test_it_ends_after_a_time_without_use(self, office: Office, person: Person) -> None:
        token = self.session(person).token
        for _ in range(4):
            office.clock.pass_by(minutes=14)
            office.sessions.use(token, DESK)
        office.clock.pass_by(minutes=15)
        with pytest.raises(SessionOver):
            office.sessions.use(token, DESK)

    def test_it_ends_after_the_longest_time_whatever_happens(self, office: Office, person: Person) -> None:
        token = self.session(person).token
        for _ in range(8 * 6 - 1):
            office.clock.pass_by(minutes=10)
            office.sessions.use(token, DESK)
        office.clock.pass_by(minutes=10)
        with pytest.raises(SessionOver):
            office.sessions.use(token, DESK)

    @pytest.mark.parametrize("binding", ["other@machine", "user@other", ""])
    def test_it_holds_for_its_user_and_machine_alone(self, office: Office, person: Person, binding: str) -> None:
        token = self.session(person).token
        with pytest.raises(SessionOver):
            office.sessions.use(token, AccessPoint(DESK.shown, binding))
        office.sessions.use(token, DESK)

    @pytest.mark.rule("SMSP-AUDIT-008")
    def test_logging_out_ends_it_and_is_on_record(self, office: Office, person: Person) -> None:
        token = self.session(person).token
        assert office.sessions.end(token, DESK) == "jsmith"
        act = office.acts()[-1]
        assert (act.kind, act.operator) == (OperatorActKind.LOGOUT, "jsmith")
        with pytest.raises(SessionOver):
            office.sessions.use(token, DESK)
        assert office.sessions.end(token, DESK) is None

    def test_another_login_ends_it(self, office: Office, person: Person) -> None:
        before = self.session(person)
        office.clock.pass_by(minutes=1)
        after = self.session(person)
        with pytest.raises(SessionOver):
            office.sessions.use(before.token, DESK)
        office.sessions.use(after.token, DESK)

    def test_a_session_of_the_future_is_none(self, office: Office, person: Person) -> None:
        token = self.session(person).token
        office.clock.pass_by(minutes=-30)
        with pytest.raises(SessionOver):
            office.sessions.use(token, DESK)

    def test_a_session_does_not_show_its_token(self, person: Person) -> None:
        session = self.session(person)
        assert session.token not in repr(session)
        assert "jsmith" in repr(session)


class TestPasswords:
    def test_one_that_is_over_lets_its_person_change_it_and_nothing_else(self, office: Office, person: Person) -> None:
        office.clock.pass_by(days=90)
        session = person.log_in()
        assert session.must_change
        with pytest.raises(SessionOver):
            office.sessions.use(session.token, DESK)
        office.login.change_password(session.token, OTHER, DESK)
        assert office.sessions.use(session.token, DESK).name == "jsmith"
        assert office.acts()[-1].kind is OperatorActKind.PASSWORD_CHANGED
        office.clock.pass_by(days=89)
        assert not person.log_in(OTHER).must_change

    @pytest.mark.parametrize(
        ("password", "reason"),
        [
            ("short", "14 characters"),
            ("Password123456!", "common words"),
            ("jsmith goes to the sea", "a name of yours"),
            ("the Person was here", "a name of yours"),
            ("x" * 257, "longer than 256"),
            ("twelve\nsquirrels eat", "cannot be typed"),
        ],
        ids=["short", "common", "account", "person", "long", "control character"],
    )
    def test_a_weak_one_is_refused(self, office: Office, person: Person, password: str, reason: str) -> None:
        session = person.log_in()
        with pytest.raises(PasswordRefused) as caught:
            office.login.change_password(session.token, password, DESK)
        assert any(reason in text for text in caught.value.reasons)
        assert password not in str(caught.value) + "".join(caught.value.reasons)
        office.clock.pass_by(minutes=1)
        person.log_in()

    def test_the_last_ones_do_not_come_back(self, office: Office, person: Person) -> None:
        session = person.log_in()
        for password in (OTHER, "third green umbrella 5"):
            office.login.change_password(session.token, password, DESK)
            for former in (PASSWORD, password):
                with pytest.raises(PasswordRefused, match="cannot be used"):
                    office.login.change_password(session.token, former, DESK)
        office.login.change_password(session.token, "fourth velvet trumpet", DESK)
        office.login.change_password(session.token, PASSWORD, DESK)

    def test_a_reset_does_not_bring_one_back_either(self, office: Office, first: Person, person: Person) -> None:
        code = office.accounts.reset(first.operator, person.name)
        with pytest.raises(PasswordRefused):
            office.enrol(person.name, code, PASSWORD)

    def test_other_parameters_are_taken_over_at_the_next_login(self, office: Office, person: Person) -> None:
        stronger = replace(office, passwords=Passwords(replace(CHEAP, passes=2)))
        stronger.login.log_in("jsmith", PASSWORD, person.code(), DESK)
        held = next(held for held in office.accounts.everybody() if held.account.name == "jsmith")
        assert held.password is not None
        assert held.password.hash.startswith("$argon2id$v=19$m=8192,t=2,p=1$")
        assert held.password.since == office.clock.at - timedelta(minutes=1)
        office.clock.pass_by(minutes=1)
        session = person.log_in()
        with pytest.raises(PasswordRefused):
            office.login.change_password(session.token, PASSWORD, DESK)

    def test_without_a_session_nothing_is_changed(self, office: Office, person: Person) -> None:
        with pytest.raises(SessionOver):
            office.login.change_password("no token", OTHER, DESK)
        session = person.log_in()
        with pytest.raises(SessionOver):
            office.login.change_password(session.token, OTHER, AccessPoint("elsewhere", "elsewhere"))


class TestEnrolment:
    @pytest.mark.rule("SMSP-AUDIT-008")
    def test_the_person_chooses_both_factors(self, office: Office, first: Person) -> None:
        code = office.accounts.add(first.operator, account_of("jsmith"))
        person = office.enrol("jsmith", code.lower().replace("-", " "))
        kinds = [act.kind for act in office.acts() if act.operator == "jsmith"]
        assert kinds == [OperatorActKind.ENROLLED, OperatorActKind.LOGIN]
        person.log_in()

    def test_a_code_counts_once(self, office: Office, first: Person) -> None:
        code = office.accounts.add(first.operator, account_of("jsmith"))
        office.enrol("jsmith", code)
        with pytest.raises(LoginRefused):
            office.login.begin_enrolment("jsmith", code, DESK)

    @pytest.mark.parametrize("case", ["another code", "an empty one", "over", "disabled", "of somebody else", "nobody"])
    def test_anything_else_is_refused_and_on_record(self, office: Office, first: Person, case: str) -> None:
        code = office.accounts.add(first.operator, account_of("jsmith"))
        name, given = "jsmith", code
        match case:
            case "another code":
                given = "A" + code[1:] if not code.startswith("A") else "B" + code[1:]
            case "an empty one":
                given = ""
            case "over":
                office.clock.pass_by(hours=24)
            case "disabled":
                office.accounts.change(first.operator, name, lambda one: replace(one, disabled_reason="left"))
            case "of somebody else":
                given = office.accounts.add(first.operator, account_of("other"))
            case _:
                name = "nobody.here"
        with pytest.raises(LoginRefused):
            office.login.begin_enrolment(name, given, DESK)
        act = office.acts()[-1]
        assert (act.kind, act.detail) == (OperatorActKind.LOGIN_REFUSED, "enrolment")
        assert act.operator == ("jsmith" if name == "jsmith" else None)
        assert len(office.listener.alerts) == 1
        with pytest.raises(LoginRefused):
            office.login.enrol(name, given, OTHER, b"s" * 20, code_of(b"s" * 20, office.clock.at), DESK)

    def test_an_account_without_an_enrolment_is_not_enrolled_by_an_empty_code(
        self, office: Office, person: Person
    ) -> None:
        for code in ("", "-", " "):
            with pytest.raises(LoginRefused):
                office.login.begin_enrolment(person.name, code, DESK)

    def test_it_can_be_tried_again_after_a_wrong_code_or_a_weak_password(self, office: Office, first: Person) -> None:
        code = office.accounts.add(first.operator, account_of("jsmith"))
        seed = office.login.begin_enrolment("jsmith", code, DESK)
        right = code_of(seed, office.clock.at)
        with pytest.raises(PasswordRefused):
            office.login.enrol("jsmith", code, "short", seed, right, DESK)
        with pytest.raises(CodeRefused):
            office.login.enrol("jsmith", code, OTHER, seed, code_of(seed, office.clock.at, step=5), DESK)
        office.login.enrol("jsmith", code, OTHER, seed, right, DESK)

    def test_the_code_that_was_shown_to_enrol_does_not_let_in_again(self, office: Office, first: Person) -> None:
        code = office.accounts.add(first.operator, account_of("jsmith"))
        seed = office.login.begin_enrolment("jsmith", code, DESK)
        shown = code_of(seed, office.clock.at)
        office.login.enrol("jsmith", code, OTHER, seed, shown, DESK)
        with pytest.raises(LoginRefused):
            office.login.log_in("jsmith", OTHER, shown, DESK)
