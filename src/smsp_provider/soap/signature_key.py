"""Whose key a signature is checked with: from ds:KeyInfo to one registered certificate.

A certificate inside the message proves nothing by itself: anybody can make one, of any name. It counts only where its
fingerprint is known, so a registration by subject and issuer alone is no registration here.
Source: Web Services Security X.509 Certificate Token Profile 1.1 (references), XML Signature 1.1 (ds:X509Data),
transport.md (a registered certificate).
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree

from smsp_provider.domain.clients import FingerprintPin, PeerCertificate, Pin
from smsp_provider.soap.signature_shape import decode_base64, refuse
from smsp_provider.xmlcore.names import WSSE, WSU, XMLDSIG
from smsp_provider.xmlcore.read import leaf_text

__all__ = ["Signer", "SignerCertificates", "find_signer"]

_MIN_RSA_BITS: Final = 2_048
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")

_TOKEN_PROFILE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#"  # noqa: S105 - a URI
_X509V3: Final = f"{_TOKEN_PROFILE}X509v3"
_KEY_IDENTIFIER: Final = f"{_TOKEN_PROFILE}X509SubjectKeyIdentifier"
_THUMBPRINT: Final = "http://docs.oasis-open.org/wss/oasis-wss-soap-message-security-1.1#ThumbprintSHA1"
_BASE64: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"

_TOKEN: Final = f"{{{WSSE}}}BinarySecurityToken"
_TOKEN_REFERENCE: Final = f"{{{WSSE}}}SecurityTokenReference"
_DIRECT: Final = f"{{{WSSE}}}Reference"
_IDENTIFIER: Final = f"{{{WSSE}}}KeyIdentifier"
_X509_DATA: Final = f"{{{XMLDSIG}}}X509Data"
_WSU_ID: Final = f"{{{WSU}}}Id"

_SERIAL: Final = re.compile(r"[0-9]{1,50}")
_MAX_NAME: Final = 1_024
_AFTER_COMMA: Final = re.compile(r"(?<!\\),\s+")

Test = Callable[[x509.Certificate], bool]


@dataclass(frozen=True, slots=True)
class SignerCertificates:
    """Who may sign: SHA-256 fingerprints in lower-case hexadecimal digits, and whole certificates in DER.

    ``certificates`` are registered by themselves; only they can be found by a reference that carries no certificate.
    """

    fingerprints: frozenset[str] = frozenset()
    certificates: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, pins: Iterable[Pin], peer: PeerCertificate | None, at: datetime) -> "SignerCertificates":
        """Those of a client: its pins by fingerprint that hold at the moment ``at``, and ``peer``.

        ``peer`` is the certificate that the client called with, verified by TLS and recognised as the client's.
        """
        held = [pin for pin in pins if isinstance(pin, FingerprintPin) and (pin.until is None or at < pin.until)]
        stored = [pin.certificate for pin in held if pin.certificate is not None]
        shown = [] if peer is None else [peer.der]
        return cls(frozenset(pin.fingerprint for pin in held), tuple(dict.fromkeys((*shown, *stored))))

    def holds(self, certificate: bytes) -> bool:
        """Whether the certificate (DER) is one of these."""
        return certificate in self.certificates or fingerprint_of(certificate) in self.fingerprints


@dataclass(frozen=True, slots=True)
class Signer:
    """The registered certificate that a signature names; ``fingerprint`` is the SHA-256 of its DER."""

    certificate: x509.Certificate
    fingerprint: str


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 of a certificate (DER) in lower-case hexadecimal digits."""
    return hashlib.sha256(certificate).hexdigest()


def find_signer(
    key_info: etree._Element, security: etree._Element, signers: SignerCertificates, now: datetime
) -> Signer:
    """The certificate that ``key_info`` names: registered, valid at ``now`` (aware), with a key that is strong enough.

    ``security`` is the wsse:Security that holds the signature, and the token where there is one.

    Raises:
        ToolkitFault: 3000, no certificate is named in an accepted way, or not one of ``signers``, or it may not sign.
    """
    tokens = list(security.iterchildren(_TOKEN))
    if len(tokens) > 1:
        refuse("wsse:BinarySecurityToken", "is given more than once")
    if len(key_info) != 1:
        refuse("ds:KeyInfo", "does not hold exactly one reference to a certificate")
    named = key_info[0]
    if named.tag == _TOKEN_REFERENCE:
        if len(named) != 1:
            refuse("wsse:SecurityTokenReference", "does not hold exactly one reference")
        named = named[0]
    elif named.tag != _X509_DATA:
        refuse("ds:KeyInfo", "names no certificate")
    return _checked(_named(named, tokens, signers), now)


def _named(named: etree._Element, tokens: list[etree._Element], signers: SignerCertificates) -> bytes:
    """The registered certificate (DER) behind one of the accepted references."""
    if named.tag == _DIRECT:
        return _carried(_token_of(named, tokens), "wsse:BinarySecurityToken", signers)
    if named.tag == _IDENTIFIER:
        return _by_identifier(named, signers)
    if named.tag != _X509_DATA:
        refuse("wsse:SecurityTokenReference", "names no certificate")
    return _by_x509_data(named, signers)


