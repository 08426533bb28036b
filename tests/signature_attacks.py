"""Signed requests that must be refused, each with the text that says why, and with its untouched twin that must pass.

`signature_attacks()` builds the table. A hostile document is broken in one way; its twin is made by the same steps
without that one. Here: changed values, what is not covered, wrapping, and signatures in other places.
"""

import base64
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Final

from lxml import etree

from itk_signing import BODY, DS, TIMESTAMP, Ref, Signing, sign, signable, x509_data
from signature_cases import INVALID, NAMES, SignatureAttack, at, client, edited, forger, made, signed, swapped, texts
from signature_form_attacks import form_attacks
from signature_key_attacks import key_attacks

__all__ = ["signature_attacks"]

_HEADER: Final = "/soap:Envelope/soap:Header"
_BODY: Final = "/soap:Envelope/soap:Body"
_ID_NAMES: Final = {
    "wsu": f"{{{NAMES['wsu']}}}Id",
    "Id": "Id",
    "ID": "ID",
    "id": "id",
    "xml": "{http://www.w3.org/XML/1998/namespace}id",
    "foreign": "{urn:x}Id",
}

_NO_PART: Final = "ds:Reference names an element that is no part of the message by itself"
_TWICE: Final = "ds:Reference names an id that is given more than once"
_NO_BODY: Final = "ds:Signature does not cover the soap:Body"
_NO_STAMP: Final = "ds:Signature does not cover the wsu:Timestamp"
_NO_FRAGMENT: Final = "ds:Reference does not name an element of this message by its id"
_PARTS: Final = "ds:Signature does not hold exactly ds:SignedInfo, ds:SignatureValue, ds:KeyInfo"
_LENGTH: Final = "ds:DigestValue does not have the length of its algorithm"


def signature_attacks() -> list[SignatureAttack]:
    """All attacks."""
    return [*_values(), *_coverage(), *_wrapping(), *_places(), *form_attacks(), *key_attacks()]


def _values() -> Iterator[SignatureAttack]:
    """Values changed after the signature was made."""
    right = signed()
    (value,), (stamp_digest, body_digest) = texts(right, "SignatureValue"), texts(right, "DigestValue")
    raw = base64.b64decode(value)
    for name, changed in (
        ("one bit of the signature value", bytes([raw[0] ^ 1]) + raw[1:]),
        ("a signature value cut short", raw[:-1]),
        ("a signature value made longer", raw + b"\0"),
        ("a signature value of zeros", bytes(len(raw))),
    ):
        yield SignatureAttack(name, swapped(right, value, base64.b64encode(changed).decode()), INVALID)
    (other,) = texts(signed(references=(BODY, TIMESTAMP)), "SignatureValue")
    yield SignatureAttack("the signature value of another message", swapped(right, value, other), INVALID)
    empty = "ds:SignatureValue is empty"
    yield SignatureAttack("an empty signature value", swapped(right, value, ""), empty)
    yield SignatureAttack("an element in the signature value", swapped(right, value, f"<x/>{value}"), empty)
    yield SignatureAttack(
        "a signature value that is not base64", swapped(right, value, f"*{value}"), "ds:SignatureValue is not base64"
    )
    for name, old, new in (
        ("another payload", 'value="19710523"', 'value="19710524"'),
        ("another organisation", "ods:X26", "ods:X27"),
        ("a timestamp made to last", "T09:40:00Z</wsu:Expires>", "T23:40:00Z</wsu:Expires>"),
        ("an attribute of the body", "<soap:Body ", '<soap:Body lang="en" '),
        ("a text in the body", "<itk:DistributionEnvelope>", "x<itk:DistributionEnvelope>"),
        ("a text behind the body", "</soap:Body>", "</soap:Body>x"),
        ("a text behind the signature", "</ds:Signature>", "</ds:Signature>x"),
        ("a prefix that means something else", "<queryEvent>", '<queryEvent xmlns="urn:hl7-org:v2">'),
        ("white space in what was signed", "<ds:DigestValue>", "<ds:DigestValue>\n"),
        ("the digest of the timestamp for the body", body_digest, stamp_digest),
    ):
        yield SignatureAttack(name, swapped(right, old, new), INVALID)
    changed_body = swapped(right, 'value="19710523"', 'value="19710524"')
    (_, its_digest) = texts(
        sign(swapped(signable(), "19710523", "19710524"), Signing(identity=client())), "DigestValue"
    )
    yield SignatureAttack(
        "another payload with its own digest", swapped(changed_body, body_digest, its_digest), INVALID
    )
    yield SignatureAttack("an empty digest", swapped(right, body_digest, ""), _LENGTH)
    half = base64.b64encode(base64.b64decode(body_digest)[:16]).decode()
    yield SignatureAttack("half a digest", swapped(right, body_digest, half), _LENGTH)
    not_base64 = swapped(right, body_digest, f"!{body_digest}")
    yield SignatureAttack("a digest that is not base64", not_base64, "ds:DigestValue is not base64")
    yield SignatureAttack("a digest of nothing", signed(references=(TIMESTAMP, replace(BODY, covers=b""))), INVALID)
    addressed = swapped(signable(), "<wsa:To>", '<wsa:To wsu:Id="to">')
    with_to = sign(addressed, Signing(identity=client(), references=(TIMESTAMP, BODY, Ref(uri="#to"))))
    elsewhere = swapped(with_to, "/smsp/pds</wsa:To>", "/smsp</wsa:To>")
    yield SignatureAttack("an addressing header that was signed and changed", elsewhere, INVALID, with_to)


