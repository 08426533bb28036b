"""From bytes to a request that can be asked: the ordered list of stages, each typed in, typed out.

envelope, mustUnderstand, addressing, service | client and its limits, security, repeats, distribution envelope, payload
schema, field rules, access method, organisation. The bar is where a dispatcher may route. A stage returns what it
learned or raises; what was learned before a stage raised travels with the exception, because the audit needs it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from smsp_provider.audit.events import RequestFacts
from smsp_provider.domain.access import RegisteredClient
from smsp_provider.domain.audit_identity import Caller, organisation_in
from smsp_provider.domain.clients import PriorityClass
from smsp_provider.domain.faults import invalid_message
from smsp_provider.domain.hl7_date import HL7Date
from smsp_provider.domain.identifiers import ODSCode
from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.requests import ByNumber, ServiceRequest, check_fields
from smsp_provider.domain.service import Service
from smsp_provider.engine.admission import ANYBODY, is_attended
from smsp_provider.engine.entrance import Entrance
from smsp_provider.engine.exchange import InboundExchange
from smsp_provider.engine.policy import EnginePolicy
from smsp_provider.engine.ports import SpineSender
from smsp_provider.itk.distribution import Distribution, peek_identity, read_distribution
from smsp_provider.itk.request import read_request
from smsp_provider.itk.services import select_service
from smsp_provider.soap.addressing import Addressing, read_addressing
from smsp_provider.soap.envelope import SoapMessage, check_must_understand, read_soap
from smsp_provider.soap.security import SecurityFacts, find_username
from smsp_provider.soap.signature import is_signed
from smsp_provider.xmlcore.schemas import Schemas

__all__ = ["Received", "Stopped", "Understood", "receive", "understand"]


@immutable
class Received(Masked):
    """A SOAP request whose envelope and addressing are in order.

    ``exchange_id`` is ours and new; ``arrived`` is UTC; ``started`` is on the monotonic clock, in seconds.
    """

    exchange: InboundExchange
    exchange_id: str
    arrived: datetime
    started: float
    message: SoapMessage
    addressing: Addressing
    service: Service


@immutable
class Understood(Masked):
    """A request that keeps every rule, in whose name it goes to Spine, and how it stands in the queue there."""

    facts: RequestFacts
    request: ServiceRequest
    sender: SpineSender
    client: str
    attended: bool


class Stopped(Exception):
    """A stage refused the request, or broke: ``cause`` says how, ``facts`` are what the stages before it learned.

    ``is_stranger`` tells that this was before anybody knew whose request it is.
    """

    def __init__(self, facts: RequestFacts, cause: Exception, *, is_stranger: bool) -> None:
        super().__init__(type(cause).__name__)
        self.facts = facts
        self.cause = cause
        self.is_stranger = is_stranger


def receive(
    exchange: InboundExchange, policy: EnginePolicy, *, exchange_id: str, arrived: datetime, started: float
) -> Received:
    """Read envelope and addressing, and find the service.

    Raises:
        ToolkitFault: the message cannot be taken.
    """
    message = read_soap(exchange.body)
    check_must_understand(message)
    addressing = read_addressing(message, exchange.soap_action, policy.addressing)
    service = select_service(addressing.action, exchange.path, policy.paths)
    return Received(exchange, exchange_id, arrived, started, message, addressing, service)


def understand(
    received: Received,
    policy: EnginePolicy,
    entrance: Entrance,
    schemas: Schemas,
    today: HL7Date,
    admit: Callable[[RegisteredClient], None],
    is_repeat: Callable[[str], bool],
) -> Understood:
    """Take the request through the remaining stages. ``today`` is the current day in Europe/London.

    ``admit`` counts the request among those of its client, or raises when it has as many as it may.
    ``is_repeat`` registers the MessageID under the caller's name it is given, and tells whether it was used before.

    Raises:
        Stopped: with the cause: ToolkitFault, InputInvalid or AuthorRefused, or whatever broke here.
    """
    learnt = _Learnt(received)
    try:
        return _understand(received, policy, entrance, schemas, today, admit, is_repeat, learnt)
    except Exception as cause:  # noqa: BLE001 - told apart by the pipeline; nothing is swallowed
        raise Stopped(learnt.facts(), cause, is_stranger=learnt.is_strangers()) from None


@dataclass(slots=True)
class _Learnt:
    """What the stages learned so far; lives for one call of :func:`understand`."""

    received: Received
    client: RegisteredClient | None = None
    security: SecurityFacts | None = None
    repeated: bool = False
    distribution: Distribution | None = None
    request: ServiceRequest | None = None

    def is_strangers(self) -> bool:
        """Whether neither a certificate nor the security header told whose request it is."""
        proven = self.client is not None and self.received.exchange.peer.over_tls
        return self.security is None and not proven

    def facts(self, ods_code: ODSCode | None = None) -> RequestFacts:
        """For the audit; ``ods_code`` is the organisation the request goes to Spine for, once that is known."""
        received, security, distribution = self.received, self.security, self.distribution
        peer, addressing = received.exchange.peer, received.addressing
        caller = distribution.caller if distribution is not None else None
        tracking_id, audit_ids = (
            (distribution.tracking_id, distribution.audit_ids)
            if distribution is not None
            else peek_identity(received.message.body_child)
        )
        return RequestFacts(
            address=peer.address,
            username=security.username if security is not None else find_username(received.message),
            common_name=peer.common_name,
            certificate=peer.certificate.fingerprint if peer.certificate is not None else None,
            client=self.client.client.name if self.client is not None else None,
            service=received.service,
            action=addressing.action,
            message_id=addressing.message_id,
            tracking_id=tracking_id,
            audit_ids=audit_ids,
            method=caller.method if isinstance(caller, Caller) else None,
            names_asid=isinstance(caller, Caller) and caller.names_asid,
            ods_code=ods_code or (caller.ods_code if isinstance(caller, Caller) else organisation_in(audit_ids)),
            sender_address=distribution.sender_address if distribution is not None else None,
            from_address=addressing.sender,
            nhs_number=self.request.nhs_number if isinstance(self.request, ByNumber) else None,
            signed=security.signed if security is not None else is_signed(received.message),
            signer=security.signer if security is not None else None,
            repeated=self.repeated,
            decoded=distribution is not None and distribution.decoded,
        )


def _understand(
    received: Received,
    policy: EnginePolicy,
    entrance: Entrance,
    schemas: Schemas,
    today: HL7Date,
    admit: Callable[[RegisteredClient], None],
    is_repeat: Callable[[str], bool],
    learnt: _Learnt,
) -> Understood:
    peer, addressing = received.exchange.peer, received.addressing
    client = learnt.client = entrance.identify(peer, received.message, received.arrived)
    if client is not None:
        admit(client)
    learnt.security = entrance.check_security(peer, received.message, received.arrived, client)
    if client is not None:
        client.check_service(received.service)
    learnt.repeated = is_repeat(learnt.security.username if client is None else client.client.name)
    if learnt.repeated and policy.reject_repeats:
        raise invalid_message("wsa:MessageID is a duplicate of an earlier one", rule="WS-ADR-01")
    learnt.distribution = read_distribution(received.message.body_child, addressing.action, schemas, policy.envelope)
    if client is not None:
        client.check_profile(learnt.distribution.profile_id)
    fields = read_request(received.service, learnt.distribution.require_payload(), schemas)
    learnt.request = check_fields(received.service, fields, today)
    caller = learnt.distribution.require_caller()
    directory = policy.organisations if client is None else client
    sender = SpineSender(directory.asid_for(caller), caller.author, directory.organisation_of(caller))
    priority = PriorityClass.NORMAL if client is None else client.client.priority
    return Understood(
        learnt.facts(sender.ods_code),
        learnt.request,
        sender,
        ANYBODY if client is None else client.client.name,
        is_attended(caller.method, priority),
    )
