"""Throw-away certificates for the sandbox and for tests: an authority, two servers and as many clients as wanted.

Nothing here is fit for a real service: keys lie unencrypted beside their certificates and the authority signs anything.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["KeyPair", "Pki", "make_pki"]

_BACKDATED: Final = timedelta(hours=1)
_ORGANISATION: Final = "SMSP sandbox (not for live use)"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, both PEM files readable by their owner only."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Pki:
    """One authority and what it signed.

    ``spine_server`` is the embedded Spine's, ``provider_server`` the provider's own, ``provider_client`` what the
    provider shows to Spine.
    """

    directory: Path
    ca: KeyPair
    spine_server: KeyPair
    provider_server: KeyPair
    provider_client: KeyPair

    def client(self, common_name: str) -> KeyPair:
        """The certificate of a client with this common name, made at the first call and found again later."""
        pair = _pair(self.directory, f"client-{_file_name(common_name)}")
        return pair if _complete(pair) else _leaf(self.ca, pair, common_name, server_names=())


def make_pki(directory: Path, *, server_names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")) -> Pki:
    """The authority and certificates in ``directory``: found if they are there, made if not.

    ``server_names`` are the DNS names and addresses that both servers' certificates hold.

    Raises:
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = _pair(directory, "ca")
    if not _complete(ca):
        _authority(ca)
    pairs = {}
    for name, names in (("spine-server", server_names), ("provider-server", server_names), ("provider-client", ())):
        pair = _pair(directory, name)
        pairs[name] = pair if _complete(pair) else _leaf(ca, pair, name, server_names=names)
    return Pki(directory, ca, pairs["spine-server"], pairs["provider-server"], pairs["provider-client"])


def _pair(directory: Path, name: str) -> KeyPair:
    return KeyPair(directory / f"{name}.crt", directory / f"{name}.key")


def _complete(pair: KeyPair) -> bool:
    return pair.certificate.exists() and pair.key.exists()


def _file_name(common_name: str) -> str:
    return "".join(character if character.isalnum() or character in "-." else "_" for character in common_name)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _authority(pair: KeyPair) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("SMSP sandbox CA")
    builder = (
        _builder(name, name, key.public_key(), days=3650)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
    )
    _write(pair, builder.sign(key, hashes.SHA256()), key)


def _leaf(ca: KeyPair, pair: KeyPair, common_name: str, *, server_names: tuple[str, ...]) -> KeyPair:
    ca_key = serialization.load_pem_private_key(ca.key.read_bytes(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not an elliptic curve key")
    ca_certificate = x509.load_pem_x509_certificate(ca.certificate.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server_names else ExtendedKeyUsageOID.CLIENT_AUTH
    names = [_general_name(name) for name in server_names or (_host(common_name),)]
    builder = (
        _builder(_name(common_name), ca_certificate.subject, key.public_key(), days=825)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    _write(pair, builder.sign(ca_key, hashes.SHA256()), key)
    return pair


def _host(common_name: str) -> str:
    """A DNS name for a client's certificate: its common name, as far as DNS allows."""
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in common_name)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # Backdated, so that a container with a slow clock accepts it.
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(pair: KeyPair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write_private(
        pair.key,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    _write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _write_private(path: Path, content: bytes) -> None:
    # Opened with its final mode: a key must not be readable by others even for a moment.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
