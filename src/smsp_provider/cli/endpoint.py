"""``smsp endpoint``: this endpoint's own certificates, towards its callers and towards Spine.

Keys are made and kept in files that their owner alone may read. None is ever printed.
"""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from smsp_provider.audit.events import Change
from smsp_provider.certificates.bundle import Pairing, pair_up, read_bundle
from smsp_provider.certificates.placing import go_back, place_pair, previous_of, write_private, write_public
from smsp_provider.certificates.reading import names_of, read_key, reason_of
from smsp_provider.certificates.request import KeyKind, key_as_pem, names_asked_for, new_key, new_request
from smsp_provider.cli.client_session import readable
from smsp_provider.cli.config_origin import config_option, read_settings
from smsp_provider.cli.endpoint_files import Pair, Use, pairs, uses
from smsp_provider.cli.exit_codes import CannotStart, ExitCode, UnusableConfiguration
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.operator_session import requires
from smsp_provider.cli.os_user import refuse_another_user
from smsp_provider.cli.table import print_table
from smsp_provider.domain.client_document import canonical_json
from smsp_provider.domain.operators import Operator, Permission
from smsp_provider.engine.system import SystemClock
from smsp_provider.wiring.audit import build_audit

__all__ = ["endpoint"]

_PASSWORD_VARIABLE: Final = "ENDPOINT_PASSWORD"  # noqa: S105 - the name of a variable
_SIDES: Final = ("https", "proxy", "spine")
_TAKEN_UP: Final = {
    "https": "The provider uses it for new connections at once, if it is running.",
    "proxy": "nginx uses it after: nginx -s reload",
    "spine": "The provider uses it after SIGHUP (systemctl reload), or at its next start.",
}

_side = click.option(
    "--side",
    type=click.Choice(_SIDES),
    help="Whose certificate: [server.https], [server.proxy] or [spine]. Needed where the settings name several.",
)


@click.group()
def endpoint() -> None:
    """Keys and certificates of this endpoint."""


@endpoint.command()
@config_option
@_side
@click.option("--name", required=True, help="Full DNS name (FQDN) of this endpoint.")
@click.option("--also", multiple=True, help="A further DNS name; may be repeated.")
@click.option("--key-type", type=click.Choice([kind.value for kind in KeyKind]), default="rsa", show_default=True)
@click.option("--replace", is_flag=True, help="Throw away a key that still waits for its certificate.")
@requires(Permission.ENDPOINT_CHANGE)
def init(
    *,
    config_file: Path,
    operator: Operator,
    side: str | None,
    name: str,
    also: Sequence[str],
    key_type: str,
    replace: bool,
) -> None:
    """Make a key and the request (CSR) for its certificate.

    The key waits beside the one in use, as KEY.next, until `smsp endpoint install` brings its certificate.
    RSA keys have 3072 bits; the other type is the curve P-256.
    """
    # (Who it is stands on record already.)
    del operator
    _, pair = _chosen(config_file, side)
    waiting, request = _waiting(pair), pair.certificate.with_suffix(".csr")
    key = new_key(KeyKind(key_type))
    try:
        text = new_request(key, name, also)
    except ValueError as error:
        raise UnusableConfiguration(f"--name, --also: {error}") from None
    try:
        if replace:
            waiting.unlink(missing_ok=True)
        write_private(waiting, key_as_pem(key))
        write_public(request, text)
    except FileExistsError:
        raise CannotStart(f"{waiting}: a key waits for its certificate already (--replace throws it away)") from None
    except OSError as error:
        raise CannotStart(reason_of(error)) from None
    click.echo(f"key (keep it here): {waiting}\nrequest (send it to the authority): {request}")


