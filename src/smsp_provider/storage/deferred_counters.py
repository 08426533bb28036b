"""Counters that are gathered in the process and written into the table that all share a few times a second."""

import threading
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from smsp_provider.storage.soon import Soon

__all__ = ["CounterTable", "DeferredCounters"]


class CounterTable(Protocol):
    """Where everything is counted in the end."""

    def add_all(self, amounts: Iterable[tuple[str, float]], hours: Mapping[int, int]) -> None:
        """Add to counters by name, and requests to hours (since 1970). Never raises."""
        ...


class DeferredCounters:
    """:class:`smsp_provider.observe.metrics.Counters` before a table; safe for threads and forks.

    A worker that is killed takes what it counted in its last moment with it.
    """

    def __init__(self, table: CounterTable) -> None:
        self._table: Final = table
        self._forget()
        self._soon: Final = Soon("counters", self._write, lambda: not self._amounts and not self._hours, self._forget)

    def _forget(self) -> None:
        """The state of one process."""
        self._guard = threading.Lock()
        self._amounts: dict[str, float] = {}
        self._hours: dict[int, int] = {}

    def add(self, amounts: Iterable[tuple[str, float]], *, hour: int | None = None) -> None:
        """See :meth:`smsp_provider.observe.metrics.Counters.add`."""
        with self._guard:
            gathered, hours = self._amounts, self._hours
            for name, amount in amounts:
                gathered[name] = gathered.get(name, 0.0) + amount
            if hour is not None:
                hours[hour] = hours.get(hour, 0) + 1
        self._soon.ask()

    def _write(self) -> None:
        with self._guard:
            amounts, self._amounts = self._amounts, {}
            hours, self._hours = self._hours, {}
        if amounts or hours:
            self._table.add_all(amounts.items(), hours)
