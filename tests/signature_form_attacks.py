"""Attacks by the form of ds:Signature: algorithms, transforms, and what else XML Signature can express."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives import serialization
from lxml import etree

from itk_messages import Request
from itk_signing import BODY, DS, EXCLUSIVE, TIMESTAMP, Ref, Signing, direct, sign, signable, token
from signature_cases import INVALID, SignatureAttack, at, client, edited, signed, swapped

__all__ = ["form_attacks"]

_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_STR_TRANSFORM: Final = (
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#STR-Transform"
)
_CANONICALIZATIONS: Final = (
    ("canonical XML with comments", f"{EXCLUSIVE}WithComments"),
    ("inclusive canonical XML", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
    ("canonical XML 1.1", "http://www.w3.org/2006/12/xml-c14n11"),
    ("canonical XML 2.0", "http://www.w3.org/2010/xml-c14n2"),
    ("an unknown form", "urn:x"),
)

_NOT_ACCEPTED: Final = "names an algorithm that is not accepted"
_PARTS: Final = "ds:Signature does not hold exactly ds:SignedInfo, ds:SignatureValue, ds:KeyInfo"
_REFERENCE: Final = "ds:Reference does not hold exactly ds:Transforms, ds:DigestMethod, ds:DigestValue"


def form_attacks() -> Iterator[SignatureAttack]:
    """All of them."""
    yield from _algorithms()
    yield from _transforms()
    yield from _shapes()
    yield from _sizes()


def _algorithms() -> Iterator[SignatureAttack]:
    """Algorithms that are weak, unknown, or not what the key is for."""
    method = f"ds:SignatureMethod {_NOT_ACCEPTED}"
    for name, algorithm in (
        ("RSA with SHA-1", f"{DS}rsa-sha1"),
        ("RSA with SHA-224", f"{_MORE}rsa-sha224"),
        ("RSA with MD5", f"{_MORE}rsa-md5"),
        ("RSA-PSS", "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"),
        ("DSA", "http://www.w3.org/2009/xmldsig11#dsa-sha256"),
        ("an unknown method", "urn:x"),
        ("no method", ""),
    ):
        yield SignatureAttack(name, signed(method=algorithm), method)
    public = (
        client()
        .key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for name, secret in (("the public key", public), ("nothing", b""), ("the certificate", client().der)):
        hmac = signed(method=f"{_MORE}hmac-sha256", secret=secret)
        yield SignatureAttack(f"an HMAC with {name} as its secret", hmac, method)
    short = signed(method_markup="<ds:HMACOutputLength>0</ds:HMACOutputLength>")
    yield SignatureAttack("an HMAC of no length", short, "ds:SignatureMethod has parameters")
    yield SignatureAttack(
        "a method for another key", swapped(signed(), f"{_MORE}rsa-sha256", f"{_MORE}ecdsa-sha256"), INVALID
    )
    yield SignatureAttack("a stronger method than was used", swapped(signed(), "#rsa-sha256", "#rsa-sha512"), INVALID)
    for name, digest in (
        ("SHA-1", f"{DS}sha1"),
        ("SHA-224", f"{_MORE}sha224"),
        ("MD5", f"{_MORE}md5"),
        ("an unknown algorithm", "urn:x"),
    ):
        weak = signed(references=(TIMESTAMP, replace(BODY, digest=digest)))
        yield SignatureAttack(f"a digest by {name}", weak, f"ds:DigestMethod {_NOT_ACCEPTED}")
    for name, canonicalization in _CANONICALIZATIONS:
        other = signed(canonicalization=canonicalization)
        yield SignatureAttack(f"the signature in {name}", other, f"ds:CanonicalizationMethod {_NOT_ACCEPTED}")


def _transforms() -> Iterator[SignatureAttack]:
    """Transforms other than one exclusive canonicalization."""
    exclusive = f'<ds:Transform Algorithm="{EXCLUSIVE}"/>'
    prefixes = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="soap"/>'

    def with_transforms(markup: str) -> bytes:
        return signed(references=(TIMESTAMP, replace(BODY, transforms_markup=markup)))

    algorithm = f"ds:Transform {_NOT_ACCEPTED}"
    for name, transform, inside in (
        *((name, uri, "") for name, uri in _CANONICALIZATIONS),
        ("the enveloped signature", f"{DS}enveloped-signature", ""),
        ("base64", f"{DS}base64", ""),
        ("XPath", "http://www.w3.org/TR/1999/REC-xpath-19991116", "<ds:XPath>false()</ds:XPath>"),
        ("an XPath filter", "http://www.w3.org/2002/06/xmldsig-filter2", "<x>/</x>"),
        ("XSLT", "http://www.w3.org/TR/1999/REC-xslt-19991116", "<x/>"),
        (
            "the STR transform",
            _STR_TRANSFORM,
            "",
        ),
        ("decryption", "http://www.w3.org/2002/07/decrypt#XML", ""),
    ):
        hostile = f'<ds:Transform Algorithm="{transform}">{inside}</ds:Transform>'
        yield SignatureAttack(f"a transform by {name}", with_transforms(hostile), algorithm)
        text = "ds:Transforms does not hold exactly ds:Transform"
        yield SignatureAttack(f"a second transform by {name}", with_transforms(hostile + exclusive), text)
    yield SignatureAttack("no transform", with_transforms(""), _REFERENCE)
    holds = "ds:Transform holds something other than one ec:InclusiveNamespaces"
    for name, inside in (("a parameter", "<ds:XPath>false()</ds:XPath>"), ("two prefix lists", prefixes * 2)):
        hostile = f'<ds:Transform Algorithm="{EXCLUSIVE}">{inside}</ds:Transform>'
        yield SignatureAttack(f"a transform with {name}", with_transforms(hostile), holds)
    for name, listed, text in (
        ("markup", "soap &lt;x&gt;", "ec:InclusiveNamespaces lists something that is not a prefix"),
        ("very many prefixes", " ".join(f"n{i}" for i in range(33)), "ec:InclusiveNamespaces lists too many prefixes"),
    ):
        hostile = f'<ds:Transform Algorithm="{EXCLUSIVE}">{prefixes.replace("soap", listed)}</ds:Transform>'
        yield SignatureAttack(f"a transform that lists {name}", with_transforms(hostile), text)


def _shapes() -> Iterator[SignatureAttack]:
    """Forms of ds:Signature that may mean more than they seem to."""
    inside = "<ds:Manifest><ds:Reference/></ds:Manifest>"
    manifest = replace(BODY, attributes=f' Type="{DS}Manifest"')
    other = "has other attributes than it may have"
    yield SignatureAttack("a manifest for the body", signed(references=(TIMESTAMP, manifest)), f"ds:Reference {other}")
    yield SignatureAttack("an object", signed(extra_markup=f"<ds:Object>{inside}</ds:Object>"), _PARTS)
    yield SignatureAttack("no reference", signed(references=()), "ds:SignedInfo has no ds:Reference")
    yield SignatureAttack("an attribute of the signature", signed(attributes=' x="y"'), f"ds:Signature {other}")
    yield SignatureAttack("no key information", signed(key_info_markup=""), _PARTS)
    yield SignatureAttack(
        "an empty signature", edited(signed(), lambda root: at(root, "//ds:Signature").clear()), _PARTS
    )
    info = "ds:SignedInfo does not hold exactly ds:CanonicalizationMethod, ds:SignatureMethod, ds:Reference"

    def reverse(root: etree._Element) -> None:
        at(root, "//ds:SignedInfo")[:] = reversed(at(root, "//ds:SignedInfo"))

    def double_info(root: etree._Element) -> None:
        at(root, "//ds:Signature").insert(0, deepcopy(at(root, "//ds:SignedInfo")))

    yield SignatureAttack("a signed information in another order", edited(signed(), reverse), info)
    yield SignatureAttack("two signed informations", edited(signed(), double_info), _PARTS)


def _sizes() -> Iterator[SignatureAttack]:
    """What would make the verification long."""
    many = tuple(Ref(uri=f"#r{i}", covers="body") for i in range(11))
    yield SignatureAttack(
        "very many references", signed(references=(TIMESTAMP, BODY, *many)), "ds:SignedInfo has too many ds:Reference"
    )
    text = "ds:Signature stands in a message of too many elements and attributes"

    def larger(markup: str) -> bytes:
        return sign(signable(Request(extra_header_markup=markup)), Signing(identity=client()))

    for name, markup in (
        ("elements", "<x>" + "<y/>" * 1_000 + "</x>"),
        ("attributes", ("<x " + " ".join(f"a{i}=''" for i in range(50)) + "/>") * 20),
        ("attributes of one element", "<x " + " ".join(f"a{i}=''" for i in range(65)) + "/>"),
        ("namespaces", "<x " + " ".join(f"xmlns:n{i}='urn:x'" for i in range(1_000)) + "/>"),
    ):
        yield SignatureAttack(f"very many {name}", larger(markup), text, larger("<x/>"))
    yield SignatureAttack(
        "a very long key",
        signed(key_info_markup=direct(), token_markup=token(client()).replace(">MII", ">" + "A" * 20_000 + "MII")),
        "wsse:BinarySecurityToken is too long",
    )