def _coverage() -> Iterator[SignatureAttack]:
    """Signatures that are right, over too little or over something else."""
    document = swapped(signable(), "<wsa:To>", '<wsa:To wsu:Id="to">')
    document = swapped(document, "<itk:DistributionEnvelope>", '<itk:DistributionEnvelope Id="inner">')
    document = swapped(document, "<wsse:Security>", '<wsse:Security wsu:Id="security">')
    document = swapped(document, "<soap:Envelope ", '<soap:Envelope Id="envelope" ')
    document = swapped(document, "<soap:Header>", '<soap:Header wsu:Id="header">')
    document = swapped(document, "<wsu:Created>", '<wsu:Created wsu:Id="created">')

    def over(*references: Ref) -> bytes:
        return sign(document, Signing(identity=client(), references=references))

    twin = over(TIMESTAMP, BODY)
    to = Ref(uri="#to")
    inner = over(TIMESTAMP, Ref(uri="#inner"))
    for name, hostile, text in (
        ("the timestamp alone", over(TIMESTAMP), _NO_BODY),
        ("the body alone", over(BODY), _NO_STAMP),
        ("an addressing header alone", over(to), _NO_BODY),
        ("the body and an addressing header", over(BODY, to), _NO_STAMP),
        ("what is in the body, without the body", inner, _NO_PART),
        ("what is in the timestamp, without the timestamp", over(BODY, Ref(uri="#created")), _NO_PART),
        ("the body twice", over(TIMESTAMP, BODY, BODY), "ds:Reference is given twice for one element"),
    ):
        yield SignatureAttack(name, hostile, text, twin, convincing=True)
    for name, uri in (
        ("the whole envelope", "#envelope"),
        ("the whole header", "#header"),
        ("its own header", "#security"),
    ):
        yield SignatureAttack(name, over(TIMESTAMP, BODY, Ref(uri=uri)), _NO_PART, twin)
    for name, reference, text in (
        ("an id of nothing", Ref(uri="#nobody", covers=b""), "ds:Reference names no element"),
        ("an empty reference", Ref(uri="", covers="body"), _NO_FRAGMENT),
        ("a reference without URI", Ref(uri=None, covers="body"), "ds:Reference has other attributes than it may have"),
        ("a number sign alone", Ref(uri="#", covers="body"), _NO_FRAGMENT),
        ("two number signs", Ref(uri="##body", covers="body"), _NO_FRAGMENT),
        ("an XPointer", Ref(uri="#xpointer(id('body'))", covers="body"), _NO_FRAGMENT),
        ("an XPointer to the root", Ref(uri="#xpointer(/)", covers="body"), _NO_FRAGMENT),
        ("an external reference", Ref(uri="http://127.0.0.1:9/x", covers="body"), _NO_FRAGMENT),
        ("a file", Ref(uri="file:///etc/passwd", covers="body"), _NO_FRAGMENT),
        ("an attachment", Ref(uri="cid:body", covers="body"), _NO_FRAGMENT),
        ("a blank in the id", Ref(uri="#body ", covers="body"), _NO_FRAGMENT),
    ):
        yield SignatureAttack(name, over(TIMESTAMP, BODY, reference), text, twin)
        yield SignatureAttack(f"{name}, in place of the body", over(TIMESTAMP, reference), text, twin)


Move = Callable[[etree._Element, etree._Element], None]


def _to(path: str, wrapper: str = "") -> Move:
    """Put what was taken at the end of another place, in a new element where one is named."""

    def move(root: etree._Element, taken: etree._Element) -> None:
        place = at(root, path)
        (etree.SubElement(place, wrapper) if wrapper else place).append(taken)

    return move


