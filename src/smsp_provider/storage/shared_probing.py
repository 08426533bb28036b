"""The watch for guessing that all workers of a host keep together (:mod:`smsp_provider.engine.probing`).

The counts are in a table that all of them map, with the random key of this host that makes them useless elsewhere. They
are kept over restarts. What cannot be counted is not counted, and nothing else fails for it.
"""

import os
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Final

from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.domain.requests import ByNumber
from smsp_provider.engine.ports import Clock
from smsp_provider.engine.probing import Answered, Finding, ProbingPolicy
from smsp_provider.engine.probing_detector import Detector
from smsp_provider.engine.probing_table import KEY, TABLE_BYTES
from smsp_provider.engine.probing_traces import KEY_BYTES, Tracer
from smsp_provider.storage.shared_region import SharedRegion

__all__ = ["SharedProbingWatch"]

_KIND: Final = b"probing"
_VERSION: Final = 1
_NO_KEY: Final = bytes(KEY_BYTES)


class SharedProbingWatch:
    """Keeps the table at ``path``; safe for threads, processes and forks.

    A table that cannot be used is told once by each process; when it could be used again in between, once more, but not
    before the policy's ``quiet`` seconds have passed. Nobody waits for it longer than ``wait_s``.
    """

    def __init__(
        self, path: Path, policy: ProbingPolicy, clock: Clock, observer: Observer, *, wait_s: float = 0.1
    ) -> None:
        self._detector: Final = Detector(policy)
        self._clock: Final = clock
        self._observer: Final = observer
        self._region: Final = SharedRegion(path, kind=_KIND, version=_VERSION, size=TABLE_BYTES, wait_s=wait_s)
        self._tracer = Tracer(_NO_KEY)
        self._quiet: Final = policy.quiet
        self._is_broken = False
        self._told_at = -inf

    def note(self, answered: Answered) -> None:
        """See :meth:`smsp_provider.engine.probing.ProbingWatch.note`."""
        self.note_all((answered,))

    def note_all(self, batch: Sequence[Answered]) -> None:
        """Count requests in their order, and alert where a pattern is complete. Never raises. Thread-safe."""
        found: list[tuple[Answered, Finding]] = []
        try:
            self._count(batch, found)
        except Exception as failure:  # noqa: BLE001 - whatever it is: the requests have their answers
            self._tell_of(type(failure).__name__, batch[0])
        else:
            self._is_broken = False
        for answered, finding in found:
            self._observer.notify(
                Alert(
                    AlertKind.PROBING,
                    answered.exchange_id,
                    finding.pattern.value,
                    client=answered.client,
                    count=finding.count,
                )
            )

    def tell_lost(self, answered: Answered) -> None:
        """Tell that requests are not counted since too many wait, as often as of a table that cannot be used."""
        self._tell_of("more wait to be counted than may", answered)

    def _count(self, batch: Sequence[Answered], found: list[tuple[Answered, Finding]]) -> None:
        now = int(self._clock.now().timestamp())
        with self._region.locked() as view:
            tracer = self._tracer
            if view[KEY] != tracer.key or tracer.key == _NO_KEY:
                tracer = self._tracer = Tracer(_key_in(view))
            for answered in batch:
                request = answered.request
                if isinstance(request, ByNumber):
                    findings = self._detector.count_number(view, tracer.number(answered, request), now)
                else:
                    findings = self._detector.count_search(view, tracer.search(answered, request), now)
                if findings:
                    found += [(answered, finding) for finding in findings]

    def _tell_of(self, reason: str, answered: Answered) -> None:
        now = self._clock.monotonic()
        if not self._is_broken and now - self._told_at >= self._quiet:
            self._is_broken, self._told_at = True, now
            self._observer.notify(Alert(AlertKind.PROBING_WATCH_UNAVAILABLE, answered.exchange_id, reason))


def _key_in(view: memoryview) -> bytes:
    """The key of this host; a new one where there is none yet."""
    if view[KEY] == _NO_KEY:
        view[KEY] = os.urandom(KEY_BYTES)
    return bytes(view[KEY])
