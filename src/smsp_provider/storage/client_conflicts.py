"""What two clients must not share: a certificate or a name that leads to both of them leads to neither."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from smsp_provider.certificates.identity import certificate_of
from smsp_provider.domain.clients import Client, FingerprintPin, NamePin

__all__ = ["Conflict", "find_conflict"]

_USERNAME: Final = "usernames"
_PIN: Final = "pins"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two clients by name, and the field that holds the same thing in both."""

    one: str
    other: str
    field: str

    def __str__(self) -> str:
        what = "a username" if self.field == _USERNAME else "a certificate"
        return f"client {self.one}: {self.field}: client {self.other} is registered with {what} of the same identity"


def find_conflict(clients: Iterable[Client]) -> Conflict | None:
    """The first thing that two clients share, or None.

    A certificate that is registered for one client must not carry subject and issuer of another one's pin by name. Pins
    that have ended count: whoever takes one over has it removed first.
    """
    usernames: dict[str, str] = {}
    pins: dict[tuple[str, ...], str] = {}
    named: dict[tuple[str, ...], str] = {}
    listed = tuple(clients)
    for client in listed:
        for name in (client.name, *client.usernames):
            if (other := usernames.setdefault(name, client.name)) != client.name:
                return Conflict(client.name, other, _USERNAME)
        for pin in client.pins:
            key = (pin.subject, pin.issuer) if isinstance(pin, NamePin) else (pin.fingerprint,)
            if (other := pins.setdefault(key, client.name)) != client.name:
                return Conflict(client.name, other, _PIN)
            if isinstance(pin, NamePin):
                named[key] = client.name
    for client in listed:
        for key in _names_of_certificates(client):
            if (other := named.get(key, client.name)) != client.name:
                return Conflict(client.name, other, _PIN)
    return None


def _names_of_certificates(client: Client) -> Iterator[tuple[str, str]]:
    for pin in client.pins:
        if isinstance(pin, FingerprintPin) and pin.certificate is not None:
            certificate = certificate_of(pin.certificate)
            if certificate is not None:
                yield certificate.subject, certificate.issuer
