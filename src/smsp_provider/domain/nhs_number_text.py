"""NHS numbers in free text, where they are not to be shown or kept (IFC-LOG-02)."""

import re
from typing import Final

from smsp_provider.domain.nhs_number import is_nhs_number

__all__ = ["without_nhs_numbers"]

_UUID_OR_NUMBER: Final = re.compile(
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?<![0-9])[0-9]{3}[ ./-]?[0-9]{3}[ ./-]?[0-9]{4}(?![0-9])"
)
"""What could be an NHS number, but not within a UUID."""


def without_nhs_numbers(text: str, mask: str = "[masked]") -> str:
    """Free text with ``mask`` in the place of every well-formed NHS number, grouped or not; UUIDs stay as they are."""
    return _UUID_OR_NUMBER.sub(lambda found: mask if is_nhs_number(re.sub("[ ./-]", "", found[0])) else found[0], text)
