"""NHS numbers for people who do not exist.

The population has the range that is kept for tests (999), generated patients the blocks below it that are not issued.
"""

from typing import Final

__all__ = ["GENERATED", "POPULATION", "WATERMARKED", "check_digit", "number_at"]

POPULATION: Final = 999_000_000
"""First nine digits where the shipped population begins."""
GENERATED: Final = 990_000_000
"""First nine digits where generated patients begin: room for eight million."""
WATERMARKED: Final = 980_000_000
"""First nine digits where watermarked patients begin: room for nine million."""

_USABLE: Final = 9
"""Of ten stems that differ in the last digit only, at least nine have a check digit."""


def check_digit(stem: int) -> int:
    """The modulus 11 check digit of nine digits; 10 where there is no such number."""
    total = 0
    rest = stem
    for weight in range(2, 11):
        rest, digit = divmod(rest, 10)
        total += weight * digit
    return (11 - total % 11) % 11


def number_at(block: int, position: int) -> str:
    """The number at a position (from 0) of a block; different positions have different numbers."""
    first = block + position // _USABLE * 10
    wanted = position % _USABLE
    digits = ((stem, check_digit(stem)) for stem in range(first, first + 10))
    usable = [f"{stem:09d}{digit}" for stem, digit in digits if digit < 10]
    return usable[wanted]
