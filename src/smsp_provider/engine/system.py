"""The real clock and the real ids; tests bring their own."""

import os
import time
from datetime import UTC, datetime
from typing import Final

__all__ = ["RandomIds", "SystemClock"]


_VARIANTS: Final = "89AB"


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()


class RandomIds:
    """Random UUIDs (RFC 9562, version 4), written without the detour over a UUID object: a request takes six."""

    def new_uuid(self) -> str:
        """A random UUID, bare and in upper case."""
        digits = os.urandom(16).hex().upper()
        variant = _VARIANTS[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
