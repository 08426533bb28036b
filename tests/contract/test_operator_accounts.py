"""Operators' accounts in SQLite and PostgreSQL: who may be added and changed, by whom, and what is on record of it."""

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from operator_samples import DESK, Office, Person, account_of, office_at
from postgres_server import new_database
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.domain.operators import Role
from smsp_provider.storage import client_database
from smsp_provider.storage.client_database import RegistryBroken
from smsp_provider.storage.operator_accounts import AccountRefused
from smsp_provider.storage.operator_login import LoginRefused
from smsp_provider.storage.operator_sessions import SessionOver

pytestmark = pytest.mark.rule("SMSP-IG-001", "SMSP-IG-002")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests, each of which begins without accounts."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('registry')}/clients.db"
    return new_database()


@pytest.fixture
def office(url: str, tmp_path: Path) -> Iterator[Office]:
    with office_at(url, tmp_path) as made:
        yield made


@pytest.fixture
def first(office: Office) -> Person:
    return office.first()


class TestTheFirst:
    def test_is_an_administrator_and_nothing_else(self, office: Office) -> None:
        for roles in ((Role.OPERATOR,), (Role.ADMINISTRATOR, Role.CLIENT_MANAGER)):
            with pytest.raises(AccountRefused, match="administrator's"):
                office.accounts.add_first("os-user", account_of("first.one", *roles))
        assert office.accounts.everybody() == ()
        assert office.records() == []

    @pytest.mark.rule("SMSP-AUDIT-008")
    def test_is_on_record_with_the_user_of_the_system(self, office: Office) -> None:
        office.first()
        [change] = office.changes()
        assert (change.who, change.what, change.name, change.version, change.before) == (
            *("os-user", "operator", "first.one"),
            *(1, None),
        )

    def test_makes_room_while_its_code_was_not_used(self, office: Office) -> None:
        lost = office.accounts.add_first("os-user", account_of("lost.one", Role.ADMINISTRATOR))
        office.first("found.one")
        assert [held.account.name for held in office.accounts.everybody()] == ["found.one"]
        assert [(change.name, change.after is None) for change in office.changes()] == [
            ("lost.one", False),
            ("lost.one", True),
            ("found.one", False),
        ]
        with pytest.raises(LoginRefused):
            office.login.begin_enrolment("lost.one", lost, DESK)

    def test_is_not_added_again_once_somebody_enrolled(self, office: Office, first: Person) -> None:
        with pytest.raises(AccountRefused, match="there are accounts"):
            office.accounts.add_first("os-user", account_of("second.one", Role.ADMINISTRATOR))
        assert [held.account.name for held in office.accounts.everybody()] == [first.name]


