"""Registered clients in a file, TOML or JSON: the form of docs/reference/clients.md.

The form is that of :func:`smsp_provider.domain.client_document.document_of`. Names that do not exist are refused, so
that a typo cannot pass as a default, and every mistake is named with its client and its field, never with its value.
"""

import base64
import binascii
import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from smsp_provider.config.toml_text import to_toml
from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.client_document import document_of
from smsp_provider.domain.clients import (
    Authority,
    Client,
    ClientInvalid,
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

__all__ = ["ClientsFileInvalid", "client_from", "read_clients", "read_document", "write_clients"]

_MOST_BYTES: Final = 50_000_000
_CLIENTS: Final = "clients"
_MOST_PARTS: Final = 16
_NO_NAMES: Final = re.compile(
    r""""{3}(?:[^\\]|\\.)*?"{3}|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*""", re.DOTALL
)
"""Texts and comments of TOML."""
_BETWEEN_NAMES: Final = re.compile(r"[=,\[\]{}\n]")
_PLACE: Final = re.compile(r"line [0-9]+,? column [0-9]+")


class ClientsFileInvalid(ValueError):
    """A file, or one client of it, that cannot be used; one line for each mistake."""


def _as_date(value: object) -> object:
    # (The standard library's own texts would quote the value.)
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("not a date, YYYY-MM-DD") from None


def _as_moment(value: object) -> object:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("not a moment, YYYY-MM-DDThh:mm:ssZ") from None


def _as_fingerprint(value: object) -> object:
    """As OpenSSL prints it, with colons and in capitals, or bare."""
    return value.replace(":", "").lower() if isinstance(value, str) else value


def _as_der(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64 (of the certificate's DER, without BEGIN and END lines)") from None


_Word = Field(strict=False)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _Pin(_Form):
    fingerprint: Annotated[str | None, BeforeValidator(_as_fingerprint)] = None
    certificate: Annotated[bytes | None, BeforeValidator(_as_der)] = None
    subject: str | None = None
    issuer: str | None = None
    state: Annotated[PinState | None, _Word] = None
    until: Annotated[datetime | None, BeforeValidator(_as_moment)] = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        by_certificate = self.fingerprint is not None or self.certificate is not None
        by_name = self.subject is not None or self.issuer is not None
        if by_certificate == by_name:
            raise ValueError("either fingerprint or certificate, or subject and issuer")
        if by_name and (self.subject is None or self.issuer is None or self.until is None):
            raise ValueError("a pin by name needs subject, issuer and until")
        return self

    def made(self) -> Pin:
        until = None if self.until is None or self.until.tzinfo is None else self.until.astimezone(UTC)
        if self.until is not None and until is None:
            raise ClientInvalid("pins: until needs a time zone")
        if self.subject is not None and self.issuer is not None and until is not None:
            return NamePin(self.subject, self.issuer, until, self.state or PinState.NEXT)
        fingerprint = self.fingerprint or hashlib.sha256(self.certificate or b"").hexdigest()
        return FingerprintPin(fingerprint, self.state or PinState.CURRENT, until, self.certificate)


class _Authority(_Form):
    approval_reference: str
    legal_basis: str
    use_case: str
    review_on: Annotated[date, BeforeValidator(_as_date)]


class _Limits(_Form):
    rate: float | None = None
    burst: int | None = None
    concurrency: int | None = None


class _Client(_Form):
    ods_code: str
    contact: str
    authority: _Authority
    organisations: dict[str, str]
    party_key: str | None = None
    enabled: bool = True
    disabled_reason: str = ""
    usernames: list[str] = []
    services: list[Annotated[Service, _Word]] = list(Service)
    profiles: list[str] = []
    access_methods: list[Annotated[AccessMethod, _Word]] = [AccessMethod.UNATTENDED, AccessMethod.ATTENDED]
    priority: Annotated[PriorityClass, _Word] = PriorityClass.NORMAL
    signatures: Annotated[SignaturePolicy | None, _Word] = None
    limits: _Limits = _Limits()
    pins: list[_Pin] = []

    def made(self, name: str) -> Client:
        organisations = {ODSCode(code): ASID(asid) if asid else None for code, asid in self.organisations.items()}
        if len(organisations) != len(self.organisations):
            raise ClientInvalid("organisations: one is given twice: codes are compared without regard to case")
        authority = self.authority
        return Client(
            name=name,
            ods_code=ODSCode(self.ods_code),
            contact=self.contact,
            authority=Authority(
                authority.approval_reference, authority.legal_basis, authority.use_case, authority.review_on
            ),
            organisations=organisations,
            pins=tuple(pin.made() for pin in self.pins),
            party_key=self.party_key,
            usernames=frozenset(self.usernames),
            services=frozenset(self.services),
            profiles=frozenset(self.profiles),
            access_methods=frozenset(self.access_methods),
            limits=Limits(self.limits.rate, self.limits.burst, self.limits.concurrency),
            priority=self.priority,
            signatures=self.signatures,
            enabled=self.enabled,
            disabled_reason=self.disabled_reason,
        )


def client_from(name: str, document: object) -> Client:
    """The client of a document, which has the form of one client's table.

    Raises:
        ClientsFileInvalid: naming client and fields, no values.
    """
    try:
        return _Client.model_validate(document).made(name)
    except ClientInvalid as invalid:
        raise ClientsFileInvalid(f"client {_shown(name)}: {invalid}") from None
    except ValidationError as error:
        raise ClientsFileInvalid("\n".join(f"client {_shown(name)}: {text}" for text in _explained(error))) from None


def read_clients(file: Path) -> dict[str, Client]:
    """All clients of a file, by name.

    Raises:
        OSError: it cannot be read.
        ClientsFileInvalid: naming file, client and field, one line for each mistake.
    """
    document = read_document(file)
    tables = document.pop(_CLIENTS, {})
    if document or not isinstance(tables, dict):
        raise ClientsFileInvalid(f"{file}: holds something else than a table for each client, [clients.NAME]")
    clients, mistakes = {}, []
    for name, table in tables.items():
        try:
            clients[name] = client_from(name, table)
        except ClientsFileInvalid as invalid:
            mistakes += str(invalid).splitlines()
    if mistakes:
        raise ClientsFileInvalid("\n".join(f"{file}: {mistake}" for mistake in mistakes))
    return clients


def read_document(file: Path) -> dict[str, Any]:
    """What a file holds, JSON where its name ends in ``.json``, TOML otherwise.

    Raises:
        OSError: it cannot be read.
        ClientsFileInvalid: it is neither, or too large.
    """
    with file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ClientsFileInvalid(f"{file}: is larger than {_MOST_BYTES} bytes")
    is_json = file.suffix.lower() == ".json"
    if not is_json and _is_too_deep(content.decode("utf-8", errors="replace")):
        raise ClientsFileInvalid(f"{file}: holds a name of more than {_MOST_PARTS} parts")
    try:
        text = content.decode("utf-8")
        document = json.loads(text, object_pairs_hook=_without_repeats) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # The place and no more: the rest may quote the file.
        place = _PLACE.search(str(error))
        where = f" ({place[0]})" if place else ""
        raise ClientsFileInvalid(f"{file}: is not {'JSON' if is_json else 'TOML'}{where}") from None
    if not isinstance(document, dict):
        raise ClientsFileInvalid(f"{file}: holds no table")
    return document


def _is_too_deep(text: str) -> bool:
    """Whether a dotted name has more parts than any of ours: the standard library takes a minute for 50,000 of them."""
    return any(piece.count(".") >= _MOST_PARTS for piece in _BETWEEN_NAMES.split(_NO_NAMES.sub('""', text)))


def write_clients(clients: Iterable[Client], *, as_json: bool) -> str:
    """A file that :func:`read_clients` reads as these clients."""
    tree: Mapping[str, object] = {_CLIENTS: {client.name: document_of(client) for client in clients}}
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n" if as_json else to_toml(tree)


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _explained(error: ValidationError) -> list[str]:
    """One line for each mistake: the field, and what is wrong."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(_shown(str(part)) for part in problem["loc"])
        text = "there is no such field" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{field or 'the table'}: {text.removeprefix('Value error, ')}")
    return lines


def _shown(name: str) -> str:
    """A name as somebody wrote it, fit for one line of a terminal."""
    return name if name.isprintable() and len(name) <= 64 else ascii(name)[:64]
