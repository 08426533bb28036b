"""The records of the audit trail: who asked what, what was asked of Spine, and how it ended.

Records are facts in the words of the domain; how they are written down is :mod:`smsp_provider.audit.encoding`. They
hold what names a person, so those that do mask their ``repr``. All moments are aware datetimes (SMSP-AUDIT-011).

Source: SMSP-AUDIT-004, 006, 008, 009; audit-identity.md, the ids that the trail keeps.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from smsp_provider.audit.deletion_events import DeletionProposed, DeletionWithdrawn, Erasure
from smsp_provider.audit.lane_events import Closing, LaneEnded, Opening
from smsp_provider.domain.audit_identity import AccessMethod, AuditId, SpineAuthor
from smsp_provider.domain.faults import ErrorCode, FaultCode
from smsp_provider.domain.identifiers import ASID, ODSCode
from smsp_provider.domain.immutable import frozen, immutable
from smsp_provider.domain.masking import Masked
from smsp_provider.domain.nhs_number import NHSNumber
from smsp_provider.domain.outcomes import Evidence, Repair
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import ExchangeIds

__all__ = [
    "Change",
    "Closure",
    "Ending",
    "EndingKind",
    "FaultFacts",
    "Intent",
    "OperatorAct",
    "OperatorActKind",
    "PatientFacts",
    "Record",
    "RefusalCount",
    "RefusalMark",
    "Refusals",
    "RequestFacts",
    "Source",
    "Start",
]


class Source(Enum):
    """Where an answer came from (SMSP-AUDIT-006). There is no local store yet; one would be a member here."""

    SPINE = "spine"
    NONE = "none"


class EndingKind(Enum):
    """How an exchange ended: a business answer, a SOAP fault, or a fault because the provider itself broke.

    ``REFUSED`` is a fault before anybody knew whose request it was: the first of a peer in a minute; the others of that
    minute are counted in :class:`Refusals`.
    """

    ANSWERED = "answered"
    FAULT = "fault"
    REFUSED = "refused"
    CRASHED = "crashed"


@immutable
class RequestFacts(Masked):
    """What is known about a request when the record is made; a request refused early leaves most of it None.

    ``address`` is the network address of the peer, ``common_name`` and ``certificate`` are the CN and the SHA-256
    of its TLS certificate, ``client`` is the name under which that is registered. ``message_id`` and
    ``tracking_id`` are as the client sent them, ``from_address`` is wsa:From and ``sender_address`` the envelope's.
    ``audit_ids`` are all ids of the audit identity, known kinds or not. ``method`` is the access method that they
    make, ``names_asid`` tells that an ASID was named beside it (access method 5). ``ods_code`` is the organisation
    that they name, by its code or by an ASID that is its alone. ``signed`` tells that a signature was there,
    ``signer`` is the SHA-256 of the certificate that it was verified with, None where it was not. ``repeated``
    tells of a MessageID seen before, ``decoded`` of a payload in base64 or gzip.
    """

    address: str
    username: str | None = None
    common_name: str | None = None
    certificate: str | None = None
    client: str | None = None
    service: Service | None = None
    action: str | None = None
    message_id: str | None = None
    tracking_id: str | None = None
    audit_ids: tuple[AuditId, ...] = ()
    method: AccessMethod | None = None
    names_asid: bool = False
    ods_code: ODSCode | None = None
    sender_address: str | None = None
    from_address: str | None = None
    nhs_number: NHSNumber | None = None
    signed: bool = False
    signer: str | None = None
    repeated: bool = False
    decoded: bool = False

    @property
    def methods(self) -> tuple[AccessMethod, ...]:
        """All access methods that were made use of: naming an ASID counts as one beside the others."""
        named = (AccessMethod.NAMED_ASID,) if self.names_asid else ()
        return named if self.method is None else (self.method, *named)


@immutable
class Intent(Masked):
    """A query is about to leave: on record before it does. ``asid`` and ``author`` are what Spine will be told."""

    exchange_id: str
    at: datetime
    request: RequestFacts
    asid: ASID
    author: SpineAuthor | None = None


@immutable
class FaultFacts:
    """A fault as the caller gets it: ``error_id`` is the ErrorID, ``rule`` the broken requirement, no content."""

    faultcode: FaultCode
    error_code: ErrorCode
    error_id: str
    rule: str


@frozen
class PatientFacts(Masked):
    """Whom the answer is about and how sure that is. ``superseded`` tells that the number asked for was replaced."""

    nhs_number: NHSNumber | None = None
    evidence: Evidence | None = None
    superseded: bool = False
    sensitive: bool = False
    name_contradiction: bool = False
    repairs: tuple[Repair, ...] = ()


@immutable
class Ending(Masked):
    """How an exchange ended: on record before the answer leaves.

    ``request`` is set when no :class:`Intent` went before (nothing was asked of Spine); where one did, ``service`` and
    ``client`` say once more which service and whose request it was, so that throughput can be told from endings alone.
    ``wire_code`` is the configured code of ``response_code``; ``reason`` names field, rule or event, never a value;
    ``reply_message_id`` is the wsa:MessageID of the answer; ``spine`` holds the ids of every exchange with Spine, in
    order.
    """

    exchange_id: str
    at: datetime
    kind: EndingKind
    duration_ms: int
    source: Source = Source.NONE
    request: RequestFacts | None = None
    service: Service | None = None
    client: str | None = None
    response_code: ResponseCode | None = None
    wire_code: str | None = None
    fault: FaultFacts | None = None
    reason: str = ""
    reply_message_id: str | None = None
    spine: tuple[ExchangeIds, ...] = ()
    patient: PatientFacts = PatientFacts()


@dataclass(frozen=True, slots=True)
class Closure:
    """An intent whose writer died before the ending: the outcome is unknown, the query may have reached Spine."""

    exchange_id: str
    at: datetime
    writer: str


class RefusalCount(NamedTuple):
    """How many requests were refused with the same error code (or ``HTTP`` and a status) for the same broken rule."""

    code: str
    rule: str
    times: int


class RefusalMark(NamedTuple):
    """One of the refused requests, by the ids that its caller and the operators' log have of it."""

    exchange_id: str
    error_id: str


