"""What the table of signature attacks is made of: the attack, the client that signs, and ways to change a document."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from lxml import etree

from itk_signing import DS, Identity, Signing, identity, sign, signable
from smsp_provider.soap.signature_key import SignerCertificates

__all__ = [
    "INVALID",
    "NAMES",
    "UNKNOWN",
    "SignatureAttack",
    "at",
    "client",
    "edited",
    "forger",
    "made",
    "signed",
    "swapped",
    "texts",
]

NAMES: Final = {
    "soap": "http://schemas.xmlsoap.org/soap/envelope/",
    "wsse": "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd",
    "wsu": "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd",
    "wsa": "http://www.w3.org/2005/08/addressing",
    "ds": DS,
}

INVALID: Final = "ds:Signature does not verify"
UNKNOWN: Final = "ds:KeyInfo names no registered certificate"


def client() -> Identity:
    """The client whose certificate is registered."""
    return identity()


def forger() -> Identity:
    """Somebody with a certificate of the same subject, issuer and serial number, made by themselves."""
    return identity("rsa2048", serial=client().certificate.serial_number)


@cache
def signed(**changes: Any) -> bytes:
    """A request signed by the client, with other fields of `Signing` where they are given."""
    return sign(signable(), replace(Signing(identity=client()), **changes))


@dataclass(frozen=True, slots=True)
class SignatureAttack:
    """A document that must be refused with `text`; its `twin` must pass. `signers` are the registered certificates.

    `convincing`: the arithmetic is right under the key of `signed_by`; a verifier that looks no further accepts it.
    """

    name: str
    document: bytes
    text: str
    twin: bytes = field(default_factory=signed)
    signers: SignerCertificates = field(default_factory=lambda: SignerCertificates(certificates=(client().der,)))
    convincing: bool = False
    signed_by: Identity = field(default_factory=client)


def edited(document: bytes, change: Callable[[etree._Element], None]) -> bytes:
    """The document after a change of its tree."""
    root = etree.fromstring(document)
    change(root)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def swapped(document: bytes, old: str, new: str) -> bytes:
    """The document with another text in place of the first `old`, which must be there."""
    assert old.encode() in document, old
    return document.replace(old.encode(), new.encode(), 1)


def texts(document: bytes, name: str) -> list[str]:
    """The texts of all elements of XML Signature with this name."""
    return [element.text or "" for element in etree.fromstring(document).iter(f"{{{DS}}}{name}")]


def at(root: etree._Element, path: str) -> etree._Element:
    """The first element that an XPath finds."""
    found = root.xpath(path, namespaces=NAMES)
    assert isinstance(found, list)
    element = found[0]
    assert isinstance(element, etree._Element)
    return element


def made(markup: str) -> etree._Element:
    """A new element."""
    declared = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in NAMES.items())
    return etree.fromstring(f"<x {declared}>{markup}</x>")[0]
