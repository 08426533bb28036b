"""Signs the SOAP requests of `itk_messages`, rightly or in any wrong way, without a line of the verifier or of signxml.

`sign(document, Signing(identity))` puts a ds:Signature over wsu:Timestamp and soap:Body into the wsse:Security;
`replace(signing, ...)` opens every part of it. What is signed is always computed over what stands in the document, so a
hostile signature is cryptographically right unless a test breaks it afterwards.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from lxml import etree

from itk_messages import NOW, Request

__all__ = [
    "BODY",
    "DS",
    "ECDSA_SHA256",
    "EXCLUSIVE",
    "RSA_SHA256",
    "SHA256",
    "TIMESTAMP",
    "Identity",
    "Ref",
    "Signing",
    "carried_key",
    "direct",
    "identity",
    "issuer_serial",
    "key_identifier",
    "sign",
    "signable",
    "thumbprint",
    "token",
    "token_reference",
    "x509_data",
]

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
RSA_SHA256: Final = f"{MORE}rsa-sha256"
ECDSA_SHA256: Final = f"{MORE}ecdsa-sha256"
SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"

_WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_PROFILE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#"
_SECURITY_11: Final = "http://docs.oasis-open.org/wss/oasis-wss-soap-message-security-1.1#"
_BASE64: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"

_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}

_CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "p224": ec.SECP224R1(),
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
}

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """A key and its certificate."""

    key: Key
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@cache
def identity(
    kind: str = "rsa2048",
    name: str = "client.example.nhs.uk",
    *,
    serial: int | None = None,
    days: tuple[int, int] = (-30, 335),
) -> Identity:
    """A self-issued identity, the same one for the same arguments; ``days`` is its validity, counted from `NOW`."""
    key: Key
    if kind.startswith("rsa"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    else:
        key = ec.generate_private_key(_CURVES[kind])
    return Identity(key, _certificate(key, name, serial or x509.random_serial_number(), days))


def _certificate(key: Key, name: str, serial: int, days: tuple[int, int]) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "GB"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Quill, Feather & Co"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def renewed(one: Identity, *, days: tuple[int, int]) -> Identity:
    """The same key and name in another certificate."""
    name = one.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return Identity(one.key, _certificate(one.key, str(name), x509.random_serial_number(), days))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """One ds:Reference. ``covers`` is what its digest is made over: an id, or bytes; None: the id in ``uri``.

    ``transforms_markup`` replaces everything inside ds:Transforms, "" leaves ds:Transforms out.
    """

    uri: str | None
    covers: str | bytes | None = None
    prefixes: str | None = None
    transforms_markup: str | None = None
    digest: str = SHA256
    attributes: str = ""

    def markup(self, root: etree._Element) -> str:
        uri = "" if self.uri is None else f' URI="{self.uri}"'
        inside = _method("ds:Transform", EXCLUSIVE, _prefix_list(self.prefixes))
        if self.transforms_markup is not None:
            inside = self.transforms_markup
        transforms = f"<ds:Transforms>{inside}</ds:Transforms>" if inside else ""
        value = hashlib.new(_hash_name(self.digest), self._content(root), usedforsecurity=False).digest()
        return (
            f"<ds:Reference{uri}{self.attributes}>{transforms}{_method('ds:DigestMethod', self.digest)}"
            f"<ds:DigestValue>{base64.b64encode(value).decode()}</ds:DigestValue></ds:Reference>"
        )

    def _content(self, root: etree._Element) -> bytes:
        if isinstance(self.covers, bytes):
            return self.covers
        wanted = self.covers or (self.uri or "#")[1:]
        found = [element for element in root.iter(etree.Element) if wanted in element.attrib.values()]
        return _canonical(found[0], self.prefixes) if found else b""


TIMESTAMP: Final = Ref(uri="#ts")
BODY: Final = Ref(uri="#body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How a document is signed. ``token_markup`` goes before the signature, ``key_info_markup`` into ds:KeyInfo.

    ``method`` None follows the key. ``secret`` makes an HMAC in place of a signature; ``extra_markup`` goes behind
    ds:KeyInfo; ``place`` is an XPath for the parent of ds:Signature.
    """

    identity: Identity
    references: tuple[Ref, ...] = (TIMESTAMP, BODY)
    method: str | None = None
    canonicalization: str = EXCLUSIVE
    prefixes: str | None = None
    canonicalization_markup: str = ""
    method_markup: str = ""
    token_markup: str | None = None
    key_info_markup: str | None = None
    attributes: str = ""
    extra_markup: str = ""
    secret: bytes | None = None
    place: str = "/s:Envelope/s:Header/wsse:Security"

    def algorithm(self) -> str:
        if self.method is not None:
            return self.method
        return RSA_SHA256 if isinstance(self.identity.key, rsa.RSAPrivateKey) else ECDSA_SHA256


