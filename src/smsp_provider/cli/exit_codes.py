"""What the command line tells its caller by a number: the one table, and the errors that carry a row of it."""

from enum import IntEnum
from typing import IO, ClassVar, Self

import click

__all__ = ["CannotStart", "ExitCode", "NotAllowed", "ReadableError", "UnusableConfiguration"]


class ExitCode(IntEnum):
    """The exit codes; ``meaning`` is the text of the documentation."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """A member with its text; the value alone is the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "Done. For `call`: the answer is SMSP-0000 or DEMOG-0017; for `sandbox`: every answer was the expected one."
    UNEXPECTED = (
        1,
        (
            "`sandbox`: an answer not as expected. `call`: another response code. `simulate load`: lines were left out."
            " `conformance`: something failed, nothing passed, or the second run proves less."
            " `endpoint status`: a certificate has expired or cannot be used."
            " `audit verify`: something is not as it was written."
            " `audit prepare`: it is done, and something is left that is not as the provider made it."
        ),
    )
    USAGE = 2, "The command line or the configuration is wrong; nothing was started or sent."
    CANNOT_START = 3, "It could not start, or a part of it ended by itself: a port taken, a file unreadable."
    FAULT = 4, "`call`: the provider answered with a SOAP fault."
    UNREACHABLE = 5, "`call`: no usable answer: no connection, TLS refused, time-out, or something that is not SOAP."
    NOT_ALLOWED = 6, "Nobody is logged in, or the operator may not do this; nothing was shown or changed."
    INTERRUPTED = 130, "Ctrl-C before the work was done. Ctrl-C while serving is the normal end, and gives 0."


class ReadableError(click.ClickException):
    """An error that a person can act on: one text, no traceback, and a row of the table."""

    exit_code: ClassVar[int] = ExitCode.CANNOT_START

    def show(self, file: IO[str] | None = None) -> None:
        """Print the text to standard error."""
        click.echo(f"smsp: {self.format_message()}", err=file is None, file=file)


class UnusableConfiguration(ReadableError):
    """The settings cannot be used; the text names the setting."""

    exit_code: ClassVar[int] = ExitCode.USAGE


class CannotStart(ReadableError):
    """Something outside the settings is in the way: a port, a file, another provider."""


class NotAllowed(ReadableError):
    """An operator has to log in first, was refused, or has no role that gives this."""

    exit_code: ClassVar[int] = ExitCode.NOT_ALLOWED
