"""Dates as HL7 V3 writes them: YYYY, YYYYMM or YYYYMMDD, and the comparison of dates of different precision."""

import re
from datetime import date
from typing import Final

from smsp_provider.domain.immutable import frozen
from smsp_provider.domain.masking import Masked

__all__ = ["HL7Date", "InvalidDate"]

_TIMESTAMP: Final = re.compile(r"([0-9]{1,14})(?:\.[0-9]+)?(?:[+-][0-9]{1,4})?")
_LENGTHS: Final = (4, 6, 8)
_FULL: Final = 8
_FIRST_DAY: Final = "0101"


class InvalidDate(ValueError):
    """The text is not a date of the Gregorian calendar in one of the three precisions. It is not quoted."""


@frozen
class HL7Date(Masked):
    """A real calendar date of day, month or year precision; ``digits`` has 8, 6 or 4 characters.

    Raises:
        InvalidDate: another length, another character, or a day that no calendar has (SMSP-VAL-004).
    """

    digits: str

    def __post_init__(self) -> None:
        digits = self.digits
        length = len(digits)
        if length not in _LENGTHS or not (digits.isascii() and digits.isdigit()):
            raise InvalidDate("a date has 4, 6 or 8 digits")
        try:
            date.fromisoformat(digits if length == _FULL else (digits + _FIRST_DAY)[:_FULL])
        except ValueError:
            raise InvalidDate("no such day in the calendar") from None

    @classmethod
    def of(cls, day: date) -> "HL7Date":
        """The day as an HL7 date of full precision."""
        return cls(f"{day.year:04}{day.month:02}{day.day:02}")

    @classmethod
    def from_timestamp(cls, text: str) -> "HL7Date":
        """The date in an HL7 timestamp, truncated to the day (SMSP-PDS-007).

        A value of 5 or 7 digits has no whole month or day to truncate to and is refused.

        Raises:
            InvalidDate: not a timestamp, or not a real date.
        """
        if len(text) == _FULL and text.isdigit():
            # A bare day is what nearly all of them are, and the pattern costs more than the check of the day.
            return cls(text)
        match = _TIMESTAMP.fullmatch(text.strip())
        if match is None:
            raise InvalidDate("not an HL7 timestamp")
        return cls(match.group(1)[:_FULL])

    @property
    def is_full(self) -> bool:
        """Whether year, month and day are known."""
        return len(self.digits) == _FULL

    @property
    def year(self) -> str:
        """Four digits."""
        return self.digits[:4]

    @property
    def month(self) -> str | None:
        """Two digits, or None where the date has year precision."""
        return self.digits[4:6] or None

    @property
    def day(self) -> str | None:
        """Two digits, or None where the date has no day."""
        return self.digits[6:8] or None

    def agrees_with(self, other: "HL7Date") -> bool:
        """Whether both say the same at the coarser of the two precisions; symmetric."""
        length = min(len(self.digits), len(other.digits))
        return self.digits[:length] == other.digits[:length]

    def begins_after(self, day: "HL7Date") -> bool:
        """Whether the first day this date may mean lies after ``day`` (a full date), to this date's own precision."""
        return self.digits > day.digits[: len(self.digits)]

    def ends_before(self, day: "HL7Date") -> bool:
        """Whether the last day this date may mean lies before ``day`` (a full date), to this date's own precision."""
        return self.digits < day.digits[: len(self.digits)]