def _body_moved(move: Move, **ids: str) -> bytes:
    """Take the signed body out and put it elsewhere; in its place stands one about somebody else, with these ids."""

    def change(root: etree._Element) -> None:
        taken = at(root, _BODY)
        other = deepcopy(taken)
        other.attrib.clear()
        other.attrib.update({_ID_NAMES[name]: value for name, value in ids.items()})
        at(other, ".//*[@value='19710523']").set("value", "19710524")
        root.replace(taken, other)
        move(root, taken)

    return edited(signed(), change)


def _stamp_moved(move: Move, **ids: str) -> bytes:
    """The same with the timestamp; the one in its place lasts longer."""

    def change(root: etree._Element) -> None:
        taken = at(root, "//wsu:Timestamp")
        other = deepcopy(taken)
        other.attrib.clear()
        other.attrib.update({_ID_NAMES[name]: value for name, value in ids.items()})
        other[1].text = "2026-03-02T23:40:00Z"
        at(root, "//wsse:Security").replace(taken, other)
        move(root, taken)

    return edited(signed(), change)


def _wrapping() -> Iterator[SignatureAttack]:
    """Signature wrapping (XSW): what was signed is moved away, something else stands in its place."""
    one_key = "ds:KeyInfo does not hold exactly one reference to a certificate"
    in_wrapper, in_header, in_security = _to(_HEADER, "wrapper"), _to(_HEADER), _to("//wsse:Security")
    for place, move, text in (
        ("a wrapper in the header", in_wrapper, _NO_PART),
        ("the header", in_header, _NO_BODY),
        ("the security header", in_security, _NO_BODY),
        ("the username token", _to("//wsse:UsernameToken"), _NO_PART),
        ("the other body", _to(f"{_BODY}/*/*[last()]/*"), _NO_PART),
        ("an object of the signature", _to("//ds:Signature", f"{{{DS}}}Object"), _PARTS),
        ("the key information", _to("//ds:KeyInfo"), one_key),
    ):
        for name, moved in (("without id", _body_moved(move)), ("with another id", _body_moved(move, wsu="other"))):
            yield SignatureAttack(f"the body moved into {place}, a body {name}", moved, text, convincing=True)
    for place, move, text in (
        ("a wrapper in the header", in_wrapper, _NO_PART),
        ("the header", in_header, _NO_STAMP),
        ("an object of the signature", _to("//ds:Signature", f"{{{DS}}}Object"), _PARTS),
    ):
        yield SignatureAttack(f"the timestamp moved into {place}", _stamp_moved(move), text, convincing=True)
    twice = "wsu:Timestamp is missing or given more than once"
    yield SignatureAttack("the timestamp moved behind another", _stamp_moved(in_security), twice, convincing=True)
    yield SignatureAttack("a timestamp of the same id", _stamp_moved(in_wrapper, wsu="ts"), _TWICE)
    for name in _ID_NAMES:
        # A verifier that looks for one kind of id after the other is content with the first kind that it finds.
        convincing = name in ("ID", "id", "xml")
        for place, move in (("a wrapper", in_wrapper), ("the header", in_header)):
            moved = _body_moved(move, **{name: "body"})
            title = f"the body moved into {place}, a body of the same id, kind {name}"
            yield SignatureAttack(title, moved, _TWICE, convincing=convincing)


def _places() -> Iterator[SignatureAttack]:
    """Signatures that stand elsewhere, and more than one."""

    def into(path: str) -> bytes:
        return edited(signed(), lambda root: at(root, path).append(at(root, "//ds:Signature")))

    def into_other_security(root: etree._Element) -> None:
        other = made("<wsse:Security soap:actor='urn:next'/>")
        at(root, _HEADER).append(other)
        other.append(at(root, "//ds:Signature"))

    elsewhere = "ds:Signature does not stand in the wsse:Security"
    for name, path in (
        ("the header", _HEADER),
        ("an addressing header", "//wsa:To"),
        ("the username token", "//wsse:UsernameToken"),
    ):
        yield SignatureAttack(f"a signature in {name}", into(path), elsewhere, convincing=True)
    yield SignatureAttack("a signature in the body", into(f"{_BODY}/*"), elsewhere)
    actor, security = edited(signed(), into_other_security), "wsse:Security is given more than once"
    yield SignatureAttack("a signature in a security header for another actor", actor, security, convincing=True)
    more = "ds:Signature is given more than once"
    twice = edited(signed(), lambda root: at(root, "//wsse:Security").append(deepcopy(at(root, "//ds:Signature"))))
    yield SignatureAttack("the same signature twice", twice, more, convincing=True)
    forged = sign(signed(), Signing(identity=forger(), key_info_markup=x509_data(certificate=forger())))
    yield SignatureAttack("a second signature by somebody else", forged, more, convincing=True)
    inside = edited(signed(), lambda root: at(root, f"{_BODY}/*").append(made("<ds:Signature/>")))
    yield SignatureAttack("a second signature in the body", inside, more)
