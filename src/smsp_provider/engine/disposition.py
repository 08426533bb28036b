"""The one table from failures to answers (pds-services.md, "When Spine does not answer well").

A failure of asking Spine becomes a business answer without data, or fault 2100 where it is our own capacity. Nobody
else picks a code for a failure.
"""

from dataclasses import dataclass

from smsp_provider.audit.operator_events import AlertKind
from smsp_provider.domain.audit_identity import AuthorRefused
from smsp_provider.domain.failures import (
    NoCapacity,
    NotSent,
    Refused,
    SentNoAnswer,
    SpineFailure,
    Unreadable,
)
from smsp_provider.domain.gate import GateRefusal
from smsp_provider.domain.requests import InputInvalid
from smsp_provider.domain.response_codes import ResponseCode
from smsp_provider.spine.hl7v3.fault import is_retryable

__all__ = ["Disposition", "dispose"]


@dataclass(frozen=True, slots=True)
class Disposition:
    """How a failure ends: ``code`` None means fault 2100, with its Retry-After.

    ``alert`` names the alert to raise, where one is due.
    """

    code: ResponseCode | None
    reason: str
    alert: AlertKind | None = None
    retry_after: int | None = None


def dispose(failure: Exception) -> Disposition:
    """The answer for a failure once the payload is understood; an unknown exception is our own (SMSP-9999)."""
    match failure:
        case InputInvalid():
            found = Disposition(ResponseCode.INPUT_INVALID, f"{failure.field} {failure.rule}")
        case AuthorRefused():
            found = Disposition(ResponseCode.AUTHOR_REFUSED, failure.rule)
        case GateRefusal():
            found = Disposition(ResponseCode.ANSWER_UNUSABLE, str(failure), alert=AlertKind.GATE_REFUSED)
        case NoCapacity():
            found = Disposition(None, failure.reason, retry_after=failure.retry_after)
        case Refused() if is_retryable(failure.codes):
            found = Disposition(ResponseCode.SPINE_UNREACHABLE, failure.reason)
        case Refused():
            reason = " ".join((failure.reason, *failure.codes))
            found = Disposition(ResponseCode.PROVIDER_FAILURE, reason, alert=AlertKind.SPINE_REFUSED_US)
        case NotSent() | SentNoAnswer():
            found = Disposition(ResponseCode.SPINE_UNREACHABLE, failure.reason)
        case Unreadable():
            found = Disposition(ResponseCode.ANSWER_UNUSABLE, failure.reason)
        case SpineFailure():
            found = Disposition(ResponseCode.PROVIDER_FAILURE, failure.reason)
        case _:
            found = Disposition(
                ResponseCode.PROVIDER_FAILURE,
                f"unexpected {type(failure).__name__}",
                alert=AlertKind.UNEXPECTED_FAILURE,
            )
    return found
