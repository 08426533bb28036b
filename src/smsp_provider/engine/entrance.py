"""Who sends a request: from connection and security header to a registered client.

With a registry, the certificate names the client; plain HTTP, which is for this very machine only, has none: there the
username names it, unproven. Without a registry (never in live), every certificate of the authority is let in.

Source: WS-SEC-04 to 08, transport.md (username and signature policies).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from smsp_provider.domain.access import RegisteredClient
from smsp_provider.domain.clients import Client, SignaturePolicy
from smsp_provider.domain.faults import ToolkitFault, try_again
from smsp_provider.engine.exchange import Peer
from smsp_provider.engine.ports import ClientRegistry, RegistryUnavailable
from smsp_provider.soap.envelope import SoapMessage
from smsp_provider.soap.security import SecurityFacts, SecurityPolicy, UsernamePolicy, check_security, find_username
from smsp_provider.soap.signature_key import SignerCertificates

__all__ = ["Entrance"]


class Entrance:
    """Lets registered clients in, as one policy says. ``registry`` None knows no clients and lets everybody in."""

    def __init__(self, registry: ClientRegistry | None, policy: SecurityPolicy) -> None:
        self._registry: Final = registry
        plain = replace(policy, username=UsernamePolicy.IGNORE)
        self._over_tls: Final = _by_signatures(policy)
        self._plain: Final = _by_signatures(plain)
        self._signatures: Final = policy.signatures
        self._clients_may_ignore: Final = policy.clients_may_ignore

    def identify(self, peer: Peer, message: SoapMessage, at: datetime) -> RegisteredClient | None:
        """The client behind a connection and its message at the moment ``at``; None without a registry.

        Raises:
            ToolkitFault: 3000, no client that may call now; 2100, who is registered is not known at the moment.
        """
        if self._registry is None:
            return None
        try:
            book = self._registry.book()
        except RegistryUnavailable as unavailable:
            raise try_again(
                "The service is not available at the moment, try again later", rule="WS-SEC-08", reason=str(unavailable)
            ) from None
        if peer.over_tls:
            return book.by_certificate(peer.certificate, at)
        return book.by_username(find_username(message), at)

    def name_behind(self, peer: Peer, at: datetime) -> str | None:
        """The client's name as far as its certificate tells it, for the record of a request that is refused early."""
        if self._registry is None or peer.certificate is None:
            return None
        try:
            return self._registry.book().by_certificate(peer.certificate, at).client.name
        except (RegistryUnavailable, ToolkitFault):
            return None

    def check_security(
        self, peer: Peer, message: SoapMessage, at: datetime, client: RegisteredClient | None
    ) -> SecurityFacts:
        """Check the security header against connection and client.

        Raises:
            ToolkitFault: 3000, the first breach; see :func:`smsp_provider.soap.security.check_security`.
        """
        policies = self._over_tls if peer.over_tls else self._plain
        if client is not None:
            registration = client.client
            return check_security(
                message,
                at,
                peer.common_name,
                policies[self._signatures_of(registration)],
                known_names=registration.usernames | {registration.name},
                signers=lambda: SignerCertificates.of(registration.pins, peer.certificate, at),
            )
        signatures = self._signatures
        if peer.certificate is None and signatures is SignaturePolicy.VERIFY_IF_PRESENT:
            # On this machine, without clients: there is no certificate that a signature could be compared with.
            signatures = SignaturePolicy.IGNORE
        return check_security(
            message,
            at,
            peer.common_name,
            policies[signatures],
            signers=lambda: SignerCertificates.of((), peer.certificate, at),
        )

    def _signatures_of(self, client: Client) -> SignaturePolicy:
        """The client's own policy, or that of the settings; where no settings may ignore signatures, no client may."""
        own = client.signatures or self._signatures
        if client.signatures is SignaturePolicy.IGNORE and not self._clients_may_ignore:
            own = SignaturePolicy.VERIFY_IF_PRESENT
        return own


def _by_signatures(policy: SecurityPolicy) -> Mapping[SignaturePolicy, SecurityPolicy]:
    return {signatures: replace(policy, signatures=signatures) for signatures in SignaturePolicy}
