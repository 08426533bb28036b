"""Counters that are gathered in the process and written into the table that all share a few times a second."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from smsp_provider.storage.soon import Soon

__all__ = ["MOST_WAITING", "CounterTable", "DeferredCounters"]

MOST_WAITING: Final = 65_536
"""So many may wait where nothing can be written, say without a thread for it: then the oldest are not counted."""


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
        self._waiting: Final[deque[tuple[Iterable[tuple[str, float]], int | None]]] = deque(maxlen=MOST_WAITING)
        self._soon: Final = Soon("counters", self._write, lambda: not self._waiting, self._waiting.clear)

    def add(self, amounts: Iterable[tuple[str, float]], *, hour: int | None = None) -> None:
        """See :meth:`smsp_provider.observe.metrics.Counters.add`."""
        self._waiting.append((amounts, hour))
        self._soon.ask()

    def _write(self) -> None:
        gathered: defaultdict[str, float] = defaultdict(float)
        hours: defaultdict[int, int] = defaultdict(int)
        while self._waiting:
            amounts, hour = self._waiting.popleft()
            for name, amount in amounts:
                gathered[name] += amount
            if hour is not None:
                hours[hour] += 1
        if gathered or hours:
            self._table.add_all(gathered.items(), hours)
