"""Revocation lists (CRL): one for each authority, signed by it, and not past its end.

OpenSSL lets nobody in when the list of one authority of the chain is missing or past its end. So a file of lists is
checked as a whole before it is taken into use: what is in force stays in force when its successor is unusable.

Source: WS-SEC-01, RFC 5280 section 5.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from smsp_provider.certificates.reading import UNREADABLE

__all__ = ["check_lists", "earliest_end", "is_near_its_end", "is_revoked", "read_lists"]

_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_SIGNING_KEYS: Final = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
_AT_LEAST_LEFT: Final = timedelta(hours=24)
_PART_LEFT: Final = 4


def read_lists(file: Path) -> list[x509.CertificateRevocationList]:
    """The lists of a PEM file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no list in PEM, or a broken one.
    """
    blocks = _BLOCK.findall(file.read_bytes())
    if not blocks:
        raise ValueError("no revocation list in PEM (openssl crl -inform DER -in LIST -out FILE makes it one)")
    try:
        lists = [x509.load_pem_x509_crl(block) for block in blocks]
        for one in lists:
            # The library looks at these when they are asked for.
            _ = one.issuer, one.last_update_utc, one.next_update_utc
    except UNREADABLE:
        raise ValueError("a revocation list cannot be read") from None
    return lists


def check_lists(
    lists: Iterable[x509.CertificateRevocationList], authorities: Iterable[x509.Certificate], now: datetime
) -> None:
    """Check that there is a list in force from every authority.

    Raises:
        ValueError: one is missing, was not signed by its authority, or is past its end; the text names the authority.
    """
    given = list(lists)
    for authority in authorities:
        name = authority.subject.rfc4514_string()
        own = [one for one in given if one.issuer == authority.subject and _is_signed_by(one, authority)]
        if not own:
            raise ValueError(f"there is no revocation list of the authority {name}")
        if all(one.next_update_utc is None or one.next_update_utc <= now for one in own):
            raise ValueError(f"the revocation list of the authority {name} is past its end")
        if all(one.last_update_utc > now for one in own):
            raise ValueError(f"the revocation list of the authority {name} is not valid yet")


def earliest_end(lists: Iterable[x509.CertificateRevocationList]) -> x509.CertificateRevocationList | None:
    """The list that ends first: an authority with several has the newest in force, so the older ones do not count."""
    ending = [one for one in _newest(lists).values() if one.next_update_utc is not None]
    return min(ending, key=lambda one: one.next_update_utc or one.last_update_utc, default=None)


def is_revoked(certificate: x509.Certificate, lists: Iterable[x509.CertificateRevocationList]) -> bool:
    """Whether the list in force of its authority has the certificate; those above it are not looked at."""
    one = _newest(lists).get(certificate.issuer)
    return one is not None and one.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def is_near_its_end(one: x509.CertificateRevocationList, now: datetime) -> bool:
    """Whether somebody should look for its successor: a quarter of its life is left, or a day if that is less."""
    end = one.next_update_utc
    if end is None:
        return True
    return end - now < min(_AT_LEAST_LEFT, (end - one.last_update_utc) / _PART_LEFT)


def _newest(lists: Iterable[x509.CertificateRevocationList]) -> dict[x509.Name, x509.CertificateRevocationList]:
    newest: dict[x509.Name, x509.CertificateRevocationList] = {}
    for one in lists:
        known = newest.get(one.issuer)
        if known is None or one.last_update_utc > known.last_update_utc:
            newest[one.issuer] = one
    return newest


def _is_signed_by(one: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        key = authority.public_key()
        return isinstance(key, _SIGNING_KEYS) and one.is_signature_valid(key)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
