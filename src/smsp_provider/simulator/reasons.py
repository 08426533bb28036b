"""The reasons (detected issues) that PDS gives, by their codes.

Which codes exist and what they mean: HL7 V3 pack, ``pds-error-codes.csv``. The texts are this project's own.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["ERROR", "WARNING", "Reason", "errors", "warning"]

ERROR: Final = "ER"
WARNING: Final = "WG"

_TEXTS: Final = {
    "0": "The query is incomplete or not valid",
    "1": "No record matches",
    "2": "More records match than may be returned",
    "3": "One record matches and its details are returned",
    "5": "One record matches and its details are limited because it is sensitive",
    "7": "Several records may match and none can be chosen",
    "9": "The record is returned with limited details because it is sensitive",
    "17": "The NHS number has been replaced by another",
    "22": "The NHS number is no longer in use and has no replacement",
    "24": "The NHS number has been replaced and the record under the new number is returned",
    "40": "The NHS number is in use but the other details do not match",
    "42": "Not a ten digit new style NHS number",
    "44": "The NHS number has been replaced by another",
    "ST004": "No record matches",
    # Not a published code: PDS sends a detail with every refusal, and which comes with 7 is not public.
    "ST005": "Several records may match and none can be chosen",
    "RT003": "No record matches",
    "NHSNCC002": "No record has this NHS number",
    "GE002": "An unexpected error has happened",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason; ``qualifier`` is ER or WG."""

    code: str
    qualifier: str

    @property
    def text(self) -> str:
        """What the reason says to people; a code that this product does not know is only named."""
        return _TEXTS.get(self.code, f"Code {self.code}")


def errors(*codes: str) -> tuple[Reason, ...]:
    """Reasons that refuse a query."""
    return tuple(Reason(code, ERROR) for code in codes)


def warning(code: str) -> tuple[Reason, ...]:
    """A reason that comes with a positive answer."""
    return (Reason(code, WARNING),)
