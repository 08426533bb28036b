"""The erasing of what two officers agreed on, as the settings want it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from smsp_provider.audit.search_index import IndexUnusable
from smsp_provider.audit.trail import AuditUnavailable
from smsp_provider.config.settings import Settings
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_erasing import AuditErasing
from smsp_provider.storage.audit_indexer import Damage
from smsp_provider.storage.audit_keys import AuditKeysUnusable
from smsp_provider.storage.audit_records import AuditRecords
from smsp_provider.wiring.audit import build_unsealer
from smsp_provider.wiring.search import build_index, build_indexer

__all__ = ["erasing_of", "finishing"]


@contextmanager
def erasing_of(settings: Settings, database: AuditDatabase, clock: Clock, damage: Damage) -> Iterator[AuditErasing]:
    """Who erases; ``damage`` hears of records that the search index could not take as they are.

    Raises:
        AuditKeysUnusable: the keys are missing or unusable.
        IndexUnusable: the search index cannot be read.
        AuditUnavailable: the trail cannot be read.
    """
    unsealer, index = build_unsealer(settings, clock), build_index(settings, database, clock)
    try:
        indexer = build_indexer(settings, database, index, clock, damage)
        yield AuditErasing(database, AuditRecords(database, unsealer), indexer, _marks(settings))
    finally:
        index.close()


def finishing(settings: Settings, database: AuditDatabase, clock: Clock, damage: Damage) -> Callable[[], None]:
    """A task of each host's keeper: finish approvals that began here and were interrupted. Nothing is opened before.

    It raises AuditUnavailable where the trail, its keys or the search index cannot be used; the next run tries again.
    """
    marks = _marks(settings)

    def finish() -> None:
        # (Nearly always there is nothing: a look into a directory then.)
        if not marks.is_dir() or not any(marks.iterdir()):
            return
        try:
            with erasing_of(settings, database, clock, damage) as erasing:
                erasing.finish()
        except (IndexUnusable, AuditKeysUnusable) as error:
            raise AuditUnavailable(str(error)) from None

    return finish


def _marks(settings: Settings) -> Path:
    """Where this host marks approvals that have begun."""
    return settings.audit.database.with_name("audit-deletions")
