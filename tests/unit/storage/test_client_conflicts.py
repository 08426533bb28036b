from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given

from client_samples import AT, any_clients, client_of, pin_of
from smsp_provider.domain.clients import Client, FingerprintPin, NamePin, PinState
from smsp_provider.storage.client_conflicts import find_conflict
from tls_fixtures import make_pki

DAY = timedelta(days=1)

SAME: dict[str, tuple[Client, Client]] = {
    "fingerprint": (client_of("one", pins=(pin_of("x"),)), client_of("two", pins=(pin_of("x", PinState.NEXT),))),
    "fingerprint of a pin that ended": (
        client_of("one", pins=(pin_of("x", PinState.RETIRED, AT),)),
        client_of("two", pins=(pin_of("x"),)),
    ),
    "name in a certificate": (
        client_of("one", pins=(NamePin("CN=x", "CN=ca", AT),)),
        client_of("two", pins=(NamePin("CN=x", "CN=ca", AT + DAY),)),
    ),
    "username": (
        client_of("one", usernames=frozenset({"login"})),
        client_of("two", usernames=frozenset({"login", "other"})),
    ),
    "username that is another's name": (client_of("one"), client_of("two", usernames=frozenset({"one"}))),
}


@pytest.mark.rule("WS-SEC-08", "WS-SEC-09")
@pytest.mark.parametrize("what", SAME)
def test_what_two_clients_share_is_found_whatever_their_order(what: str) -> None:
    one, two = SAME[what]
    for clients in ((one, two), (two, one), (client_of("three"), one, client_of("four"), two)):
        conflict = find_conflict(clients)
        assert conflict is not None
        assert {conflict.one, conflict.other} == {"one", "two"}
        assert conflict.field == ("usernames" if "username" in what else "pins")
        assert "login" not in str(conflict)


@pytest.mark.rule("WS-SEC-09")
def test_a_certificate_that_is_also_another_clients_by_name_is_found(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(make_pki(tmp_path).client.certificate.read_bytes())
    der = certificate.public_bytes(Encoding.DER)
    by_certificate = FingerprintPin(certificate.fingerprint(hashes.SHA256()).hex(), certificate=der)
    by_name = NamePin(certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string(), AT)
    one, two = client_of("one", pins=(by_certificate,)), client_of("two", pins=(by_name,))
    for clients in ((one, two), (two, one)):
        assert str(find_conflict(clients)).startswith("client one: pins: client two ")
    assert find_conflict([replace(one, pins=(by_certificate, by_name))]) is None
    assert find_conflict([one, replace(two, pins=(replace(by_name, issuer="CN=Another authority"),))]) is None


def test_a_certificate_that_cannot_be_read_conflicts_with_nothing() -> None:
    unreadable = pin_of("no certificate")
    pin = replace(unreadable, certificate=b"no certificate")
    assert find_conflict([client_of("one", pins=(pin,)), client_of("two")]) is None


@given(any_clients())
def test_no_client_conflicts_with_itself(client: Client) -> None:
    assert find_conflict([client]) is None
