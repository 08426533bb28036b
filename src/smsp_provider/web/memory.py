"""The garbage collector of a process that serves: told what is there to stay, and not asked to look every moment."""

import gc
from typing import Final

__all__ = ["settle"]

_YOUNG: Final = 10_000
"""Objects made, net of those freed, between two looks. A request frees what it made, so that leaks are rare."""


def settle() -> None:
    """Take everything that is alive now for permanent; called once, when all that serves has been built.

    Requests leave hardly any cycles behind, so that what the collector does between them is nearly always work for
    nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
