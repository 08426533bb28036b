"""The driver of PostgreSQL is an extra of the package: whoever needs it reaches for it where the settings say so."""

from collections.abc import Iterator
from contextlib import contextmanager

from smsp_provider.storage.audit_database import StorageUnsafe
from smsp_provider.storage.postgres_driver import NO_DRIVER

__all__ = ["importing_postgres"]


@contextmanager
def importing_postgres() -> Iterator[None]:
    """Around the import of what needs the driver.

    Raises:
        StorageUnsafe: it is not installed.
    """
    try:
        yield
    except ImportError:
        raise StorageUnsafe(NO_DRIVER) from None
