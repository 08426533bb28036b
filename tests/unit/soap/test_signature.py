"""Signatures that hold: every accepted form and reference to a key, what they cover, and what verifying them costs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from itk_messages import NOW, Request
from itk_signing import (
    BODY,
    DS,
    MORE,
    TIMESTAMP,
    Identity,
    Ref,
    Signing,
    carried_key,
    direct,
    identity,
    issuer_serial,
    key_identifier,
    renewed,
    sign,
    signable,
    thumbprint,
    token,
    token_reference,
    x509_data,
)
from signature_cases import at, client, edited, made, signed, swapped
from smsp_provider.domain.clients import FingerprintPin, NamePin, PeerCertificate, SignaturePolicy
from smsp_provider.domain.faults import ErrorCode, ToolkitFault
from smsp_provider.soap.envelope import SoapMessage, read_soap
from smsp_provider.soap.security import SecurityFacts, SecurityPolicy, check_security
from smsp_provider.soap.signature import MAX_NODES
from smsp_provider.soap.signature_key import SignerCertificates
from smsp_provider.soap.signature_shape import MAX_PREFIXES, MAX_REFERENCES

NAME = "client.example.nhs.uk"
PINNED = SignerCertificates(frozenset({client().fingerprint}))
STORED = SignerCertificates(certificates=(client().der,))
IGNORE = SecurityPolicy(signatures=SignaturePolicy.IGNORE)
REQUIRE = SecurityPolicy(signatures=SignaturePolicy.REQUIRE)


def checked(
    document: bytes | SoapMessage, signers: SignerCertificates | None = STORED, policy: SecurityPolicy = REQUIRE
) -> SecurityFacts:
    message = document if isinstance(document, SoapMessage) else read_soap(document)
    if signers is None:
        return check_security(message, NOW, NAME, policy)
    return check_security(message, NOW, NAME, policy, signers=lambda: signers)


def refusal(document: bytes, signers: SignerCertificates | None = STORED, policy: SecurityPolicy = REQUIRE) -> str:
    with pytest.raises(ToolkitFault) as caught:
        checked(document, signers, policy)
    assert caught.value.error_code is ErrorCode.ACCESS_DENIED
    return caught.value.text


@pytest.mark.rule("WS-SEC-09")
@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "p256", "p384", "p521"])
@pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
def test_every_accepted_key_and_hash_verifies(kind: str, hash_name: str) -> None:
    one = identity(kind)
    digest = {"sha256": "http://www.w3.org/2001/04/xmlenc#sha256", "sha384": f"{MORE}sha384"}.get(
        hash_name, "http://www.w3.org/2001/04/xmlenc#sha512"
    )
    document = sign(
        signable(),
        Signing(
            identity=one,
            method=f"{MORE}{'rsa' if kind.startswith('rsa') else 'ecdsa'}-{hash_name}",
            references=(replace(TIMESTAMP, digest=digest), replace(BODY, digest=digest)),
        ),
    )
    facts = checked(document, SignerCertificates(frozenset({one.fingerprint})))
    assert (facts.signed, facts.signer) == (True, one.fingerprint)


@pytest.mark.rule("WS-SEC-09")
@pytest.mark.parametrize(
    "key_info",
    [
        pytest.param(key_identifier(client()), id="a key identifier"),
        pytest.param(thumbprint(client()), id="a thumbprint"),
        pytest.param(carried_key(client()), id="a certificate in a key identifier"),
        pytest.param(token_reference(x509_data(issuer_serial(client()))), id="issuer and serial number"),
        pytest.param(x509_data(issuer_serial(client())), id="issuer and serial number in X509Data"),
        pytest.param(x509_data(ski=client()), id="a key identifier in X509Data"),
        pytest.param(x509_data(certificate=client()), id="a certificate in X509Data"),
        pytest.param(
            x509_data(
                issuer_serial(client()) + "<ds:X509SubjectName>CN=client.example.nhs.uk, O=Quill\\, Feather &amp; Co,"
                " C=GB</ds:X509SubjectName>",
                certificate=client(),
                ski=client(),
            ),
            id="everything in X509Data",
        ),
    ],
)
def test_every_accepted_reference_to_a_key_finds_it(key_info: str) -> None:
    """Among several registered ones."""
    document = sign(signable(), Signing(identity=client(), key_info_markup=key_info))
    several = SignerCertificates(certificates=(identity("p256").der, client().der, identity("p384").der))
    assert checked(document, several).signer == client().fingerprint


def test_a_pin_alone_verifies_what_carries_its_certificate() -> None:
    assert checked(signed(), PINNED).signer == client().fingerprint
    by_name = signed(key_info_markup=x509_data(issuer_serial(client())))
    assert refusal(by_name, PINNED) == "ds:KeyInfo names no registered certificate"


def test_of_a_renewed_certificate_the_one_that_lasts_longer_is_meant() -> None:
    newer = renewed(client(), days=(-1, 700))
    for order in ((client().der, newer.der), (newer.der, client().der)):
        document = signed(key_info_markup=key_identifier(client()))
        assert checked(document, SignerCertificates(certificates=order)).signer == newer.fingerprint


def test_nobody_is_registered_where_no_signer_is_named() -> None:
    for signers in (None, SignerCertificates()):
        assert refusal(signed(), signers) == "ds:KeyInfo names no registered certificate"


@pytest.mark.parametrize("prefixes", ["", "soap wsse", "#default xsi itk", "undeclared"])
def test_prefix_lists_are_kept(prefixes: str) -> None:
    document = signed(
        prefixes=prefixes, references=(replace(TIMESTAMP, prefixes=prefixes), replace(BODY, prefixes=prefixes))
    )
    assert checked(document).signer == client().fingerprint


@pytest.mark.parametrize("name", ["Id", "ID", "id", "xml:id"])
def test_the_body_may_carry_its_id_in_the_other_usual_ways(name: str) -> None:
    document = swapped(signable(), 'wsu:Id="body"', f'{name}="body"')
    assert checked(sign(document, Signing(identity=client()))).signer == client().fingerprint


def test_headers_and_tokens_may_be_signed_too() -> None:
    document = swapped(signable(), "<wsa:To>", '<wsa:To wsu:Id="to">')
    document = swapped(document, "<wsse:UsernameToken>", '<wsse:UsernameToken wsu:Id="user">')
    references = (Ref(uri="#to"), BODY, Ref(uri="#user"), Ref(uri="#token"), TIMESTAMP)
    signing = Signing(identity=client(), references=references)
    assert checked(sign(document, signing)).signer == client().fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('value="19710523"', "value='19710523'", id="quotes"),
        pytest.param("<queryEvent>", "<queryEvent ><!-- x -->", id="a comment and a blank in a tag"),
        pytest.param("Person.NHSNumber</s", "<![CDATA[Person.NHSNumber]]></s", id="character data"),
        pytest.param("<ds:SignatureValue>", "<ds:SignatureValue>&#13;\n  ", id="a line break in the value"),
        pytest.param("</ds:Signature>", "</ds:Signature>\n\t", id="white space behind the signature"),
        pytest.param("</soap:Body>", "</soap:Body>\n", id="white space behind the body"),
    ],
)
def test_what_makes_no_difference_to_what_is_processed_is_no_attack(old: str, new: str) -> None:
    assert checked(swapped(signed(), old, new)).signer == client().fingerprint


def test_a_doctype_that_declares_ids_is_no_message() -> None:
    hostile = signed().replace(b"<soap:Envelope", b"<!DOCTYPE x [<!ATTLIST y z ID #IMPLIED>]><soap:Envelope", 1)
    with pytest.raises(ToolkitFault) as caught:
        read_soap(hostile)
    assert caught.value.error_code is ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize("where", ["before", "after", "inside"])
def test_two_bodies_are_no_message(where: str) -> None:
    def change(root: etree._Element) -> None:
        other = made("<soap:Body><x/></soap:Body>")
        if where == "inside":
            at(root, "/soap:Envelope/soap:Body").append(other)
        else:
            root.insert(1 if where == "before" else 2, other)

    with pytest.raises(ToolkitFault) as caught:
        read_soap(edited(signed(), change))
    assert caught.value.error_code is ErrorCode.INVALID_MESSAGE


def test_the_policies_decide_about_absence_and_about_looking() -> None:
    unsigned, damaged = signable(), swapped(signed(), "19710523", "19710524")
    optional = SecurityPolicy()
    assert optional.signatures is SignaturePolicy.VERIFY_IF_PRESENT
    assert refusal(unsigned, policy=REQUIRE) == "ds:Signature is missing"
    assert (checked(unsigned, policy=optional).signed, checked(unsigned, policy=optional).signer) == (False, None)
    for policy in (REQUIRE, optional):
        assert checked(signed(), policy=policy).signer == client().fingerprint
        assert refusal(damaged, policy=policy) == "ds:Signature does not verify"
    for document in (signed(), damaged):
        assert (checked(document, policy=IGNORE).signed, checked(document, policy=IGNORE).signer) == (True, None)


def test_sha1_only_where_it_is_allowed() -> None:
    old = (replace(TIMESTAMP, digest=f"{DS}sha1"), replace(BODY, digest=f"{DS}sha1"))
    for one, method in ((client(), f"{DS}rsa-sha1"), (identity("p256"), f"{MORE}ecdsa-sha1")):
        document = sign(signable(), Signing(identity=one, method=method, references=old))
        signers = SignerCertificates(frozenset({one.fingerprint}))
        assert refusal(document, signers) == "ds:SignatureMethod names an algorithm that is not accepted"
        assert checked(document, signers, replace(REQUIRE, allow_sha1=True)).signer == one.fingerprint
    md5 = signed(references=(TIMESTAMP, replace(BODY, digest=f"{MORE}md5")))
    assert "ds:DigestMethod" in refusal(md5, policy=replace(REQUIRE, allow_sha1=True))


def test_a_certificate_is_valid_from_its_first_to_its_last_second() -> None:
    for days in ((0, 1), (-1, 0)):
        one = identity("p256", days=days)
        signers = SignerCertificates(frozenset({one.fingerprint}))
        assert checked(sign(signable(), Signing(identity=one)), signers).signer == one.fingerprint


def peer(one: Identity) -> PeerCertificate:
    subject, issuer = one.certificate.subject.rfc4514_string(), one.certificate.issuer.rfc4514_string()
    return PeerCertificate(one.fingerprint, subject, issuer, NAME, one.der)


@pytest.mark.rule("WS-SEC-09")
def test_the_signers_of_a_client_are_its_pins_by_fingerprint_and_its_own_certificate() -> None:
    current, coming, gone = client(), identity("p256"), identity("p384")
    pins = (
        FingerprintPin(current.fingerprint),
        FingerprintPin(coming.fingerprint, certificate=coming.der, until=NOW + timedelta(seconds=1)),
        FingerprintPin(gone.fingerprint, certificate=gone.der, until=NOW),
    )
    signers = SignerCertificates.of(pins, None, NOW)
    assert signers.certificates == (coming.der,)
    assert [signers.holds(one.der) for one in (current, coming, gone)] == [True, True, False]
    assert SignerCertificates.of(pins, peer(gone), NOW).certificates == (gone.der, coming.der)


@pytest.mark.rule("WS-SEC-09")
def test_a_pin_by_name_is_no_proof_of_a_signature() -> None:
    """Nobody checked who issued a certificate that only the message shows: its names are whatever its maker wrote."""
    forged = identity("rsa2048", serial=7)
    shown = peer(forged)
    pin = NamePin(shown.subject, shown.issuer, NOW + timedelta(days=1))
    assert pin.matches(shown, NOW)
    document = sign(signable(), Signing(identity=forged))
    assert refusal(document, SignerCertificates.of((pin,), peer(client()), NOW)) == (
        "ds:KeyInfo names no registered certificate"
    )


@given(st.data())
@settings(max_examples=400)
def test_whatever_is_changed_what_passes_says_what_was_signed(data: st.DataObject) -> None:
    right = signed()
    start = data.draw(st.integers(right.index(b"<soap:Header>"), len(right) - 1))
    end = data.draw(st.integers(start, min(len(right), start + 40)))
    other = data.draw(st.integers(right.index(b"<soap:Header>"), len(right) - 1))
    put = data.draw(st.one_of(st.just(right[other : other + end - start]), st.binary(max_size=8), st.just(b"")))
    changed = right[:start] + put + right[end:]
    try:
        message = read_soap(changed)
        checked(message)
    except ToolkitFault:
        return
    for path in ("/soap:Envelope/soap:Body", "//wsu:Timestamp"):
        ours, theirs = (at(etree.fromstring(document), path) for document in (right, changed))
        assert canonical(ours) == canonical(theirs)


def canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


class Counted:
    """Counts how often lxml writes a tree, which is what verification spends its time on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self._write: Any = etree.tostring
        monkeypatch.setattr(etree, "tostring", self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return self._write(*arguments, **options)


def many_headers(count: int) -> tuple[bytes, tuple[Ref, ...]]:
    names = [f"h{number}" for number in range(count)]
    markup = "".join(f'<x wsu:Id="{name}"/>' for name in names)
    return signable(Request(extra_header_markup=markup)), tuple(Ref(uri=f"#{name}") for name in names)


def test_the_work_grows_with_the_references_and_ends_at_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = {}
    for count in (2, 7, MAX_REFERENCES):
        document, references = many_headers(count - 2)
        documents[count] = read_soap(
            sign(document, Signing(identity=client(), references=(TIMESTAMP, BODY, *references)))
        )
    counted, calls = Counted(monkeypatch), []
    for message in documents.values():
        counted.calls = 0
        checked(message)
        calls.append(counted.calls)
    for_one = (calls[1] - calls[0]) / 5
    assert for_one == (calls[2] - calls[1]) / 5 <= 4


@pytest.mark.parametrize("name", ["a stranger's certificate", "too many references", "too many nodes", "a long list"])
def test_what_is_refused_by_its_form_or_its_key_costs_no_arithmetic(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    document, references = many_headers(MAX_REFERENCES - 1)
    right = Signing(identity=client())
    prefixes = " ".join(f"n{number}" for number in range(MAX_PREFIXES + 1))
    hostile = {
        "a stranger's certificate": lambda: sign(signable(), replace(right, identity=identity("p256"))),
        "too many references": lambda: sign(document, replace(right, references=(TIMESTAMP, BODY, *references))),
        "too many nodes": lambda: sign(signable(Request(extra_header_markup="<x/>" * MAX_NODES)), right),
        "a long list": lambda: signed(prefixes=prefixes),
    }[name]()
    message = read_soap(hostile)
    counted = Counted(monkeypatch)
    with pytest.raises(ToolkitFault):
        checked(message)
    assert counted.calls == 0


def test_a_message_at_all_bounds_still_passes() -> None:
    prefixes = " ".join(f"n{number}" for number in range(MAX_PREFIXES))
    deep = "<x>" * 200 + "<y/>" * 400 + "</x>" * 200
    document, references = many_headers(MAX_REFERENCES - 2)
    document = swapped(document, "</soap:Header>", f"{deep}</soap:Header>")
    listed = tuple(replace(reference, prefixes=prefixes) for reference in (TIMESTAMP, BODY, *references))
    assert checked(sign(document, Signing(identity=client(), references=listed))).signer == client().fingerprint


def test_direct_references_need_no_value_type() -> None:
    bare = direct().replace(direct()[direct().index(" ValueType") : direct().index("/>")], "")
    assert "ValueType" not in bare
    assert checked(signed(key_info_markup=bare, token_markup=token(client()))).signer == client().fingerprint