class TestTheOthers:
    def test_an_account_comes_back_as_it_was_written(self, office: Office, first: Person) -> None:
        accounts = [
            account_of("all.of.them", Role.CLIENT_MANAGER, Role.OPERATOR),
            account_of("two-places", Role.CLIENT_MANAGER, only=frozenset({"A81001", "X26"})),
        ]
        for account in accounts:
            office.accounts.add(first.operator, account)
        assert [held.account for held in office.accounts.everybody()][:1] == accounts[:1]
        assert [held.account for held in office.accounts.everybody()][2:] == accounts[1:]
        assert not any(held.enrolled for held in office.accounts.everybody() if held.account in accounts)

    def test_a_name_is_not_used_twice(self, office: Office, first: Person) -> None:
        office.accounts.add(first.operator, account_of("jsmith"))
        with pytest.raises(AccountRefused, match="not used again"):
            office.accounts.add(first.operator, account_of("jsmith", Role.AUDITOR))

    @pytest.mark.rule("SMSP-AUDIT-008", "SMSP-AUDIT-009")
    def test_each_change_is_on_record_with_before_and_after(self, office: Office, first: Person) -> None:
        office.person(first, account_of("jsmith"))
        by, accounts = first.operator, office.accounts
        accounts.change(by, "jsmith", lambda one: replace(one, roles=frozenset({Role.AUDITOR})))
        accounts.change(by, "jsmith", lambda one: replace(one, disabled_reason="left"))
        accounts.change(by, "jsmith", lambda one: replace(one, disabled_reason=""))
        accounts.reset(by, "jsmith")
        made = [change for change in office.changes() if change.name == "jsmith"]
        assert [change.version for change in made] == [1, 2, 3, 4, 5]
        assert {change.who for change in made} == {first.name}
        documents = [json.loads(change.after or "") for change in made]
        assert [document["roles"] for document in documents[:2]] == [["operator"], ["auditor"]]
        assert [document["enabled"] for document in documents] == [True, True, False, True, True]
        assert [document["enrolled"] for document in documents] == [False, True, True, True, False]
        assert [json.loads(change.before or "{}").get("enabled") for change in made] == [None, True, True, False, True]

    def test_no_secret_is_on_record(self, office: Office, first: Person) -> None:
        code = office.accounts.add(first.operator, account_of("jsmith"))
        person = office.enrol("jsmith", code)
        person.log_in()
        written = repr(office.records())
        with office.database.reading() as connection:
            rows = connection.execute(text("SELECT password, enrolment, totp FROM operator")).all()
            sessions = connection.execute(text("SELECT token FROM operator_session")).all()
        secrets = [value for row in [*rows, *sessions] for value in row if isinstance(value, str)]
        assert len(secrets) >= 4
        for secret in (*secrets, code, person.password, person.seed.hex()):
            assert secret not in written

    def test_what_cannot_be_put_on_record_is_not_changed(self, office: Office, first: Person, tmp_path: Path) -> None:
        office.accounts.add(first.operator, account_of("jsmith"))
        before, by = office.accounts.everybody(), first.operator
        (tmp_path / "audit" / "audit.db").rename(tmp_path / "audit" / "gone.db")
        disabled = replace(account_of("jsmith"), disabled_reason="left")
        for change in (
            lambda: office.accounts.add(by, account_of("other")),
            lambda: office.accounts.change(by, "jsmith", lambda _: disabled),
            lambda: office.accounts.reset(by, "jsmith"),
        ):
            with pytest.raises(AuditUnavailable):
                change()
        assert office.accounts.everybody() == before

    def test_nothing_is_recorded_where_nothing_changes(self, office: Office, first: Person) -> None:
        office.accounts.add(first.operator, account_of("jsmith"))
        recorded = len(office.records())
        assert not office.accounts.change(first.operator, "jsmith", lambda one: one)
        assert not office.accounts.unlock(first.operator, "jsmith")
        assert len(office.records()) == recorded


class TestProtection:
    def test_nobody_changes_their_own_account(self, office: Office, first: Person) -> None:
        office.person(first, account_of("second.one", Role.ADMINISTRATOR))
        accounts, by = office.accounts, first.operator
        for change in (
            lambda: accounts.change(by, first.name, lambda one: replace(one, roles=frozenset({Role.CLIENT_MANAGER}))),
            lambda: accounts.change(by, first.name, lambda one: replace(one, disabled_reason="gone")),
            lambda: accounts.reset(by, first.name),
            lambda: accounts.unlock(by, first.name),
        ):
            with pytest.raises(AccountRefused, match="their own account"):
                change()

    def test_the_last_administrator_stays(self, office: Office, first: Person) -> None:
        # Whoever acts was an administrator a moment ago, say, and has a session still.
        office.accounts.add(first.operator, account_of("not.enrolled", Role.ADMINISTRATOR))
        former = account_of("former.one", Role.ADMINISTRATOR).operator()
        for change in (
            lambda: office.accounts.change(former, first.name, lambda one: replace(one, disabled_reason="left")),
            lambda: office.accounts.change(
                former, first.name, lambda one: replace(one, roles=frozenset({Role.OPERATOR}))
            ),
            lambda: office.accounts.reset(former, first.name),
        ):
            with pytest.raises(AccountRefused, match="last administrator"):
                change()
        assert next(held for held in office.accounts.everybody() if held.account.name == first.name).enrolled

    def test_an_account_that_is_not_there_cannot_be_changed(self, office: Office, first: Person) -> None:
        for change in (office.accounts.reset, office.accounts.unlock):
            with pytest.raises(AccountRefused, match="there is no account nobody"):
                change(first.operator, "nobody")

    @pytest.mark.parametrize("how", ["disable", "reset"])
    def test_a_session_ends_with_its_account(self, office: Office, first: Person, how: str) -> None:
        person = office.person(first, account_of("jsmith"))
        session = person.log_in()
        assert office.sessions.use(session.token, DESK).name == "jsmith"
        if how == "disable":
            office.accounts.change(first.operator, "jsmith", lambda one: replace(one, disabled_reason="left"))
            office.accounts.change(first.operator, "jsmith", lambda one: replace(one, disabled_reason=""))
        else:
            office.enrol("jsmith", office.accounts.reset(first.operator, "jsmith"), "another lamp under nine 3")
        with pytest.raises(SessionOver):
            office.sessions.use(session.token, DESK)

    def test_a_change_of_roles_is_in_force_in_the_session(self, office: Office, first: Person) -> None:
        session = office.person(first, account_of("jsmith")).log_in()
        office.accounts.change(first.operator, "jsmith", lambda one: replace(one, roles=frozenset({Role.AUDITOR})))
        assert office.sessions.use(session.token, DESK).roles == {Role.AUDITOR}

    @pytest.mark.parametrize(
        "breakage",
        [
            "UPDATE operator_role SET role = 'everything' WHERE operator = 'jsmith'",
            "DELETE FROM operator_role WHERE operator = 'jsmith'",
            "INSERT INTO operator_organisation (operator, ods_code) VALUES ('jsmith', 'X26')",
            "INSERT INTO operator_role (operator, role) VALUES ('first.one', 'auditor')",
        ],
        ids=["an unknown role", "no role", "a scope of two minds", "roles that are apart"],
    )
    def test_rows_that_make_no_account_let_nobody_in(self, office: Office, first: Person, breakage: str) -> None:
        person = office.person(first, account_of("jsmith"))
        with office.database.writing() as connection:
            assert connection.execute(text(breakage)).rowcount == 1
        with pytest.raises(RegistryBroken, match=r"operator (jsmith|first\.one) is no account"):
            person.log_in()


