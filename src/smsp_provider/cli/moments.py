"""Days and moments of the trail as options take them: in UTC, and far enough from where dates end to reckon with."""

from datetime import datetime
from typing import Final

import click

__all__ = ["DAY", "MOMENT"]

_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9000


class _Moment(click.DateTime):
    """A date, or a date and a time, of a year that can have records."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, without a time zone; whoever asks takes it for UTC."""
        moment: datetime = super().convert(value, param, ctx)
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            self.fail(f"{value!r} is not of the years {_FIRST_YEAR} to {_LAST_YEAR}", param, ctx)
        return moment


DAY: Final = _Moment(["%Y-%m-%d"])
MOMENT: Final = _Moment(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
