"""Who calls, and whether this call is within what is registered: certificate to client to service, method, ASID.

Every breach is fault 3000. What the caller is told depends on what it proved: before its certificate leads to an
enabled client, one text says no for whatever reason; after that, the text names the thing that is not registered. The
reason for the audit and the operator says which it was (WS-SEC-08).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NoReturn

from smsp_provider.domain.audit_identity import Caller
from smsp_provider.domain.clients import Client, FingerprintPin, PeerCertificate, Pin
from smsp_provider.domain.faults import access_denied
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.organisations import ASIDDirectory
from smsp_provider.domain.service import Service

__all__ = ["ClientBook", "RegisteredClient"]

_NO: Final = "The calling system is not authorised to use this service"
_RULE: Final = "WS-SEC-08"


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client that was recognised, with the ASIDs of the organisations it may act for."""

    client: Client
    directory: ASIDDirectory

    def check_service(self, service: Service) -> None:
        """Raises ToolkitFault 3000 where the client is not registered for the service."""
        if service not in self.client.services:
            raise access_denied("The calling system is not registered for this service", rule=_RULE)

    def check_profile(self, profile_id: str) -> None:
        """Raises ToolkitFault 3000 where the client is registered for other profiles only."""
        if self.client.profiles and profile_id not in self.client.profiles:
            raise access_denied("The calling system is not registered for the profileid", rule=_RULE)

    def asid_for(self, caller: Caller) -> ASID:
        """The ASID to ask with, for an access method and an organisation that the client is registered for.

        Raises:
            ToolkitFault: 3000, access method, organisation or ASID are not the client's.
        """
        if not caller.methods <= self.client.access_methods:
            raise access_denied(
                "The calling system is not registered for the access method of auditIdentity", rule=_RULE
            )
        return self.directory.asid_for(caller)

    def organisation_of(self, caller: Caller) -> ODSCode | None:
        """As the directory of the client's own organisations tells it: nobody else's code can come of it."""
        return self.directory.organisation_of(caller)


class ClientBook:
    """All registered clients at one moment: immutable, and shared by the threads of a worker.

    ``shared`` is the settings' map from organisations to ASIDs, for organisations whose ASID a client does not carry.
    ``version`` tells one state of the registry from another. ``enforce_review`` refuses clients whose authority to
    access was to be reviewed before today (live).
    """

    def __init__(
        self, clients: Iterable[Client], shared: ASIDDirectory, *, version: int = 0, enforce_review: bool = True
    ) -> None:
        """Raises ValueError where two clients share a name."""
        self.version: Final = version
        self._enforce_review: Final = enforce_review
        self._by_name: Final[dict[str, RegisteredClient]] = {}
        self._by_pin: Final[dict[str | tuple[str, str], list[RegisteredClient]]] = {}
        self._by_username: Final[dict[str, list[RegisteredClient]]] = {}
        for client in clients:
            if client.name in self._by_name:
                raise ValueError("two clients have the same name")
            registered = RegisteredClient(client, _directory(client, shared))
            self._by_name[client.name] = registered
            for pin in client.pins:
                self._by_pin.setdefault(_key(pin), []).append(registered)
            for username in client.usernames | {client.name}:
                self._by_username.setdefault(username, []).append(registered)

    @property
    def clients(self) -> Mapping[str, RegisteredClient]:
        """The clients by name."""
        return self._by_name

    def by_certificate(self, certificate: PeerCertificate | None, at: datetime) -> RegisteredClient:
        """The enabled client whose pin holds for the certificate at the moment ``at`` (aware).

        Raises:
            ToolkitFault: 3000, nobody's certificate, or of a client that may not call now.
        """
        if certificate is None:
            _refuse("no client certificate")
        candidates = (
            *self._by_pin.get(certificate.fingerprint, ()),
            *self._by_pin.get((certificate.subject, certificate.issuer), ()),
        )
        found = {one.client.name: one for one in candidates if one.client.recognises(certificate, at)}
        return self._only(found, at, "no client has this certificate")

    def by_username(self, username: str | None, at: datetime) -> RegisteredClient:
        """The enabled client of a username, unproven: for plain HTTP from this very machine.

        Raises:
            ToolkitFault: 3000, nobody's username, or of a client that may not call now.
        """
        found = {one.client.name: one for one in self._by_username.get(username or "", ())}
        return self._only(found, at, "no client has this username")

    def _only(self, found: Mapping[str, RegisteredClient], at: datetime, none: str) -> RegisteredClient:
        if not found:
            _refuse(none)
        if len(found) > 1:
            # A pin or a name that two clients carry proves neither: the registry should not have allowed it.
            _refuse("more than one client has it")
        registered = next(iter(found.values()))
        client = registered.client
        if not client.enabled:
            _refuse(f"client {client.name} is disabled")
        if self._enforce_review and client.authority.review_on < at.date():
            _refuse(f"client {client.name}: the authority to access was to be reviewed")
        return registered


def _directory(client: Client, shared: ASIDDirectory) -> ASIDDirectory:
    """The ASIDs of a client's organisations: its own entry, the settings' map, or the settings' default."""
    asids = {
        code: asid or shared.by_ods_code.get(code) or shared.default for code, asid in client.organisations.items()
    }
    return ASIDDirectory({code: asid for code, asid in asids.items() if asid is not None})


def _key(pin: Pin) -> str | tuple[str, str]:
    return pin.fingerprint if isinstance(pin, FingerprintPin) else (pin.subject, pin.issuer)


def _refuse(reason: str) -> NoReturn:
    raise access_denied(_NO, rule=_RULE, reason=reason)
