"""The corpus of signature attacks: each is refused for its own reason, and passes without its one hostile step."""

import pytest
from lxml import etree
from signxml.verifier import SignatureConfiguration, XMLVerifier

from itk_messages import NOW
from signature_attacks import signature_attacks
from signature_cases import SignatureAttack, client
from smsp_provider.domain.faults import ErrorCode, FaultCode, ToolkitFault
from smsp_provider.soap.envelope import read_soap
from smsp_provider.soap.security import SecurityFacts, SecurityPolicy, check_security

NAME = "client.example.nhs.uk"
ATTACKS = signature_attacks()
CONVINCING = [attack for attack in ATTACKS if attack.convincing]


def checked(document: bytes, attack: SignatureAttack) -> SecurityFacts:
    return check_security(read_soap(document), NOW, NAME, SecurityPolicy(), signers=lambda: attack.signers)


@pytest.mark.rule("WS-SEC-08")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused_for_its_reason_and_its_twin_passes(attack: SignatureAttack) -> None:
    with pytest.raises(ToolkitFault) as caught:
        checked(attack.document, attack)
    assert (caught.value.faultcode, caught.value.error_code) == (FaultCode.CLIENT, ErrorCode.ACCESS_DENIED)
    assert caught.value.text == attack.text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert checked(attack.twin, attack).signer == client().fingerprint


@pytest.mark.parametrize("attack", CONVINCING, ids=lambda attack: attack.name)
def test_a_convincing_attack_is_right_by_its_arithmetic(attack: SignatureAttack) -> None:
    """Otherwise such an attack would prove nothing: it would be refused as any damaged message is."""
    naive = SignatureConfiguration(location=".//", expect_references=True, verification_time=NOW)
    certificate = attack.signed_by.certificate
    results = XMLVerifier().verify(
        etree.fromstring(attack.document), x509_cert=certificate, validate_schema=False, expect_config=naive
    )
    assert results


def test_the_corpus_is_large_and_has_teeth() -> None:
    assert len(ATTACKS) >= 150
    assert len(CONVINCING) >= 40
