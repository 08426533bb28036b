"""A group of commands that imports each when it is asked for: most of the time of a short command is imports."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """``places`` says where each command stands, as ``module:name`` by the command's own name; listed in that order."""

    def __init__(self, *args: Any, places: Mapping[str, str], **kwargs: Any) -> None:  # noqa: ANN401 - as click's own
        super().__init__(*args, **kwargs)
        self._places: Final = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands; nothing is imported for them."""
        del ctx
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now, or None."""
        del ctx
        place = self._places.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command