@endpoint.command()
@config_option
@_side
@click.option("--key", "key_file", type=regular_file, help="PEM file of the key, if it is elsewhere.")
@click.option("--password-file", type=regular_file, help="File with the password of a PKCS#12 file or encrypted key.")
@click.option("--name", help="Full DNS name that the certificate must hold; left out: the names of the request.")
@click.argument("files", nargs=-1, required=True, type=regular_file)
@requires(Permission.ENDPOINT_CHANGE)
def install(
    config_file: Path,
    operator: Operator,
    side: str | None,
    key_file: Path | None,
    password_file: Path | None,
    name: str | None,
    files: Sequence[Path],
) -> None:
    """Check what the authority handed out, and put it where the settings say.

    FILES are PKCS#12, PEM or DER, certificates in any order. The key is in them, in --key, waiting since
    `smsp endpoint init`, or the one in use (a renewal).
    The password comes from --password-file, the variable ENDPOINT_PASSWORD, or is asked for; never from an argument.
    What was there before is kept as FILE.previous (`smsp endpoint rollback`).
    """
    side, pair = _chosen(config_file, side)
    try:
        bundle = read_bundle(files, lambda: _password(password_file))
        spare = [read_key(key_file)] if key_file is not None else _keys_at_hand(pair)
        pairing = pair_up(bundle, spare, pair.purpose, SystemClock().now())
    except (OSError, ValueError) as error:
        raise UnusableConfiguration(reason_of(error)) from None
    names = names_of(pairing.chain[0])
    missing = [one for one in _expected_names(pair, pairing, name) if one not in names]
    if missing:
        raise UnusableConfiguration(
            f"the certificate does not hold {', '.join(missing)}, but {', '.join(names) or 'no name'}"
        )
    _put_on_record(config_file, operator, side, pair.certificate, pairing.certificate_pem())
    try:
        place_pair(pair.key, pairing.key_pem(), pair.certificate, pairing.certificate_pem())
        _waiting(pair).unlink(missing_ok=True)
    except OSError as error:
        raise CannotStart(reason_of(error)) from None
    _tell(pair, pairing)
    click.echo(_TAKEN_UP[side])


@endpoint.command()
@config_option
@_side
@requires(Permission.ENDPOINT_CHANGE)
def rollback(config_file: Path, operator: Operator, side: str | None) -> None:
    """Exchange key and certificate with those before the last `install`."""
    side, pair = _chosen(config_file, side)
    if not (previous_of(pair.key).exists() and previous_of(pair.certificate).exists()):
        raise CannotStart(f"{previous_of(pair.certificate)}: there is no key and certificate from before")
    try:
        former = previous_of(pair.certificate).read_bytes()
    except OSError as error:
        raise CannotStart(reason_of(error)) from None
    _put_on_record(config_file, operator, side, pair.certificate, former)
    try:
        go_back(pair.key, pair.certificate)
    except OSError as error:
        raise CannotStart(reason_of(error)) from None
    click.echo(f"{pair.certificate}, {pair.key}: as before. {_TAKEN_UP[side]}")


@endpoint.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def status(config_file: Path, *, as_json: bool) -> int:
    """Show every certificate file of the settings: what it is used for, chain, names, dates.

    Warnings begin 30 days before an end.
    Exit code 1 when something has expired or cannot be used; a warning alone is exit code 0.
    """
    now = SystemClock().now()
    found = uses(read_settings(config_file), now)
    if as_json:
        click.echo(json.dumps({"at": now.isoformat(), "files": [_as_json(use, now) for use in found]}, indent=2))
    else:
        _show(found, now)
    return ExitCode.UNEXPECTED if any(use.state.problems for use in found) else ExitCode.OK


def _put_on_record(config_file: Path, operator: Operator, side: str, file: Path, after: bytes) -> None:
    """Before anything is exchanged: which certificate is to take the place of which.

    Raises:
        CannotStart: the audit trail cannot be written; nothing was changed.
    """
    settings, clock = read_settings(config_file), SystemClock()
    refuse_another_user(settings.audit.database)
    before = file.read_bytes() if file.exists() else None
    now = clock.now()
    # There is no registry that counts versions: the second does.
    change = Change(now, operator.name, "endpoint", side, int(now.timestamp()), _document(before), _document(after))
    with readable(settings):
        trail = build_audit(settings, clock)
        try:
            trail.record_change(change)
        finally:
            trail.close_session()