@dataclass(frozen=True, slots=True)
class Refusals:
    """Requests that one peer sent in one minute and that were refused before anybody knew whose they were.

    The first of them has an :class:`Ending` of its own; these are all others, so that junk cannot fill the disk.
    ``minute`` is its beginning. ``address`` is None in the record of all peers beyond those that there was room for by
    name. ``first`` and ``last`` are missing where all was refused below SOAP. Two records with the same minute, address
    and ``first`` are of the same requests: the process that wrote the one died before it could take note.
    """

    at: datetime
    minute: datetime
    address: str | None
    counts: tuple[RefusalCount, ...]
    common_name: str | None = None
    certificate: str | None = None
    first: RefusalMark | None = None
    last: RefusalMark | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """The provider started (SMSP-AUDIT-008): which build, with which configuration and reference data.

    ``settings_hash`` and the values of ``reference_data`` (file name, hash) are SHA-256 in hexadecimal digits: two
    starts that differ in them show that something was changed in between. ``settings`` are all settings in force, as a
    JSON object: those of the start before are what they were before.
    """

    at: datetime
    version: str
    environment: str
    settings_hash: str
    reference_data: tuple[tuple[str, str], ...] = ()
    settings: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Somebody changes the configuration while providers run (SMSP-AUDIT-008): on record before it is in force.

    ``who`` is the operator, or the user of the operating system where nobody has an account; ``what`` is the kind of
    thing ("client", "operator") and ``name`` which one.
    ``before`` and ``after`` are JSON documents of it, None where it is not there. ``version`` is the one that the
    change makes: a later change with the same version tells that this one was not made after all.
    """

    at: datetime
    who: str
    what: str
    name: str
    version: int
    before: str | None = None
    after: str | None = None


class OperatorActKind(Enum):
    """What an operator did, or what was done in the name of one (SMSP-AUDIT-008)."""

    LOGIN = "login"
    LOGIN_REFUSED = "login-refused"
    LOCKED = "locked"
    LOGOUT = "logout"
    ENROLLED = "enrolled"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - the name of an event
    COMMAND = "command"
    COMMAND_REFUSED = "command-refused"
    AUDIT_SEARCHED = "audit-searched"
    PATIENT_REPORTED = "patient-reported"


@dataclass(frozen=True, slots=True)
class OperatorAct:
    """Somebody who administers came, went, was refused, or ran a command on protected things (SMSP-AUDIT-009).

    ``operator`` is the account, None where nobody has the name that was given: somebody may have typed a password in
    its place. ``access_point`` tells machine, user and terminal. ``attempts`` counts failures in a row: of a refused
    login this one included, of a login those before it. ``detail`` is the command with what was searched for, or why
    something was refused. ``nhs_number`` is the patient whom a search of the audit trail was about.
    """

    at: datetime
    kind: OperatorActKind
    access_point: str
    operator: str | None = None
    attempts: int = 0
    detail: str = ""
    nhs_number: NHSNumber | None = None


Record = (
    Intent
    | Ending
    | Closure
    | Refusals
    | Start
    | Change
    | OperatorAct
    | DeletionProposed
    | DeletionWithdrawn
    | Erasure
    | Opening
    | Closing
    | LaneEnded
)
