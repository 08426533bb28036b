"""Those who administer the provider: accounts of persons, their roles, what a role may do, and for whom.

Least rights: a role holds what its work needs and nothing else, and nobody changes their own account. Nothing here
knows a password; see :mod:`.operator_passwords` and :mod:`.operator_lockout`.

Source: SMSP-IG-001 (role-based access control, roles themselves protected), SMSP-IG-002 (individual authentication).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from smsp_provider.domain.clients import Client
from smsp_provider.domain.identifiers import ODSCode

__all__ = [
    "APART",
    "EVERYTHING",
    "ROLE_PERMISSIONS",
    "Account",
    "AccountInvalid",
    "Operator",
    "OrganisationScope",
    "Permission",
    "Role",
    "organisations_of",
]


class Role(Enum):
    """What somebody is here for; the value is the word of the command line."""

    OPERATOR = "operator"
    CLIENT_MANAGER = "client-manager"
    PRIVACY_OFFICER = "privacy-officer"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


class Permission(Enum):
    """What a command needs; the value is its name in messages and on the audit trail."""

    CLIENTS_READ = "read the registered clients"
    CLIENTS_CHANGE = "change the registered clients"
    ENDPOINT_CHANGE = "change this endpoint's keys and certificates"
    TRAFFIC_READ = "read throughput and alerts"
    AUDIT_VERIFY = "verify the audit trail"
    AUDIT_READ = "search the audit trail, patients left out"
    AUDIT_PATIENTS = "search the audit trail by patient, and report on one"
    AUDIT_DELETE = "archive and delete what the audit trail holds"
    AUDIT_KEYS = "change the keys of the audit trail"
    OPERATORS_READ = "read the accounts of operators"
    OPERATORS_CHANGE = "change the accounts of operators"


ROLE_PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.OPERATOR: frozenset(
            {
                Permission.CLIENTS_READ,
                Permission.ENDPOINT_CHANGE,
                Permission.TRAFFIC_READ,
                Permission.AUDIT_VERIFY,
            }
        ),
        Role.CLIENT_MANAGER: frozenset(
            {Permission.CLIENTS_READ, Permission.CLIENTS_CHANGE, Permission.TRAFFIC_READ},
        ),
        Role.PRIVACY_OFFICER: frozenset(
            {
                Permission.CLIENTS_READ,
                Permission.AUDIT_VERIFY,
                Permission.AUDIT_READ,
                Permission.AUDIT_PATIENTS,
                Permission.AUDIT_DELETE,
            }
        ),
        Role.AUDITOR: frozenset(
            {
                Permission.CLIENTS_READ,
                Permission.TRAFFIC_READ,
                Permission.AUDIT_VERIFY,
                Permission.AUDIT_READ,
                Permission.OPERATORS_READ,
            }
        ),
        Role.ADMINISTRATOR: frozenset({Permission.AUDIT_KEYS, Permission.OPERATORS_READ, Permission.OPERATORS_CHANGE}),
    }
)
"""All that a role gives. What is not here, nobody may do."""

APART: Final = (
    frozenset({Role.ADMINISTRATOR, Role.PRIVACY_OFFICER}),
    frozenset({Role.ADMINISTRATOR, Role.AUDITOR}),
    frozenset({Role.CLIENT_MANAGER, Role.AUDITOR}),
)
"""Roles that one account never has together: who gives out rights does not see patients, and who audits changes
nothing."""

_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{1,31}")
_ODS_CODE: Final = re.compile(r"[A-Z0-9-]{1,32}")
_LONGEST_TEXT: Final = 200
_SHORTEST_PERSON: Final = 3
_NOBODYS_WORDS: Final = """
admin administrator auditor client-manager everybody everyone guest helpdesk nhs office operator operators ops
privacy-officer root service shared smsp staff sudo superuser support system team temp test user users
"""
_NOBODYS: Final = frozenset(_NOBODYS_WORDS.split())
"""Names of a job or of nobody: an account is one person's."""


class AccountInvalid(ValueError):
    """An account that cannot be; the text names the field."""


@dataclass(frozen=True, slots=True)
class OrganisationScope:
    """For which organisations somebody acts; ``only`` None is all of them."""

    only: frozenset[ODSCode] | None = None

    def covers(self, organisations: Iterable[ODSCode]) -> bool:
        """Whether every one of these lies within."""
        return self.only is None or self.only.issuperset(organisations)

    def includes(self, other: "OrganisationScope") -> bool:
        """Whether nothing of the other one lies outside."""
        return self.only is None or (other.only is not None and self.only >= other.only)


EVERYTHING: Final = OrganisationScope()


def organisations_of(client: Client) -> frozenset[ODSCode]:
    """Whose client it is and for whom it may ask: who sees or changes it acts for all of these."""
    return frozenset({client.ods_code, *client.organisations})


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who has shown who they are, as a command gets it."""

    name: str
    roles: frozenset[Role]
    scope: OrganisationScope = EVERYTHING

    def may(self, permission: Permission) -> bool:
        """Whether one of the roles gives this."""
        return any(permission in ROLE_PERMISSIONS[role] for role in self.roles)


@dataclass(frozen=True, slots=True)
class Account:
    """The account of one person, without its secrets. ``person`` is their full name.

    A disabled account has a ``disabled_reason``. Accounts are never removed: the audit trail speaks of them by name.
    """

    name: str
    person: str
    roles: frozenset[Role]
    scope: OrganisationScope = EVERYTHING
    disabled_reason: str = ""

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise AccountInvalid("name: 2 to 32 lower-case letters, digits, dots, hyphens and underscores")
        if self.name in _NOBODYS:
            raise AccountInvalid("name: an account is one person's, and this is the name of a job or of nobody")
        _check_text("person", self.person)
        if len(self.person) < _SHORTEST_PERSON:
            raise AccountInvalid("person: the full name of the person whose account it is")
        if self.disabled_reason:
            _check_text("disabled_reason", self.disabled_reason)
        self._check_roles()

    def _check_roles(self) -> None:
        if not self.roles:
            raise AccountInvalid("roles: at least one")
        for pair in APART:
            if pair <= self.roles:
                first, second = sorted(role.value for role in pair)
                raise AccountInvalid(f"roles: nobody is both {first} and {second}")
        only = self.scope.only
        if only is None:
            return
        if Role.ADMINISTRATOR in self.roles:
            raise AccountInvalid("scope: an administrator's is all organisations")
        if not only or any(_ODS_CODE.fullmatch(code.code) is None for code in only):
            raise AccountInvalid("scope: ODS codes of letters, digits and hyphens, at least one, or all organisations")

    @property
    def enabled(self) -> bool:
        """Whether it may be used at all."""
        return not self.disabled_reason

    def operator(self) -> Operator:
        """The person, as commands know them."""
        return Operator(self.name, self.roles, self.scope)


def _check_text(field: str, text: str) -> None:
    if not text or text != text.strip() or len(text) > _LONGEST_TEXT or not text.isprintable():
        raise AccountInvalid(f"{field}: up to {_LONGEST_TEXT} characters that can be shown, without blanks around them")
