"""What `smsp call --sign` sends is accepted by the provider's reader; what it cannot sign with is a usage error."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lxml import etree

from command_line import run_main
from itk_messages import NOW, Request
from itk_signing import Identity, identity
from smsp_provider.cli.itk_client import ITKClient
from smsp_provider.cli.itk_request import CallerIdentity
from smsp_provider.cli.request_signing import RequestSigner
from smsp_provider.domain.requests import RequestFields
from smsp_provider.domain.service import Service
from smsp_provider.soap.envelope import read_soap
from smsp_provider.soap.security import SecurityPolicy, check_security
from smsp_provider.soap.signature_key import SignerCertificates

NAME = "client.example.nhs.uk"
CALL = ("call", "verifyNHSNumber", "--url", "http://127.0.0.1:1/smsp/pds", "--packaged-wsdl", "--sign")


def files(folder: Path, one: Identity) -> tuple[Path, Path]:
    certificate, key = folder / "client.pem", folder / "client.key"
    certificate.write_bytes(one.certificate_pem)
    key.write_bytes(one.key_pem)
    return certificate, key


def signer_of(document: bytes, one: Identity, now: datetime) -> str | None:
    signers = SignerCertificates(frozenset({one.fingerprint}))
    return check_security(read_soap(document), now, NAME, SecurityPolicy(), signers=lambda: signers).signer


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384"])
def test_a_message_is_signed_so_that_it_verifies(tmp_path: Path, kind: str) -> None:
    one = identity(kind)
    envelope, _ = RequestSigner(*files(tmp_path, one)).apply(etree.fromstring(Request().body()), {})
    assert signer_of(etree.tostring(envelope, encoding="UTF-8"), one, NOW) == one.fingerprint


def test_the_client_signs_what_it_writes(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    one = identity("p256", days=(-400, 4_000))
    certificate, key = files(tmp_path, one)
    certificate.write_bytes(one.certificate_pem + key.read_bytes())
    client = ITKClient(
        "http://127.0.0.1:1/x", CallerIdentity(NAME), served_wsdl=False, signer=RequestSigner(certificate)
    )
    document = client.message(Service.VERIFY_NHS_NUMBER, RequestFields("19710523"), timedelta(minutes=5))
    assert signer_of(document, one, now) == one.fingerprint


def test_there_is_nothing_to_sign_without_a_timestamp(tmp_path: Path) -> None:
    signer = RequestSigner(*files(tmp_path, identity("p256")))
    bare = etree.fromstring(replace(Request(), security_markup="").body())
    with pytest.raises(ValueError, match="wsu:Timestamp"):
        signer.apply(bare, {})


def test_signing_needs_a_certificate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    done = run_main(monkeypatch, capsys, *CALL)
    assert done.code == 2
    assert "--sign needs --cert" in done.err


@pytest.mark.parametrize("what", ["no key", "a key with a password", "no certificate", "a key that cannot sign so"])
def test_files_that_cannot_sign_are_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, what: str
) -> None:
    certificate, key = files(tmp_path, identity("p256"))
    if what == "no key":
        key.write_bytes(certificate.read_bytes())
    elif what == "a key with a password":
        secret = serialization.BestAvailableEncryption(b"sesame")
        key.write_bytes(
            identity("p256").key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
        )
    elif what == "no certificate":
        certificate.write_bytes(key.read_bytes())
    else:
        key.write_bytes(_ed25519())
    done = run_main(monkeypatch, capsys, *CALL, "--cert", certificate, "--key", key)
    assert done.code == 2
    assert "--sign needs a PEM certificate" in done.err


def _ed25519() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
