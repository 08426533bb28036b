"""Which certificates are good enough, and for what."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtensionOID

from certificate_zoo import CLIENT, SERVER, Zoo, make_zoo
from smsp_provider.certificates.judging import Purpose, objections, weaknesses
from tls_fixtures import Identity


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return make_zoo(tmp_path_factory.mktemp("zoo"))


def read(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(identity.certificate).read_bytes())


@pytest.mark.rule("WS-SEC-01")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("RSA 1024", "its key is too weak"),
        ("P-224", "its key is too weak"),
        ("signed with SHA-1", "its signature is too weak"),
        ("signed with MD5", "its signature is too weak"),
        ("for servers", "it was not issued for clientAuth"),
        ("for no stated use", "it was not issued for clientAuth"),
        ("an authority", "it belongs to an authority"),
    ],
)
def test_each_objection_is_said(zoo: Zoo, name: str, said: str) -> None:
    assert objections(read(zoo.bad[name]), Purpose.CLIENT) == (said,)


def test_there_is_none_to_a_good_one(zoo: Zoo) -> None:
    assert objections(read(zoo.good), Purpose.CLIENT) == ()
    assert objections(read(zoo.server), Purpose.SERVER) == ()
    both = zoo.authority.issue("both", usages=(CLIENT, SERVER))[1]
    assert objections(both, Purpose.CLIENT) == objections(both, Purpose.SERVER) == ()


def test_edwards_curves_are_strong_and_have_no_hash_of_their_own() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    from certificate_zoo import _builder

    certificate = _builder(key, "edwards", x509.Name([]), (-1, 1)).sign(key, None)  # type: ignore[arg-type]  # any key
    assert weaknesses(certificate) == ()


def test_extensions_that_cannot_be_read_are_an_objection(zoo: Zoo) -> None:
    from certificate_zoo import _builder

    broken = x509.UnrecognizedExtension(ExtensionOID.EXTENDED_KEY_USAGE, b"\x01\x02")
    key = zoo.authority.key
    certificate = _builder(key, "broken", x509.Name([]), (-1, 1)).add_extension(broken, critical=False)
    assert "its extensions cannot be read" in objections(certificate.sign(key, hashes.SHA256()), Purpose.CLIENT)
