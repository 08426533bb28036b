"""Signs the client's own requests: timestamp and body, by the key of its certificate, as a plug-in of zeep.

Source: transport.md (ds:Signature), X.509 Certificate Token Profile 1.1 (a wsse:BinarySecurityToken).
"""

import base64
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod, SignatureMethod
from signxml.signer import XMLSigner

from smsp_provider.xmlcore.names import SOAP11, WSSE, WSU, XMLDSIG

__all__ = ["RequestSigner"]

_ID: Final = f"{{{WSU}}}Id"
_TOKEN_PROFILE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"  # noqa: S105 - a URI
_BASE64: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class RequestSigner:
    """Signs with the key of ``certificate``: PEM files, of which ``key`` may be the same file.

    Raises:
        OSError: a file cannot be read.
        ValueError: not PEM, not an RSA or EC key, or a key with a password.
    """

    def __init__(self, certificate: Path, key: Path | None = None) -> None:
        try:
            loaded = serialization.load_pem_private_key((key or certificate).read_bytes(), password=None)
        except TypeError:
            raise ValueError("the key has a password") from None
        if not isinstance(loaded, Key):
            raise ValueError("the key is neither RSA nor EC")  # noqa: TRY004 - it is the content of a file
        self._key: Final[Key] = loaded
        self._method: Final = (
            SignatureMethod.RSA_SHA256 if isinstance(loaded, rsa.RSAPrivateKey) else SignatureMethod.ECDSA_SHA256
        )
        shown = x509.load_pem_x509_certificate(certificate.read_bytes())
        self._token: Final = base64.b64encode(shown.public_bytes(serialization.Encoding.DER)).decode()

    def apply(self, envelope: etree._Element, headers: dict[str, str]) -> tuple[etree._Element, dict[str, str]]:
        """Sign a message that has one wsu:Timestamp: zeep calls this before it sends."""
        security = envelope.find(f"{{{SOAP11}}}Header/{{{WSSE}}}Security")
        body = envelope.find(f"{{{SOAP11}}}Body")
        timestamp = None if security is None else security.find(f"{{{WSU}}}Timestamp")
        if security is None or body is None or timestamp is None:
            raise ValueError("the message has no wsu:Timestamp or no soap:Body")
        timestamp.set(_ID, "timestamp")
        body.set(_ID, "body")
        token = etree.SubElement(security, f"{{{WSSE}}}BinarySecurityToken", {_ID: "token"})
        token.set("ValueType", _TOKEN_PROFILE)
        token.set("EncodingType", _BASE64)
        token.text = self._token
        signer = XMLSigner(
            method=SignatureConstructionMethod.detached,
            signature_algorithm=self._method,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        references = ["#timestamp", "#body"]
        security.append(signer.sign(envelope, key=self._key, reference_uri=references, key_info=_key_info()))
        return envelope, headers

    def verify(self, envelope: Any) -> None:  # noqa: ANN401 - a plug-in of zeep, which has no types
        """Nothing: responses are not signed (WS-SEC-16). zeep calls this for every answer."""


def _key_info() -> etree._Element:
    key_info = etree.Element(f"{{{XMLDSIG}}}KeyInfo", nsmap={"ds": XMLDSIG, "wsse": WSSE})
    named = etree.SubElement(key_info, f"{{{WSSE}}}SecurityTokenReference")
    etree.SubElement(named, f"{{{WSSE}}}Reference", {"URI": "#token", "ValueType": _TOKEN_PROFILE})
    return key_info
