"""Files that an operator names: only regular files are opened.

A FIFO would hold the command until somebody writes into it, and a device has no end.
"""

import os
import stat
from pathlib import Path
from typing import Any, Final

import click

__all__ = ["made_or_regular_file", "refuse_irregular", "regular_file"]

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def refuse_irregular(file: Path) -> None:
    """Refuse what is there and is no regular file; what is missing or out of reach is left to whoever opens it.

    Raises:
        ValueError: with the name and what it is.
    """
    try:
        mode = file.stat().st_mode
    except OSError:
        return
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise ValueError(f"{file}: it is {kind}, not a file")


class _RegularFile(click.Path):
    def __init__(self, *, exists: bool) -> None:
        super().__init__(exists=exists, path_type=Path)
        self.name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - as click declares it
        path = super().convert(value, param, ctx)
        try:
            refuse_irregular(Path(os.fsdecode(path)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return path


regular_file: Final = _RegularFile(exists=True)
"""The type of an option whose file must be there."""

made_or_regular_file: Final = _RegularFile(exists=False)
"""The type of an option whose file is made where it is not there, or looked for later."""
