"""Certificates that OpenSSL takes and our library cannot read, or not all of: refused in words, and nothing breaks."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtensionOID

from certificate_zoo import Authority, _builder
from smsp_provider.certificates.bundle import read_bundle
from smsp_provider.certificates.identity import certificate_of
from smsp_provider.certificates.judging import Purpose, objections
from smsp_provider.certificates.reading import has_key, names_of, read_certificates
from smsp_provider.certificates.revocation import read_lists
from smsp_provider.certificates.state import authorities_state, pair_state
from tls_fixtures import _pem

AUTHORITY = Authority.named("Test authority")
NOW = datetime.now(UTC)
P_256, OTHER_CURVE = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177")
SHA256_RSA, OTHER_SIGNATURE = bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010177")
VERSION_3, VERSION_6 = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")


def names_in_bits() -> x509.Certificate:
    return AUTHORITY.altered(AUTHORITY.issue("\0bits")[1], b"\x0c\x05\0bits", b"\x03\x05\0bits")


def a_key_on_an_unknown_curve() -> x509.Certificate:
    return AUTHORITY.altered(AUTHORITY.issue("client")[1], P_256, OTHER_CURVE)


def a_signature_of_an_unknown_kind() -> x509.Certificate:
    certificate = AUTHORITY.issue("client")[1]
    der = certificate.public_bytes(serialization.Encoding.DER)
    return x509.load_der_x509_certificate(der.replace(SHA256_RSA, OTHER_SIGNATURE))


def an_unknown_kind_of_name() -> x509.Certificate:
    key = AUTHORITY.issue("client")[0]
    of_edi = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3002a500"))
    builder = _builder(key, "client", AUTHORITY.certificate.subject, (-1, 1)).add_extension(of_edi, critical=False)
    return builder.sign(AUTHORITY.key, hashes.SHA256())


ODD: tuple[tuple[Callable[[], x509.Certificate], str], ...] = (
    (a_key_on_an_unknown_curve, "its key cannot be read"),
    (a_signature_of_an_unknown_kind, "its signature is too weak"),
    (an_unknown_kind_of_name, "its extensions cannot be read"),
)


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize(("make", "said"), ODD, ids=lambda value: getattr(value, "__name__", "said"))
def test_what_cannot_be_read_of_a_certificate_is_an_objection(
    make: Callable[[], x509.Certificate], said: str, tmp_path: Path
) -> None:
    certificate, other_key = make(), AUTHORITY.issue("client")[0]
    assert said in objections(certificate, Purpose.CLIENT)
    assert not has_key(certificate, other_key)
    assert names_of(certificate) == ()
    file = tmp_path / "odd.pem"
    file.write_bytes(_pem(certificate))
    assert any(said in text for text in pair_state(file, file, Purpose.CLIENT, NOW).problems)
    state = authorities_state(file, NOW)
    assert state.problems == ()
    assert len(state.facts) == 1


@pytest.mark.rule("WS-SEC-01")
def test_a_certificate_whose_names_cannot_be_read_is_nobodys(tmp_path: Path) -> None:
    certificate = names_in_bits()
    assert certificate_of(certificate.public_bytes(serialization.Encoding.DER)) is None
    file = tmp_path / "odd.pem"
    file.write_bytes(_pem(certificate))
    assert_refused_by_every_reader(file)


@pytest.mark.rule("WS-SEC-01")
def test_a_certificate_of_a_version_to_come_is_nobodys(tmp_path: Path) -> None:
    der = AUTHORITY.issue("client")[1].public_bytes(serialization.Encoding.DER).replace(VERSION_3, VERSION_6, 1)
    assert certificate_of(der) is None
    file = tmp_path / "odd.der"
    file.write_bytes(der)
    with pytest.raises(ValueError, match="can be read"):
        read_bundle([file], lambda: pytest.fail("nothing is encrypted"))


def assert_refused_by_every_reader(file: Path) -> None:
    with pytest.raises(ValueError, match="no PEM certificate in it, or a broken one"):
        read_certificates(file)
    with pytest.raises(ValueError, match="no certificate or key that can be read"):
        read_bundle([file], lambda: pytest.fail("nothing is encrypted"))
    for state in (authorities_state(file, NOW), pair_state(file, file, Purpose.SERVER, NOW)):
        assert (state.facts, state.problems) == ((), ("no PEM certificate in it, or a broken one",))


def test_a_revocation_list_of_an_issuer_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    of_bits = Authority(AUTHORITY.key, AUTHORITY.issue("\0bits")[1])
    whole = of_bits.revocation_list()
    der = x509.load_pem_x509_crl(whole).public_bytes(serialization.Encoding.DER)
    odd = x509.load_der_x509_crl(der.replace(b"\x0c\x05\0bits", b"\x03\x05\0bits"))
    file = tmp_path / "crl.pem"
    file.write_bytes(whole)
    assert len(read_lists(file)) == 1
    file.write_bytes(odd.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(ValueError, match="a revocation list cannot be read"):
        read_lists(file)
