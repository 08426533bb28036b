"""XML signatures of WS-Security: what is processed is what was signed, by a registered certificate.

signxml does the arithmetic; it works on copies that it makes by serialising, and finds elements by id. So its word is
taken for one thing only, that certain bytes are signed. Whether those are the bytes of the very elements that the later
stages read is checked here, on our own tree. Every breach is 3000 and names the element.
Source: transport.md (ds:Signature), Web Services Security: SOAP Message Security 1.1, XML Signature Best Practices.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from smsp_provider.soap.envelope import SoapMessage
from smsp_provider.soap.signature_key import SignerCertificates, find_signer
from smsp_provider.soap.signature_shape import Reference, SignatureParts, read_signature, refuse
from smsp_provider.xmlcore.names import SOAP11, WSSE, XMLDSIG

__all__ = ["MAX_ATTRIBUTES", "MAX_NODES", "SignedFacts", "is_signed", "verify_signature"]

MAX_NODES: Final = 1_000
"""Elements, attributes and namespace declarations in a message whose signature is verified; a request has about 100.

Canonical form looks prefixes up through all ancestors, so its cost grows faster than the size.
"""

MAX_ATTRIBUTES: Final = 64
"""Attributes of one element: reading and sorting them takes the square of their number."""

_SIGNATURE: Final = f"{{{XMLDSIG}}}Signature"
_LOCATION: Final = f"./{{{SOAP11}}}Header/{{{WSSE}}}Security/"
_ID_NAMES: Final = ("Id", "ID", "id")


@dataclass(frozen=True, slots=True)
class SignedFacts:
    """A signature that holds: ``fingerprint`` is the SHA-256 of the signer's certificate (DER, lower-case hex)."""

    fingerprint: str


def is_signed(message: SoapMessage) -> bool:
    """Whether there is a ds:Signature anywhere in the message, in its place or not."""
    return next(message.envelope.iter(_SIGNATURE), None) is not None


def verify_signature(
    message: SoapMessage,
    security: etree._Element,
    timestamp: etree._Element,
    now: datetime,
    signers: SignerCertificates,
    *,
    allow_sha1: bool = False,
) -> SignedFacts:
    """Verify the one signature of a message over its soap:Body and over ``timestamp``, at the moment ``now`` (aware).

    ``security`` and ``timestamp`` are the very elements that were checked. Other header blocks and other children of
    ``security`` may be signed too, and nothing else. ``allow_sha1`` adds SHA-1 to the accepted algorithms.

    Raises:
        ToolkitFault: 3000, anything that is not exactly this.
    """
    envelope, body = message.envelope, message.body_child.getparent()
    _check_size(envelope)
    signature = _only_signature(envelope, security)
    parts = read_signature(signature, allow_sha1=allow_sha1)
    signer = find_signer(parts.key_info, security, signers, now)
    covered = _covered(parts, envelope, security)
    if not any(element is body for element, _ in covered):
        refuse("ds:Signature", "does not cover the soap:Body")
    if not any(element is timestamp for element, _ in covered):
        refuse("ds:Signature", "does not cover the wsu:Timestamp")
    settings = SignatureConfiguration(
        location=_LOCATION,
        expect_references=len(covered),
        signature_methods=frozenset({SignatureMethod(parts.method)}),
        digest_algorithms=frozenset(map(DigestAlgorithm, parts.digests)),
        verification_time=now,
    )
    try:
        # The schema of XML Signature is looser than read_signature, and would be read from a file.
        results = XMLVerifier().verify(
            envelope, x509_cert=signer.certificate, validate_schema=False, expect_config=settings
        )
    except (SignXMLException, UnsupportedAlgorithm, ValueError, TypeError, etree.LxmlError):
        # Nothing of the exception may stay: it can quote the message.
        refuse("ds:Signature", "does not verify")
    _check_bytes(results, covered)
    return SignedFacts(signer.fingerprint)


def _check_size(envelope: etree._Element) -> None:
    nodes = 0
    for _, found in etree.iterwalk(envelope, events=("start", "start-ns")):
        # A start-ns event comes with a pair of strings in place of an element.
        attributes = 0 if found is None or isinstance(found, tuple) else len(found.attrib)
        nodes += 1 + attributes
        if nodes > MAX_NODES or attributes > MAX_ATTRIBUTES:
            refuse("ds:Signature", "stands in a message of too many elements and attributes")


def _only_signature(envelope: etree._Element, security: etree._Element) -> etree._Element:
    signatures = list(envelope.iter(_SIGNATURE))
    if not signatures:
        refuse("ds:Signature", "is missing")
    if len(signatures) > 1:
        refuse("ds:Signature", "is given more than once")
    if signatures[0].getparent() is not security:
        refuse("ds:Signature", "does not stand in the wsse:Security")
    return signatures[0]


def _covered(
    parts: SignatureParts, envelope: etree._Element, security: etree._Element
) -> list[tuple[etree._Element, Reference]]:
    """The elements that the references name, in their order: whole parts of the message, each with an id of its own."""
    uses = Counter(value for element in envelope.iter(etree.Element) for value in _ids(element))
    parts_by_id = {value: element for element in _signable(envelope, security) for value in _ids(element)}
    return [(_target(reference, uses, parts_by_id), reference) for reference in parts.references]


def _target(reference: Reference, uses: Mapping[str, int], parts_by_id: Mapping[str, etree._Element]) -> etree._Element:
    if uses[reference.identifier] == 0:
        refuse("ds:Reference", "names no element")
    if uses[reference.identifier] > 1:
        refuse("ds:Reference", "names an id that is given more than once")
    if reference.identifier not in parts_by_id:
        refuse("ds:Reference", "names an element that is no part of the message by itself")
    return parts_by_id[reference.identifier]


def _signable(envelope: etree._Element, security: etree._Element) -> Iterator[etree._Element]:
    """The soap:Body, the header blocks but the wsse:Security, and what stands in that besides the signature."""
    for part in envelope:
        if part.tag == f"{{{SOAP11}}}Body":
            yield part
        else:
            yield from (block for block in part if block is not security)
    yield from (child for child in security if child.tag != _SIGNATURE)


def _ids(element: etree._Element) -> Iterator[str]:
    """The values of its attributes that may be ids, in whatever namespace: wsu:Id, Id, ID, id, xml:id."""
    for name, value in element.attrib.items():
        if etree.QName(str(name)).localname in _ID_NAMES:
            yield str(value)


def _check_bytes(results: VerifyResult | list[VerifyResult], covered: list[tuple[etree._Element, Reference]]) -> None:
    """Compare what signxml verified with the elements themselves, byte by byte in canonical form."""
    signed = [result.signed_data for result in results] if isinstance(results, list) else [results.signed_data]
    ours = [
        etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=False,
            inclusive_ns_prefixes=list(reference.prefixes) or None,
        )
        for element, reference in covered
    ]
    if signed != ours:
        refuse("ds:Signature", "covers something other than what is processed")
