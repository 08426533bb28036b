"""XML signatures over wsu:Timestamp and soap:Body, made here with exclusive canonical XML and SHA-256.

Enough of XMLDSig to play a client that signs, rightly and wrongly: the provider's own verifier shares no line with it.
Source: transport.md, ds:Signature; XML Signature 1.1, Exclusive XML Canonicalization, X.509 Certificate Token Profile.
"""

import base64
import hashlib
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

from smsp_provider.conformance.names import NAMESPACES
from smsp_provider.conformance.xpath import only_element

__all__ = ["SIGNING_KINDS", "sign_request"]

_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"
_RSA: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_ECDSA: Final = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
_DS: Final = NAMESPACES["ds"]
_WSSE: Final = NAMESPACES["wsse"]
_ID: Final = f"{{{NAMESPACES['wsu']}}}Id"
_TOKEN_PROFILE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"  # noqa: S105 - a URI
_BASE64: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"

SIGNING_KINDS: Final = ("right", "wrong value", "wrong digest", "body only")
"""``right`` signs Timestamp and Body; ``wrong value`` damages SignatureValue, ``wrong digest`` one DigestValue."""


def sign_request(root: etree._Element, kind: str, pem: str) -> None:
    """Put a signature into the wsse:Security of a message whose Timestamp and Body carry a wsu:Id.

    ``pem`` holds the private key (RSA or EC) and the certificate.

    Raises:
        ValueError: the PEM text holds no key or certificate.
        TypeError: the key is neither RSA nor EC.
    """
    security = _only(root, "//wsse:Security")
    parts = [_only(root, "//soap:Body")]
    if kind != "body only":
        parts.insert(0, _only(root, "//wsu:Timestamp"))
    certificate = x509.load_pem_x509_certificate(pem.encode())
    key = serialization.load_pem_private_key(pem.encode(), None)
    token = etree.SubElement(
        security,
        f"{{{_WSSE}}}BinarySecurityToken",
        {_ID: "token", "ValueType": _TOKEN_PROFILE, "EncodingType": _BASE64},
    )
    token.text = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
    signature = etree.SubElement(security, f"{{{_DS}}}Signature", nsmap={"ds": _DS})
    signed = etree.SubElement(signature, f"{{{_DS}}}SignedInfo")
    etree.SubElement(signed, f"{{{_DS}}}CanonicalizationMethod", {"Algorithm": _C14N})
    method = _RSA if isinstance(key, rsa.RSAPrivateKey) else _ECDSA
    etree.SubElement(signed, f"{{{_DS}}}SignatureMethod", {"Algorithm": method})
    for part in parts:
        _reference(signed, part, damaged=kind == "wrong digest")
    value = etree.SubElement(signature, f"{{{_DS}}}SignatureValue")
    value.text = base64.b64encode(_signed(key, _canonical(signed), damaged=kind == "wrong value")).decode()
    information = etree.SubElement(signature, f"{{{_DS}}}KeyInfo")
    reference = etree.SubElement(information, f"{{{_WSSE}}}SecurityTokenReference")
    etree.SubElement(reference, f"{{{_WSSE}}}Reference", {"URI": "#token", "ValueType": _TOKEN_PROFILE})


def _only(root: etree._Element, path: str) -> etree._Element:
    found = only_element(root, path)
    if found is None:
        raise ValueError(f"{path} does not name one element")
    return found


def _canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


def _reference(signed: etree._Element, part: etree._Element, *, damaged: bool) -> None:
    reference = etree.SubElement(signed, f"{{{_DS}}}Reference", {"URI": f"#{part.get(_ID)}"})
    transforms = etree.SubElement(reference, f"{{{_DS}}}Transforms")
    etree.SubElement(transforms, f"{{{_DS}}}Transform", {"Algorithm": _C14N})
    etree.SubElement(reference, f"{{{_DS}}}DigestMethod", {"Algorithm": _SHA256})
    digest = hashlib.sha256(_canonical(part) + (b" " if damaged else b"")).digest()
    etree.SubElement(reference, f"{{{_DS}}}DigestValue").text = base64.b64encode(digest).decode()


def _signed(key: object, content: bytes, *, damaged: bool) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        # XMLDSig wants r and s side by side, not the DER that the library makes.
        size = (key.curve.key_size + 7) // 8
        parts = decode_dss_signature(key.sign(content, ec.ECDSA(hashes.SHA256())))
        signature = b"".join(part.to_bytes(size, "big") for part in parts)
    else:
        raise TypeError("the key is neither RSA nor EC")
    return bytes([signature[0] ^ 1]) + signature[1:] if damaged else signature
