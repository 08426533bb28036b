"""Registered clients on a terminal: a list with what to look at, and everything about one."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import click
from cryptography import x509

from smsp_provider.certificates.identity import naming_concern
from smsp_provider.certificates.reading import UNREADABLE, check_readable
from smsp_provider.cli.table import print_table
from smsp_provider.domain.client_concerns import concerns, end_of
from smsp_provider.domain.client_document import document_of
from smsp_provider.domain.clients import Client, FingerprintPin, Pin
from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.engine.admission_use import ClientUse
from smsp_provider.storage.client_rows import BrokenClient

__all__ = ["client_as_json", "concerns_of", "print_client", "print_clients", "use_as_json"]

_HEAD: Final = ("name", "ODS", "organisations", "state", "review on", "pins", "to look at")
_UNREADABLE: Final = "unreadable: refused, remove it or import it anew"


def concerns_of(client: Client | BrokenClient, at: datetime, shared: ASIDDirectory) -> list[str]:
    """What somebody should look at."""
    if isinstance(client, BrokenClient):
        return [_UNREADABLE]
    unnamed = (
        f"the certificate {pin.fingerprint[:8]} {text}"
        for pin, certificate in _certificates(client)
        if (text := naming_concern(certificate)) is not None
    )
    return [*concerns(client, at, shared, _certificate_ends(client)), *(unnamed if client.enabled else ())]


def print_clients(clients: Iterable[Client | BrokenClient], at: datetime, shared: ASIDDirectory) -> None:
    """A line for each client."""
    print_table(_HEAD, [_row(client, "; ".join(concerns_of(client, at, shared))) for client in clients])


def _row(client: Client | BrokenClient, to_look_at: str) -> tuple[str, ...]:
    if isinstance(client, BrokenClient):
        return (client.name, "", "", "refused", "", "", to_look_at)
    return (
        client.name,
        client.ods_code.code,
        str(len(client.organisations)),
        "enabled" if client.enabled else "disabled",
        client.authority.review_on.isoformat(),
        str(len(client.pins)),
        "" if to_look_at == "disabled" else to_look_at,
    )


def print_client(client: Client, at: datetime, shared: ASIDDirectory, use: ClientUse | None) -> None:
    """Everything about a client, with what it uses of its limits on this host."""
    print_table(("field", "value"), [*_fields(client, at), *_use(use)])
    click.echo()
    ends = _certificate_ends(client)
    print_table(("pin", "state", "until"), [_pin_row(pin, at, ends) for pin in client.pins])
    for text in concerns_of(client, at, shared):
        click.echo(f"warning: client {client.name}: {text}", err=True)


def client_as_json(client: Client | BrokenClient, at: datetime, shared: ASIDDirectory) -> dict[str, object]:
    """A client's document with its name, and what to look at."""
    found = {} if isinstance(client, BrokenClient) else document_of(client)
    if isinstance(client, Client):
        found["days_to_review"] = client.days_to_review(at.date())
    return {"name": client.name, **found, "warnings": concerns_of(client, at, shared)}


def use_as_json(use: ClientUse | None) -> dict[str, object]:
    """What a client uses of its limits on this host."""
    if use is None:
        return {"in_flight": 0, "admitted": 0, "refused": 0}
    found = {"in_flight": use.in_flight, "in_hand": use.in_hand, "admitted": use.admitted, "refused": use.refused}
    return {name: value for name, value in found.items() if value is not None}


def _fields(client: Client, at: datetime) -> Iterator[tuple[str, str]]:
    document: dict[str, Any] = document_of(client)
    yield "name", client.name
    for name, value in document.items():
        if name == "pins":
            continue
        if name == "organisations":
            yield name, ", ".join(f"{code}={asid}" if asid else code for code, asid in value.items())
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", _shown(inner_value)) for inner, inner_value in value.items())
        else:
            yield name, _shown(value)
    yield "days to review", str(client.days_to_review(at.date()))


def _use(use: ClientUse | None) -> Iterator[tuple[str, str]]:
    if use is None:
        yield "in use", "nothing since the start of the provider on this host"
        return
    yield "in use", f"{use.in_flight} requests under way"
    if use.in_hand is not None:
        yield "at once", f"{use.in_hand} more requests within its rate"
    yield "since the start", f"{use.admitted} requests admitted, {use.refused} refused as too many"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pin_row(pin: Pin, at: datetime, ends: Mapping[str, datetime]) -> tuple[str, str, str]:
    end = end_of(pin, ends)
    until = "" if end is None else f"{end:%Y-%m-%d %H:%M} UTC" + (" (over)" if end <= at else "")
    identity = pin.fingerprint if isinstance(pin, FingerprintPin) else f"{pin.subject} by {pin.issuer}"
    return (identity, pin.state.value, until)


def _certificate_ends(client: Client) -> dict[str, datetime]:
    """When the registered certificates end, by fingerprint; one that cannot be read is left out."""
    return {pin.fingerprint: certificate.not_valid_after_utc for pin, certificate in _certificates(client)}


def _certificates(client: Client) -> Iterator[tuple[FingerprintPin, x509.Certificate]]:
    """The registered certificates that can be read, with their pins."""
    for pin in client.pins:
        if isinstance(pin, FingerprintPin) and pin.certificate is not None:
            with suppress(*UNREADABLE):
                certificate = x509.load_der_x509_certificate(pin.certificate)
                check_readable([certificate])
                yield pin, certificate
