"""What is known about this host's clock, put together: from the kernel, the time daemon and the audit database."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from smsp_provider.config.settings import Settings
from smsp_provider.engine.ports import Clock
from smsp_provider.observe.clock_state import read_kernel_clock, read_source
from smsp_provider.observe.clock_watch import ClockReading, offset_from
from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.wiring.postgres import importing_postgres

__all__ = ["build_clock_reader"]

_DATABASE_SECONDS: Final = 5.0


def build_clock_reader(settings: Settings, clock: Clock) -> Callable[[], ClockReading]:
    """Who reads the state of the clock, as far as anybody tells; a database that cannot be asked tells nothing."""
    store = settings.audit.store

    def read() -> ClockReading:
        return ClockReading(read_kernel_clock(), read_source(), _database_ms(store, clock) if store else None)

    return read


def _database_ms(store: str, clock: Clock) -> float | None:
    """How far the database's clock is ahead, in milliseconds."""
    try:
        with importing_postgres():
            import psycopg  # noqa: PLC0415 - the driver is an extra of the package

            from smsp_provider.storage.postgres_session import connect  # noqa: PLC0415 - needs the driver
    except StorageUnsafe:
        return None
    try:
        with connect(store, bound_s=_DATABASE_SECONDS) as connection:

            def ask() -> datetime:
                row = connection.execute("SELECT clock_timestamp()").fetchone()
                if row is None:
                    raise psycopg.DataError
                found: datetime = row[0]
                return found

            # The first time a connection is used costs more than the next.
            ask()
            return offset_from(clock, ask)
    except psycopg.Error:
        return None
