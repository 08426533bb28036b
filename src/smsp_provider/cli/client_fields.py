"""The fields of a client as options of a command line, and as a change of its document."""

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smsp_provider.certificates.identity import naming_concern
from smsp_provider.certificates.judging import Purpose, objections
from smsp_provider.certificates.reading import read_certificates, reason_of
from smsp_provider.cli.files import regular_file
from smsp_provider.config.clients_file import ClientsFileInvalid, read_document
from smsp_provider.domain.audit_identity import AccessMethod
from smsp_provider.domain.clients import PriorityClass, SignaturePolicy
from smsp_provider.domain.service import Service

__all__ = ["client_fields", "field_changes", "merged", "moment", "pin_document"]

_BY_SETTINGS: Final = "settings"
_VERSION: Final = "-v1-0"
_AUTHORITY: Final = ("approval_reference", "legal_basis", "use_case", "review_on")
_LIMITS: Final = ("rate", "burst", "concurrency")
_TABLES: Final = ("authority", "limits")

_Command = TypeVar("_Command", bound=Callable[..., object])

_services = click.Choice([service.value.removesuffix(_VERSION) for service in Service])
_methods = click.Choice([str(method.value) for method in AccessMethod])
_signatures = click.Choice([*(policy.value for policy in SignaturePolicy), _BY_SETTINGS])

_OPTIONS: Final = (
    click.option("--file", type=regular_file, help="TOML or JSON file of the fields; options stand over it."),
    click.option("--ods", "ods_code", help="ODS code of the organisation whose system it is."),
    click.option("--contact", help="Whom to reach in an incident."),
    click.option("--party-key", help="Party key; '' for none."),
    click.option(
        "--organisation",
        "organisations",
        multiple=True,
        metavar="ODS[=ASID]",
        help="Organisation it may act for; without an ASID, that of the settings. All that are given replace all.",
    ),
    click.option("--username", "usernames", multiple=True, help="WS-Security username besides its name. As above."),
    click.option("--service", "services", multiple=True, type=_services, help="Service it may use. As above."),
    click.option("--profile", "profiles", multiple=True, help="Profile id it may use; none given: any. As above."),
    click.option(
        "--access-method", "access_methods", multiple=True, type=_methods, help="Access method it may use. As above."
    ),
    click.option("--rate", type=float, help="Requests a second; 0 for no limit."),
    click.option("--burst", type=int, help="Requests at once after a pause; 0 for no limit."),
    click.option("--concurrency", type=int, help="Requests under way at the same time; 0 for no limit."),
    click.option(
        "--priority",
        type=click.Choice([priority.value for priority in PriorityClass]),
        help="background: all its requests count as unattended.",
    ),
    click.option("--signatures", type=_signatures, help="What is asked of its signatures; settings: what these say."),
    click.option("--approval", "approval_reference", help="Reference of the approval to access."),
    click.option("--legal-basis", help="Legal basis of the access."),
    click.option("--use-case", help="What the answers are used for."),
    click.option("--review-on", metavar="YYYY-MM-DD", help="When the authority to access is to be reviewed."),
)


def client_fields(command: _Command) -> _Command:
    """Give a command the options of a client's fields."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def field_changes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of :func:`client_fields` as part of a document: only what was given, None for what is taken away.

    Raises:
        ClientsFileInvalid: the file is none.
        click.UsageError: an organisation is given in another form.
    """
    changes: dict[str, Any] = {}
    if options["file"] is not None:
        changes = _read(options["file"])
    given: dict[str, Any] = {
        name: options[name] for name in ("ods_code", "contact", "priority") if options[name] is not None
    }
    given |= {name: list(options[name]) for name in ("usernames", "profiles") if options[name]}
    if options["party_key"] is not None:
        given["party_key"] = options["party_key"] or None
    if options["organisations"]:
        given["organisations"] = dict(map(_organisation, options["organisations"]))
    if options["services"]:
        given["services"] = [f"{service}{_VERSION}" for service in options["services"]]
    if options["access_methods"]:
        given["access_methods"] = [int(method) for method in options["access_methods"]]
    if options["signatures"] is not None:
        given["signatures"] = None if options["signatures"] == _BY_SETTINGS else options["signatures"]
    given["authority"] = {name: options[name] for name in _AUTHORITY if options[name] is not None}
    given["limits"] = {name: options[name] or None for name in _LIMITS if options[name] is not None}
    return _over(changes, {name: value for name, value in given.items() if value != {}})


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A document with changes: what is None is taken away; ``authority`` and ``limits`` are changed field by field."""
    result = _over(document, changes)
    tables = {name: _without_none(result[name]) for name in _TABLES if isinstance(result.get(name), Mapping)}
    return _without_none({**result, **tables})


def _over(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: {**document[name], **changes[name]}
        for name in _TABLES
        if isinstance(document.get(name), Mapping) and isinstance(changes.get(name), Mapping)
    }
    return {**document, **changes, **both}


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _read(file: Path) -> dict[str, Any]:
    """The fields of one client, which stand at the top of the file."""
    try:
        return read_document(file)
    except OSError as error:
        raise ClientsFileInvalid(f"{file}: {error.strerror}") from None


def _organisation(text: str) -> tuple[str, str]:
    code, _, asid = text.partition("=")
    if not code:
        raise click.UsageError("--organisation is ODS or ODS=ASID")
    return code, asid


def pin_document(file: Path, state: str, until: str | None = None) -> dict[str, Any]:
    """The pin of the first certificate in a PEM file, as it stands in a document; what is odd about it is told.

    Raises:
        click.UsageError: there is none in the file.
    """
    try:
        certificate = read_certificates(file)[0]
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: {reason_of(error)}") from None
    for objection in _oddities(certificate):
        click.echo(f"warning: {file}: {objection}", err=True)
    pin = {"certificate": base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii"), "state": state}
    return pin if until is None else {**pin, "until": until}


def _oddities(certificate: x509.Certificate) -> list[str]:
    found = [f"the provider will not accept it: {text}" for text in objections(certificate, Purpose.CLIENT)]
    if (unnamed := naming_concern(certificate)) is not None:
        found.append(f"it {unnamed}")
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        found.append("it has expired")
    if certificate.not_valid_before_utc > now:
        found.append("it is not valid yet")
    return found


def moment(text: str) -> datetime:
    """An aware moment: a date is the beginning of that day in UTC.

    Raises:
        click.UsageError: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError("a moment is YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