def _token_of(reference: etree._Element, tokens: list[etree._Element]) -> etree._Element:
    _check_type(reference, "ValueType", (_X509V3,), "wsse:Reference", optional=True)
    if not tokens or reference.get("URI") != f"#{tokens[0].get(_WSU_ID)}":
        refuse("wsse:Reference", "does not name the wsse:BinarySecurityToken")
    _check_type(tokens[0], "ValueType", (_X509V3,), "wsse:BinarySecurityToken")
    _check_type(tokens[0], "EncodingType", (_BASE64,), "wsse:BinarySecurityToken", optional=True)
    return tokens[0]


def _by_identifier(identifier: etree._Element, signers: SignerCertificates) -> bytes:
    name = "wsse:KeyIdentifier"
    kind = _check_type(identifier, "ValueType", (_X509V3, _KEY_IDENTIFIER, _THUMBPRINT), name)
    _check_type(identifier, "EncodingType", (_BASE64,), name, optional=True)
    if kind == _X509V3:
        return _carried(identifier, name, signers)
    value = decode_base64(identifier, name)
    if kind == _KEY_IDENTIFIER:
        return _only(signers, _has_key_identifier(value))
    # SHA-1 only tells which of the registered certificates is meant; nothing is trusted for it.
    return _only(signers, lambda certificate: certificate.fingerprint(hashes.SHA1()) == value)  # noqa: S303 - see above


def _by_x509_data(data: etree._Element, signers: SignerCertificates) -> bytes:
    """What ds:X509Data names: all of its children must speak of one and the same certificate."""
    carried: bytes | None = None
    tests: list[Test] = []
    if len({child.tag for child in data}) != len(data):
        refuse("ds:X509Data", "names something twice")
    for child in data:
        match etree.QName(child).localname if etree.QName(child).namespace == XMLDSIG else "":
            case "X509Certificate":
                carried = _carried(child, "ds:X509Certificate", signers)
            case "X509IssuerSerial":
                tests.append(_issuer_serial(child))
            case "X509SKI":
                tests.append(_has_key_identifier(decode_base64(child, "ds:X509SKI")))
            case "X509SubjectName":
                tests.append(_has_subject(_name(child)))
            case _:
                refuse("ds:X509Data", "holds something that is not accepted")
    if carried is None:
        return _only(signers, *tests)
    certificate = _parsed(carried)
    if not all(test(certificate) for test in tests):
        refuse("ds:X509Data", "names another certificate than it carries")
    return carried


def _issuer_serial(element: etree._Element) -> Test:
    names = [f"{{{XMLDSIG}}}X509IssuerName", f"{{{XMLDSIG}}}X509SerialNumber"]
    if [child.tag for child in element] != names:
        refuse("ds:X509IssuerSerial", "does not hold exactly ds:X509IssuerName, ds:X509SerialNumber")
    issuer, number = _name(element[0]), leaf_text(element[1])
    if _SERIAL.fullmatch(number) is None:
        refuse("ds:X509SerialNumber", "is not a number")
    serial = int(number)
    return lambda certificate: certificate.serial_number == serial and certificate.issuer == issuer


def _has_key_identifier(value: bytes) -> Test:
    return lambda certificate: _key_identifier(certificate) == value


def _has_subject(name: x509.Name) -> Test:
    return lambda certificate: certificate.subject == name


def _name(element: etree._Element) -> x509.Name:
    """A distinguished name in the form of RFC 4514, with or without a blank after its commas."""
    text = leaf_text(element)
    if not text or len(text) > _MAX_NAME:
        refuse(f"ds:{etree.QName(element).localname}", "is not a distinguished name")
    try:
        return x509.Name.from_rfc4514_string(_AFTER_COMMA.sub(",", text))
    except ValueError:
        refuse(f"ds:{etree.QName(element).localname}", "is not a distinguished name")


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None


def _check_type(
    element: etree._Element, attribute: str, accepted: tuple[str, ...], name: str, *, optional: bool = False
) -> str:
    value = element.get(attribute)
    if value is None and optional:
        return ""
    if value not in accepted:
        refuse(name, f"has a {attribute} that is not accepted")
    return value


def _carried(element: etree._Element, name: str, signers: SignerCertificates) -> bytes:
    """A certificate that the message carries; it is not looked into before it is known to be registered."""
    certificate = decode_base64(element, name)
    if not signers.holds(certificate):
        refuse("ds:KeyInfo", "names no registered certificate")
    return certificate


def _only(signers: SignerCertificates, *tests: Test) -> bytes:
    """The registered certificate that stands all tests; of several (a renewed one) the one that lasts longest."""
    found = [(_parsed(one), one) for one in signers.certificates]
    found = [(certificate, one) for certificate, one in found if tests and all(test(certificate) for test in tests)]
    if not found:
        refuse("ds:KeyInfo", "names no registered certificate")
    return max(found, key=lambda pair: pair[0].not_valid_after_utc)[1]


def _parsed(certificate: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(certificate)
    except ValueError:
        refuse("ds:KeyInfo", "names a certificate that cannot be read")


def _checked(certificate: bytes, now: datetime) -> Signer:
    parsed = _parsed(certificate)
    if now < parsed.not_valid_before_utc:
        refuse("ds:KeyInfo", "names a certificate that is not valid yet")
    if now > parsed.not_valid_after_utc:
        refuse("ds:KeyInfo", "names a certificate that has expired")
    if not _is_strong(parsed):
        refuse("ds:KeyInfo", "names a certificate whose key is too weak")
    return Signer(parsed, fingerprint_of(certificate))


def _is_strong(certificate: x509.Certificate) -> bool:
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return False
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= _MIN_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES
