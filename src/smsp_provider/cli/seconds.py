"""Durations on the command line: finite, and short enough for every clock that they are given to."""

import math
from typing import Final

import click

__all__ = ["Seconds"]

_MOST: Final = 3600


class Seconds(click.FloatRange):
    """A number of seconds from ``least`` to an hour. A range alone lets "nan" through: it is not less than anything."""

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=_MOST)

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, which is one that can be waited for."""
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds
