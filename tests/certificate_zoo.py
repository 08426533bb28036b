"""Certificates that must not be let in, each bad in one way, one that must, and revocation lists to go with them.

zoo = make_zoo(folder)
zoo.good, zoo.bad["expired"], zoo.revoke(zoo.good)
"""

import datetime as dt
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tls_fixtures import Identity, TestPKI, _name, _pem, _usage

__all__ = ["HANDSHAKE_REFUSES", "Authority", "Zoo", "make_zoo"]

CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH

_SHA256_RSA: Final = bytes.fromhex("06092a864886f70d01010b")
_WEAK_RSA: Final = {"sha1": bytes.fromhex("06092a864886f70d010105"), "md5": bytes.fromhex("06092a864886f70d010104")}
_WEAK_HASHES: Final = {"sha1": hashes.SHA1(), "md5": hashes.MD5()}  # noqa: S303 - to be refused

HANDSHAKE_REFUSES: Final = (
    "of another authority",
    "expired",
    "not valid yet",
    "revoked",
    "RSA 1024",
    "signed with SHA-1",
    "signed with MD5",
    "for servers",
)
"""What OpenSSL finds by itself; the rest is found when the certificate is looked at for a request."""

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Authority:
    """An RSA authority, so that weak signatures can be made with it."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def named(cls, name: str) -> "Authority":
        key = _authority_key(name)
        builder = (
            _builder(key, name, _name(name), (-1, 30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    def issue(
        self,
        name: str,
        *,
        key: Key | None = None,
        days: tuple[float, float] = (-1, 30.5),
        usages: tuple[x509.ObjectIdentifier, ...] = (CLIENT,),
        names: tuple[str, ...] = (),
        is_authority: bool = False,
    ) -> tuple[Key, x509.Certificate]:
        """A key and its certificate; ``days`` are begin and end, counted from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(key, name, self.certificate.subject, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=is_authority), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), False)
        return key, builder.sign(self.key, hashes.SHA256())

    def weaken(self, certificate: x509.Certificate, name: str) -> x509.Certificate:
        """The same certificate, signed with a hash that libraries do not sign with any more."""
        old_body, old_signature = certificate.tbs_certificate_bytes, certificate.signature
        body = old_body.replace(_SHA256_RSA, _WEAK_RSA[name])
        signature = self.key.sign(body, padding.PKCS1v15(), _WEAK_HASHES[name])
        whole = certificate.public_bytes(serialization.Encoding.DER).replace(old_body, body)
        return x509.load_der_x509_certificate(
            whole.replace(_SHA256_RSA, _WEAK_RSA[name]).replace(old_signature, signature)
        )

    def altered(self, certificate: x509.Certificate, old: bytes, new: bytes) -> x509.Certificate:
        """The same certificate with other bytes in it, signed again: what no library would make."""
        old_body, old_signature = certificate.tbs_certificate_bytes, certificate.signature
        assert (old_body.count(old), len(old)) == (1, len(new))
        body = old_body.replace(old, new)
        whole = certificate.public_bytes(serialization.Encoding.DER).replace(old_body, body)
        signature = self.key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        return x509.load_der_x509_certificate(whole.replace(old_signature, signature))

    def revocation_list(self, serials: Iterable[int] = (), days: tuple[float, float] = (-1, 7)) -> bytes:
        """A revocation list in PEM; ``days`` are begin and end, counted from now."""
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now + dt.timedelta(days=days[0]))
            .next_update(now + dt.timedelta(days=days[1]))
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Zoo(TestPKI):
    """One authority with a server, a good client, and everything bad by its name."""

    authority: Authority = field(kw_only=True)
    other: Authority = field(kw_only=True)
    crl: Path = field(kw_only=True)
    bad: dict[str, Identity] = field(kw_only=True)
    revoked: list[int] = field(kw_only=True)

    @property
    def good(self) -> Identity:
        return self.client

    def revoke(self, identity: Identity) -> None:
        """Put a certificate on the list, as an operator would: a new file takes the place of the old one."""
        self.revoked.append(_serial(identity))
        self.publish()

    def pardon(self, identity: Identity) -> None:
        self.revoked.remove(_serial(identity))
        self.publish()

    def publish(self, days: tuple[float, float] = (-1, 7)) -> None:
        replace(self.crl, self.authority.revocation_list(self.revoked, days))


def make_zoo(folder: Path) -> Zoo:
    """Write everything below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    one, other = Authority.named("Test authority"), Authority.named("Another authority")
    of_one = {
        "expired": one.issue("client", days=(-3, -1)),
        "not valid yet": one.issue("client", days=(1, 3)),
        "revoked": one.issue("client"),
        "RSA 1024": one.issue("client", key=rsa.generate_private_key(65537, 1024)),  # noqa: S505 - to be refused
        "P-224": one.issue("client", key=ec.generate_private_key(ec.SECP224R1())),
        "for servers": one.issue("client", usages=(SERVER,)),
        "for no stated use": one.issue("client", usages=()),
        "an authority": one.issue("client", is_authority=True),
    }
    for name, called in (("sha1", "signed with SHA-1"), ("md5", "signed with MD5")):
        key, strong = one.issue("client")
        of_one[called] = key, one.weaken(strong, name)
    of_one["of another authority"] = other.issue("client")
    key, readable = one.issue("\0bits")
    # The common name is a string of bits: OpenSSL takes that, the library that we read certificates with does not.
    of_one["names in bits"] = key, one.altered(readable, b"\x0c\x05\0bits", b"\x03\x05\0bits")
    bad = {name: _keep(folder, name.replace(" ", "-"), *pair) for name, pair in of_one.items()}
    server = one.issue("server", usages=(SERVER, CLIENT), names=("localhost", "127.0.0.1"))
    elsewhere = one.issue("elsewhere", usages=(SERVER,), names=("elsewhere.invalid",))
    zoo = Zoo(
        ca=_write(folder / "ca.pem", _pem(one.certificate)),
        other_ca=_write(folder / "other-ca.pem", _pem(other.certificate)),
        server=_keep(folder, "server", *server),
        client=_keep(folder, "client", *one.issue("client")),
        foreign_client=bad["of another authority"],
        elsewhere=_keep(folder, "elsewhere", *elsewhere),
        authority=one,
        other=other,
        crl=folder / "crl.pem",
        bad=bad,
        revoked=[],
    )
    zoo.revoke(bad["revoked"])
    return zoo


def replace(path: Path, content: bytes) -> None:
    """Put a new file in the place of another one, in one step."""
    fresh = path.with_name(path.name + ".fresh")
    fresh.write_bytes(content)
    fresh.replace(path)


@cache
def _authority_key(name: str) -> rsa.RSAPrivateKey:
    """One for each name and test run: they take long to make."""
    del name
    return rsa.generate_private_key(65537, 2048)


def _builder(key: Key, subject: str, issuer: x509.Name, days: tuple[float, float]) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _serial(identity: Identity) -> int:
    return x509.load_pem_x509_certificate(identity.certificate.read_bytes()).serial_number


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _keep(folder: Path, name: str, key: Key, certificate: x509.Certificate) -> Identity:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_file = folder / f"{name}.key"
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(private)
    return Identity(_write(folder / f"{name}.pem", _pem(certificate)), key_file)