@pytest.mark.rule("SMSP-IG-001")
@settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["disable", "enable", "demote", "promote", "reset", "fail"]),
            st.sampled_from(["first.one", "second.one", "third.one"]),
            st.sampled_from(["first.one", "second.one", "third.one"]),
        ),
        max_size=10,
    )
)
def test_whatever_administrators_do_somebody_can_let_others_in(
    office: Office, steps: list[tuple[str, str, str]]
) -> None:
    office.clear()
    people = {"first.one": office.first()}
    for name in ("second.one", "third.one"):
        people[name] = office.person(people["first.one"], account_of(name, Role.ADMINISTRATOR))
    for what, by, name in steps:
        with suppress(AccountRefused):
            _do(office, people, what, by, name)
        assert any(held.standing().can_unlock for held in office.accounts.everybody())


def _do(office: Office, people: dict[str, Person], what: str, by: str, name: str) -> None:
    operator = account_of(by, Role.ADMINISTRATOR).operator()
    match what:
        case "disable" | "enable":
            reason = "away" if what == "disable" else ""
            office.accounts.change(operator, name, lambda one: replace(one, disabled_reason=reason))
        case "demote" | "promote":
            role = Role.OPERATOR if what == "demote" else Role.ADMINISTRATOR
            office.accounts.change(operator, name, lambda one: replace(one, roles=frozenset({role})))
        case "reset":
            office.accounts.reset(operator, name)
        case _:
            for _ in range(7):
                office.clock.pass_by(minutes=2)
                with pytest.raises(LoginRefused):
                    people[name].log_in(password="not the right one")


def _add_first(url: str, directory: Path, name: str, begin: Barrier, done: "Queue[bool]") -> None:
    """In a process of its own: what two people on two machines could do in the same moment."""
    pytest.MonkeyPatch().setattr(client_database, "_WAIT_SECONDS", 60)
    with office_at(url, directory / name) as office:
        begin.wait(60)
        try:
            office.first(name)
        except (AccountRefused, LoginRefused):
            done.put(False)
        else:
            done.put(True)


def test_of_two_first_administrators_at_once_there_is_one(url: str, tmp_path: Path, office: Office) -> None:
    context = multiprocessing.get_context("spawn")
    begin, done = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_add_first, args=(url, tmp_path, name, begin, done)) for name in ("one.a", "two.b")
    ]
    for process in processes:
        process.start()
    results = [done.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    enrolled = [held.account.name for held in office.accounts.everybody() if held.enrolled]
    assert sum(results) == len(enrolled) == 1
