"""A small PKI for one test run: two authorities, a server certificate for loopback, a client certificate of each."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Identity", "TestPKI", "make_pki"]

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class TestPKI:
    """Everything a mutual TLS test needs, as PEM files."""

    __test__ = False

    ca: Path
    other_ca: Path
    server: Identity
    client: Identity
    foreign_client: Identity
    elsewhere: Identity

    def server_context(self, identity: Identity | None = None) -> ssl.SSLContext:
        """A server that demands a client certificate of the first authority."""
        chosen = identity or self.server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chosen.certificate, chosen.key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def make_pki(folder: Path) -> TestPKI:
    """Write a new PKI below ``folder``."""
    ca_key, ca = _authority("Test authority")
    other_key, other = _authority("Another authority")
    loopback = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    elsewhere = x509.SubjectAlternativeName([x509.DNSName("elsewhere.invalid")])
    return TestPKI(
        ca=_write(folder / "ca.pem", _pem(ca)),
        other_ca=_write(folder / "other-ca.pem", _pem(other)),
        server=_identity(folder, "server", ca_key, ca, loopback),
        client=_identity(folder, "client", ca_key, ca, None),
        foreign_client=_identity(folder, "foreign", other_key, other, None),
        elsewhere=_identity(folder, "elsewhere", ca_key, ca, elsewhere),
    )


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: str, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(name: str) -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(name, _name(name), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return key, builder.sign(key, hashes.SHA256())


def _identity(
    folder: Path, name: str, ca_key: Key, ca: x509.Certificate, names: x509.SubjectAlternativeName | None
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(name, ca.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(
        _write(folder / f"{name}.pem", _pem(builder.sign(ca_key, hashes.SHA256()))),
        _write(folder / f"{name}.key", private),
    )
