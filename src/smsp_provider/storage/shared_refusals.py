"""Refused requests that all processes of a host count together (:mod:`smsp_provider.engine.refusals`).

The counts are in a table that all of them map: who is killed takes none with it. When a minute is over, the keeper of
the audit trail writes what was counted in it; where no keeper does, the next refused request that finds it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from smsp_provider.audit.events import RefusalCount, Refusals
from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.audit.trail import AuditTrail, AuditUnavailable
from smsp_provider.engine.exchange import Peer
from smsp_provider.engine.ports import Clock
from smsp_provider.engine.refusals import RefusedRequest
from smsp_provider.storage.refusal_rows import NAMED_PEERS, OTHERS, TABLE_BYTES, Row, RowTable, key_of
from smsp_provider.storage.shared_region import SharedRegion

__all__ = ["SharedRefusals"]

_KIND: Final = b"refusals"
_VERSION: Final = 1
_MINUTE_SECONDS: Final = 60
_PATIENCE_SECONDS: Final = 30
"""How long the keeper has to write a minute that is over, before a request does it."""


class SharedRefusals:
    """Keeps the table at ``path``, over restarts, and writes to ``trail``; safe for threads, processes and forks.

    A table that cannot be used is told once, and once again after it could be used in between. Nobody waits for it
    longer than ``wait_s``.
    """

    def __init__(self, path: Path, trail: AuditTrail, clock: Clock, observer: Observer, *, wait_s: float = 0.2) -> None:
        self._trail: Final = trail
        self._clock: Final = clock
        self._observer: Final = observer
        self._region: Final = SharedRegion(path, kind=_KIND, version=_VERSION, size=TABLE_BYTES, wait_s=wait_s)
        # Held while a minute is written, by one process at a time; the others go on.
        self._turn: Final = SharedRegion(path.with_suffix(".turn"), kind=_KIND, version=_VERSION, size=1, wait_s=0.0)
        self._looked_in = 0
        self._is_broken = False

    def count(self, refused: RefusedRequest) -> bool:
        """See :meth:`smsp_provider.engine.refusals.RefusalLedger.count`."""

        def add(table: RowTable, minute: int) -> bool:
            number = _row_for(table, minute, refused.peer)
            if number is None or not table.has_first(number):
                return False
            table.count(number, refused.code, refused.rule)
            table.mark(number, refused.exchange_id, refused.error_id)
            return True

        counted = self._use(add)
        self._flush_what_waits()
        return counted

    def begin(self, refused: RefusedRequest) -> None:
        """See :meth:`smsp_provider.engine.refusals.RefusalLedger.begin`."""

        def begin(table: RowTable, minute: int) -> bool:
            number = _row_for(table, minute, refused.peer)
            if number is None:
                number = _new_row(table, minute, refused.peer)
            if number is not None:
                table.set_first(number)
            return number is not None

        self._use(begin)

    def count_below(self, peer: Peer, status: int) -> None:
        """See :meth:`smsp_provider.engine.refusals.RefusalLedger.count_below`."""

        def add(table: RowTable, minute: int) -> bool:
            number = _row_for(table, minute, peer)
            if number is None:
                number = _new_row(table, minute, peer)
            if number is not None:
                table.count(number, f"HTTP {status}", "")
            return number is not None

        if not self._use(add):
            self._write_at_once(peer, status)
        self._flush_what_waits()

    def run(self) -> None:
        """Write what was counted in minutes that are over: a task of the keeper of the audit trail.

        Raises:
            AuditUnavailable: something could not be written; it stays in the table.
        """
        self._flush(self._minute())

    def finish(self) -> None:
        """Write all that was counted, also in the minute that runs: for the end, when nobody counts any more.

        Raises:
            AuditUnavailable: something could not be written; it stays in the table, for the next start.
        """
        self._flush(self._minute() + 1)

    def _minute(self) -> int:
        return int(self._clock.now().timestamp()) // _MINUTE_SECONDS

    def _use(self, act: Callable[[RowTable, int], bool]) -> bool:
        """Whether ``act`` could be done on the table, and says that it was."""
        try:
            # The minute is told under the lock: nobody adds to one that another process has found to be over.
            with self._region.locked() as view:
                done = act(RowTable(view), self._minute())
        except Exception as failure:  # noqa: BLE001 - whatever it is: the caller gets its fault, on record by itself
            self._tell_of(type(failure).__name__)
            return False
        self._is_broken = False
        return done

    def _tell_of(self, reason: str) -> None:
        if not self._is_broken:
            self._is_broken = True
            self._observer.notify(Alert(AlertKind.REFUSALS_NOT_COUNTED, None, reason))

    def _write_at_once(self, peer: Peer, status: int) -> None:
        """What cannot be counted is on record by itself."""
        now = self._clock.now()
        one = (RefusalCount(f"HTTP {status}", "", 1),)
        fingerprint = None if peer.certificate is None else peer.certificate.fingerprint
        try:
            self._trail.record_refusals(
                Refusals(now, _beginning_of(self._minute()), peer.address, one, peer.common_name, fingerprint)
            )
        except AuditUnavailable as unavailable:
            self._observer.notify(Alert(AlertKind.AUDIT_UNAVAILABLE, None, unavailable.reason))

    def _flush_what_waits(self) -> None:
        """Once in a while: what no keeper wrote."""
        waits_since = int(self._clock.now().timestamp() - _PATIENCE_SECONDS) // _MINUTE_SECONDS
        if waits_since != self._looked_in:
            self._looked_in = waits_since
            try:
                self._flush(waits_since)
            except AuditUnavailable:
                # It stays in the table. That the trail cannot be written is told wherever something has to be.
                self._looked_in = 0
            except Exception as failure:  # noqa: BLE001 - the request that came by has nothing to do with it
                self._tell_of(type(failure).__name__)

    def _flush(self, minute: int) -> None:
        try:
            with self._turn.locked():
                self._write_before(minute)
        except TimeoutError:
            # Another process is at it.
            return
        except OSError as failure:
            self._tell_of(type(failure).__name__)

    def _write_before(self, minute: int) -> None:
        with self._region.locked() as view:
            rows = list(RowTable(view).rows_before(minute))
        for row in rows:
            if row.counts:
                self._trail.record_refusals(_record(row, self._clock.now()))
            with self._region.locked() as view:
                _forget(RowTable(view), row)


def _row_for(table: RowTable, minute: int, peer: Peer) -> int | None:
    """The peer's row, or that of all others."""
    number = table.find(minute, key_of(peer))
    return table.find(minute, OTHERS) if number is None else number


def _new_row(table: RowTable, minute: int, peer: Peer) -> int | None:
    """A row for the peer, or the one for all others where so many have one that there is no more by name."""
    if table.named_in(minute) < NAMED_PEERS:
        return table.add(minute, key_of(peer), peer)
    return table.add(minute, OTHERS, None)


def _forget(table: RowTable, row: Row) -> None:
    """Give back a row that is on record; what was added since, by a clock that went back, stays."""
    if table.find(row.minute, row.key) != row.number:
        return
    if table.row(row.number, row.minute, row.key) == row:
        table.clear(row.number)
        return
    table.take_back(row)


def _record(row: Row, now: datetime) -> Refusals:
    return Refusals(
        at=now,
        minute=_beginning_of(row.minute),
        address=row.address,
        counts=row.counts,
        common_name=row.common_name,
        certificate=row.certificate,
        first=row.first,
        last=row.last,
    )


def _beginning_of(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * _MINUTE_SECONDS, UTC)
