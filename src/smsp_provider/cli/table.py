"""Tables on a terminal: aligned columns, a rule under the head, nothing else."""

import unicodedata
from collections.abc import Sequence

import click

__all__ = ["print_table"]


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, indent: str = "") -> None:
    """Print rows of as many cells as the head has; the last column is as wide as it needs."""
    cells = [[_printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for number, row in enumerate(cells):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo((indent + "  ".join(padded)).rstrip())
        if number == 0:
            click.echo(indent + "  ".join("-" * width for width in widths))


def _printable(text: str) -> str:
    """No control characters: what a server sends must not drive the terminal."""
    return "".join(" " if unicodedata.category(character).startswith("C") else character for character in text)
