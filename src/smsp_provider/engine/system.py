"""The real clock and the real ids; tests bring their own."""

import time
import uuid
from datetime import UTC, datetime

__all__ = ["RandomIds", "SystemClock"]


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()


class RandomIds:
    """Random UUIDs (version 4)."""

    def new_uuid(self) -> str:
        """A random UUID, bare and in upper case."""
        return str(uuid.uuid4()).upper()
