"""The NHS number: ten ASCII digits of which the last is a modulus 11 check digit (SMSP-VAL-002)."""

from operator import mul
from typing import Final

from smsp_provider.domain.immutable import frozen
from smsp_provider.domain.masking import Masked

__all__ = ["InvalidNHSNumber", "NHSNumber", "is_nhs_number"]

_LENGTH: Final = 10
_WEIGHTS: Final = range(_LENGTH, 1, -1)
"""Of the first nine digits; the tenth is the check digit."""
_WEIGHT_OF_ZEROS: Final = ord("0") * sum(_WEIGHTS)
"""What the codes of the characters weigh more than their digits."""


class InvalidNHSNumber(ValueError):
    """The text is not an NHS number. It is not quoted."""


def is_nhs_number(text: str) -> bool:
    """Whether ``text`` has ten ASCII digits (full-width digits are not digits here) and a right check digit."""
    if len(text) != _LENGTH or not (text.isascii() and text.isdigit()):
        return False
    weighted: int = sum(map(mul, text.encode(), _WEIGHTS)) - _WEIGHT_OF_ZEROS
    # A remainder of 1 would need the check digit 10: such a number is never issued, and no digit equals 10.
    return (11 - weighted % 11) % 11 == int(text[-1])


@frozen
class NHSNumber(Masked):
    """A well-formed NHS number; ``digits`` is the only way to its text.

    Raises:
        InvalidNHSNumber: on any text that :func:`is_nhs_number` refuses.
    """

    digits: str

    def __post_init__(self) -> None:
        if not is_nhs_number(self.digits):
            raise InvalidNHSNumber("not a well-formed NHS number")
