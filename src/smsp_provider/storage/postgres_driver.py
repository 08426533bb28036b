"""The driver of PostgreSQL is an extra of the package: this module needs it least of all."""

from typing import Final

__all__ = ["NO_DRIVER"]

NO_DRIVER: Final = "the driver of PostgreSQL is missing: install the extra 'postgres'"
"""What an operator is told when an import fails for want of it."""
