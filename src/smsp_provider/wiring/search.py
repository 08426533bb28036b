"""The search index of the audit trail as the settings want it."""

from pathlib import Path

from smsp_provider.audit.search_index import SearchIndex
from smsp_provider.config.settings import Settings
from smsp_provider.engine.ports import Clock
from smsp_provider.storage.audit_database import AuditDatabase
from smsp_provider.storage.audit_index_keys import IndexKeys
from smsp_provider.storage.audit_indexer import AuditIndexer, Damage
from smsp_provider.storage.sqlite_audit_index import SqliteSearchIndex
from smsp_provider.wiring.audit import build_unsealer, load_audit_keys
from smsp_provider.wiring.postgres import importing_postgres

__all__ = ["build_index", "build_index_keys", "build_indexer", "index_file"]


def index_file(settings: Settings) -> Path:
    """The file of the index."""
    return settings.audit.database.with_name("audit-index.db")


def build_index_keys(settings: Settings, clock: Clock) -> IndexKeys:
    """Who wraps the keys of the index.

    Raises:
        AuditKeysUnusable: the keys are missing or unusable.
    """
    return IndexKeys(load_audit_keys(settings, clock))


def build_index(settings: Settings, database: AuditDatabase, clock: Clock) -> SearchIndex:
    """The index of the trail in ``database``: in PostgreSQL beside it, else in a file, made when it is used first.

    Raises:
        AuditKeysUnusable: the keys are missing or unusable.
        AuditUnavailable: the trail cannot be read.
        StorageUnsafe: the trail is in PostgreSQL, and the driver is not installed.
    """
    if settings.audit.store:
        with importing_postgres():
            from smsp_provider.storage.postgres_audit_index import PostgresSearchIndex  # noqa: PLC0415 - its driver is an extra of the package
        return PostgresSearchIndex(settings.audit.store, build_index_keys(settings, clock))
    return SqliteSearchIndex(index_file(settings), database.trail_id(), build_index_keys(settings, clock))


def build_indexer(
    settings: Settings, database: AuditDatabase, index: SearchIndex, clock: Clock, damage: Damage
) -> AuditIndexer:
    """Who keeps the index up with the trail.

    Raises:
        AuditKeysUnusable: the keys are missing or unusable.
        IndexUnusable: the index cannot be read.
    """
    return AuditIndexer(database, build_unsealer(settings, clock), index, damage)
