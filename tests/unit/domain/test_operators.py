"""Roles, permissions and scopes."""

from itertools import combinations
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_samples import client_of
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.operators import (
    APART,
    EVERYTHING,
    ROLE_PERMISSIONS,
    Account,
    AccountInvalid,
    Operator,
    OrganisationScope,
    Permission,
    Role,
    organisations_of,
)

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "roles.md"

pytestmark = pytest.mark.rule("SMSP-IG-001")

roles = st.frozensets(st.sampled_from(Role), min_size=1)
codes = st.frozensets(st.sampled_from(["A81001", "X26", "Y01", "RR8"]).map(ODSCode), min_size=1)
scopes = st.one_of(st.just(EVERYTHING), codes.map(OrganisationScope))


@given(roles, scopes, st.sampled_from(Permission))
def test_no_role_can_do_what_the_table_does_not_give(
    roles: frozenset[Role], scope: OrganisationScope, permission: Permission
) -> None:
    given_by = [role for role in roles if permission in ROLE_PERMISSIONS[role]]
    assert Operator("somebody", roles, scope).may(permission) == bool(given_by)


def test_without_a_role_nothing_can_be_done() -> None:
    assert not any(Operator("somebody", frozenset()).may(permission) for permission in Permission)


def test_the_table_is_least_rights() -> None:
    def holders(permission: Permission) -> set[Role]:
        return {role for role, held in ROLE_PERMISSIONS.items() if permission in held}

    assert set(ROLE_PERMISSIONS) == set(Role)
    assert holders(Permission.OPERATORS_CHANGE) == {Role.ADMINISTRATOR}
    assert holders(Permission.OPERATORS_READ) == {Role.ADMINISTRATOR, Role.AUDITOR}
    assert holders(Permission.CLIENTS_CHANGE) == {Role.CLIENT_MANAGER}
    assert holders(Permission.AUDIT_PATIENTS) == holders(Permission.AUDIT_DELETE) == {Role.PRIVACY_OFFICER}
    assert holders(Permission.AUDIT_READ) == {Role.PRIVACY_OFFICER, Role.AUDITOR}
    assert Permission.CLIENTS_READ not in ROLE_PERMISSIONS[Role.ADMINISTRATOR]
    assert all(holders(permission) for permission in Permission)


def test_the_page_of_roles_says_the_same() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in (line.split("|") for line in lines)}
    heads = next(line.split("|")[2:-1] for line in lines if "client-manager" in line)
    roles = [Role(head.strip()) for head in heads]
    for permission in Permission:
        said = dict(zip(roles, rows[permission.value], strict=True))
        assert {role for role, word in said.items() if word == "yes"} == {
            role for role, held in ROLE_PERMISSIONS.items() if permission in held
        }
    pairs = [", ".join(sorted(role.value for role in pair)) for pair in APART]
    assert all(pair in rows for pair in pairs)


def test_the_table_cannot_be_changed_at_run_time() -> None:
    assert isinstance(ROLE_PERMISSIONS, MappingProxyType)


@pytest.mark.parametrize("pair", list(combinations(Role, 2)), ids=lambda pair: "-".join(role.value for role in pair))
def test_roles_that_check_each_other_are_apart(pair: tuple[Role, Role]) -> None:
    def account() -> Account:
        return Account("jsmith", "Jane Smith", frozenset(pair))

    if frozenset(pair) in APART:
        with pytest.raises(AccountInvalid, match="nobody is both"):
            account()
    else:
        assert account().roles == set(pair)


def test_who_changes_is_not_who_audits_or_sees_patients_and_gives_rights() -> None:
    assert {frozenset(role.value for role in pair) for pair in APART} == {
        frozenset({"administrator", "privacy-officer"}),
        frozenset({"administrator", "auditor"}),
        frozenset({"client-manager", "auditor"}),
    }


@given(scopes, st.frozensets(st.sampled_from(["A81001", "X26", "Z99"]).map(ODSCode)))
def test_a_scope_covers_what_lies_within_it_whole(scope: OrganisationScope, asked: frozenset[ODSCode]) -> None:
    assert scope.covers(asked) == (scope.only is None or asked <= scope.only)


@given(scopes, scopes)
def test_a_scope_includes_another_one_when_it_covers_all_of_it(
    one: OrganisationScope, other: OrganisationScope
) -> None:
    assert one.includes(one)
    assert EVERYTHING.includes(one)
    if other.only is None:
        assert one.includes(other) == (one.only is None)
    else:
        assert one.includes(other) == one.covers(other.only)


def test_a_client_belongs_to_its_owner_and_all_that_it_asks_for() -> None:
    client = client_of("ward", ods_code=ODSCode("A1"), organisations={ODSCode("b2"): None, ODSCode("C3"): None})
    assert organisations_of(client) == {ODSCode("A1"), ODSCode("B2"), ODSCode("C3")}


@pytest.mark.rule("SMSP-IG-002")
@pytest.mark.parametrize(
    "name", ["admin", "root", "operator", "shared", "test", "user", "ops", "nhs", "privacy-officer"]
)
def test_an_account_is_nobodys_job(name: str) -> None:
    with pytest.raises(AccountInvalid, match="one person's"):
        Account(name, "Jane Smith", frozenset({Role.OPERATOR}))


@pytest.mark.rule("SMSP-IG-002")
@pytest.mark.parametrize(
    ("name", "person", "field"),
    [
        ("J.Smith", "Jane Smith", "name"),
        ("j", "Jane Smith", "name"),
        ("1smith", "Jane Smith", "name"),
        ("j smith", "Jane Smith", "name"),
        ("x" * 33, "Jane Smith", "name"),
        ("jsmith\n", "Jane Smith", "name"),
        ("jsmith", "", "person"),
        ("jsmith", "J", "person"),
        ("jsmith", " Jane", "person"),
        ("jsmith", "Jane\x07Smith", "person"),
        ("jsmith", "x" * 201, "person"),
    ],
    ids=range(11),
)
def test_an_account_names_a_person(name: str, person: str, field: str) -> None:
    with pytest.raises(AccountInvalid, match=f"^{field}: "):
        Account(name, person, frozenset({Role.OPERATOR}))


def test_an_account_has_a_role() -> None:
    with pytest.raises(AccountInvalid, match="at least one"):
        Account("jsmith", "Jane Smith", frozenset())


@pytest.mark.parametrize("only", [set(), {"A1:1"}, {"A 1"}, {"x" * 33}, {"A1", ""}], ids=range(5))
def test_a_scope_names_organisations(only: set[str]) -> None:
    scope = OrganisationScope(frozenset(map(ODSCode, only)))
    with pytest.raises(AccountInvalid, match="scope"):
        Account("jsmith", "Jane Smith", frozenset({Role.CLIENT_MANAGER}), scope)


def test_an_administrator_acts_for_all() -> None:
    with pytest.raises(AccountInvalid, match="administrator"):
        Account("jsmith", "Jane Smith", frozenset({Role.ADMINISTRATOR}), OrganisationScope(frozenset({ODSCode("A1")})))
