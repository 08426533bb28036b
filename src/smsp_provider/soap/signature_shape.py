"""The one form of a ds:Signature that is accepted, and what it says.

XML Signature can express programs: chains of transforms, references to anywhere, lists of lists. What is read here is
the small part that signs whole elements of a SOAP message; everything else is refused before any of it is evaluated,
and every list has a bound. Every breach is 3000 and names the element.
Source: XML Signature 1.1, Exclusive XML Canonicalization 1.0, RFC 9231 (names of algorithms).
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from lxml import etree

from smsp_provider.domain.faults import access_denied
from smsp_provider.domain.immutable import immutable
from smsp_provider.xmlcore.names import XMLDSIG
from smsp_provider.xmlcore.read import leaf_text

__all__ = ["MAX_PREFIXES", "MAX_REFERENCES", "Reference", "SignatureParts", "decode_base64", "read_signature", "refuse"]

MAX_REFERENCES: Final = 12
"""Body, Timestamp, the seven addressing headers, username and security token; and one to spare."""

MAX_PREFIXES: Final = 32
"""Prefixes in one InclusiveNamespaces: each is looked for at every element that is canonicalized."""

_MAX_BASE64: Final = 16_384
_BLANKS: Final = re.compile("[ \t\r\n]+")

_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_INCLUSIVE_NAMESPACES: Final = f"{{{_EXCLUSIVE}}}InclusiveNamespaces"

_SIGNATURE_METHODS: Final = frozenset(
    f"http://www.w3.org/2001/04/xmldsig-more#{name}"
    for name in ("rsa-sha256", "rsa-sha384", "rsa-sha512", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512")
)
_SIGNATURE_METHODS_SHA1: Final = frozenset({f"{XMLDSIG}rsa-sha1", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1"})
_DIGEST_BYTES: Final = {
    "http://www.w3.org/2001/04/xmlenc#sha256": 32,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": 48,
    "http://www.w3.org/2001/04/xmlenc#sha512": 64,
}
_DIGEST_BYTES_SHA1: Final = {f"{XMLDSIG}sha1": 20}

_FRAGMENT: Final = re.compile(r"#([A-Za-z_][A-Za-z0-9._-]{0,127})")
_PREFIX: Final = re.compile(r"#default|[A-Za-z_][A-Za-z0-9._-]{0,63}")


@immutable
class Reference:
    """A ds:Reference: the id of the element it covers, and the prefixes that stay although they are not in use."""

    identifier: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignatureParts:
    """What the verification needs of a ds:Signature; ``method`` and ``digests`` are URIs of the allowed algorithms."""

    references: tuple[Reference, ...]
    method: str
    digests: frozenset[str]
    key_info: etree._Element


def read_signature(signature: etree._Element, *, allow_sha1: bool) -> SignatureParts:
    """Read a ds:Signature of the accepted form.

    Raises:
        ToolkitFault: 3000, the first part that is missing, unknown, out of its place or not allowed.
    """
    info, value, key_info = _children(signature, "SignedInfo", "SignatureValue", "KeyInfo")
    _attributes(signature, optional=("Id",))
    _attributes(info, optional=("Id",))
    _attributes(value, optional=("Id",))
    _attributes(key_info, optional=("Id",))
    if not decode_base64(value, "ds:SignatureValue"):
        refuse("ds:SignatureValue", "is empty")
    count = len(info) - 2
    if count < 1:
        refuse("ds:SignedInfo", "has no ds:Reference")
    if count > MAX_REFERENCES:
        refuse("ds:SignedInfo", "has too many ds:Reference")
    canonicalization, method, *references = _children(
        info, "CanonicalizationMethod", "SignatureMethod", *["Reference"] * count
    )
    _read_canonicalization(canonicalization, "ds:CanonicalizationMethod")
    methods = _SIGNATURE_METHODS | (_SIGNATURE_METHODS_SHA1 if allow_sha1 else frozenset())
    algorithm = _algorithm(method, "ds:SignatureMethod")
    if algorithm not in methods:
        refuse("ds:SignatureMethod", "names an algorithm that is not accepted")
    digests = _DIGEST_BYTES | (_DIGEST_BYTES_SHA1 if allow_sha1 else {})
    read = [_read_reference(reference, digests) for reference in references]
    covered = tuple(reference for reference, _ in read)
    if len({reference.identifier for reference in covered}) != count:
        refuse("ds:Reference", "is given twice for one element")
    return SignatureParts(covered, algorithm, frozenset(digest for _, digest in read), key_info)


def decode_base64(element: etree._Element, name: str) -> bytes:
    """The bytes of a leaf in base64, which may be wrapped into lines.

    Raises:
        ToolkitFault: 3000, not base64, or longer than any key, digest or certificate is.
    """
    text = leaf_text(element)
    if len(text) > _MAX_BASE64:
        refuse(name, "is too long")
    try:
        return base64.b64decode(_BLANKS.sub("", text).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        refuse(name, "is not base64")


def refuse(name: str, problem: str) -> NoReturn:
    """Raise the fault for the breach of an element: 3000, and nothing of the content."""
    raise access_denied(f"{name} {problem}", rule="WS-SEC-08") from None


def _read_reference(reference: etree._Element, digests: dict[str, int]) -> tuple[Reference, str]:
    # A Type tells of a Manifest, an Object or properties, all of which mean more than the element itself.
    _attributes(reference, required=("URI",), optional=("Id",))
    fragment = _FRAGMENT.fullmatch(reference.get("URI", ""))
    if fragment is None:
        refuse("ds:Reference", "does not name an element of this message by its id")
    transforms, method, value = _children(reference, "Transforms", "DigestMethod", "DigestValue")
    _attributes(transforms)
    _attributes(value)
    (transform,) = _children(transforms, "Transform")
    prefixes = _read_canonicalization(transform, "ds:Transform")
    algorithm = _algorithm(method, "ds:DigestMethod")
    if algorithm not in digests:
        refuse("ds:DigestMethod", "names an algorithm that is not accepted")
    if len(decode_base64(value, "ds:DigestValue")) != digests[algorithm]:
        refuse("ds:DigestValue", "does not have the length of its algorithm")
    return Reference(fragment[1], prefixes), algorithm


def _read_canonicalization(element: etree._Element, name: str) -> tuple[str, ...]:
    """The prefix list of a method or transform, which must be exclusive canonicalization without comments."""
    _attributes(element, required=("Algorithm",))
    if element.get("Algorithm") != _EXCLUSIVE:
        refuse(name, "names an algorithm that is not accepted")
    if len(element) == 0:
        return ()
    inclusive = element[0]
    if len(element) != 1 or inclusive.tag != _INCLUSIVE_NAMESPACES or len(inclusive):
        refuse(name, "holds something other than one ec:InclusiveNamespaces")
    _attributes(inclusive, required=("PrefixList",))
    prefixes = tuple(inclusive.get("PrefixList", "").split())
    if len(prefixes) > MAX_PREFIXES:
        refuse("ec:InclusiveNamespaces", "lists too many prefixes")
    if not all(map(_PREFIX.fullmatch, prefixes)):
        refuse("ec:InclusiveNamespaces", "lists something that is not a prefix")
    return prefixes


def _algorithm(method: etree._Element, name: str) -> str:
    """The algorithm of a method without parameters: a truncated HMAC and a PSS salt would be parameters."""
    _attributes(method, required=("Algorithm",))
    if len(method):
        refuse(name, "has parameters")
    return method.get("Algorithm", "")


def _children(parent: etree._Element, *names: str) -> list[etree._Element]:
    """The children of an element of XML Signature, which must be these, in this order."""
    if [child.tag for child in parent] != [f"{{{XMLDSIG}}}{name}" for name in names]:
        expected = ", ".join(f"ds:{name}" for name in dict.fromkeys(names))
        refuse(f"ds:{etree.QName(parent).localname}", f"does not hold exactly {expected}")
    return list(parent)


def _attributes(element: etree._Element, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> None:
    names = set(map(str, element.attrib))
    if not names.issuperset(required) or not names.issubset((*required, *optional)):
        refuse(f"{element.prefix or 'ds'}:{etree.QName(element).localname}", "has other attributes than it may have")
