"""The erasing of what two officers agreed on, as the settings want it."""

from collections.abc import Callable
from pathlib import Path

from smsp_provider.config.settings import Settings
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_erasing import AuditErasing
from smsp_provider.storage.audit_indexer import Damage
from smsp_provider.storage.audit_records import AuditRecords
from smsp_provider.wiring_audit import build_unsealer
from smsp_provider.wiring_search import build_index, build_indexer

__all__ = ["build_erasing", "finishing"]


def build_erasing(settings: Settings, database: AuditDatabase, clock: Clock, damage: Damage) -> AuditErasing:
    """Who erases; ``damage`` hears of records that the search index could not take as they are.

    Raises:
        AuditKeysUnusable: the keys are missing or unusable.
        IndexUnusable: the search index cannot be read.
        AuditUnavailable: the trail cannot be read.
    """
    indexer = build_indexer(settings, database, build_index(settings, database, clock), clock, damage)
    return AuditErasing(database, AuditRecords(database, build_unsealer(settings, clock)), indexer, _marks(settings))


def finishing(settings: Settings, database: AuditDatabase, clock: Clock, damage: Damage) -> Callable[[], None]:
    """A task of each host's keeper: finish approvals that began here and were interrupted. Nothing is opened before."""
    marks = _marks(settings)

    def finish() -> None:
        # (Nearly always there is nothing: a look into a directory then.)
        if marks.is_dir() and any(marks.iterdir()):
            build_erasing(settings, database, clock, damage).finish()

    return finish


def _marks(settings: Settings) -> Path:
    """Where this host marks approvals that have begun."""
    return settings.audit.database.with_name("audit-deletions")