def signable(request: Request | None = None) -> bytes:
    """A request whose soap:Body has the id ``body``; the wsu:Timestamp has the id ``ts`` anyway."""
    document = (request or Request()).body()
    assert b"<soap:Body>" in document
    return document.replace(b"<soap:Body>", b'<soap:Body wsu:Id="body">')


def sign(document: bytes, signing: Signing) -> bytes:
    """The document with its signature."""
    root = etree.fromstring(document)
    (parent,) = _find(root, signing.place)
    key_info, token_markup = signing.key_info_markup, signing.token_markup
    if key_info is None:
        key_info = direct()
        token_markup = token(signing.identity) if token_markup is None else token_markup
    _append(parent, token_markup or "")
    references = "".join(reference.markup(root) for reference in signing.references)
    canonicalization = _method(
        "ds:CanonicalizationMethod",
        signing.canonicalization,
        signing.canonicalization_markup or _prefix_list(signing.prefixes),
    )
    _append(
        parent,
        f"<ds:Signature{signing.attributes}><ds:SignedInfo>{canonicalization}"
        f"{_method('ds:SignatureMethod', signing.algorithm(), signing.method_markup)}{references}</ds:SignedInfo>"
        f"<ds:SignatureValue/>"
        f"{key_info and f'<ds:KeyInfo>{key_info}</ds:KeyInfo>'}{signing.extra_markup}</ds:Signature>",
    )
    signature = parent[-1]
    exclusive = signing.canonicalization.startswith(EXCLUSIVE)
    content = _canonical(signature[0], signing.prefixes, exclusive=exclusive)
    signature[1].text = base64.b64encode(_value(signing, content)).decode()
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _value(signing: Signing, content: bytes) -> bytes:
    algorithm = _HASHES.get(_hash_name(signing.algorithm()), hashes.SHA256)()
    if signing.secret is not None:
        code = hmac.HMAC(signing.secret, algorithm)
        code.update(content)
        return code.finalize()
    key = signing.identity.key
    if isinstance(key, rsa.RSAPrivateKey):
        if signing.algorithm().endswith("MGF1"):
            salted = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
            return key.sign(content, salted, algorithm)
        return key.sign(content, padding.PKCS1v15(), algorithm)
    size = (key.curve.key_size + 7) // 8
    return b"".join(part.to_bytes(size, "big") for part in decode_dss_signature(key.sign(content, ec.ECDSA(algorithm))))


def _hash_name(algorithm: str) -> str:
    tail = algorithm.rpartition("#")[2].lower()
    return next((name for name in (*_HASHES, "md5") if name in tail), "sha256")


def _canonical(element: etree._Element, prefixes: str | None, *, exclusive: bool = True) -> bytes:
    listed = prefixes.split() if prefixes else None
    return etree.tostring(
        element, method="c14n", exclusive=exclusive, with_comments=False, inclusive_ns_prefixes=listed
    )


