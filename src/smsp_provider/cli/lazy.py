"""A group of commands that imports each when it is asked for: most of the time of a short command is imports."""

import gc
import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import click
from click.exceptions import NoSuchCommand

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
        command: click.Command = getattr(_imported(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, which would offer for a mistyped name those alone that it has itself: none."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as unknown:
            raise NoSuchCommand(unknown.command_name, possibilities=self._places, ctx=ctx) from None


def _imported(name: str) -> ModuleType:
    """The module of this name; without looking for garbage in the meantime, or ever again in what it has made.

    What imports make stays for good: to go through it again and again while it grows is a fifth of their time.
    """
    if name in sys.modules:
        return sys.modules[name]
    was_on = gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
