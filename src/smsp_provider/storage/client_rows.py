"""A registered client as rows, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, Table, delete, insert, select

from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.clients import (
    Authority,
    Client,
    FingerprintPin,
    Limits,
    NamePin,
    Pin,
    PinState,
    PriorityClass,
    SignaturePolicy,
)
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.service import Service
from smsp_provider.storage import clients_schema as schema

__all__ = ["BrokenClient", "delete_client", "insert_client", "moment_text", "read_clients"]

_SERVICE: Final = "service"
_PROFILE: Final = "profile"
_METHOD: Final = "access-method"

Rows = Mapping[Table, Mapping[str, Sequence[RowMapping]]]
"""The rows of each table by the client that they belong to."""


@dataclass(frozen=True, slots=True)
class BrokenClient:
    """A client whose rows make no registration, since somebody or something else wrote them: it is not let in."""

    name: str


def moment_text(at: datetime) -> str:
    """A moment as it stands in the tables: UTC, six fractional digits, so that text order is order in time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_clients(connection: Connection) -> tuple[Client | BrokenClient, ...]:
    """All clients, by name."""
    tables = (schema.organisation, schema.username, schema.grant, schema.pin)
    rows = {table: _by_client(connection, table) for table in tables}
    clients = connection.execute(select(schema.client).order_by(schema.client.c.name)).mappings()
    return tuple(_read(row, rows) for row in clients)


def delete_client(connection: Connection, name: str) -> None:
    """Remove a client with all that belongs to it."""
    connection.execute(delete(schema.client).where(schema.client.c.name == name))


def insert_client(connection: Connection, client: Client) -> None:
    """Write a client that is not there."""
    authority, limits = client.authority, client.limits
    connection.execute(
        insert(schema.client).values(
            name=client.name,
            ods_code=client.ods_code.code,
            party_key=client.party_key,
            contact=client.contact,
            approval_reference=authority.approval_reference,
            legal_basis=authority.legal_basis,
            use_case=authority.use_case,
            review_on=authority.review_on.isoformat(),
            rate=limits.rate,
            burst=limits.burst,
            concurrency=limits.concurrency,
            priority=client.priority.value,
            signatures=None if client.signatures is None else client.signatures.value,
            enabled=client.enabled,
            disabled_reason=client.disabled_reason,
        )
    )
    grants = [
        *((_SERVICE, service.value) for service in client.services),
        *((_PROFILE, profile) for profile in client.profiles),
        *((_METHOD, str(method.value)) for method in client.access_methods),
    ]
    _insert_all(
        connection,
        schema.organisation,
        client.name,
        [
            {"ods_code": organisation.code, "asid": None if asid is None else asid.value}
            for organisation, asid in client.organisations.items()
        ],
    )
    names = sorted({client.name, *client.usernames})
    _insert_all(connection, schema.username, client.name, [{"username": name} for name in names])
    _insert_all(connection, schema.grant, client.name, [{"kind": kind, "value": value} for kind, value in grants])
    pins = [{"place": place, **_pin_row(pin)} for place, pin in enumerate(client.pins)]
    _insert_all(connection, schema.pin, client.name, pins)


def _insert_all(connection: Connection, table: Table, client: str, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        connection.execute(insert(table), [{"client": client, **row} for row in rows])


def _pin_row(pin: Pin) -> dict[str, object]:
    # Every column in every row: rows are inserted in one statement.
    row: dict[str, object] = dict.fromkeys(("fingerprint", "subject", "issuer", "certificate"))
    row |= {"state": pin.state.value, "until": None if pin.until is None else moment_text(pin.until)}
    if isinstance(pin, FingerprintPin):
        return row | {"fingerprint": pin.fingerprint, "certificate": pin.certificate}
    return row | {"subject": pin.subject, "issuer": pin.issuer}


def _by_client(connection: Connection, table: Table) -> dict[str, list[RowMapping]]:
    found: dict[str, list[RowMapping]] = {}
    for row in connection.execute(select(table).order_by(*table.primary_key)).mappings():
        found.setdefault(row["client"], []).append(row)
    return found


def _read(row: RowMapping, rows: Rows) -> Client | BrokenClient:
    name = str(row["name"])
    try:
        return _client(row, {table: of_client.get(name, ()) for table, of_client in rows.items()})
    except (ValueError, TypeError, LookupError, AttributeError):
        return BrokenClient(name)


def _client(row: RowMapping, own: Mapping[Table, Sequence[RowMapping]]) -> Client:
    grants: dict[str, set[str]] = {_SERVICE: set(), _PROFILE: set(), _METHOD: set()}
    for grant in own[schema.grant]:
        grants[grant["kind"]].add(grant["value"])
    return Client(
        name=row["name"],
        ods_code=ODSCode(row["ods_code"]),
        contact=row["contact"],
        authority=Authority(
            row["approval_reference"], row["legal_basis"], row["use_case"], date.fromisoformat(row["review_on"])
        ),
        organisations={
            ODSCode(found["ods_code"]): None if found["asid"] is None else ASID(found["asid"])
            for found in own[schema.organisation]
        },
        pins=tuple(map(_pin, own[schema.pin])),
        party_key=row["party_key"],
        usernames=frozenset(found["username"] for found in own[schema.username]),
        services=frozenset(map(Service, grants[_SERVICE])),
        profiles=frozenset(grants[_PROFILE]),
        access_methods=frozenset(AccessMethod(int(number)) for number in grants[_METHOD]),
        limits=Limits(row["rate"], row["burst"], row["concurrency"]),
        priority=PriorityClass(row["priority"]),
        signatures=None if row["signatures"] is None else SignaturePolicy(row["signatures"]),
        enabled=row["enabled"],
        disabled_reason=row["disabled_reason"],
    )


def _pin(row: RowMapping) -> Pin:
    state = PinState(row["state"])
    until = None if row["until"] is None else datetime.fromisoformat(row["until"])
    if row["fingerprint"] is not None:
        return FingerprintPin(row["fingerprint"], state, until, row["certificate"])
    if until is None:
        raise ValueError("a pin by name without an end")
    return NamePin(row["subject"], row["issuer"], until, state)
