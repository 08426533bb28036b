"""The way to the table of limits: alone, in time, and known to it."""

from collections.abc import Callable
from typing import Final

from smsp_provider.engine.admission import Busy
from smsp_provider.storage.shared_region import SharedRegion
from smsp_provider.storage.throttle_table import ThrottleTable

__all__ = ["AtTable"]


class AtTable:
    """``with`` it one is at the table, alone and known to it; :class:`Busy` where it cannot be used.

    What was changed in the head is written at the end.
    """

    def __init__(self, region: SharedRegion, be_known: Callable[[ThrottleTable], None]) -> None:
        self._region: Final = region
        self._be_known: Final = be_known

    def __enter__(self) -> ThrottleTable:
        try:
            table = ThrottleTable(self._region.acquire())
        except OSError:
            raise Busy("the table of limits cannot be used", 1) from None
        try:
            self._be_known(table)
        except BaseException:
            self._region.release()
            raise
        self._table = table
        return table

    def __exit__(self, *_: object) -> None:
        try:
            self._table.put_head()
        finally:
            self._region.release()