def _document(pem: bytes | None) -> str | None:
    """A certificate file on record: the SHA-256 of its first certificate, null where it holds none."""
    if pem is None:
        return None
    try:
        fingerprint = x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()
    except ValueError:
        fingerprint = None
    return canonical_json({"sha256": fingerprint})


def _chosen(config_file: Path, side: str | None) -> tuple[str, Pair]:
    known = pairs(read_settings(config_file))
    if side is None and len(known) == 1:
        side = next(iter(known))
    if side is None:
        raise UnusableConfiguration(f"--side: which of {', '.join(known) or 'none'}?")
    if side not in known:
        raise UnusableConfiguration(f"--side: {config_file} names no certificate and key for {side}")
    return side, known[side]


def _waiting(pair: Pair) -> Path:
    return pair.key.with_name(f"{pair.key.name}.next")


def _keys_at_hand(pair: Pair) -> list[PrivateKeyTypes]:
    return [read_key(file) for file in (_waiting(pair), pair.key) if file.exists()]


def _expected_names(pair: Pair, pairing: Pairing, name: str | None) -> tuple[str, ...]:
    """What was asked for on the command line, or in the request of which this is the certificate."""
    if name is not None:
        return (name,)
    request = pair.certificate.with_suffix(".csr")
    try:
        return names_asked_for(request.read_bytes(), pairing.chain[0])
    except (OSError, ValueError):
        return ()


def _password(file: Path | None) -> bytes:
    if file is not None:
        return file.read_bytes().rstrip(b"\r\n")
    given = os.environ.get(_PASSWORD_VARIABLE)
    if given is None:
        given = click.prompt("Password", hide_input=True, err=True)
    return str(given).encode()


def _tell(pair: Pair, pairing: Pairing) -> None:
    leaf, *others = pairing.chain
    click.echo(f"certificate: {pair.certificate}\nkey: {pair.key}")
    click.echo(f"names: {', '.join(names_of(leaf)) or 'none'}\nvalid until: {_date(leaf.not_valid_after_utc)}")
    click.echo(f"chain: {1 + len(others)} certificates, the last signed by {pairing.chain[-1].issuer.rfc4514_string()}")
    for text in pairing.left_out:
        click.echo(f"left out, not of this chain: {text}")


def _show(found: Sequence[Use], now: datetime) -> None:
    for use in found:
        click.echo(f"{use.setting}: {use.file}\n  {use.use}")
        if use.state.facts:
            rows = [
                (one.subject, one.issuer, ", ".join(one.names), _date(one.ends), str(_days(one.ends, now)))
                for one in use.state.facts
            ]
            print_table(("subject", "issued by", "names", "valid until", "days left"), rows, indent="  ")
        for kind, texts in (("problem", use.state.problems), ("warning", use.state.warnings)):
            for text in texts:
                click.echo(f"  {kind}: {text}")
        click.echo()


def _as_json(use: Use, now: datetime) -> dict[str, object]:
    return {
        "setting": use.setting,
        "file": str(use.file),
        "use": use.use,
        "certificates": [
            {
                "subject": one.subject,
                "issuer": one.issuer,
                "names": one.names,
                "not_before": one.begins.isoformat(),
                "not_after": None if one.ends is None else one.ends.isoformat(),
                "days_left": _days(one.ends, now),
                "sha256": one.fingerprint or None,
            }
            for one in use.state.facts
        ],
        "problems": use.state.problems,
        "warnings": use.state.warnings,
    }


def _date(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%d.%m.%Y %H:%M} UTC"


def _days(moment: datetime | None, now: datetime) -> int | None:
    """Whole days that are left, negative for days that are over."""
    return None if moment is None else (moment - now).days
