"""``smsp pds-fhir``: the key pair by which PDS FHIR knows this provider."""

import json
import re
from pathlib import Path
from typing import Any, Final

import click
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import RSAAlgorithm

from smsp_provider.certificates.placing import write_private, write_public
from smsp_provider.cli.exit_codes import CannotStart, ExitCode

__all__ = ["make_key_pair", "pds_fhir"]

_BITS: Final = 4096
_EXPONENT: Final = 65_537
_KID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@click.group("pds-fhir")
def pds_fhir() -> None:
    """PDS FHIR as the upstream."""


@pds_fhir.command()
@click.option("--key-id", required=True, help="kid of the new key: a word that no other key of the application has.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="current directory",
    help="Where the private key and the JWKS go.",
)
def key(*, key_id: str, out: Path) -> int:
    """Make a key pair: the private key in KEY-ID.key, the public one in jwks.json, to be registered.

    A jwks.json that is there gets the new key beside the old ones: both are good while keys are changed.
    An existing private key is never overwritten.
    """
    if _KID.fullmatch(key_id) is None:
        raise click.BadParameter("letters, digits, dot, hyphen and underscore, at most 64", param_hint="--key-id")
    try:
        private, jwks = make_key_pair(out, key_id)
    except FileExistsError as error:
        raise CannotStart(f"{error.filename}: is there already: choose another --key-id") from None
    except OSError as error:
        raise CannotStart(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise CannotStart(f"{out / 'jwks.json'}: {error}") from None
    click.echo(f"private key: {private} (keep it secret; settings pds_fhir.key and pds_fhir.key_id = {key_id})")
    click.echo(f"public keys: {jwks} (register this file for the application)")
    return ExitCode.OK


def make_key_pair(directory: Path, kid: str, bits: int = _BITS) -> tuple[Path, Path]:
    """A new private key, and the JWKS with its public half added; returns both files.

    Raises:
        FileExistsError: there is a private key of this name.
        OSError: a file cannot be written.
        ValueError: the JWKS that is there is none, or has this kid already.
    """
    jwks = directory / "jwks.json"
    known = _known(jwks)
    if any(entry.get("kid") == kid for entry in known):
        raise ValueError("it has a key of this kid already")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = directory / f"{kid}.key"
    made = rsa.generate_private_key(_EXPONENT, bits)
    content = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(private, content)
    public = RSAAlgorithm.to_jwk(made.public_key(), as_dict=True)
    entry = {"kty": "RSA", "kid": kid, "alg": "RS512", "use": "sig", "n": public["n"], "e": public["e"]}
    write_public(jwks, (json.dumps({"keys": [*known, entry]}, indent=2) + "\n").encode("ascii"))
    return private, jwks


def _known(jwks: Path) -> list[dict[str, Any]]:
    """The keys of a JWKS that is there; none where there is no file.

    Raises:
        ValueError: the file holds something else, or a private key.
    """
    if not jwks.exists():
        return []
    try:
        document = json.loads(jwks.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        document = None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not all(isinstance(entry, dict) for entry in keys):
        raise ValueError("it is no JWKS")
    if any("d" in entry for entry in keys):
        raise ValueError("it holds a private key, which must not be registered")
    return keys
