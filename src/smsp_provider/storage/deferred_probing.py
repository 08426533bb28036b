"""The watch for guessing beside the requests: what was answered is counted a little later.

Requests by number can be counted in any order, and are counted here. With searches it matters which came first: they
are counted at once, since the next one may come to another process.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from smsp_provider.domain.requests import ByNumber
from smsp_provider.engine.probing import Answered, ProbingWatch
from smsp_provider.storage.soon import Soon

__all__ = ["CountingWatch", "DeferredProbingWatch"]

_AT_ONCE: Final = 32
"""So many are counted without letting others to the table."""
_MOST: Final = 8192
"""So many may wait: those of several seconds of a worker at its limit."""


class CountingWatch(ProbingWatch, Protocol):
    """Who counts in the end, at once."""

    def note_all(self, batch: Sequence[Answered]) -> None:
        """Count some requests, and alert. Never raises."""
        ...

    def tell_lost(self, answered: Answered) -> None:
        """Tell the operator that requests are not counted."""
        ...


class DeferredProbingWatch:
    """A :class:`smsp_provider.engine.probing.ProbingWatch` before another one; safe for threads and forks.

    Where the counting cannot keep up (the table is held by somebody who does not go on), what is too much is not
    counted, and told. So is, untold, what a worker that is killed has not yet counted.
    """

    def __init__(self, watch: CountingWatch) -> None:
        self._watch: Final = watch
        self._waiting: Final[deque[Answered]] = deque()
        self._soon: Final = Soon("probing", self._count, lambda: not self._waiting, self._waiting.clear)

    def note(self, answered: Answered) -> None:
        """See :meth:`smsp_provider.engine.probing.ProbingWatch.note`."""
        if not isinstance(answered.request, ByNumber):
            self._watch.note(answered)
        elif len(self._waiting) >= _MOST:
            self._watch.tell_lost(answered)
        else:
            self._waiting.append(answered)
            self._soon.ask()

    def _count(self) -> None:
        waiting = self._waiting
        while waiting:
            self._watch.note_all([waiting.popleft() for _ in range(min(len(waiting), _AT_ONCE))])
