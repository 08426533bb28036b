"""What an operator is told while it happens: typed events with nothing of a patient in them.

Whoever listens can change nothing. The exchange id leads from an event to the audit trail, where the rest stands.
Reasons name a field, a rule or a kind of failure, never a value (IFC-LOG-02).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from smsp_provider.domain.immutable import immutable
from smsp_provider.domain.service import Service

__all__ = ["Alert", "AlertKind", "EdgeAnswered", "InputRefused", "Observer", "OperatorEvent", "RequestAnswered"]


class AlertKind(Enum):
    """What somebody should look at."""

    GATE_REFUSED = "answer-refused-by-gate"
    SPINE_REFUSED_US = "spine-refused-our-message"
    UNMAPPED_PDS_CODE = "unmapped-pds-code"
    SENSITIVE_RECORD = "sensitive-record-accessed"
    AUDIT_UNAVAILABLE = "audit-unavailable"
    REPLAY_MEMORY_UNAVAILABLE = "replay-memory-unavailable"
    UNEXPECTED_FAILURE = "unexpected-failure"
    TLS_FILES_REFUSED = "tls-files-refused"
    CERTIFICATE_ENDING = "certificate-ending"
    CLIENT_REGISTRY_UNAVAILABLE = "client-registry-unavailable"
    CLIENT_UNREADABLE = "client-unreadable"
    CLIENT_REVIEW_DUE = "client-review-due"
    PROBING = "probing-suspected"
    PROBING_WATCH_UNAVAILABLE = "probing-watch-unavailable"
    OPERATOR_LOGIN_REFUSED = "operator-login-refused"
    OPERATOR_LOCKED = "operator-locked"
    REFUSALS_NOT_COUNTED = "refusals-not-counted"
    CHAIN_FAILED = "audit-chain-failed"
    WITNESS_UNAVAILABLE = "audit-witness-unavailable"
    KEEPER_DOWN = "audit-keeper-down"
    KEEPER_TASK_FAILED = "audit-keeper-task-failed"
    SPINE_OUTAGE = "spine-outage"
    SPINE_OUTAGE_OVER = "spine-outage-over"
    CLOCK_DRIFT = "clock-drift"
    THROUGHPUT = "throughput"
    MESSAGE_SIZES = "message-sizes"
    ERRORS = "errors"
    BACKLOG = "backlog"
    LIMITS_UNAVAILABLE = "limits-unavailable"
    ALERTS_UNDELIVERED = "alerts-undelivered"
    TEST = "test"


@immutable
class RequestAnswered:
    """A SOAP request ended: one event for each, whatever the ending.

    ``code`` is the response code or the fault's error code on the wire, ``message_id`` the client's own, ``username``
    the name of the calling system. ``error_id`` is the ErrorID of a fault: for one that is only counted on the audit
    trail (:class:`smsp_provider.audit.events.Refusals`) this event is all that tells of it alone.
    """

    exchange_id: str
    message_id: str | None
    username: str | None
    service: Service | None
    code: str
    status: int
    duration_ms: int
    spine_exchanges: int = 0
    error_id: str | None = None
    request_bytes: int = 0


@dataclass(frozen=True, slots=True)
class InputRefused:
    """A request understood as SOAP but not acted on; ``reason`` is field and rule."""

    exchange_id: str
    service: Service
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that needs a person (IG-ALERT-2.26 among others); ``codes`` are those of PDS where they matter.

    ``client`` and ``count`` are set where the alert is about what one calling system did how often.
    """

    kind: AlertKind
    exchange_id: str | None
    reason: str
    codes: tuple[str, ...] = ()
    client: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class EdgeAnswered:
    """A request answered below SOAP (unknown path, WSDL, health): no exchange, so nothing on the audit trail."""

    method: str
    status: int


OperatorEvent = RequestAnswered | InputRefused | Alert | EdgeAnswered


class Observer(Protocol):
    """Who listens."""

    def notify(self, event: OperatorEvent) -> None:
        """Take note of an event. Never raises, and returns soon."""
        ...
