"""Whose signature is looked at: the policy of a client beside that of the settings."""

import pytest

from client_samples import AT, book_of, certificate_of, client_of
from itk_messages import NOW
from signature_cases import signed, swapped
from smsp_provider.domain.access import ClientBook
from smsp_provider.domain.clients import SignaturePolicy
from smsp_provider.domain.faults import ToolkitFault
from smsp_provider.engine.entrance import Entrance
from smsp_provider.engine.exchange import Peer
from smsp_provider.soap.envelope import read_soap
from smsp_provider.soap.security import SecurityPolicy, UsernamePolicy

CLIENT = Peer("192.0.2.1", over_tls=True, certificate=certificate_of("ward-system"))
DAMAGED = swapped(signed(), "19710523", "19710524")


class _Registry:
    def __init__(self, book: ClientBook) -> None:
        self._book = book

    def book(self) -> ClientBook:
        return self._book


def is_let_in(own: SignaturePolicy | None, *, clients_may_ignore: bool) -> bool:
    """Whether a client with this policy of its own gets in with a signature that does not hold."""
    registry = _Registry(book_of(client_of(signatures=own)))
    policy = SecurityPolicy(UsernamePolicy.IGNORE, clients_may_ignore=clients_may_ignore)
    entrance, message = Entrance(registry, policy), read_soap(DAMAGED)
    client = entrance.identify(CLIENT, message, AT)
    try:
        entrance.check_security(CLIENT, message, NOW, client)
    except ToolkitFault:
        return False
    return True


@pytest.mark.rule("WS-SEC-08")
def test_a_client_has_its_signatures_ignored_only_where_settings_could_say_so() -> None:
    let_in = [
        (own, live)
        for own in (None, *SignaturePolicy)
        for live in (True, False)
        if is_let_in(own, clients_may_ignore=not live)
    ]
    assert let_in == [(SignaturePolicy.IGNORE, False)]
