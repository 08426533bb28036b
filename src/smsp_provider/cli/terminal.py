"""Asking a person, at a terminal and nowhere else: secrets come neither from arguments nor from variables or pipes."""

import getpass
import os
from typing import Final

from smsp_provider.cli.exit_codes import CannotStart

__all__ = ["ask_secret", "show_once"]

_TERMINAL: Final = "/dev/tty"


def ask_secret(prompt: str) -> str:
    """What a person types, unseen.

    Raises:
        CannotStart: there is no terminal.
    """
    # (getpass would read standard input then, and say so in a warning.)
    os.close(_opened(os.O_RDWR))
    return getpass.getpass(f"{prompt}: ")


def show_once(text: str) -> None:
    """Show something to the person at the terminal that must not get into a file with the output.

    Raises:
        CannotStart: there is no terminal.
    """
    with os.fdopen(_opened(os.O_WRONLY), "w", encoding="utf-8") as terminal:
        terminal.write(f"{text}\n")


def _opened(flags: int) -> int:
    try:
        return os.open(_TERMINAL, flags | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise CannotStart("this asks a person for secrets: run it at a terminal") from None
