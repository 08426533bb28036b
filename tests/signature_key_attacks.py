"""Attacks by the key: whose it is, what names it, and what it is worth."""

from collections.abc import Iterator
from typing import Final

from itk_signing import (
    Signing,
    carried_key,
    direct,
    identity,
    issuer_serial,
    key_identifier,
    sign,
    signable,
    token,
    token_reference,
    x509_data,
)
from signature_cases import INVALID, UNKNOWN, SignatureAttack, client, forger, signed, swapped
from smsp_provider.soap.signature_key import SignerCertificates

__all__ = ["key_attacks"]

_PROFILE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#"


def key_attacks() -> Iterator[SignatureAttack]:
    """All of them."""
    yield from _references()
    yield from _keys()


def _references() -> Iterator[SignatureAttack]:
    """Key information that names no certificate, or not in an accepted way."""
    one, name = client(), "wsse:BinarySecurityToken"
    key_value = "<ds:KeyValue><ds:RSAKeyValue/></ds:KeyValue>"
    no_certificate, single = (
        "ds:KeyInfo names no certificate",
        "ds:KeyInfo does not hold exactly one reference to a certificate",
    )
    direct_text = f"wsse:Reference does not name the {name}"

    def by(markup: str, *tokens: str) -> bytes:
        return signed(key_info_markup=markup, token_markup="".join(tokens))

    data = "ds:X509Data"
    for case, hostile, text in (
        ("a bare key", by(key_value), no_certificate),
        ("a key name", by("<ds:KeyName>client</ds:KeyName>"), no_certificate),
        ("a retrieval method", by('<ds:RetrievalMethod URI="http://127.0.0.1:9/x"/>'), no_certificate),
        ("a certificate and a bare key", by(x509_data(certificate=one) + key_value), single),
        ("two references to keys", by(direct() * 2, token(one)), single),
        (
            "an empty token reference",
            by(token_reference("")),
            "wsse:SecurityTokenReference does not hold exactly one reference",
        ),
        (
            "an embedded token",
            by(token_reference("<wsse:Embedded/>")),
            "wsse:SecurityTokenReference names no certificate",
        ),
        ("no token", by(direct()), direct_text),
        ("a reference to the body", by(direct("#body"), token(one)), direct_text),
        ("an external token", by(direct("http://127.0.0.1:9/x"), token(one)), direct_text),
        ("two tokens", by(direct(), token(one), token(one, identifier="other")), f"{name} is given more than once"),
        ("two tokens of one id", by(direct(), token(forger()), token(one)), f"{name} is given more than once"),
        (
            "a chain of certificates",
            by(direct(), token(one, value_type=f"{_PROFILE}X509PKIPathv1")),
            f"{name} has a ValueType that is not accepted",
        ),
        ("an empty certificate list", by(x509_data()), UNKNOWN),
        (
            "two certificates",
            by(f"<ds:X509Data>{x509_data(certificate=forger())[13:-14]}{x509_data(certificate=one)[13:]}"),
            f"{data} names something twice",
        ),
        (
            "a revocation list",
            by(x509_data("<ds:X509CRL>AA==</ds:X509CRL>", certificate=one)),
            f"{data} holds something that is not accepted",
        ),
        (
            "a certificate in another namespace",
            by(x509_data("<X509Certificate/>")),
            f"{data} holds something that is not accepted",
        ),
        (
            "a certificate that another name is given for",
            by(x509_data(issuer_serial(one, serial=7), certificate=one)),
            f"{data} names another certificate than it carries",
        ),
        (
            "a certificate that another key is named for",
            by(x509_data(certificate=one, ski=identity("p256"))),
            f"{data} names another certificate than it carries",
        ),
        ("a serial number of nobody", by(x509_data(issuer_serial(one, serial=7))), UNKNOWN),
        (
            "a serial number in words",
            by(x509_data(issuer_serial(one, serial="seven"))),
            "ds:X509SerialNumber is not a number",
        ),
        ("an issuer of nobody", by(x509_data(issuer_serial(one, issuer="CN=nobody"))), UNKNOWN),
        (
            "an issuer that is no name",
            by(x509_data(issuer_serial(one, issuer="nobody"))),
            "ds:X509IssuerName is not a distinguished name",
        ),
        ("a key identifier of nobody", by(key_identifier(identity("p256"))), UNKNOWN),
        ("a token that is no certificate", swapped(signed(), ">MIID", ">AAAA"), UNKNOWN),
        ("a token that is not base64", swapped(signed(), ">MII", ">*MII"), f"{name} is not base64"),
    ):
        yield SignatureAttack(case, hostile, text)


def _keys() -> Iterator[SignatureAttack]:
    """Signatures that are right, by a key that may not sign."""
    one, other = client(), forger()
    for case, key_info, tokens in (
        ("a token", direct(), token(other)),
        ("X509Data", x509_data(certificate=other), ""),
        ("a key identifier", carried_key(other), ""),
    ):
        forged = sign(signable(), Signing(identity=other, key_info_markup=key_info, token_markup=tokens))
        name = f"a certificate of the same names in {case}"
        yield SignatureAttack(name, forged, UNKNOWN, convincing=True, signed_by=other)
    lookup = sign(signable(), Signing(identity=other, key_info_markup=x509_data(issuer_serial(other))))
    yield SignatureAttack("a foreign key under the registered name", lookup, INVALID)
    exchanged = sign(signable(), Signing(identity=other, key_info_markup=direct(), token_markup=token(one)))
    yield SignatureAttack("a foreign key under the registered certificate", exchanged, INVALID)
    names = "ds:KeyInfo names a certificate"
    for case, key, text in (
        ("an RSA key of 1024 bits", identity("rsa1024"), f"{names} whose key is too weak"),
        ("an elliptic curve of 224 bits", identity("p224"), f"{names} whose key is too weak"),
        ("an expired certificate", identity("p256", days=(-30, -1)), f"{names} that has expired"),
        ("a certificate of tomorrow", identity("p256", days=(1, 30)), f"{names} that is not valid yet"),
    ):
        both = SignerCertificates(frozenset({one.fingerprint, key.fingerprint}))
        yield SignatureAttack(case, sign(signable(), Signing(identity=key)), text, signers=both)
    third = identity("p256")
    theirs = sign(signable(), Signing(identity=third))
    yield SignatureAttack("another client's certificate", theirs, UNKNOWN, convincing=True, signed_by=third)
