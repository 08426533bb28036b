"""The keeper's part for the search index: brings it up with the trail, and tells of records that are not as written."""

from typing import Final

from smsp_provider.audit.chain import Lane
from smsp_provider.audit.operator_events import Alert, AlertKind, Observer
from smsp_provider.audit.search_index import IndexUnusable, SearchIndex
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.config.settings import Settings
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_indexer import AuditIndexer
from smsp_provider.storage.audit_keys import AuditKeysUnusable
from smsp_provider.wiring.search import build_index, build_indexer

__all__ = ["IndexTask"]


class IndexTask:
    """Indexes what is new each time it is run; ``database`` is the keeper's own."""

    def __init__(self, settings: Settings, database: AuditDatabase, clock: Clock, observer: Observer) -> None:
        self._settings: Final = settings
        self._database: Final = database
        self._clock: Final = clock
        self._observer: Final = observer
        self._index: SearchIndex | None = None
        self._indexer: AuditIndexer | None = None
        self._damaged: set[int] = set()

    def run(self) -> None:
        """Bring the index up with the trail, as far as one turn goes.

        Raises:
            AuditUnavailable: the trail, its keys or the index cannot be used; the next run begins anew.
        """
        try:
            if self._indexer is None:
                self._index = build_index(self._settings, self._database, self._clock)
                self._indexer = build_indexer(
                    self._settings, self._database, self._index, self._clock, self.tell_damage
                )
            self._indexer.run()
        except (IndexUnusable, AuditKeysUnusable) as error:
            self.close()
            raise AuditUnavailable(str(error)) from None
        except AuditUnavailable:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect from the index."""
        self._indexer = None
        if self._index is not None:
            self._index.close()
            self._index = None

    def tell_damage(self, lane: Lane, n: int, problem: str) -> None:
        """Tell operators of a record that is not what the chain says."""
        # Once for each lane: where one record was changed, the links behind it do not hold either.
        if lane.id not in self._damaged:
            self._damaged.add(lane.id)
            self._observer.notify(Alert(AlertKind.CHAIN_FAILED, None, f"record {lane.id}:{n}: {problem}"))
