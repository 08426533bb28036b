"""One process at a time: a provider for each audit trail, a sandbox for each directory."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.storage.writer_lock import hold_file

__all__ = ["hold_alone"]

_LONGEST_ID: Final = 20


def hold_alone(lock: Path, *, where: str, who: str, what: str) -> int:
    """The descriptor of a lock that lives as long as this process and its children; ``lock`` names the process.

    ``where`` is what an operator has to change for this to work out: a setting or a directory. ``who`` uses ``what``.

    Raises:
        CannotStart: another process holds it, or it cannot be made or written.
    """
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = hold_file(lock)
        if descriptor is not None:
            _name_this_process(descriptor)
            return descriptor
    except OSError as error:
        raise CannotStart(f"{where}: {lock}: {error.strerror}") from None
    raise CannotStart(f"{where}: another {who} (process {_holder(lock)}) uses {what}, or is still stopping")


def _name_this_process(descriptor: int) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    except BaseException:
        # Who tries again in this process would find the lock held.
        os.close(descriptor)
        raise


def _holder(lock: Path) -> str:
    text = b""
    with suppress(OSError), lock.open("rb") as file:
        text = file.read(_LONGEST_ID)
    return text.decode("ascii", errors="replace").strip() or "unknown"
