"""Technical errors towards the caller: SOAP faults with ToolkitErrorInfo (WS-FLT-*, WS-FDT-*), no business outcomes."""

from enum import Enum
from typing import Final

__all__ = [
    "ErrorCode",
    "FaultCode",
    "ToolkitFault",
    "access_denied",
    "invalid_message",
    "provider_failure",
    "try_again",
]

_COME_AGAIN_SECONDS: Final = 5
"""When to try again, where nobody can say."""


class FaultCode(Enum):
    """SOAP 1.1 fault codes (WS-FLT-01)."""

    CLIENT = "Client"
    SERVER = "Server"
    MUST_UNDERSTAND = "MustUnderstand"
    VERSION_MISMATCH = "VersionMismatch"


class ErrorCode(Enum):
    """ITK error codes (WS-FDT-02)."""

    INVALID_MESSAGE = "1000"
    TRY_AGAIN = "2100"
    PROVIDER_FAILURE = "2200"
    ACCESS_DENIED = "3000"


class ToolkitFault(Exception):
    """A fault on its way to the caller.

    ``text`` is for an end user and names the field, never its content; ``diagnostic`` is for an administrator;
    ``rule`` is the requirement id that was broken; ``status`` is the HTTP status, 500 but for sizes and media types.
    ``reason`` is for the audit and our operators only, where it says more than the caller may know. ``retry_after`` is
    how many seconds a caller that is told to try again should wait.
    """

    def __init__(
        self,
        faultcode: FaultCode,
        error_code: ErrorCode,
        text: str,
        *,
        rule: str,
        diagnostic: str = "",
        status: int = 500,
        reason: str = "",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(text)
        self.faultcode = faultcode
        self.error_code = error_code
        self.text = text
        self.rule = rule
        self.diagnostic = diagnostic
        self.status = status
        self.reason = reason or text
        self.retry_after = retry_after


def invalid_message(text: str, *, rule: str, status: int = 500) -> ToolkitFault:
    """The sender's structure or content is wrong: 1000."""
    return ToolkitFault(FaultCode.CLIENT, ErrorCode.INVALID_MESSAGE, text, rule=rule, status=status)


def access_denied(text: str, *, rule: str, reason: str = "") -> ToolkitFault:
    """Certificate, username, timestamp or organisation: 3000."""
    return ToolkitFault(FaultCode.CLIENT, ErrorCode.ACCESS_DENIED, text, rule=rule, reason=reason)


def try_again(
    text: str, *, rule: str, diagnostic: str = "", reason: str = "", retry_after: int | None = None
) -> ToolkitFault:
    """Overload, shutting down, or a dependency down before Spine was tried: 2100.

    The caller is always told when to come again: many that repeat at once would keep down what is down.
    """
    return ToolkitFault(
        FaultCode.SERVER,
        ErrorCode.TRY_AGAIN,
        text,
        rule=rule,
        diagnostic=diagnostic,
        reason=reason,
        retry_after=_COME_AGAIN_SECONDS if retry_after is None else retry_after,
    )


def provider_failure(text: str, *, rule: str, diagnostic: str = "") -> ToolkitFault:
    """A bug or a misconfiguration here: 2200."""
    return ToolkitFault(FaultCode.SERVER, ErrorCode.PROVIDER_FAILURE, text, rule=rule, diagnostic=diagnostic)
