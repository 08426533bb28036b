"""The simulator's time: injected, in UTC, with "today" as the National Health Service counts it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["SpineClock", "london_day", "utc_now"]

SpineClock = Callable[[], datetime]
"""Returns the moment, aware, in any zone."""

_LONDON: Final = ZoneInfo("Europe/London")


def utc_now() -> datetime:
    """The moment on the machine's clock, aware, in UTC."""
    return datetime.now(UTC)


def london_day(moment: datetime) -> str:
    """The calendar day in London at ``moment`` as YYYYMMDD: what "current" is measured against."""
    return f"{moment.astimezone(_LONDON):%Y%m%d}"
