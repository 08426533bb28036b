"""Signatures of other implementations are accepted, and ours by them: xmlsec1 (C, OpenSSL) and the JDK (Java).

A peer that is not installed is skipped on a workstation; continuous integration must have them all.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from itk_messages import NOW
from itk_signing import (
    BODY,
    EXCLUSIVE,
    MORE,
    SHA256,
    TIMESTAMP,
    Identity,
    Signing,
    direct,
    identity,
    sign,
    signable,
    token,
)
from signature_cases import at, edited, made, swapped
from smsp_provider.domain.faults import ToolkitFault
from smsp_provider.soap.envelope import read_soap
from smsp_provider.soap.security import SecurityPolicy, check_security
from smsp_provider.soap.signature_key import SignerCertificates

NAME = "client.example.nhs.uk"
PASSWORD = "sesame"
SHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"
TODAY = (-400, 4_000)
"""Peers look at their own clock where they look at all, so that these certificates are valid for years."""


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return path


def run(*arguments: object) -> str:
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def signer_of(document: bytes, one: Identity) -> str | None:
    signers = SignerCertificates(certificates=(one.der,))
    return check_security(read_soap(document), NOW, NAME, SecurityPolicy(), signers=lambda: signers).signer


def check_accepted(document: bytes, one: Identity) -> None:
    """The document verifies, and no longer when one digit of its payload is another."""
    assert signer_of(document, one) == one.fingerprint
    with pytest.raises(ToolkitFault, match="ds:Signature does not verify"):
        signer_of(swapped(document, 'value="19710523"', 'value="19710524"'), one)


@pytest.fixture(scope="module")
def xmlsec1() -> str:
    return program("xmlsec1")


def id_attributes() -> list[str]:
    wsu = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
    return [
        *("--id-attr:Id", f"{wsu}:Timestamp"),
        *("--id-attr:Id", "http://schemas.xmlsoap.org/soap/envelope/:Body"),
    ]


def template(one: Identity, method: str, digest: str, key_info: str, prefixes: str | None) -> bytes:
    """A request with a signature in which every value is still empty."""
    listed = "" if prefixes is None else f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{prefixes}"/>'
    references = "".join(
        f'<ds:Reference URI="{uri}"><ds:Transforms><ds:Transform Algorithm="{EXCLUSIVE}">{listed}</ds:Transform>'
        f'</ds:Transforms><ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference>'
        for uri in ("#ts", "#body")
    )
    signature = made(
        f'<ds:Signature><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}">{listed}'
        f'</ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="{method}"/>{references}</ds:SignedInfo>'
        f"<ds:SignatureValue/><ds:KeyInfo>{key_info}</ds:KeyInfo></ds:Signature>"
    )
    document = edited(signable(), lambda root: at(root, "//wsse:Security").append(signature))
    return edited(document, lambda root: at(root, "//wsse:Security").append(made(token(one))))


@pytest.mark.rule("WS-SEC-08")
@pytest.mark.parametrize(
    ("kind", "method", "digest", "prefixes"),
    [
        pytest.param("rsa2048", f"{MORE}rsa-sha256", SHA256, None, id="RSA and SHA-256"),
        pytest.param("rsa2048", f"{MORE}rsa-sha512", SHA512, "soap wsse #default", id="RSA, SHA-512 and prefixes"),
        pytest.param("p256", f"{MORE}ecdsa-sha256", SHA256, "", id="ECDSA and SHA-256"),
        pytest.param("p384", f"{MORE}ecdsa-sha384", f"{MORE}sha384", None, id="ECDSA and SHA-384"),
    ],
)
@pytest.mark.parametrize("key_info", ["token", "certificate"])
def test_what_xmlsec1_signs_is_accepted(
    xmlsec1: str, tmp_path: Path, kind: str, method: str, digest: str, prefixes: str | None, key_info: str
) -> None:
    one = identity(kind)
    key, certificate, document, out = (tmp_path / name for name in ("key.pem", "crt.pem", "in.xml", "out.xml"))
    key.write_bytes(one.key_pem)
    certificate.write_bytes(one.certificate_pem)
    named = direct() if key_info == "token" else "<ds:X509Data><ds:X509Certificate/></ds:X509Data>"
    document.write_bytes(template(one, method, digest, named, prefixes))
    run(xmlsec1, "--sign", "--privkey-pem", f"{key},{certificate}", *id_attributes(), "--output", out, document)
    check_accepted(out.read_bytes(), one)


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p521"])
@pytest.mark.parametrize("prefixes", [None, "soap xsi"])
def test_xmlsec1_accepts_what_our_tests_sign(xmlsec1: str, tmp_path: Path, kind: str, prefixes: str | None) -> None:
    """So the signer of the tests is a right one, and its attacks are attacks on right signatures."""
    one = identity(kind, days=TODAY)
    certificate, document = tmp_path / "crt.pem", tmp_path / "in.xml"
    certificate.write_bytes(one.certificate_pem)
    document.write_bytes(sign(signable(), Signing(identity=one, prefixes=prefixes)))
    told = run(xmlsec1, "--verify", "--pubkey-cert-pem", certificate, *id_attributes(), document)
    assert "OK" in told


@pytest.fixture(scope="module")
def jdk(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs the Java program of this folder."""
    java, javac = program("java"), program("javac")
    classes = tmp_path_factory.mktemp("classes")
    run(javac, "-d", classes, Path(__file__).with_name("WsSecurityPeer.java"))
    return [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", str(classes), "WsSecurityPeer"]


def key_store(folder: Path, one: Identity) -> Path:
    path = folder / "keys.p12"
    encryption = serialization.BestAvailableEncryption(PASSWORD.encode())
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"client", one.key, one.certificate, None, encryption))
    return path


@pytest.mark.rule("WS-SEC-08")
@pytest.mark.parametrize(
    ("kind", "method", "digest", "key_info", "prefixes"),
    [
        pytest.param("rsa2048", f"{MORE}rsa-sha256", SHA256, "token", [], id="RSA and a token"),
        pytest.param("rsa3072", f"{MORE}rsa-sha512", SHA512, "serial", ["soap", "xsi"], id="RSA and a serial number"),
        pytest.param("p256", f"{MORE}ecdsa-sha256", SHA256, "certificate", [], id="ECDSA and a certificate"),
        pytest.param("p384", f"{MORE}ecdsa-sha384", f"{MORE}sha384", "serial", [], id="ECDSA and a serial number"),
    ],
)
def test_what_the_jdk_signs_is_accepted(
    jdk: list[str], tmp_path: Path, kind: str, method: str, digest: str, key_info: str, prefixes: list[str]
) -> None:
    one = identity(kind)
    document, out = tmp_path / "in.xml", tmp_path / "out.xml"
    document.write_bytes(signable())
    keys = key_store(tmp_path, one)
    run(*jdk, "sign", document, out, keys, PASSWORD, method, digest, key_info, *prefixes)
    check_accepted(out.read_bytes(), one)


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_the_jdk_accepts_what_our_tests_sign(jdk: list[str], tmp_path: Path, kind: str) -> None:
    one = identity(kind, days=TODAY)
    document = tmp_path / "in.xml"
    right = sign(signable(), Signing(identity=one, prefixes="soap", references=(TIMESTAMP, BODY)))
    for content, told in ((right, "valid #ts\nvalid #body\n"), (swapped(right, "19710523", "19710524"), "invalid\n")):
        document.write_bytes(content)
        assert run(*jdk, "verify", document, key_store(tmp_path, one), PASSWORD) == told
