"""What an authority hands out, in whatever form: certificates in any order, perhaps with the key, made one pair.

Forms: PKCS#12, PEM (certificates and keys mixed, several files), DER.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12

from smsp_provider.certificates.judging import Purpose, objections
from smsp_provider.certificates.reading import UNREADABLE, check_readable, has_key, names_of, title_of

__all__ = ["Bundle", "Pairing", "pair_up", "read_bundle"]

_KEY: Final = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_PEM: Final = b"-----BEGIN "
_SEQUENCE: Final = b"\x30"
"""What all DER that matters here begins with."""


@dataclass(slots=True)
class Bundle:
    """Certificates and keys as they were found."""

    certificates: list[x509.Certificate] = field(default_factory=list)
    keys: list[PrivateKeyTypes] = field(default_factory=list, repr=False)


@dataclass(frozen=True, slots=True)
class Pairing:
    """A key, and the chain from its certificate upwards, without the root; ``left_out`` did not belong to it."""

    key: PrivateKeyTypes = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    left_out: tuple[str, ...]

    def certificate_pem(self) -> bytes:
        """The chain as a server sends it."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self.chain)

    def key_pem(self) -> bytes:
        """The key in PKCS#8, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def read_bundle(files: Iterable[Path], password: Callable[[], bytes]) -> Bundle:
    """Everything in ``files``; ``password`` is called when something is encrypted, once at most.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is none of the forms, or the password is wrong; the text names the file.
    """
    asked: list[bytes] = []

    def once() -> bytes:
        if not asked:
            asked.append(password())
        return asked[0]

    bundle = Bundle()
    for file in files:
        content = file.read_bytes()
        try:
            if _PEM in content:
                _take_pem(content, once, bundle)
            elif not _take_der(content, bundle):
                _take_pkcs12(content, once, bundle)
            check_readable(bundle.certificates)
        except UNREADABLE:
            # The library's texts differ by version and are not for operators.
            raise ValueError(f"{file}: no certificate or key that can be read, or the password is wrong") from None
    return bundle


def _take_pem(content: bytes, password: Callable[[], bytes], bundle: Bundle) -> None:
    if b"-----BEGIN CERTIFICATE-----" in content:
        bundle.certificates += x509.load_pem_x509_certificates(content)
    for block in (found[0] for found in _KEY.finditer(content)):
        is_encrypted = b"ENCRYPTED" in block
        bundle.keys.append(serialization.load_pem_private_key(block, password() if is_encrypted else None))


def _take_der(content: bytes, bundle: Bundle) -> bool:
    try:
        bundle.certificates.append(x509.load_der_x509_certificate(content))
    except ValueError:
        return False
    return True


def _take_pkcs12(content: bytes, password: Callable[[], bytes], bundle: Bundle) -> None:
    if not content.startswith(_SEQUENCE):
        raise ValueError("nothing that is known")  # before anybody is asked for a password
    try:
        found = pkcs12.load_pkcs12(content, None)
    except ValueError:
        found = pkcs12.load_pkcs12(content, password())
    if found.key is not None:
        bundle.keys.append(found.key)
    own = [] if found.cert is None else [found.cert]
    bundle.certificates += [one.certificate for one in (*own, *found.additional_certs)]


def pair_up(bundle: Bundle, spare_keys: Iterable[PrivateKeyTypes], purpose: Purpose, now: datetime) -> Pairing:
    """Find the key, its certificate and the way up from it; keys of the bundle come before ``spare_keys``.

    Raises:
        ValueError: nothing fits together, or what does must not be used: weak, for something else, out of its dates, or
            without a name.
    """
    fitting = [(key, one) for key in (*bundle.keys, *spare_keys) for one in bundle.certificates if has_key(one, key)]
    if not fitting:
        raise ValueError("no certificate fits the private key: was it issued for another request?")
    key, leaf = max(fitting, key=lambda pair: pair[1].not_valid_after_utc)
    _check(leaf, purpose, now)
    chain = [leaf]
    rest = [one for one in bundle.certificates if one != leaf]
    while (issuer := next((one for one in rest if _issued(one, chain[-1])), None)) is not None:
        if issuer in chain:
            break
        rest.remove(issuer)
        # Nobody needs the root from us: who does not have it does not believe it.
        if issuer.issuer == issuer.subject:
            break
        chain.append(issuer)
    _check_dates(chain[1:], now)
    return Pairing(key, tuple(chain), tuple(title_of(one.subject) for one in rest if one not in chain))


def _check(leaf: x509.Certificate, purpose: Purpose, now: datetime) -> None:
    found = objections(leaf, purpose)
    if found:
        raise ValueError("the certificate cannot be used: " + ", ".join(found))
    _check_dates([leaf], now)
    if purpose is Purpose.SERVER and not names_of(leaf):
        raise ValueError("the certificate cannot be used: it holds no DNS name (subject alternative name)")


def _check_dates(certificates: Iterable[x509.Certificate], now: datetime) -> None:
    for one in certificates:
        name = title_of(one.subject)
        if one.not_valid_after_utc <= now:
            raise ValueError(f"{name}: expired")
        if one.not_valid_before_utc > now:
            raise ValueError(f"{name}: not valid yet")


def _issued(issuer: x509.Certificate, one: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
