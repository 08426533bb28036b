"""The throw-away certificates are of the kind that strict clients and servers accept."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smsp_provider.simulator.pki import KeyPair, Pki, make_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def _certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def _store(pki: Pki) -> verification.PolicyBuilder:
    return verification.PolicyBuilder().store(verification.Store([_certificate(pki.ca)]))


def test_a_strict_client_accepts_both_servers(pki: Pki) -> None:
    for pair in (pki.spine_server, pki.provider_server):
        verifier = _store(pki).build_server_verifier(x509.DNSName("localhost"))
        assert len(verifier.verify(_certificate(pair), [])) == 2


def test_a_strict_server_accepts_both_clients(pki: Pki) -> None:
    for pair in (pki.provider_client, pki.client("trust.example")):
        verified = _store(pki).build_client_verifier().verify(_certificate(pair), [])
        assert len(verified.chain) == 2


def test_a_client_has_the_name_it_was_asked_for_and_keeps_its_certificate(pki: Pki) -> None:
    first = pki.client("Some Trust/1")
    assert [item.value for item in _certificate(first).subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [
        "Some Trust/1"
    ]
    assert first.certificate.parent == pki.directory
    before = first.certificate.read_bytes()
    assert pki.client("Some Trust/1") == first
    assert first.certificate.read_bytes() == before


def test_servers_serve_and_clients_ask(pki: Pki) -> None:
    for pair, usage in (
        (pki.spine_server, ExtendedKeyUsageOID.SERVER_AUTH),
        (pki.provider_client, ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        extensions = _certificate(pair).extensions
        assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
        assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature


def test_files_are_for_their_owner_only(pki: Pki) -> None:
    for path in pki.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_making_it_again_changes_nothing(pki: Pki) -> None:
    before = {path: path.read_bytes() for path in pki.directory.iterdir()}
    assert make_pki(pki.directory) == pki
    assert {path: path.read_bytes() for path in pki.directory.iterdir()} == before


def test_a_certificate_is_valid_now_and_for_two_years(tmp_path: Path) -> None:
    certificate = _certificate(make_pki(tmp_path / "new" / "place").spine_server)
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now
    assert (certificate.not_valid_after_utc - now).days > 700