def _method(name: str, algorithm: str, inside: str = "") -> str:
    return f'<{name} Algorithm="{algorithm}">{inside}</{name}>'


def _prefix_list(prefixes: str | None) -> str:
    return "" if prefixes is None else f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{prefixes}"/>'


def _find(root: etree._Element, path: str) -> list[etree._Element]:
    found = root.xpath(path, namespaces={"s": _SOAP, "wsse": _WSSE, "wsu": _WSU, "ds": DS})
    assert isinstance(found, list)
    return [element for element in found if isinstance(element, etree._Element)]


def _append(parent: etree._Element, markup: str) -> None:
    wrapper = etree.fromstring(f'<x xmlns:ds="{DS}" xmlns:wsse="{_WSSE}" xmlns:wsu="{_WSU}">{markup}</x>')
    parent.extend(list(wrapper))


def token(one: Identity, *, identifier: str = "token", value_type: str = f"{_PROFILE}X509v3") -> str:
    """A wsse:BinarySecurityToken."""
    content = base64.b64encode(one.der).decode()
    return (
        f'<wsse:BinarySecurityToken wsu:Id="{identifier}" ValueType="{value_type}" EncodingType="{_BASE64}">'
        f"{content}</wsse:BinarySecurityToken>"
    )


def token_reference(inside: str) -> str:
    """A wsse:SecurityTokenReference around something."""
    return f"<wsse:SecurityTokenReference>{inside}</wsse:SecurityTokenReference>"


def direct(uri: str = "#token") -> str:
    """The key by its wsse:BinarySecurityToken."""
    return token_reference(f'<wsse:Reference URI="{uri}" ValueType="{_PROFILE}X509v3"/>')


def _identified(value_type: str, value: bytes) -> str:
    content = base64.b64encode(value).decode()
    return token_reference(
        f'<wsse:KeyIdentifier ValueType="{value_type}" EncodingType="{_BASE64}">{content}</wsse:KeyIdentifier>'
    )


def key_identifier(one: Identity) -> str:
    """The key by its SubjectKeyIdentifier."""
    return _identified(f"{_PROFILE}X509SubjectKeyIdentifier", _subject_key_identifier(one))


def thumbprint(one: Identity) -> str:
    """The key by the SHA-1 of its certificate."""
    return _identified(f"{_SECURITY_11}ThumbprintSHA1", one.certificate.fingerprint(hashes.SHA1()))  # noqa: S303 - a name, not a proof


def carried_key(one: Identity) -> str:
    """The key by its certificate inside a wsse:KeyIdentifier."""
    return _identified(f"{_PROFILE}X509v3", one.der)


def _subject_key_identifier(one: Identity) -> bytes:
    return one.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def issuer_serial(one: Identity, *, issuer: str | None = None, serial: int | str | None = None) -> str:
    """A ds:X509IssuerSerial."""
    name = one.certificate.issuer.rfc4514_string() if issuer is None else issuer
    number = one.certificate.serial_number if serial is None else serial
    escaped = name.replace("&", "&amp;")
    return (
        f"<ds:X509IssuerSerial><ds:X509IssuerName>{escaped}</ds:X509IssuerName>"
        f"<ds:X509SerialNumber>{number}</ds:X509SerialNumber></ds:X509IssuerSerial>"
    )


def x509_data(inside: str | None = None, *, certificate: Identity | None = None, ski: Identity | None = None) -> str:
    """A ds:X509Data with a certificate, a key identifier and other markup, each where it is given."""
    parts = ""
    if certificate is not None:
        parts += f"<ds:X509Certificate>{base64.b64encode(certificate.der).decode()}</ds:X509Certificate>"
    if ski is not None:
        parts += f"<ds:X509SKI>{base64.b64encode(_subject_key_identifier(ski)).decode()}</ds:X509SKI>"
    return f"<ds:X509Data>{parts}{inside or ''}</ds:X509Data>"
